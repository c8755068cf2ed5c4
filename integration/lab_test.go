// Package integration holds the tests that need more than one process: the lab
// with its real kernel and real peers, and the rules that hold for the whole
// source tree.
package integration

import (
	"flag"
	"os"
	"strings"
	"testing"

	"adit/integration/lab"
)

var labRun = flag.String("lab.run", "", "pattern of the tests to run inside the lab")

// labPackages have tests that need a kernel with PPP and L2TP, and root.
var labPackages = []string{
	"adit/internal/kernel",
	"adit/pppbridge",
	"adit/integration/scenario",
}

// TestLab runs the tests of labPackages inside the lab, in one boot. The
// environment's ADIT_LAB_PACKAGES (with commas) replaces the list.
func TestLab(t *testing.T) {
	if testing.Short() {
		t.Skip("the lab boots a machine; not with -short")
	}
	packages := labPackages
	if list := os.Getenv("ADIT_LAB_PACKAGES"); list != "" {
		packages = strings.Split(list, ",")
	}
	lab.RunTests(t, packages, lab.TestOptions{
		Run:      *labRun,
		Binaries: map[string]string{"ADIT_BIN": "adit/cmd/adit"},
	})
}
