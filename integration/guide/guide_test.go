package guide

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	page := strings.Join([]string{
		"# Page", "## One", "<!-- file: lns /etc/adit/adit.toml -->", "```toml", "a = 1", "```",
		"text", "```", "read only", "```",
		"## Two", "<!-- run: lns,lac -->", "```sh", "adit status", "```", "It says", "<!-- shows -->", "```", "up …", "```",
		"<!-- file: lac /bin/x 0755 -->", "```sh", "#!/bin/sh", "## not a heading", "```", "",
	}, "\n")
	got, err := Parse(page)
	if err != nil {
		t.Fatal(err)
	}
	want := []Step{
		{Kind: File, Section: "One", Line: 5, Machines: []string{"lns"}, Path: "/etc/adit/adit.toml", Mode: 0o600, Text: "a = 1\n"},
		{Kind: Run, Section: "Two", Line: 14, Machines: []string{"lns", "lac"}, Mode: 0o600, Text: "adit status\n", Shows: "up …\n"},
		{Kind: File, Section: "Two", Line: 23, Machines: []string{"lac"}, Path: "/bin/x", Mode: os.FileMode(0o755), Text: "#!/bin/sh\n## not a heading\n"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A mistake in a comment must not make a block of it that nobody runs.
func TestParseMistakes(t *testing.T) {
	const block = "\n```\nx\n```\n"
	for _, page := range []string{
		"<!-- run lns -->" + block, "<!-- file: lns -->" + block, "<!-- run: lns /etc/x -->" + block, "<!-- shows: lns -->" + block,
		"<!-- shows -->" + block, "<!-- run: -->" + block, "<!--run: lns -->" + block, "<!-- run: lns -->\n",
		"<!-- run: lns -->\n<!-- run: lac -->" + block, "<!-- file: lns /x -->" + block + "<!-- shows -->" + block,
		"<!-- run: lns -->" + block + "<!-- shows -->" + block + "<!-- shows -->" + block,
	} {
		if steps, err := Parse(page); err == nil {
			t.Errorf("%q: %+v", page, steps)
		}
	}
}

func TestDiffers(t *testing.T) {
	const printed = "HEAD   A    B\n7/1    alice  10.0.0.10\n  7/2  bob   10.0.0.11  \nend of it\n"
	for _, c := range []struct{ shows, want string }{
		{"HEAD A B\n… alice 10.0.0.…\n", ""},
		{"HEAD A B\n\n…\nend of it\n", ""},
		{"… alice 10.0.0.10\n… bob …\n", ""},
		{"… bob …\n… alice …\n", "… alice …"},        // another order
		{"… alice 10.0.0.11\n", "… alice 10.0.0.11"}, // another line's
		{"alice 10.0.0.10\n", "alice 10.0.0.10"},     // not the whole line
		{"… alice …\n… alice …\n", "… alice …"},      // one line is not two
		{"7/2 bob 10.0.0.1.\n", "7/2 bob 10.0.0.1."}, // no expression
	} {
		if got := Differs(c.shows, printed); got != c.want {
			t.Errorf("%q: %q, want %q", c.shows, got, c.want)
		}
	}
}
