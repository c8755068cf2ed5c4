package integration

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"adit/integration/guide"
	"adit/internal/config"
	"adit/internal/engine"
	"adit/lcce"
	"adit/lns"
	"adit/lns/companion"
	"adit/lns/dhcp"
)

// The documentation is held against the source: its configurations load, its
// links lead somewhere, and what it names exists.

// root of the source, seen from this package.
const root = ".."

// document is a Markdown file; the lines are without their ends.
type document struct {
	path  string // from the root
	lines []string
}

// documents are README.md, CHANGELOG.md and everything below docs.
func documents(t *testing.T) []document {
	t.Helper()
	paths := []string{"README.md", "CHANGELOG.md"}
	err := fs.WalkDir(os.DirFS(root), "docs", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".md") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var all []document
	for _, path := range paths {
		all = append(all, readDocument(t, path))
	}
	return all
}

func readDocument(t *testing.T, path string) document {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return document{path, strings.Split(string(text), "\n")}
}

// block is a fenced block of code. The line is that of its first line of code,
// from 1.
type block struct {
	language string
	line     int
	text     string
}

// parts takes a document apart into its fenced blocks and its prose. The prose
// has an empty line for each line of a block, so that numbers stay.
func (d document) parts() (blocks []block, prose []string) {
	open := false
	for i, line := range d.lines {
		language, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence && !open:
			open = true
			blocks = append(blocks, block{language: language, line: i + 2})
			line = ""
		case fence:
			open = false
			line = ""
		case open:
			blocks[len(blocks)-1].text += line + "\n"
			line = ""
		}
		prose = append(prose, line)
	}
	return blocks, prose
}

// examples are the files that examples name and that an operator would have:
// secrets, and pppd's options from etc.
func examples(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "pppd"), os.DirFS(filepath.Join(root, "etc", "pppd"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// ours puts the files of a page that are to be in /etc/adit into dir, and makes a
// configuration name them there. It returns the lines in which those begin that are
// no adit.toml.
func ours(t *testing.T, dir string, d document) map[int]bool {
	t.Helper()
	others := map[int]bool{}
	steps, err := guide.Parse(strings.Join(d.lines, "\n"))
	if err != nil {
		t.Errorf("%s: %v", d.path, err)
	}
	for _, s := range steps {
		name, ok := strings.CutPrefix(s.Path, etc)
		if !ok || strings.HasSuffix(name, "adit.toml") {
			continue
		}
		others[s.Line] = true
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s.Text), s.Mode); err != nil {
			t.Fatal(err)
		}
	}
	return others
}

const etc = "/etc/adit/"

var secretFile = regexp.MustCompile(`(?m)^\s*secret_file\s*=\s*"([^"/]+)"`)

