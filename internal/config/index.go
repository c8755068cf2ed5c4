package config

import (
	"strconv"
	"strings"
)

// indexLines finds the line of every key and array element of a document that
// the TOML decoder has accepted. The decoder keeps positions for what it finds
// wrong itself, but not for what we find wrong in the values, so the document
// is read a second time for its shape alone. On a document that is not TOML
// the index is incomplete, and nothing worse.
func indexLines(document string) lineIndex {
	s := &shape{in: document, line: 1, lines: lineIndex{}, tables: map[string]int{}}
	s.document()
	return s.lines
}

// maxDepth bounds the nesting that is followed, so that a document of brackets
// only cannot exhaust the stack. Our own schema has four levels.
const maxDepth = 64

// shape walks over a document.
type shape struct {
	in     string
	pos    int
	line   int
	lines  lineIndex
	tables map[string]int // elements seen of each array of tables
}

func (s *shape) document() {
	table := ""
	for {
		s.space(true)
		switch {
		case s.pos >= len(s.in):
			return
		case strings.HasPrefix(s.in[s.pos:], "[["):
			s.pos += 2
			table = s.header(true)
		case s.in[s.pos] == '[':
			s.pos++
			table = s.header(false)
		default:
			if !s.pair(table, 0) {
				s.rest()
			}
		}
	}
}

// header reads a table's name and returns its path.
func (s *shape) header(array bool) string {
	line := s.line
	keys := s.keys()
	path := ""
	for i, key := range keys {
		path = joinKey(path, key)
		last := i == len(keys)-1
		if n := s.tables[path]; n > 0 && !last {
			path = joinIndex(path, n-1)
		}
		if last && array {
			s.note(path, line)
			s.tables[path]++
			path = joinIndex(path, s.tables[path]-1)
		}
		s.note(path, line)
	}
	s.rest()
	return path
}

// pair reads key = value.
func (s *shape) pair(table string, depth int) bool {
	line := s.line
	keys := s.keys()
	if len(keys) == 0 {
		return false
	}
	path := table
	for _, key := range keys {
		path = joinKey(path, key)
		s.note(path, line)
	}
	s.space(false)
	if s.pos >= len(s.in) || s.in[s.pos] != '=' {
		return false
	}
	s.pos++
	s.space(false)
	return s.value(path, depth)
}

// note keeps the first line only: a table may be opened again below.
func (s *shape) note(path string, line int) {
	if _, ok := s.lines[path]; !ok {
		s.lines[path] = line
	}
}

// keys reads a dotted key.
func (s *shape) keys() []string {
	var keys []string
	for {
		s.space(false)
		key, ok := s.key()
		if !ok {
			return keys
		}
		keys = append(keys, key)
		s.space(false)
		if s.pos >= len(s.in) || s.in[s.pos] != '.' {
			return keys
		}
		s.pos++
	}
}

func (s *shape) key() (string, bool) {
	if s.pos >= len(s.in) {
		return "", false
	}
	start := s.pos
	switch quote := s.in[s.pos]; quote {
	case '"', '\'':
		s.quoted(quote)
		raw := s.in[start:s.pos]
		if quote == '"' {
			if key, err := strconv.Unquote(raw); err == nil {
				return key, true
			}
		}
		return strings.Trim(raw, string(quote)), true
	}
	for s.pos < len(s.in) && isBareRune(rune(s.in[s.pos])) {
		s.pos++
	}
	return s.in[start:s.pos], s.pos > start
}

func (s *shape) value(path string, depth int) bool {
	if s.pos >= len(s.in) || depth > maxDepth {
		return false
	}
	switch c := s.in[s.pos]; c {
	case '"', '\'':
		if triple := strings.Repeat(string(c), 3); strings.HasPrefix(s.in[s.pos:], triple) {
			s.tripleQuoted(c)
		} else {
			s.quoted(c)
		}
		return true
	case '[':
		s.pos++
		return s.array(path, depth+1)
	case '{':
		s.pos++
		return s.inlineTable(path, depth+1)
	}
	for s.pos < len(s.in) && !strings.ContainsRune(",]}#\r\n", rune(s.in[s.pos])) {
		s.pos++
	}
	return true
}

func (s *shape) array(path string, depth int) bool {
	for i := 0; ; i++ {
		s.space(true)
		if s.take(']') {
			return true
		}
		element := joinIndex(path, i)
		s.note(element, s.line)
		if !s.value(element, depth) {
			return false
		}
		s.space(true)
		if !s.take(',') {
			s.space(true)
			return s.take(']')
		}
	}
}

func (s *shape) inlineTable(path string, depth int) bool {
	for {
		s.space(true)
		if s.take('}') {
			return true
		}
		if !s.pair(path, depth) {
			return false
		}
		s.space(true)
		if !s.take(',') {
			s.space(true)
			return s.take('}')
		}
	}
}

func (s *shape) take(c byte) bool {
	if s.pos < len(s.in) && s.in[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

// quoted passes over a string of one line; a backslash counts in basic ones.
func (s *shape) quoted(quote byte) {
	for s.pos++; s.pos < len(s.in); s.pos++ {
		switch c := s.in[s.pos]; {
		case c == quote:
			s.pos++
			return
		case c == '\n':
			return
		case c == '\\' && quote == '"':
			s.pos++
		}
	}
	s.pos = min(s.pos, len(s.in))
}

// tripleQuoted passes over a string of several lines. It may end in up to two
// quotes of its own before the three that close it.
func (s *shape) tripleQuoted(quote byte) {
	triple := strings.Repeat(string(quote), 3)
	for s.pos += 3; s.pos < len(s.in); s.pos++ {
		switch c := s.in[s.pos]; {
		case c == '\n':
			s.line++
		case c == '\\' && quote == '"':
			s.pos++
			if s.pos < len(s.in) && s.in[s.pos] == '\n' {
				s.line++
			}
		case c == quote && strings.HasPrefix(s.in[s.pos:], triple):
			s.pos += 3
			for range 2 {
				s.take(quote)
			}
			return
		}
	}
	s.pos = min(s.pos, len(s.in))
}

// space passes over blanks and, if newlines is set, line ends and comments.
func (s *shape) space(newlines bool) {
	for s.pos < len(s.in) {
		switch c := s.in[s.pos]; {
		case c == ' ' || c == '\t':
			s.pos++
		case newlines && c == '\n':
			s.line++
			s.pos++
		case newlines && c == '\r':
			s.pos++
		case newlines && c == '#':
			s.rest()
		default:
			return
		}
	}
}

// rest goes to the end of the line.
func (s *shape) rest() {
	if i := strings.IndexByte(s.in[s.pos:], '\n'); i >= 0 {
		s.pos += i
		return
	}
	s.pos = len(s.in)
}
