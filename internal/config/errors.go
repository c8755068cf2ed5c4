package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing that is wrong with a file.
type Error struct {
	File string
	Line int    // from 1; 0: the file as a whole
	Key  string // "lns.peers[0].secret"; empty: not about a key
	Text string // what is wrong and what to do
	Err  error  // the cause, if the system said one
}

// Error is "file:line: key: text", which editors can jump to.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Text)
	return b.String()
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errors is everything that is wrong with a file, in the order of its lines.
type Errors []*Error

// Error is one line for each.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.Is and errors.As every one of them.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, one := range e {
		all[i] = one
	}
	return all
}

// collector gathers errors and warnings while a file is read.
type collector struct {
	file     string
	keyless  bool // the file has lines, and no keys that could be named
	lines    lineIndex
	errs     Errors
	warnings Errors
}

func (c *collector) add(key, format string, args ...any) {
	c.errs = append(c.errs, c.at(key, fmt.Sprintf(format, args...)))
}

func (c *collector) addCause(key string, cause error, format string, args ...any) {
	e := c.at(key, fmt.Sprintf(format, args...))
	e.Err = cause
	c.errs = append(c.errs, e)
}

func (c *collector) warn(key, format string, args ...any) {
	c.warnings = append(c.warnings, c.at(key, fmt.Sprintf(format, args...)))
}

func (c *collector) at(key, text string) *Error {
	return &Error{File: c.file, Line: c.lines.find(key), Key: key, Text: text}
}

// sorted puts errors into the order of the file.
func (e Errors) sorted() Errors {
	slices.SortStableFunc(e, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), strings.Compare(a.Key, b.Key))
	})
	return e
}
