package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"adit/integration/lab"
)

// local is where the gate keeps its programs and results; git ignores it.
const local = ".lab"

func (g *gate) steps(quick bool) []step {
	steps := []step{
		{"tools", installTools},
		{"gofmt", checkFormat},
		{"go vet", quiet("go", "vet", "./...")},
		{"staticcheck", quiet(tool("staticcheck"), "./...")},
		// A shadowed err that goes unseen; in tests it does no harm.
		{"shadow", quiet(tool("shadow"), "-test=false", "./...")},
		{"exhaustive switches", quiet(tool("exhaustive"), "-test=false", "-default-signifies-exhaustive", "./...")},
		{"imports point down", shown("go", "test", "-run", "^(TestImportsPointDown|TestViolationsAreSeen)$", "./integration")},
		{"static binary, reference configuration", checkReference},
		{"unit tests, with the race detector", shown("go", "test", "-race", "-timeout", "10m", "-skip", "^TestLab", "./...")},
		// With the race detector the simulations run a tenth of their seeds.
		{"simulation, thousands of seeds", shown("go", "test", "-timeout", "10m", "./proto/...", "./internal/simnet")},
	}
	if quick {
		return steps
	}
	return append(steps,
		step{"what the lab needs", readyLab},
		step{"fuzz smoke", g.fuzz},
		step{"the lab: real kernel, real peers",
			shown("go", "test", "./integration/", "-run", "^TestLab", "-count=1", "-v", "-timeout", g.labTimeout.String())})
}

func readyLab(ctx context.Context, out io.Writer) error {
	return lab.Ready(ctx, lab.Options{Log: out})
}

func tool(name string) string { return filepath.Join(local, "bin", name) }

// installTools brings the pinned programs of the tools module, a C compiler for the
// race detector, and the programs of the tests: those install what they lack too, but
// beside other tests, which then have less of the machine.
func installTools(ctx context.Context, out io.Writer) error {
	bin, err := filepath.Abs(filepath.Join(local, "bin"))
	if err != nil {
		return err
	}
	if err = os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	if err = lab.InstallPrograms(ctx, out, "gcc", "openssl", "radsniff", "taskset", "tshark"); err != nil {
		return err
	}
	if err = lab.Install(ctx, out, false); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "-C", "integration/gate/tools", "install", "tool")
	cmd.Env = append(os.Environ(), "GOBIN="+bin, "CGO_ENABLED=0", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, text)
	}
	return nil
}

// checkFormat asks gofmt for files that it would change.
func checkFormat(ctx context.Context, _ io.Writer) error {
	entries, err := os.ReadDir(".")
	if err != nil {
		return err
	}
	args := []string{"-l"}
	for _, e := range entries {
		// Not the hidden folders, which hold other people's source.
		if name := e.Name(); !strings.HasPrefix(name, ".") && (e.IsDir() || strings.HasSuffix(name, ".go")) {
			args = append(args, name)
		}
	}
	text, err := exec.CommandContext(ctx, "gofmt", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("gofmt: %w\n%s", err, text)
	}
	if len(text) > 0 {
		return fmt.Errorf("gofmt would change:\n%s", text)
	}
	return nil
}

// checkReference builds the binary as it is shipped and lets it read the
// reference configuration.
func checkReference(ctx context.Context, out io.Writer) error {
	binary := filepath.Join(local, "adit")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, "./cmd/adit")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, text)
	}
	// The files of secrets and users that it names are not in the source.
	dir, err := os.MkdirTemp("", "adit-gate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err = os.CopyFS(dir, os.DirFS("etc")); err != nil {
		return err
	}
	reference, err := os.ReadFile(filepath.Join(dir, "adit.toml"))
	if err != nil {
		return err
	}
	for name, content := range secretFiles(string(reference)) {
		if err = os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	if err = os.Chmod(filepath.Join(dir, "adit.toml"), 0o600); err != nil {
		return err
	}
	return shown(binary, "check", "-c", filepath.Join(dir, "adit.toml"))(ctx, out)
}

// standIns are what stands in a file that the reference names by each key: a secret,
// which is a comment where users are expected, and a cookie.
var standIns = map[string]string{
	"secret_file": "# example\n", "password_file": "# example\n", "users_file": "# example\n", "chap_secrets": "# example\n",
	"cookie_file": "0123456789abcdef\n", "peer_cookie_file": "0123456789abcdef\n",
}

// secretFiles are the files of secrets and users that a configuration names, relative to
// it, with what stands in for their content.
func secretFiles(config string) map[string]string {
	files := make(map[string]string)
	for line := range strings.Lines(config) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		content, ok := standIns[strings.TrimSpace(key)]
		if name := strings.Trim(strings.TrimSpace(value), `"`); ok && name != "" && !filepath.IsAbs(name) {
			files[filepath.Base(name)] = content
		}
	}
	return files
}

// shown runs a command whose output is shown as it comes.
func shown(name string, args ...string) func(context.Context, io.Writer) error {
	return func(ctx context.Context, out io.Writer) error {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Stdout, cmd.Stderr = out, out
		cmd.WaitDelay = 10 * time.Second // for what a test left behind and holds its output
		return commandError(cmd, cmd.Run())
	}
}

// quiet runs a command whose output is shown only if it fails.
func quiet(name string, args ...string) func(context.Context, io.Writer) error {
	return func(ctx context.Context, out io.Writer) error {
		cmd := exec.CommandContext(ctx, name, args...)
		text, err := cmd.CombinedOutput()
		if err != nil {
			if _, e := out.Write(bytes.TrimLeft(text, "\n")); e != nil {
				err = errors.Join(err, e)
			}
		}
		return commandError(cmd, err)
	}
}

func commandError(cmd *exec.Cmd, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	return nil
}
