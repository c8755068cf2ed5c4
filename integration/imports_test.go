package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Imports point down only:
//
//	cmd -> lns, lac -> lcce -> internal/engine -> pppbridge, pseudowire -> proto
//
// lns and lac never import each other. proto imports nothing outside itself and
// the standard library. The other packages of internal import only proto.
// Nobody imports integration, except tests.

const module = "adit"

// leaves are the packages of internal that stand beside the layers.
var leaves = []string{"internal/kernel", "internal/config", "internal/control", "internal/chap", "internal/simnet", "internal/sparing", "internal/loop"}

// layers lists for each folder of the module what of the module its packages
// may import, beyond their own folder.
var layers = []struct {
	folder string
	may    []string
}{
	{"proto", nil},
	{"internal/kernel", []string{"proto"}},
	{"internal/config", []string{"proto"}},
	{"internal/control", []string{"proto"}},
	{"internal/chap", []string{"proto"}},
	{"internal/simnet", []string{"proto"}},
	{"internal/sparing", nil},
	{"internal/loop", nil},
	{"internal/need", nil},
	{"internal/demo", []string{"internal/control"}},
	{"internal/circuit", append([]string{"proto"}, leaves...)},
	{"pppbridge", append([]string{"internal/circuit", "proto"}, leaves...)},
	{"pseudowire", append([]string{"internal/circuit", "proto"}, leaves...)},
	{"internal/engine", append([]string{"pppbridge", "pseudowire", "internal/circuit", "proto"}, leaves...)},
	{"lcce", append([]string{"internal/engine", "pppbridge", "pseudowire", "internal/circuit", "proto"}, leaves...)},
	{"lns", append([]string{"lcce", "internal/engine", "pppbridge", "pseudowire", "internal/circuit", "proto"}, leaves...)},
	{"lac", append([]string{"lcce", "internal/engine", "pppbridge", "pseudowire", "internal/circuit", "proto"}, leaves...)},
	{"cmd", append([]string{"lns", "lac", "lcce", "internal/demo", "internal/engine", "pppbridge", "pseudowire", "internal/circuit", "proto"}, leaves...)},
	{"integration", append([]string{"internal/need", "cmd", "lns", "lac", "lcce", "internal/engine", "pppbridge", "pseudowire", "internal/circuit", "proto"}, leaves...)},
	{"etc", append([]string{"proto"}, leaves...)},
}

// testsMay are what tests, but not the code they test, may import besides.
var testsMay = []string{"internal/simnet", "internal/need", "integration/scenario", "integration/lab"}

// protoTestsMay are modules that only the tests of proto may import.
var protoTestsMay = []string{"github.com/google/go-cmp"}

// goPackage is what go list prints of a package.
type goPackage struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// violations of the rule by a package; each a sentence.
func (p goPackage) violations() []string {
	path := strings.TrimPrefix(p.ImportPath, module+"/")
	rule := slices.IndexFunc(layers, func(l struct {
		folder string
		may    []string
	}) bool {
		return within(path, l.folder)
	})
	if rule < 0 {
		return []string{fmt.Sprintf("%s is in no layer: add its folder to the list of layers, and to the design", p.ImportPath)}
	}
	layer := layers[rule]
	may := append([]string{layer.folder}, layer.may...)
	var all []string
	check := func(imports []string, test bool) {
		for _, imported := range imports {
			inside, ours := strings.CutPrefix(imported, module+"/")
			allowed := may
			switch {
			case ours && test:
				allowed = append(slices.Clone(may), testsMay...)
			case !ours && layer.folder == "proto" && test:
				ours, inside = !isStandard(imported), imported
				allowed = protoTestsMay
			case !ours && layer.folder == "proto":
				ours, inside = !isStandard(imported), imported
				allowed = nil
			}
			if ours && !slices.ContainsFunc(allowed, func(folder string) bool { return within(inside, folder) }) {
				all = append(all, fmt.Sprintf("%s imports %s (tests: %t)", p.ImportPath, imported, test))
			}
		}
	}
	check(p.Imports, false)
	check(p.TestImports, true)
	check(p.XTestImports, true)
	return all
}

