package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
)

func TestIndexLines(t *testing.T) {
	const document = `# line 1
top = "a # no comment" # a comment
"quoted key".'and another' = 3

[table] # 5
a.b.c = [1,
  [ "x]", 'y"' ], # 7
  # nothing
  """three "quotes" ] # and a line
[not.a.table]
""", 4] # 11
after = { x = 1, y = { z = "}" } } # 12
[[array]]
k = 1
[array.sub]
k = 2 # 16
[[array.list]]
k = 3 # 18
[[array]] # 19
k = '''
''''' # 20 and 21
[[array.list]] # 22
k = "\"\\" # 23
[table.d]
inline = [
  { # 26
    k = 4, # 27
  },
  {k = 5}, # 29
]
`
	want := map[string]int{
		"top": 2, `"quoted key"`: 3, `"quoted key".and`: 0, `"quoted key"."and another"`: 3,
		"table": 5, "table.a": 6, "table.a.b": 6, "table.a.b.c": 6,
		"table.a.b.c[0]": 6, "table.a.b.c[1]": 7, "table.a.b.c[1][1]": 7, "table.a.b.c[2]": 9, "table.a.b.c[3]": 11,
		"table.after": 12, "table.after.y.z": 12,
		"array": 13, "array[0]": 13, "array[0].k": 14, "array[0].sub": 15, "array[0].sub.k": 16,
		"array[0].list[0]": 17, "array[0].list[0].k": 18,
		"array[1]": 19, "array[1].k": 20, "array[1].list[0]": 22, "array[1].list[0].k": 23,
		"table.d": 24, "table.d.inline": 25, "table.d.inline[0]": 26, "table.d.inline[0].k": 27, "table.d.inline[1].k": 29,
	}
	lines := indexLines(document)
	for key, line := range want {
		if lines[key] != line {
			t.Errorf("%s is on line %d, want %d", key, lines[key], line)
		}
	}
	for key := range lines {
		if strings.Contains(key, "not.a") {
			t.Errorf("%s is no key", key)
		}
	}
}

func TestIndexFind(t *testing.T) {
	x := lineIndex{"a": 1, "a.b[0]": 2, `a."x.y"`: 3, `"q"`: 4}
	for key, want := range map[string]int{
		"a": 1, "a.c": 1, "a.b[0].c.d": 2, "a.b[1]": 1, `a."x.y".z`: 3, `a."x.y"`: 3, `a."x.z"`: 1,
		`"q".r`: 4, `"r"`: 0, "b": 0, "": 0, `a."\"."`: 1,
	} {
		if got := x.find(key); got != want {
			t.Errorf("%s is on line %d, want %d", key, got, want)
		}
	}
}

// keysOf lists the paths of everything in a decoded document.
func keysOf(path string, value any, into *[]string) {
	if path != "" {
		*into = append(*into, path)
	}
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			keysOf(joinKey(path, key), inner, into)
		}
	case []any:
		for i, inner := range v {
			keysOf(joinIndex(path, i), inner, into)
		}
	case []map[string]any:
		for i, inner := range v {
			keysOf(joinIndex(path, i), inner, into)
		}
	}
}

// missingKeys are the keys the decoder sees and the index does not.
func missingKeys(document string) []string {
	var tables map[string]any
	if _, err := toml.Decode(document, &tables); err != nil {
		return nil
	}
	var keys, missing []string
	keysOf("", tables, &keys)
	lines := indexLines(document)
	for _, key := range keys {
		if lines[key] == 0 {
			missing = append(missing, key)
		}
	}
	return missing
}

func TestIndexHasEveryKeyOfTheReference(t *testing.T) {
	document, err := os.ReadFile("../../etc/adit.toml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string(nil), missingKeys(string(document))); diff != "" {
		t.Error(diff)
	}
	if len(indexLines(string(document))) < 100 {
		t.Error("the reference has fewer keys than expected")
	}
}

// FuzzIndex holds the index to the decoder: what it accepts, the index knows.
func FuzzIndex(f *testing.F) {
	paths, _ := filepath.Glob("testdata/*.toml")
	for _, path := range append(paths, "../../etc/adit.toml") {
		document, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(document))
	}
	f.Add("a = '''x''''\nb = \"\"\"\"\"\"\n[[c]]\n[c.d]\n[[c]]\n[c.d]\ne={f=[{g=1},{g=[]}]}")
	f.Fuzz(func(t *testing.T, document string) {
		lines := strings.Count(document, "\n") + 1
		for key, line := range indexLines(document) {
			if line < 1 || line > lines {
				t.Fatalf("%s is on line %d of %d", key, line, lines)
			}
		}
		// Left out: escapes in keys, which Go and TOML write differently, marks
		// at the start, which Load cuts off, and nesting beyond what is followed.
		if strings.Contains(document, `\`) || strings.HasPrefix(document, "\xef\xbb\xbf") ||
			strings.HasPrefix(document, "\xff\xfe") || strings.HasPrefix(document, "\xfe\xff") ||
			strings.Count(document, "[")+strings.Count(document, "{") > maxDepth {
			return
		}
		if missing := missingKeys(document); len(missing) > 0 {
			t.Errorf("not in the index: %q", missing)
		}
	})
}
