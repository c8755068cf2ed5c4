package pool

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/sirupsen/logrus"
)

// fileName is the file in the state directory. It has a line for each thing that
// happened, written by one write(), so that of a daemon that is killed only what
// nobody was told yet can be missing:
//
//	c9e50d2a + 10.0.0.7/32 1795377600000000000 "alice"
//
// a checksum (CRC-32 of what follows it, as 8 hexadecimal digits), what happened,
// to which prefix, when (Unix time in nanoseconds) and to whom (as a Go string).
const fileName = "leases"

// What may have happened.
const (
	lineTaken  = '+' // it is in use
	lineGiven  = '-' // it was given back by who had it
	lineRested = '=' // it is free, and this was its last holder
)

// A file is written anew when it has so many lines more than twice what is known,
// a few leases with each call.
const (
	slackLines = 4096
	leasesStep = 64
)

// retryAfter is how long a file that cannot be written is left alone.
const retryAfter = 10 * time.Second

// journal is the file. While it is written anew, what happens goes into the old
// and into the new one, so that the new one is complete when it takes the place
// of the old.
type journal struct {
	path  string
	file  *os.File // nil: it could not be written; what happens goes nowhere
	lines int

	next      *os.File // the new file
	nextLines int
	walk      int // leases of Set.all that are not in it yet

	retry  time.Time // while file is nil
	closed bool
	buf    []byte
}

func (j *journal) close() error {
	j.closed = true
	var errs []error
	for _, f := range []*os.File{j.file, j.next} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	if j.next != nil {
		errs = append(errs, os.Remove(j.next.Name()))
	}
	j.file, j.next = nil, nil
	return errors.Join(errs...)
}

// appendLine writes what is to be known of the lease after the next start.
func (s *Set) appendLine(dst []byte, l *lease, now time.Time) []byte {
	kind := byte(lineTaken)
	switch l.state {
	case inUse:
	case resting:
		kind = lineRested
	case parked:
		kind = lineRested
	case quarantined:
		if !now.Before(s.until) {
			kind = lineRested
		}
	}
	return appendRecord(dst, kind, l)
}

func appendRecord(dst []byte, kind byte, l *lease) []byte {
	const blank = "00000000 "
	start := len(dst)
	dst = append(dst, blank...)
	dst = append(dst, kind, ' ')
	dst = l.prefix().AppendTo(dst)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, l.since, 10)
	if kind != lineGiven {
		dst = append(dst, ' ')
		dst = strconv.AppendQuoteToASCII(dst, l.holder)
	}
	sum := crc32.ChecksumIEEE(dst[start+len(blank):])
	const digits = "0123456789abcdef"
	for i := range 8 {
		dst[start+i] = digits[sum>>(28-4*i)&15]
	}
	return append(dst, '\n')
}

// write puts down what happened to the lease, before anybody is told. A disk
// that is full does not keep subscribers out: it is logged, and everything is
// written as soon as it can be.
func (s *Set) write(l *lease, now time.Time) {
	j := &s.journal
	if l.slot == unkept || j.closed {
		return
	}
	kind := byte(lineTaken)
	if l.state != inUse {
		kind = lineGiven
	}
	j.buf = appendRecord(j.buf[:0], kind, l)
	if j.file != nil {
		if _, err := j.file.Write(j.buf); err != nil {
			s.writeFailed(err, now)
			_ = j.file.Close()
			j.file = nil
		}
		j.lines++
	}
	if j.next != nil {
		if _, err := j.next.Write(j.buf); err != nil {
			s.abandon(err, now)
		}
		j.nextLines++
	}
	s.compact(now)
}

// compact begins to write the file anew if it is time for that, or goes on with
// it. The prefix that is given back to nobody's memory ends up in no line.
func (s *Set) compact(now time.Time) {
	j := &s.journal
	switch {
	case j.next != nil:
		s.step(now)
	case j.file != nil && j.lines > 2*len(s.all)+s.slack,
		j.file == nil && !now.Before(j.retry):
		if err := s.begin(); err != nil {
			s.writeFailed(err, now)
			// The old file, if there is one, is as good as before.
			j.lines = 0
		}
	}
}

func (s *Set) begin() error {
	j := &s.journal
	next, err := os.OpenFile(j.path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	j.next, j.nextLines, j.walk = next, 0, len(s.all)
	return nil
}

// step writes some leases into the new file, from the end of s.all to its
// beginning: those that come later write themselves, and one that takes the
// place of one that goes has been written already, or is written twice.
func (s *Set) step(now time.Time) {
	j := &s.journal
	j.walk = min(j.walk, len(s.all))
	first := max(0, j.walk-leasesStep)
	j.buf = j.buf[:0]
	for _, l := range s.all[first:j.walk] {
		j.buf = s.appendLine(j.buf, l, now)
	}
	if _, err := j.next.Write(j.buf); err != nil {
		s.abandon(err, now)
		return
	}
	j.nextLines += j.walk - first
	j.walk = first
	if first > 0 {
		return
	}
	if err := os.Rename(j.next.Name(), j.path); err != nil {
		s.abandon(err, now)
		return
	}
	if j.file != nil {
		_ = j.file.Close()
	}
	j.file, j.lines, j.next = j.next, j.nextLines, nil
	s.counts.compactions++
}

// abandon gives the new file up.
func (s *Set) abandon(err error, now time.Time) {
	j := &s.journal
	s.writeFailed(err, now)
	_ = j.next.Close()
	_ = os.Remove(j.next.Name())
	j.next = nil
	j.lines = 0 // not again at once
}

func (s *Set) writeFailed(err error, now time.Time) {
	s.counts.writeErrors++
	s.journal.retry = now.Add(retryAfter)
	s.lines.Log(s.log.WithError(err), logrus.ErrorLevel,
		"cannot write down who has which address; make room or see to the rights of the state directory, else other users get these addresses after a restart")
}

// create writes the first file of this run.
func (s *Set) create(dir string, now time.Time) error {
	s.journal.path = filepath.Join(dir, fileName)
	if err := s.begin(); err != nil {
		return fmt.Errorf("pool: %w", err)
	}
	for s.journal.next != nil {
		s.step(now)
	}
	if s.journal.file == nil {
		return fmt.Errorf("pool: cannot write %s", s.journal.path)
	}
	return nil
}

func discard() *logrus.Entry {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return logrus.NewEntry(log)
}
