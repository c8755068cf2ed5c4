package config

import "strings"

// The format of a secrets file is of pppd(8), AUTHENTICATION: "A secrets file is
// parsed into words as for a options file, so the client name, server name and
// secrets fields must each be one word, with any embedded spaces or other special
// characters quoted or escaped."

// secretsLine is the words of a line, or of several that backslashes join.
type secretsLine struct {
	number int // from 1, of its first word
	words  []string
	// problem is what is wrong with it; empty: nothing.
	problem string
}

// secretsLines takes a secrets file apart. Lines without a word are left out.
func secretsLines(text string) []secretsLine {
	var all []secretsLine
	w := &words{in: text, line: 1}
	open := false // the last of all may get further words
	for {
		newline, more := w.space()
		if newline {
			open = false
		}
		if !more {
			return all
		}
		if !open {
			all = append(all, secretsLine{number: w.line})
			open = true
		}
		last := &all[len(all)-1]
		word, ok := w.word()
		last.words = append(last.words, word)
		if !ok {
			last.problem = "has a quote that is not closed; close it, or write a backslash before it"
		}
	}
}

// words walks over the words of a file.
type words struct {
	in   string
	pos  int
	line int
}

func (w *words) peek() byte {
	if w.pos < len(w.in) {
		return w.in[w.pos]
	}
	return 0
}

// space passes over what is between words. newline says that a line has ended,
// more that a word follows.
func (w *words) space() (newline, more bool) {
	for w.pos < len(w.in) {
		switch w.in[w.pos] {
		case '\n':
			newline = true
			w.line++
			w.pos++
		case ' ', '\t', '\r', '\v', '\f':
			w.pos++
		case '#':
			for w.pos < len(w.in) && w.in[w.pos] != '\n' {
				w.pos++
			}
		case '\\':
			if !strings.HasPrefix(w.in[w.pos:], "\\\n") {
				return newline, true
			}
			w.line++
			w.pos += 2
		default:
			return newline, true
		}
	}
	return newline, false
}

// word reads a word, of which any part may be in quotes; false: they are not
// closed in their line.
func (w *words) word() (string, bool) {
	var b strings.Builder
	var quote byte // that is open; 0: none
	for w.pos < len(w.in) {
		c := w.in[w.pos]
		switch {
		case c == '\\':
			w.pos++
			w.escape(&b)
			continue
		case quote != 0 && c == '\n':
			return b.String(), false
		case quote == 0 && strings.IndexByte(" \t\r\n\v\f#", c) >= 0:
			return b.String(), true
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		default:
			b.WriteByte(c)
		}
		w.pos++
	}
	return b.String(), quote == 0
}

// escape reads what follows a backslash: a character of C, up to three octal or
// two hexadecimal digits, the end of a line, which counts for nothing, or a
// character that stands for itself.
func (w *words) escape(b *strings.Builder) {
	if w.pos >= len(w.in) {
		return
	}
	c := w.in[w.pos]
	if c >= '0' && c <= '7' {
		b.WriteByte(byte(w.digits(8, 3)))
		return
	}
	w.pos++
	switch c {
	case '\n':
		w.line++
	case 'a':
		b.WriteByte('\a')
	case 'b':
		b.WriteByte('\b')
	case 'f':
		b.WriteByte('\f')
	case 'n':
		b.WriteByte('\n')
	case 'r':
		b.WriteByte('\r')
	case 's':
		b.WriteByte(' ')
	case 't':
		b.WriteByte('\t')
	case 'x':
		b.WriteByte(byte(w.digits(16, 2)))
	default:
		b.WriteByte(c)
	}
}

// digits reads up to so many digits of a base.
func (w *words) digits(base, most int) (value int) {
	for range most {
		d := strings.IndexByte("0123456789abcdef", w.peek()|0x20)
		if w.pos >= len(w.in) || d < 0 || d >= base {
			break
		}
		value = value*base + d
		w.pos++
	}
	return value
}
