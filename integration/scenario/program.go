package scenario

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"adit/integration/lab"
	"adit/internal/need"
)

// Installed sees to programs that tests use, or the test is skipped: see need.Lack.
func Installed(t testing.TB, programs ...string) {
	t.Helper()
	if err := lab.InstallPrograms(t.Context(), os.Stderr, programs...); err != nil {
		need.Lack(t, "needs %s: %v", strings.Join(programs, ", "), err)
	}
}

// Unpacked is the path of a program out of its Debian package, which is unpacked
// and not installed; path is the program's inside the package, as
// "usr/sbin/dhcpcd". Where it cannot be had, the test is skipped.
func Unpacked(t testing.TB, pkg, path string) string {
	t.Helper()
	// lab.Unpack looks for programs in usr/sbin.
	program, err := filepath.Rel("usr/sbin", path)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := lab.Unpack(t.Context(), os.Stderr, lab.Need{Program: program, Package: pkg})
	if err != nil {
		need.Lack(t, "needs %s: %v", path, err)
	}
	return filepath.Join(tree, path)
}
