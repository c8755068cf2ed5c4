package need

import (
	"runtime"
	"testing"
)

// verdict is a test that notes how it was ended.
type verdict struct {
	testing.TB
	skipped, failed bool
}

func (*verdict) Helper()                 { /* nothing to mark */ }
func (v *verdict) Skipf(string, ...any)  { v.skipped = true; runtime.Goexit() }
func (v *verdict) Fatalf(string, ...any) { v.failed = true; runtime.Goexit() }

func TestLack(t *testing.T) {
	for _, c := range []struct {
		ci              string
		skipped, failed bool
	}{{"true", false, true}, {"", true, false}} {
		t.Setenv("CI", c.ci)
		v, done := new(verdict), make(chan struct{})
		go func() {
			defer close(done)
			Lack(v, "needs %s", "root")
		}()
		<-done
		if v.skipped != c.skipped || v.failed != c.failed {
			t.Errorf("CI=%q: skipped %v, failed %v", c.ci, v.skipped, v.failed)
		}
	}
}
