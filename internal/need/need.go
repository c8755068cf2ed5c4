// Package need is for tests that need something of the machine: a right, a
// device, a program, an IP version. Elsewhere than in continuous integration a
// machine may lack it.
package need

import (
	"os"
	"testing"
)

// Lack skips the test with the reason, or fails it where the environment says
// CI=true: there every test has to run.
func Lack(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
