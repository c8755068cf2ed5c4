// Package integration holds the tests that need more than one process: the lab
// with its real kernel and real peers, and the rules that hold for the whole
// source tree.
package integration

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"adit/integration/lab"
	"adit/integration/scenario"
)

var labRun = flag.String("lab.run", "", "pattern of the tests to run inside the lab")

// labPackages have tests that need a kernel with PPP and L2TP, and root.
var labPackages = []string{
	"adit/internal/kernel",
	"adit/pppbridge",
	"adit/pseudowire",
	"adit/lns/companion",
	"adit/integration/scenario",
}

// TestLab runs the tests of labPackages inside the lab, in one boot. The
// environment's ADIT_LAB_PACKAGES (with commas) replaces the list, and ADIT_LAB_FULL=1 has
// tables run whole of which the fewest rows that cover them are run otherwise.
func TestLab(t *testing.T) {
	if testing.Short() {
		t.Skip("the lab boots a machine; not with -short")
	}
	packages := labPackages
	if list := os.Getenv("ADIT_LAB_PACKAGES"); list != "" {
		packages = strings.Split(list, ",")
	}
	env := unpackServers(t)
	if os.Getenv(scenario.FullVariable) != "" {
		env = append(env, scenario.FullVariable+"=1")
	}
	lab.RunTests(t, packages, lab.TestOptions{
		Options:  lab.Options{Env: env},
		Run:      *labRun,
		Binaries: map[string]string{"ADIT_BIN": "adit/cmd/adit"},
		Skip:     newerKernel,
	})
}

// unpackServers sees to the servers that the lab's tests take out of the cache,
// because there is no network inside, and returns what tells them where it is.
func unpackServers(t *testing.T) []string {
	t.Helper()
	if _, err := scenario.UnpackFreeRADIUS(t.Context(), os.Stdout); err != nil {
		t.Fatal(err)
	}
	if _, err := scenario.UnpackDHCP(t.Context(), os.Stdout, scenario.Dnsmasq); err != nil {
		t.Fatal(err)
	}
	cache, err := lab.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return []string{"XDG_CACHE_HOME=" + filepath.Dir(cache)}
}

// newerKernel are tests of what the lab's Linux 6.1 does not have: a TUN that
// takes and gives merged datagrams (6.2). The machine's own kernel runs them, and
// with CI=true they fail where it does not have it either.
var newerKernel = []string{
	"adit/internal/kernel.TestTUNSuperPacketReachesSockets",
	"adit/internal/kernel.TestTUNSuperPacketIsForwardedAsSegments",
	"adit/internal/kernel.TestTUNReadsSuperPackets",
	"adit/internal/kernel.TestTUNAllocatesNothing",
	"adit/pseudowire.TestMerges",
}

// TestLabCommand holds the lab to what it promises about a single command: both
// outputs, the status, the environment, and the folder that outlives it.
func TestLabCommand(t *testing.T) {
	if testing.Short() {
		t.Skip("the lab boots a machine; not with -short")
	}
	var stdout, stderr, log bytes.Buffer
	o := lab.Options{Out: t.TempDir(), Dir: t.TempDir(), Env: []string{"X=it's a \"test\""},
		Timeout: 5 * time.Minute, Stdout: &stdout, Stderr: &stderr, Log: &log}
	const script = `echo "$X $ADIT_LAB $(id -u) $PWD"; echo oops >&2; echo kept >"$ADIT_LAB_OUT/file"
cat /proc/net/pppol2tp >/dev/null || echo "no L2TP in the kernel"
ping -c1 127.0.0.1 >/dev/null && exit 7`
	status, err := lab.Run(t.Context(), o, "/bin/sh", "-c", script)
	if err != nil || status != 7 {
		t.Fatalf("status %d, %v\n%s%s%s", status, err, &log, &stdout, &stderr)
	}
	if want := "it's a \"test\" 1 0 " + o.Dir + "\n"; stdout.String() != want {
		t.Errorf("output %q, want %q", stdout.String(), want)
	}
	if stderr.String() != "oops\n" {
		t.Errorf("standard error %q", stderr.String())
	}
	if text, err := os.ReadFile(filepath.Join(o.Out, "file")); err != nil || string(text) != "kept\n" {
		t.Errorf("the file that outlives the guest: %q, %v", text, err)
	}
	if left, err := os.ReadDir(o.Out); err != nil || len(left) != 1 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
}
