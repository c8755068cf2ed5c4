package radius

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// maxSegment is after how many octets a new file is begun, or less where the limit
// is small. Files go as a whole, the oldest first.
const maxSegment = 4 << 20

// slackSegments is how many files are never cleaned up.
const slackSegments = 4

// store is the files of accounting records: a log in which records, and that they
// are taken, are appended. It belongs to one goroutine.
type store struct {
	dir     string
	limit   int64
	segment int64 // after how many octets a new file is begun
	log     *logrus.Entry
	lock    *os.File
	files   []*segment // the oldest first; the last is written to
	size    int64      // octets in all files
	live    int64      // octets of those that still matter
	last    uint64     // number of the newest record
	buffer  []byte     // to be written
	fresh   []*entry   // in buffer
	notes   []note     // in buffer, and what the records in it put an end to
	// What could not be written, and is as soon as the disk takes something again.
	unsaved map[*entry]struct{}
	owed    []note
	damaged uint64 // octets that were no frames when the files were read

	// found is what was there at the start, by number.
	found []*entry
}

// segment is one file.
type segment struct {
	name    string
	file    *os.File
	size    int64
	entries []*entry // that are in it; nil: one that no longer matters, or is elsewhere
	live    int
}

// note is what there is to say about a record of that number, beside itself.
type note struct {
	kind   frameType
	number uint64
}

// maxOwed bounds the notes that wait for the disk to be written to again. What is
// left out may cost a record that is sent twice.
const maxOwed = 1 << 18

// location is where an entry's frame is; segment nil: nowhere but in memory.
type location struct {
	segment *segment
	at      int64
	length  int // of the content
	index   int // in segment.entries
}

const segmentSuffix = ".records"

