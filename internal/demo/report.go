package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"adit/internal/control"
)

// Result is what --json writes.
type Result struct {
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
	Steps []Step `json:"steps"`

	Ping *Ping `json:"ping,omitempty"`
	// Up is from the LAC to the LNS, Down the other way.
	Up   *Throughput `json:"up,omitempty"`
	Down *Throughput `json:"down,omitempty"`

	LNS []control.Session `json:"lns_sessions,omitempty"`
	LAC []control.Session `json:"lac_sessions,omitempty"`
}

// Step is one line of the table.
type Step struct {
	Name    string        `json:"step"`
	Result  string        `json:"result"`
	Elapsed time.Duration `json:"elapsed_ns"`
	Failed  bool          `json:"failed,omitempty"`
}

// report tells of the steps: as a table that grows, or at the end as JSON.
type report struct {
	w      io.Writer
	json   bool
	begin  time.Time
	result Result
}

// The widths of the table's first columns, in characters.
const (
	stepWidth   = 26
	resultWidth = 66
)

func newReport(w io.Writer, asJSON bool) *report {
	r := &report{w: w, json: asJSON, begin: time.Now()}
	r.say("%-*s  %-*s  %8s", stepWidth, "STEP", resultWidth, "RESULT", "TIME")
	return r
}

// say writes a line of text, unless there is to be JSON only.
func (r *report) say(format string, args ...any) {
	if !r.json {
		fmt.Fprintln(r.w, strings.TrimRight(fmt.Sprintf(format, args...), " \n"))
	}
}

// step does one thing and tells what came of it.
func (r *report) step(name string, f func() (string, error)) error {
	begin := time.Now()
	text, err := f()
	s := Step{Name: name, Result: text, Elapsed: time.Since(begin), Failed: err != nil}
	if err != nil {
		s.Result = "FAILED: " + err.Error()
		r.result.Error = name + ": " + err.Error()
	}
	r.result.Steps = append(r.result.Steps, s)
	r.say("%-*s  %-*s  %8s", stepWidth, s.Name, resultWidth, s.Result, short(s.Elapsed))
	return err
}

// end writes the JSON.
func (r *report) end(ok bool) error {
	r.result.OK = ok
	if !r.json {
		return nil
	}
	encoder := json.NewEncoder(r.w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(r.result)
}

// short is a duration with two or three digits that mean something.
func short(d time.Duration) string {
	switch {
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond)/time.Millisecond)
	case d >= time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%d us", d/time.Microsecond)
}