// checkExample loads a configuration and returns every error and warning, each
// with the line that it has in the document.
func checkExample(t *testing.T, dir string, d document, b block) []string {
	t.Helper()
	for _, m := range secretFile.FindAllStringSubmatch(b.text, -1) {
		if err := os.WriteFile(filepath.Join(dir, m[1]), []byte("example\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// As many empty lines before it as the document has.
	path := filepath.Join(dir, "adit.toml")
	text := strings.Repeat("\n", b.line-1) + strings.ReplaceAll(b.text, `"`+etc, `"`+dir+"/")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	var all []string
	if err != nil {
		all = strings.Split(err.Error(), "\n")
	} else {
		for _, w := range cfg.Warnings {
			all = append(all, "warning: "+w.Error())
		}
	}
	for i := range all {
		all[i] = strings.ReplaceAll(all[i], path, d.path)
	}
	return all
}

// Every example of a configuration loads, and none even gives a warning.
func TestDocsExamplesLoad(t *testing.T) {
	dir := examples(t)
	count := 0
	for _, d := range documents(t) {
		blocks, _ := d.parts()
		others := ours(t, dir, d)
		for _, b := range blocks {
			if b.language != "toml" || others[b.line] {
				continue
			}
			count++
			for _, problem := range checkExample(t, dir, d, b) {
				t.Error(problem)
			}
		}
	}
	if count < 6 {
		t.Errorf("only %d examples were found", count)
	}
}

// The check itself sees a mistake, and says where it is.
func TestDocsExamplesThatAreWrong(t *testing.T) {
	d := document{"docs/x.md", strings.Split("# X\n\n```toml\n[[lns.peers]]\nname = \"a\"\nsecrt = \"b\"\n```\n", "\n")}
	blocks, prose := d.parts()
	if len(blocks) != 1 || len(prose) != len(d.lines) || strings.Contains(strings.Join(prose, ""), "lns") {
		t.Fatalf("blocks %+v, prose %q", blocks, prose)
	}
	got := strings.Join(checkExample(t, examples(t), d, blocks[0]), "\n")
	for _, want := range []string{"docs/x.md:6: lns.peers[0].secrt: unknown key", "docs/x.md:4: lns.peers[0].secret: is missing"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// brokenLinks lists the relative links of a document that lead nowhere.
func brokenLinks(d document) []string {
	var all []string
	_, prose := d.parts()
	for i, line := range prose {
		for _, m := range link.FindAllStringSubmatch(line, -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, ":") {
				continue // of another place
			}
			path := d.path
			if target != "" {
				path = filepath.Join(filepath.Dir(d.path), target)
			}
			if problem := linkProblem(path, anchor); problem != "" {
				all = append(all, fmt.Sprintf("%s:%d: %s: %s", d.path, i+1, m[1], problem))
			}
		}
	}
	return all
}

func linkProblem(path, anchor string) string {
	if !filepath.IsLocal(path) {
		return "leads out of the repository"
	}
	if _, err := os.Stat(filepath.Join(root, path)); err != nil {
		return "there is no such file"
	}
	if anchor == "" {
		return ""
	}
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		return err.Error()
	}
	_, prose := document{path, strings.Split(string(text), "\n")}.parts()
	if !slices.ContainsFunc(prose, func(line string) bool {
		return strings.HasPrefix(line, "#") && slug(strings.TrimLeft(line, "# ")) == anchor
	}) {
		return "there is no such heading"
	}
	return ""
}

// slug is the anchor that a heading gets.
func slug(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

func TestDocsLinksLeadSomewhere(t *testing.T) {
	count := 0
	for _, d := range documents(t) {
		for _, problem := range brokenLinks(d) {
			t.Error(problem)
		}
		count += len(link.FindAllString(strings.Join(d.lines, "\n"), -1))
	}
	if count < 10 {
		t.Errorf("only %d links were found", count)
	}
	bad := document{"docs/x.md", []string{"[a](nowhere.md), [b](../README.md#no-such-heading)", "[c](../../out.md) [d](../README.md) [e](https://example.net/)"}}
	if got := brokenLinks(bad); len(got) != 3 {
		t.Errorf("of three broken links these are seen: %q", got)
	}
}

// names are what a Go file or the Go files of a folder declare: functions,
// methods as "Type.Method" and "Method", types, constants, variables, and the
// fields of structs.
func names(path string) (map[string]bool, error) {
	files := []string{path}
	if !strings.HasSuffix(path, ".go") {
		var err error
		if files, err = filepath.Glob(filepath.Join(path, "*.go")); err != nil {
			return nil, err
		}
	}
	all := make(map[string]bool)
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, decl := range file.Decls {
			declared(decl, all)
		}
	}
	return all, nil
}

func declared(decl ast.Decl, into map[string]bool) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		into[d.Name.Name] = true
		if d.Recv != nil {
			receiver := d.Recv.List[0].Type
			if pointer, ok := receiver.(*ast.StarExpr); ok {
				receiver = pointer.X
			}
			if generic, ok := receiver.(*ast.IndexExpr); ok {
				receiver = generic.X
			}
			if id, ok := receiver.(*ast.Ident); ok {
				into[id.Name+"."+d.Name.Name] = true
			}
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				into[s.Name.Name] = true
				members(s, into)
			case *ast.ValueSpec:
				for _, id := range s.Names {
					into[id.Name] = true
				}
			}
		}
	}
}

// members are the fields of a struct and the methods of an interface.
func members(s *ast.TypeSpec, into map[string]bool) {
	var list *ast.FieldList
	switch t := s.Type.(type) {
	case *ast.StructType:
		list = t.Fields
	case *ast.InterfaceType:
		list = t.Methods
	default:
		return
	}
	for _, field := range list.List {
		for _, id := range field.Names {
			into[id.Name] = true
			into[s.Name.Name+"."+id.Name] = true
		}
	}
}

