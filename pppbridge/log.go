package pppbridge

import (
	"bytes"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/sirupsen/logrus"

	"adit/internal/sparing"
)

func discardLog() *logrus.Entry {
	l := logrus.New()
	l.SetOutput(io.Discard)
	l.SetLevel(logrus.PanicLevel)
	return logrus.NewEntry(l)
}

const (
	// maxLine bounds one line of pppd; the rest of a longer one is cut off.
	maxLine = 512
	// A pppd may log logBurst lines at once and logRate a second in the long
	// run. What is beyond is counted: a loop in one pppd must not fill a disk.
	logBurst = 200
	logRate  = 20
)

// lines cuts what pppd logs into lines of bounded length and rate.
type lines struct {
	buf     []byte // the beginning of a line that is not complete
	cut     bool   // the line is too long; skip to its end
	bucket  sparing.Bucket
	dropped uint64 // complete lines that the rate did not allow
}

// feed takes a piece of output and calls line for each complete line that the
// rate allows. see gets every line, whatever the rate.
func (l *lines) feed(now time.Time, p []byte, see, line func(string)) {
	for len(p) > 0 {
		part, rest, found := bytes.Cut(p, []byte{'\n'})
		if room := maxLine - len(l.buf); len(part) > room {
			part, l.cut = part[:room], true
		}
		l.buf = append(l.buf, part...)
		if !found {
			return
		}
		l.emit(now, see, line)
		p = rest
	}
}

// end gives out a last line that has no newline.
func (l *lines) end(now time.Time, see, line func(string)) {
	if len(l.buf) > 0 {
		l.emit(now, see, line)
	}
}

func (l *lines) emit(now time.Time, see, line func(string)) {
	s := printable(l.buf)
	if l.cut {
		s += " ..."
	}
	l.buf, l.cut = l.buf[:0], false
	if s == "" {
		return
	}
	see(s)
	if !l.bucket.Take(now, logBurst, logRate) {
		l.dropped++
		return
	}
	line(s)
}

// isDebugLine tells the packet traces that pppd's "debug" adds.
func isDebugLine(s string) bool {
	return strings.HasPrefix(s, "sent [") || strings.HasPrefix(s, "rcvd [")
}

// secretWords are pppd's options whose value must not be seen in a log.
var secretWords = map[string]bool{"password": true}

// redact is argv as a log may have it.
func redact(argv []string) []string {
	out := make([]string, len(argv))
	for i, w := range argv {
		if i > 0 && secretWords[argv[i-1]] {
			w = "***"
		}
		out[i] = w
	}
	return out
}

// printable is the line as text: a peer's name or message is in it, which must
// not bring into the log what a terminal obeys: control characters, also those
// of U+0080 to U+009F, and what turns the direction of writing.
func printable(b []byte) string {
	s := strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(b), "?"))
	return strings.TrimSpace(s)
}
