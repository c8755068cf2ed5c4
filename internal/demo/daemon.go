package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"adit/internal/control"
)

// daemon is an "adit run" of the demonstration.
type daemon struct {
	name                string // "LNS" or "LAC"
	config, log, socket string // files
	client              *control.Client

	cmd    *exec.Cmd
	exited chan struct{}
	err    error // of Wait; read after exited is closed
}

// pollInterval is how often a daemon is asked for what is awaited.
const pollInterval = 2 * time.Millisecond

// startDaemon writes the configuration and starts adit in a room.
func startDaemon(self string, in *room, dir, name, document string) (*daemon, error) {
	base := filepath.Join(dir, strings.ToLower(name))
	d := &daemon{name: name, config: base + ".toml", log: base + ".log", socket: base + ".sock", exited: make(chan struct{})}
	d.client = control.NewClient(d.socket)
	document = fmt.Sprintf("state_dir = %q\n", base+".state") + document
	if err := os.WriteFile(d.config, []byte(document), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(d.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	d.cmd = exec.Command(self, "run", "-c", d.config, "--socket", d.socket)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	// A group of its own, lest the terminal's Ctrl-C end it before its peer has
	// said goodbye.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := in.do(d.cmd.Start); err != nil {
		return nil, fmt.Errorf("starting the %s: %w", name, err)
	}
	go func() {
		d.err = d.cmd.Wait()
		close(d.exited)
	}()
	return d, nil
}

// await asks until the condition holds, the limit is over, or the daemon ends.
func (d *daemon) await(ctx context.Context, limit time.Duration, what string, condition func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the %s has no %s after %s", d.name, what, limit))
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		ok, err := condition(ctx)
		if ok {
			return nil
		}
		select {
		case <-d.exited:
			return fmt.Errorf("the %s ended: %w", d.name, errors.Join(d.err, errors.New(lastLine(d.log))))
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// stop ends the daemon in good order, and otherwise if it does not.
func (d *daemon) stop(limit time.Duration) error {
	d.client.Close()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-d.exited:
		return d.err
	case <-time.After(limit):
		err := d.cmd.Process.Kill()
		<-d.exited
		return errors.Join(fmt.Errorf("the %s did not end within %s", d.name, limit), err)
	}
}

// command is what adit prints to a question, such as "sessions".
func (d *daemon) command(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, d.cmd.Path, append(args, "--socket", d.socket)...).Output()
	return string(out), err
}

// shownLines of a log say what happened.
const shownLines = 15

// tail is the end of the daemon's log.
func (d *daemon) tail() string {
	lines := logLines(d.log)
	return strings.Join(lines[max(len(lines)-shownLines, 0):], "\n")
}

func lastLine(file string) string {
	lines := logLines(file)
	return lines[len(lines)-1]
}

// logLines has one element at least.
func logLines(file string) []string {
	text, err := os.ReadFile(file)
	if err != nil {
		return []string{err.Error()}
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}