// openStore opens the folder and reads what is there.
func openStore(dir string, limit int64, log *logrus.Entry) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &store{dir: dir, limit: limit, segment: min(maxSegment, limit/16), log: log, unsaved: make(map[*entry]struct{})}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// open locks the folder, reads its files and begins a new one.
func (s *store) open() (err error) {
	if s.lock, err = os.OpenFile(filepath.Join(s.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	if err = unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("%s is in use by another daemon: %w", s.dir, err)
	}
	numbers, err := s.numbers()
	if err != nil {
		return err
	}
	byNumber := make(map[uint64]*entry)
	next := uint64(1)
	for _, n := range numbers {
		if err = s.scan(n, byNumber); err != nil {
			return err
		}
		next = n + 1
	}
	for _, e := range byNumber {
		s.found = append(s.found, e)
	}
	slices.SortFunc(s.found, func(a, b *entry) int { return int(int64(a.number - b.number)) })
	if s.damaged > 0 {
		s.log.WithField("octets", s.damaged).Warn("a part of the accounting records on disk is damaged and was left out; the end of the last one is after a crash")
	}
	return s.begin(next)
}

func segmentName(number uint64) string { return fmt.Sprintf("%016d%s", number, segmentSuffix) }

// numbers lists the files that are there.
func (s *store) numbers() ([]uint64, error) {
	names, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, entry := range names {
		digits, ok := strings.CutSuffix(entry.Name(), segmentSuffix)
		if n, err := strconv.ParseUint(digits, 10, 64); ok && err == nil && entry.Name() == segmentName(n) {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// begin starts a new file.
func (s *store) begin(number uint64) error {
	name := filepath.Join(s.dir, segmentName(number))
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	s.files = append(s.files, &segment{name: name, file: file})
	return nil
}

// scan reads one file. What is no frame is skipped up to the next one: a crash
// leaves such a thing behind, and so does a full disk.
func (s *store) scan(number uint64, byNumber map[uint64]*entry) error {
	name := filepath.Join(s.dir, segmentName(number))
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	seg := &segment{name: name, file: file}
	s.files = append(s.files, seg)
	all, err := io.ReadAll(file)
	if err != nil {
		// What a failing disk has lost is lost; nobody is kept out for it.
		s.log.WithError(err).Error("accounting records cannot be read from disk and are left out: see to the disk")
	}
	seg.size = int64(len(all))
	s.size += seg.size
	s.damaged += walk(all, func(f frame, at int) {
		s.last = max(s.last, f.number)
		e := byNumber[f.number]
		switch {
		case f.kind == frameTaken && e != nil:
			e.taken = true
		case f.kind == frameGone && e != nil:
			s.unplace(e)
			delete(byNumber, f.number)
		}
		if f.kind == frameTaken || f.kind == frameGone {
			return
		}
		c, err := parseContent(f.content)
		if err != nil {
			s.damaged += uint64(len(f.content))
			return
		}
		if e == nil {
			e = &entry{number: f.number}
			byNumber[f.number] = e
		} else {
			s.unplace(e)
		}
		e.kind, e.group, e.id = c.kind, c.group, c.id
		e.taken = e.taken || f.kind == frameOpen
		s.settle(e, seg, int64(at), len(f.content))
	})
	return nil
}

// walk calls f for each frame and returns how many octets were none.
func walk(all []byte, f func(f frame, at int)) (damaged uint64) {
	for at := 0; at < len(all); {
		one, n, err := parseFrame(all[at:])
		if err == nil {
			f(one, at)
			at += n
			continue
		}
		next := bytes.Index(all[at+1:], []byte(frameMagic))
		if next < 0 {
			return damaged + uint64(len(all)-at)
		}
		damaged += uint64(next + 1)
		at += next + 1
	}
	return damaged
}

// settle notes where an entry is.
func (s *store) settle(e *entry, seg *segment, at int64, length int) {
	e.where = location{segment: seg, at: at, length: length, index: len(seg.entries)}
	seg.entries = append(seg.entries, e)
	seg.live++
	s.live += int64(frameHeader + length)
}

// release forgets an entry that no longer matters.
func (s *store) release(e *entry) {
	delete(s.unsaved, e)
	if e.where.segment != nil {
		s.notes = append(s.notes, note{frameGone, e.number})
	}
	s.unplace(e)
}

// unplace forgets where an entry is.
func (s *store) unplace(e *entry) {
	seg := e.where.segment
	if seg == nil {
		return
	}
	seg.entries[e.where.index] = nil
	seg.live--
	s.live -= int64(frameHeader + e.where.length)
	e.where = location{}
}

func (s *store) current() *segment { return s.files[len(s.files)-1] }

// put adds an entry to what flush writes.
func (s *store) put(e *entry, kind frameType, content []byte) {
	seg := s.current()
	s.settle(e, seg, seg.size+int64(len(s.buffer)), len(content))
	s.buffer = appendFrame(s.buffer, kind, e.number, content)
	e.memory = content
	s.fresh = append(s.fresh, e)
}

// taken adds to what flush writes that a record needs no sending.
func (s *store) taken(number uint64) {
	s.buffer = appendFrame(s.buffer, frameTaken, number, nil)
	s.notes = append(s.notes, note{frameTaken, number})
}

// flush writes with one system call. If that fails, the entries stay in memory
// and are sent all the same, and the error says how many of them there are. Once
// the disk takes something again, they are written after it, and so is what
// happened to those on disk meanwhile: else the next start would end sessions once
// more that have ended, and send once more what was taken.
func (s *store) flush() error {
	if len(s.buffer) == 0 {
		s.notes = s.notes[:0]
		return nil
	}
	if err := s.append(); err != nil {
		return err
	}
	if len(s.unsaved)+len(s.owed) > 0 {
		for e := range s.unsaved {
			s.put(e, e.frame(), e.memory)
		}
		clear(s.unsaved)
		for _, n := range s.owed {
			s.buffer = appendFrame(s.buffer, n.kind, n.number, nil)
			s.notes = append(s.notes, n)
		}
		s.owed = nil
		if err := s.append(); err != nil {
			return err
		}
	}
	if seg := s.current(); seg.size >= s.segment {
		return s.begin(s.number(seg) + 1)
	}
	return nil
}

// append writes the buffer to the newest file.
func (s *store) append() error {
	seg := s.current()
	n, err := seg.file.Write(s.buffer)
	if err != nil && n > 0 {
		// What is half there is skipped by who reads it, but then it is better gone.
		if seg.file.Truncate(seg.size) == nil {
			n = 0
		}
	}
	s.size += int64(n)
	for _, e := range s.fresh {
		switch {
		case e.where.segment == nil: // it does not matter any more
		case err != nil:
			s.unplace(e)
			s.unsaved[e] = struct{}{}
		default:
			e.memory = nil
		}
	}
	if err != nil {
		s.owed = append(s.owed, s.notes[:min(len(s.notes), max(0, maxOwed-len(s.owed)))]...)
	}
	seg.size += int64(n)
	clear(s.fresh)
	s.buffer, s.fresh, s.notes = s.buffer[:0], s.fresh[:0], s.notes[:0]
	if cap(s.buffer) > maxSegment {
		s.buffer = nil
	}
	if err != nil {
		return fmt.Errorf("%d accounting records are in memory only: %w", len(s.unsaved), err)
	}
	return nil
}

func (s *store) number(seg *segment) uint64 {
	n, _ := strconv.ParseUint(strings.TrimSuffix(filepath.Base(seg.name), segmentSuffix), 10, 64)
	return n
}

// content reads what an entry says.
func (s *store) content(e *entry) (content, error) {
	b := e.memory
	if b == nil {
		whole := make([]byte, frameHeader+e.where.length)
		if e.where.segment == nil {
			return content{}, errFrame
		}
		if _, err := e.where.segment.file.ReadAt(whole, e.where.at); err != nil {
			return content{}, err
		}
		f, _, err := parseFrame(whole)
		if err != nil || f.number != e.number {
			return content{}, errFrame
		}
		b = f.content
	}
	return parseContent(b)
}

// clean removes files that no longer matter. Where more than half of what there
// is does not, it first copies the rest of the oldest file to the newest; one
// file for each call.
func (s *store) clean() error {
	if oldest := s.files[0]; oldest != s.current() && oldest.live > 0 && s.size > slackSegments*s.segment && s.live < s.size/2 {
		if err := s.empty(oldest); err != nil {
			return err
		}
	}
	for oldest := s.files[0]; oldest != s.current() && oldest.live == 0; oldest = s.files[0] {
		// What says that its records were taken is in later files, so those have to
		// stay for as long as it does.
		if err := os.Remove(oldest.name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		s.size -= oldest.size
		s.files = s.files[1:]
		oldest.file.Close()
	}
	return nil
}

// empty copies what matters in a file to the newest one. If that fails, all is
// as it was.
func (s *store) empty(seg *segment) error {
	moved := make(map[*entry]location)
	for _, e := range slices.Clone(seg.entries) {
		if e == nil {
			continue
		}
		was := e.where
		whole := make([]byte, frameHeader+was.length)
		if _, err := seg.file.ReadAt(whole, was.at); err != nil {
			s.damaged += uint64(len(whole))
			s.release(e)
			continue
		}
		s.unplace(e)
		s.put(e, e.frame(), whole[frameHeader:])
		moved[e] = was
	}
	err := s.flush()
	for e, was := range moved {
		if e.where.segment == nil {
			delete(s.unsaved, e)
			e.where, e.memory = was, nil
			seg.entries[was.index] = e
			seg.live++
			s.live += int64(frameHeader + was.length)
		}
	}
	return err
}

// The fullness at which records are not taken any more: interim records first.
// Files hold at most twice of what matters.
func (s *store) tight() bool  { return s.live > s.limit/4 }
func (s *store) scarce() bool { return s.live > s.limit/8*3 }
func (s *store) full() bool   { return s.live > s.limit/2 }

func (s *store) close() (e error) {
	for _, seg := range s.files {
		e = errors.Join(e, seg.file.Close())
	}
	if s.lock != nil {
		e = errors.Join(e, s.lock.Close())
	}
	return e
}
