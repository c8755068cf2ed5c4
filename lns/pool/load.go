package pool

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/sirupsen/logrus"
)

// maxLine bounds a line of the file: a user's name has at most 255 octets, each
// at most 4 characters.
const maxLine = 4096

// damagedSuffix is of a file that could be read in part only.
const damagedSuffix = ".damaged"

// record is a line of the file.
type record struct {
	kind   byte
	prefix netip.Prefix
	since  int64
	holder string
}

var errRecord = errors.New("pool: not a record")

// parseRecord reads a line without its end.
func parseRecord(line []byte) (r record, err error) {
	sum, body, ok := bytes.Cut(line, []byte(" "))
	if !ok || len(sum) != 8 {
		return r, errRecord
	}
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if err != nil || uint32(want) != crc32.ChecksumIEEE(body) {
		return r, errRecord
	}
	part := bytes.SplitN(body, []byte(" "), 4)
	if len(part) < 3 || len(part[0]) != 1 {
		return r, errRecord
	}
	r.kind = part[0][0]
	if r.prefix, err = netip.ParsePrefix(string(part[1])); err != nil {
		return r, errRecord
	}
	if r.since, err = strconv.ParseInt(string(part[2]), 10, 64); err != nil {
		return r, errRecord
	}
	switch {
	case r.kind == lineGiven && len(part) == 3:
		return r, nil
	case (r.kind == lineTaken || r.kind == lineRested) && len(part) == 4:
		if r.holder, err = strconv.Unquote(string(part[3])); err != nil {
			return r, errRecord
		}
		return r, nil
	}
	return r, errRecord
}

// load reads the file, and begins it anew.
func (s *Set) load(dir string, now time.Time) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("pool: %w", err)
	}
	f, err := os.Open(filepath.Join(dir, fileName))
	switch {
	case err == nil:
		err = s.replay(f, now)
		_ = f.Close()
		if err != nil {
			s.log.WithError(err).Error("the rest of who has which address cannot be read; those addresses may go to other users: see to the disk; the file is kept as " + fileName + damagedSuffix)
			// It is written anew below.
			if err = os.Rename(f.Name(), f.Name()+damagedSuffix); err != nil {
				s.log.WithError(err).Warn("the unreadable file of who has which address cannot be kept")
			}
		}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("pool: %w", err)
	}
	s.settle(now)
	if c := &s.counts; c.unreadable > 0 || c.outside > 0 {
		s.log.WithFields(logrus.Fields{"unreadable": c.unreadable, "outside": c.outside}).
			Warn("some lines about who had which address are forgotten: what cannot be read, as after a crash, and what no pool has any more")
	}
	return s.create(dir, now)
}

// replay takes the lines in. The error is of reading.
func (s *Set) replay(from io.Reader, now time.Time) error {
	r := bufio.NewReaderSize(from, 1<<16)
	for {
		line, err := r.ReadSlice('\n')
		long := len(line) > maxLine
		for errors.Is(err, bufio.ErrBufferFull) {
			long = true
			_, err = r.ReadSlice('\n')
		}
		switch {
		case err == nil && !long:
			if read, bad := parseRecord(line[:len(line)-1]); bad != nil {
				s.counts.unreadable++
			} else {
				s.apply(&read, now)
			}
		case err == nil || len(line) > 0:
			s.counts.unreadable++ // too long, or torn
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// apply does again what a line tells. Leases get their state, and into the lists
// with settle.
func (s *Set) apply(r *record, now time.Time) {
	prefix, ok := canonical(r.prefix)
	if !ok {
		s.counts.unreadable++
		return
	}
	// The clock may have been put back.
	since := min(r.since, now.UnixNano())
	b, i := s.find(prefix)
	if b == nil {
		s.applyClaim(r, prefix, since)
		return
	}
	l := b.pool.leases[i]
	if l == nil {
		if r.kind == lineGiven { // a line before it was lost
			return
		}
		l = s.newLease(b.pool, i)
	}
	l.since = since
	switch r.kind {
	case lineTaken:
		l.state, l.holder = quarantined, r.holder
	case lineRested:
		l.state, l.holder = resting, r.holder
	case lineGiven:
		l.state = resting
	}
}

func (s *Set) applyClaim(r *record, prefix netip.Prefix, since int64) {
	old, ok := s.claims.Get(prefix)
	if r.kind != lineTaken {
		if ok {
			s.release(old)
		}
		return
	}
	if !s.inPools(prefix) {
		s.counts.outside++
		return
	}
	if ok {
		old.since, old.holder = since, r.holder
		return
	}
	l := &lease{claim: &claim{prefix: prefix}, holder: r.holder, since: since, state: quarantined}
	s.claims.Insert(prefix, l)
	s.keep(l)
}

// settle puts what was read into the lists, in the order of time.
func (s *Set) settle(now time.Time) {
	byTime := slices.Clone(s.all)
	slices.SortStableFunc(byTime, func(a, b *lease) int { return cmp.Compare(a.since, b.since) })
	for _, l := range byTime {
		switch {
		case l.pool == nil:
			s.waiting = append(s.waiting, l)
		case l.state == resting:
			s.list(l)
		}
	}
	// What was in use is given back only now, so its rest begins now. It comes
	// last, so that a holder gets it rather than what he had before; a nanosecond
	// apart, so that their order is the same after the next start.
	for i, l := range byTime {
		if l.pool != nil && l.state == quarantined {
			l.since = now.UnixNano() - int64(len(byTime)-i)
			s.list(l)
		}
	}
	s.forget()
}
