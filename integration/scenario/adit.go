package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"adit/internal/control"
)

// BinaryVariable names the adit binary under test.
const BinaryVariable = "ADIT_BIN"

var stateDir = regexp.MustCompile(`(?m)^state_dir *=.*\n`)

// AditDaemon is a running adit.
type AditDaemon struct {
	*Process
	// Dir holds its files; Config and Socket are its configuration file and
	// control socket.
	Dir, Config, Socket string

	ns     *NS
	client *control.Client
}

// Adit starts the adit binary of ADIT_BIN in a namespace with a configuration
// in TOML, and waits until it answers on its control socket, which is its own
// whatever the configuration says.
func Adit(t TB, ns *NS, config string) *AditDaemon {
	t.Helper()
	d := NewAdit(t, ns, config)
	d.Restart(t)
	return d
}

// NewAdit prepares what Adit starts; Restart starts it.
func NewAdit(t TB, ns *NS, config string) *AditDaemon {
	t.Helper()
	if _, err := os.Stat(os.Getenv(BinaryVariable)); err != nil {
		t.Fatalf("%s does not name the adit binary: %v", BinaryVariable, err)
	}
	// Not t.TempDir: a unix socket's path must be shorter than 108 octets.
	dir, err := os.MkdirTemp("", "adit-")
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("%v", err)
		}
	})
	d := &AditDaemon{Dir: dir, Config: filepath.Join(dir, "adit.toml"), Socket: filepath.Join(dir, "adit.sock"), ns: ns}
	d.client = control.NewClient(d.Socket)
	t.Cleanup(d.client.Close)
	d.WriteConfig(t, config)
	return d
}

// WriteConfig replaces the configuration file, for a later reload or restart. The
// daemon has a state directory of its own, whatever the configuration says.
func (d *AditDaemon) WriteConfig(t TB, config string) {
	t.Helper()
	config = fmt.Sprintf("state_dir = %q\n", filepath.Join(d.Dir, "state")) + stateDir.ReplaceAllString(config, "")
	if err := os.WriteFile(d.Config, []byte(config), 0o600); err != nil {
		t.Fatalf("%v", err)
	}
}

// Restart starts the daemon, again if need be (after Stop or KillHard).
func (d *AditDaemon) Restart(t TB) {
	t.Helper()
	if d.Process != nil {
		if done, _ := d.Exited(); !done {
			d.Stop(t)
		}
	}
	d.Process = d.ns.Start(t, "adit-"+d.ns.Label, os.Getenv(BinaryVariable), "run", "-c", d.Config, "--socket", d.Socket)
	WaitFor(t, time.Minute, "adit to answer on its control socket", func() bool {
		if done, err := d.Exited(); done {
			t.Fatalf("adit ended at its start: %v\n%s", err, d.tail(20))
		}
		_, err := ask(d.client.Status)
		return err == nil
	})
}

func (d *AditDaemon) binary() string { return os.Getenv(BinaryVariable) }

// Command runs an adit command against the daemon and returns what it printed.
// The error holds what it printed to standard error.
func (d *AditDaemon) Command(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), runLimit)
	defer cancel()
	args = append(args, "--socket", d.Socket)
	out, err := exec.CommandContext(ctx, d.binary(), args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		return string(out), fmt.Errorf("adit %s: %w", strings.Join(args, " "), err)
	}
	return string(out), nil
}

// JSON runs an adit command with --json and decodes what it prints.
func (d *AditDaemon) JSON(t TB, into any, args ...string) {
	t.Helper()
	out, err := d.Command(append(args, "--json")...)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		t.Fatalf("adit %s --json: %v in %q", strings.Join(args, " "), err, out)
	}
}

// Status, Tunnels and Sessions ask the daemon as its commands do, but not by them: to
// start a program again and again takes an emulated machine more time than it has.
func (d *AditDaemon) Status(t TB) control.Status {
	t.Helper()
	return answer(t, d.client.Status)
}

// Tunnels of the daemon, in the order of their IDs.
func (d *AditDaemon) Tunnels(t TB) []control.Tunnel {
	t.Helper()
	return answer(t, d.client.Tunnels)
}

// Sessions of the daemon.
func (d *AditDaemon) Sessions(t TB) []control.Session {
	t.Helper()
	return answer(t, d.client.Sessions)
}

// ask asks a daemon, which has as long to answer as a command.
func ask[T any](question func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(context.Background(), runLimit)
	defer cancel()
	return question(ctx)
}

func answer[T any](t TB, question func(context.Context) (T, error)) T {
	t.Helper()
	v, err := ask(question)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return v
}

// WaitSessions waits until exactly so many sessions are up and none is on its
// way up or down, and returns them.
func (d *AditDaemon) WaitSessions(t TB, timeout time.Duration, count int) []control.Session {
	t.Helper()
	var last control.Status
	if !Eventually(timeout, func() bool {
		last = d.Status(t)
		n := last.Sessions
		return n.Up == count && n.SettingUp == 0 && n.Closing == 0
	}) {
		t.Fatalf("waited %s in vain for %d sessions of adit in %s; there are %d up, %d setting up, %d closing",
			timeout, count, d.ns.Name, last.Sessions.Up, last.Sessions.SettingUp, last.Sessions.Closing)
	}
	return d.Sessions(t)
}