var (
	quoted     = regexp.MustCompile("`([^`]+)`")
	sourcePath = regexp.MustCompile(`^[a-z0-9_./-]+(\.go|/)$`)
	identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?(\(\))?$`)
)

// missingNames holds a document against the source. In a line of prose, a path in
// backticks that ends with .go or a slash has to exist; the names in backticks
// that follow it in the same line, up to the next path, have to be declared there.
// Lines that name no path may say what they like.
func missingNames(d document) (all []string, checked int) {
	_, prose := d.parts()
	for i, line := range prose {
		var known map[string]bool
		path := ""
		complain := func(format string, args ...any) {
			all = append(all, fmt.Sprintf("%s:%d: %s", d.path, i+1, fmt.Sprintf(format, args...)))
		}
		for _, m := range quoted.FindAllStringSubmatch(line, -1) {
			word := m[1]
			switch {
			case sourcePath.MatchString(word):
				checked++
				path, known = word, nil
				full := filepath.Join(root, path)
				if _, err := os.Stat(full); err != nil {
					complain("there is no %s", path)
					continue
				}
				var err error
				if known, err = names(full); err != nil {
					complain("%v", err)
				}
			case known != nil && identifier.MatchString(word):
				checked++
				if !known[strings.TrimSuffix(word, "()")] {
					complain("%s does not declare %s", path, word)
				}
			}
		}
	}
	return all, checked
}

func TestDocsNamesExist(t *testing.T) {
	missing, checked := missingNames(readDocument(t, "docs/ARCHITECTURE.md"))
	for _, problem := range missing {
		t.Error(problem)
	}
	if checked < 60 {
		t.Errorf("only %d names were checked", checked)
	}
	bad := document{"docs/x.md", []string{
		"`internal/engine/shard.go` `shard.run`, `shard.walk` and `post()`; `Free` `proto/tunnel/none.go` `Step`",
		"`shard.walk` in a line without a path",
	}}
	if got, _ := missingNames(bad); len(got) != 3 {
		t.Errorf("of three wrong names these are seen: %q", got)
	}
}

// Every counter is explained in the operator's guide, and every counter
// explained exists.
func TestDocsCounters(t *testing.T) {
	const page = "docs/guide/operating.md"
	explained := map[string]bool{}
	row := regexp.MustCompile("^\\| ((?:`[a-z0-9_]+`(?:, )?)+) \\|")
	in := false
	for _, line := range readDocument(t, page).lines {
		if strings.HasPrefix(line, "## ") {
			in = line == "## Counters"
		}
		if m := row.FindStringSubmatch(line); in && m != nil {
			for _, name := range quoted.FindAllStringSubmatch(m[1], -1) {
				explained[name[1]] = true
			}
		}
	}
	known := map[string]bool{}
	for c := engine.Counter(0); !strings.HasPrefix(c.String(), "counter("); c++ {
		known[c.String()] = true
	}
	for name := range roleCounts(t) {
		known[name] = true
	}
	if len(known) < 10 {
		t.Fatalf("only %d counters are known", len(known))
	}
	for name := range known {
		if !explained[name] {
			t.Errorf("%s does not explain %s", page, name)
		}
	}
	for name := range explained {
		if !known[name] {
			t.Errorf("%s explains %s, which is no counter", page, name)
		}
	}
}

// roleCounts are the counters of an LNS that has everything.
func roleCounts(t *testing.T) map[string]uint64 {
	t.Helper()
	group := &config.RADIUSGroup{Name: "g", Servers: []*config.RADIUSServer{{
		Name: "s", Address: netip.MustParseAddr("127.0.0.1"), AuthPort: 1, AcctPort: 1, Secret: config.Secret("secret"), Timeout: time.Second, MaxPending: 1,
	}}}
	role, err := lns.New(&config.Config{
		StateDir: t.TempDir(), LNS: config.LNS{Peers: []*config.Peer{{Name: "p", Profile: &config.Profile{Name: "p"}}}},
		RADIUS: config.RADIUS{Groups: map[string]*config.RADIUSGroup{"g": group}, Servers: map[string]*config.RADIUSServer{"s": group.Servers[0]},
			DynamicAuth: netip.MustParseAddrPort("127.0.0.1:0")},
	}, &engine.Planes{}, lcce.NewCircuits(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	counts := role.Counts()
	maps.Copy(counts, new(dhcp.Client).Counts())
	maps.Copy(counts, new(lcce.Role).Counts())
	maps.Copy(counts, new(companion.Responder).Counts())
	if err := role.Close(t.Context()); err != nil {
		t.Error(err)
	}
	return counts
}

// The sentences of errors that the guide explains are those of the source.
func TestDocsSentencesExist(t *testing.T) {
	const page = "docs/guide/operating.md"
	source := sources(t)
	row := regexp.MustCompile("^\\| `([^`]+)` \\|")
	in, count := false, 0
	for i, line := range readDocument(t, page).lines {
		if strings.HasPrefix(line, "## ") {
			in = line == "## What to do about a sentence"
		}
		m := row.FindStringSubmatch(line)
		if !in || m == nil {
			continue
		}
		count++
		// What varies is shown as three dots.
		for _, piece := range strings.Split(m[1], "…") {
			if piece = strings.TrimSpace(piece); piece != "" && !strings.Contains(source, piece) {
				t.Errorf("%s:%d: nothing in the source says %q", page, i+1, piece)
			}
		}
	}
	if count < 15 {
		t.Errorf("only %d sentences were checked", count)
	}
}

// sources is the text of all Go files but tests, with the quotation marks and
// backslashes of strings as they are printed.
func sources(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, top := range []string{"cmd", "internal", "lac", "lns", "pppbridge", "proto"} {
		err := fs.WalkDir(os.DirFS(root), top, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(filepath.Join(root, path))
			b.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return strings.ReplaceAll(b.String(), `\"`, `"`)
}
