// Package guide runs pages of the operator's guide as they are written: their
// files are put in place, their commands are run, and what these print has to look
// as the page shows it.
//
// A comment in the page before a block of code says what is to be done with it,
// and on which machine:
//
//	<!-- file: lns /etc/adit/adit.toml -->   the block is that file, mode 0600
//	<!-- file: lns /etc/adit/hook 0755 -->   or another mode
//	<!-- run: lns -->                        the block is run by sh -e
//	<!-- shows -->                           the block is what that prints
//
// Blocks without a comment are only read. Several machines stand with a comma
// between them. A block that is shown is a number of lines that come in this order,
// with others between them; blanks in it are as many as one likes, and three dots
// are anything.
package guide

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// Kind is what is done with a block.
type Kind uint8

// The kinds.
const (
	File Kind = iota
	Run
	Shows
)

var kindNames = [...]string{"file", "run", "shows"}

func (k Kind) String() string { return kindNames[k] }

// Step is a block of code that something is done with.
type Step struct {
	Kind     Kind
	Section  string // the heading that it is under
	Line     int    // of the document, of its first line of code
	Machines []string
	Path     string // File
	Mode     os.FileMode
	Text     string
	Shows    string // Run: what it prints; "": whatever it likes
}

var (
	marker = regexp.MustCompile(`^<!-- (file|run|shows)(?:: ([a-z0-9,]+)(?: (/\S+))?(?: (0[0-7]{3}))?)? -->$`)
	// What may be a comment with a mistake in it.
	likeMarker = regexp.MustCompile(`^\s*<!--\s*(file|run|show)`)
)

// Parse finds the steps of a page. The error says what is wrong in which line.
func Parse(text string) ([]Step, error) {
	var steps []Step
	var next *Step
	section, open := "", false
	for i, line := range strings.Split(text, "\n") {
		fence := strings.HasPrefix(line, "```")
		switch {
		case fence && !open:
			open = true
			if next != nil {
				next.Line = i + 2
			}
		case fence:
			open = false
			if next != nil {
				var err error
				if steps, err = add(steps, *next); err != nil {
					return nil, err
				}
			}
			next = nil
		case open && next != nil:
			next.Text += line + "\n"
		case open:
		case strings.HasPrefix(line, "## "):
			section = strings.TrimPrefix(line, "## ")
		case likeMarker.MatchString(line):
			step, err := readMarker(line, section)
			if err != nil || next != nil {
				return nil, fmt.Errorf("line %d: %q: not a comment with a block of its own: %w", i+1, line, err)
			}
			next = &step
		}
	}
	if next != nil {
		return nil, fmt.Errorf("a comment at the end of section %q has no block", next.Section)
	}
	return steps, nil
}

func readMarker(line, section string) (Step, error) {
	m := marker.FindStringSubmatch(line)
	if m == nil {
		return Step{}, fmt.Errorf("it is none that is known")
	}
	s := Step{Section: section, Path: m[3], Mode: 0o600}
	if m[2] != "" {
		s.Machines = strings.Split(m[2], ",")
	}
	for k, name := range kindNames {
		if name == m[1] {
			s.Kind = Kind(k)
		}
	}
	if (s.Kind == File) != (s.Path != "") || (s.Kind == Shows) != (s.Machines == nil) {
		return Step{}, fmt.Errorf("a file has a path, and what is shown has no machine")
	}
	if m[4] != "" {
		mode, err := strconv.ParseUint(m[4], 8, 32)
		if err != nil {
			return Step{}, err
		}
		s.Mode = os.FileMode(mode)
	}
	return s, nil
}

// add adds a step, or what the one before it prints.
func add(steps []Step, s Step) ([]Step, error) {
	if s.Kind != Shows {
		return append(steps, s), nil
	}
	if n := len(steps); n == 0 || steps[n-1].Kind != Run || steps[n-1].Shows != "" {
		return nil, fmt.Errorf("line %d: what is shown follows no command", s.Line)
	}
	steps[len(steps)-1].Shows = s.Text
	return steps, nil
}

// Differs says what of a block a command did not print; "": it printed all.
func Differs(shows, printed string) string {
	rest := strings.Split(printed, "\n")
	for want := range strings.Lines(shows) {
		if strings.TrimSpace(want) == "" || strings.TrimSpace(want) == "…" {
			continue
		}
		pattern := linePattern(want)
		found := -1
		for i, line := range rest {
			if pattern.MatchString(strings.TrimSpace(line)) {
				found = i
				break
			}
		}
		if found < 0 {
			return strings.TrimSpace(want)
		}
		rest = rest[found+1:]
	}
	return ""
}

// linePattern is what a line has to match. Blanks at its ends do not count.
func linePattern(line string) *regexp.Regexp {
	var words []string
	for _, word := range strings.Fields(line) {
		words = append(words, strings.ReplaceAll(regexp.QuoteMeta(word), "…", ".*"))
	}
	return regexp.MustCompile("^" + strings.Join(words, `\s+`) + "$")
}
