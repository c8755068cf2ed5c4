package scenario

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// built is the binary of this test process; empty: none was built.
var built struct {
	once sync.Once
	dir  string
	err  error
}

// Binary is the path of the adit binary under test: that of ADIT_BIN, or one that
// is built from the source, once for a test process, and named by ADIT_BIN from
// then on. RemoveBinary removes it.
func Binary(t TB) string {
	t.Helper()
	built.once.Do(func() {
		if os.Getenv(BinaryVariable) == "" {
			built.err = build()
		}
	})
	if built.err != nil {
		t.Fatalf("%v", built.err)
	}
	return os.Getenv(BinaryVariable)
}

func build() (err error) {
	if built.dir, err = os.MkdirTemp("", "adit-built-"); err != nil {
		return err
	}
	binary := filepath.Join(built.dir, "adit")
	cmd := exec.Command("go", "build", "-o", binary, "adit/cmd/adit")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return os.Setenv(BinaryVariable, binary)
}

// RemoveBinary is for the end of a TestMain.
func RemoveBinary() {
	if built.dir != "" {
		_ = os.RemoveAll(built.dir) // it is in the folder for what may go
	}
}