// within reports whether a path is a folder or below it.
func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// isStandard: the first element of any other module's path is a host's name.
func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".") && first != module && first != "C"
}

func TestImportsPointDown(t *testing.T) {
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", module+"/...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	count := 0
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; count++ {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for _, v := range p.violations() {
			t.Error(v)
		}
	}
	// The list is not empty by mistake: the protocol alone has five packages.
	if count < 6 {
		t.Errorf("go list found only %d packages", count)
	}
}

// The rule itself is tested, lest it hold because it sees nothing.
func TestViolationsAreSeen(t *testing.T) {
	for _, c := range []struct {
		from, to string
		good     bool // in code
		test     bool // in a test
	}{
		{"adit/proto/l2tp", "errors", true, true},
		{"adit/proto/tunnel", "encoding/binary", true, true},
		{"adit/proto/tunnel", "adit/proto/l2tp", true, true},
		{"adit/proto/tunnel", "adit/internal/simnet", false, true},
		{"adit/proto/tunnel", "adit/internal/engine", false, false},
		{"adit/proto/tunnel", "github.com/sirupsen/logrus", false, false},
		{"adit/proto/tunnel", "golang.org/x/sys/unix", false, false},
		{"adit/proto/tunnel", "github.com/google/go-cmp/cmp", false, true},
		{"adit/proto/tunnel", "C", false, false},
		{"adit/internal/kernel", "adit/proto/l2tp", true, true},
		{"adit/internal/kernel", "golang.org/x/sys/unix", true, true},
		{"adit/internal/kernel", "adit/internal/config", false, false},
		{"adit/internal/kernel", "adit/integration/scenario", false, true},
		{"adit/internal/config", "adit/pppbridge", false, false},
		{"adit/internal/config", "github.com/BurntSushi/toml", true, true},
		{"adit/pppbridge", "adit/internal/kernel", true, true},
		{"adit/pppbridge", "adit/internal/engine", false, false},
		{"adit/pppbridge", "adit/internal/sparing", true, true},
		{"adit/internal/sparing", "adit/internal/kernel", false, false},
		{"adit/pppbridge", "adit/pseudowire", false, false},
		{"adit/internal/engine", "adit/pppbridge", true, true},
		{"adit/internal/engine", "adit/lns", false, false},
		{"adit/internal/demo", "adit/internal/control", true, true},
		{"adit/internal/demo", "adit/internal/engine", false, false},
		{"adit/lns", "adit/internal/engine", true, true},
		{"adit/lns", "adit/lac", false, false},
		{"adit/lac", "adit/lns", false, false},
		{"adit/lac", "adit/lcce", true, true},
		{"adit/lns", "adit/lcce", true, true},
		{"adit/lcce", "adit/internal/engine", true, true},
		{"adit/lcce", "adit/lac", false, false},
		{"adit/internal/engine", "adit/lcce", false, false},
		{"adit/lac/pppoe", "adit/lac", true, true},
		{"adit/cmd/adit", "adit/lac", true, true},
		{"adit/cmd/adit", "adit/integration/scenario", false, true},
		{"adit/cmd/adit", "adit/integration/lab", false, true},
		{"adit/cmd/adit", "adit/integration/gate", false, false},
		{"adit/integration/scenario", "adit/internal/control", true, true},
		{"adit/protocol", "errors", false, false}, // no layer, though it begins like one
		{"adit/newfolder", "errors", false, false},
	} {
		code := goPackage{ImportPath: c.from, Imports: []string{c.to}}
		if got := len(code.violations()) == 0; got != c.good {
			t.Errorf("%s -> %s is allowed: %t, want %t", c.from, c.to, got, c.good)
		}
		for _, test := range []goPackage{{ImportPath: c.from, TestImports: []string{c.to}}, {ImportPath: c.from, XTestImports: []string{c.to}}} {
			if got := len(test.violations()) == 0; got != c.test {
				t.Errorf("%s -> %s is allowed in a test: %t, want %t", c.from, c.to, got, c.test)
			}
		}
	}
}
