// Package demo shows adit at work on any Linux machine: an LNS and a LAC client
// in two network namespaces, PPP by the built-in endpoint on the userspace data
// plane, packets through the session. It needs no PPP in the kernel, no pppd and,
// where /dev/net/tun may be opened by everybody, no root.
//
// Three processes take part beside the caller's: the caller runs this program
// again in namespaces of its own (Run), that one (Inside) makes the second
// network and starts an LNS and a LAC, each "adit run". Each dies with the one
// that started it, and the namespaces with the last process in them.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// Options of a demonstration.
type Options struct {
	// Self is the adit binary.
	Self string
	// Keep leaves everything up after the last step until the context ends.
	Keep bool
	// JSON writes one object at the end instead of a table as it goes.
	JSON bool
	// UserNamespace makes a user namespace also for root, who needs none.
	UserNamespace bool
	// Transfer is how long data is sent in each direction; 0: a second.
	Transfer time.Duration

	Stdout, Stderr io.Writer
}

// transferDefault is long enough for TCP to reach its speed.
const transferDefault = time.Second

// The words by which Run calls this program again.
const (
	// Command is the sub-command that leads here.
	Command = "demo"
	// InsideFlag takes the folder for the files of the demonstration; with it
	// the sub-command calls Inside.
	InsideFlag = "inside"
)

// ErrFailed says that a step failed, which was shown where it happened.
var ErrFailed = errors.New("the demonstration failed")

// stopLimit is how long the inner process may take to end the daemons.
const stopLimit = 3*goneLimit + time.Second

// Run shows everything, in namespaces of its own. The error is ErrFailed if a
// step failed, else it says in a sentence what this machine forbids and what to
// do about it. When Run returns nothing is left of what it made.
func Run(ctx context.Context, o Options) error {
	if err := checkTUN(tunPath); err != nil {
		return err
	}
	dir, err := makeDir()
	if err != nil {
		return err
	}
	// The inner process does it too: whichever of the two is killed.
	defer os.RemoveAll(dir)
	// A child's death signal comes when the thread that made it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd, err := startInside(ctx, o, dir)
	if err != nil {
		return err
	}
	err = cmd.Wait()
	if ctx.Err() != nil && cmd.ProcessState.Success() {
		return nil // ended by Ctrl-C, as --keep has to be
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	return err
}

// startInside starts this program in the namespaces, by the least that this
// user may do: root needs a network namespace only, unless in a container that
// does not let it.
func startInside(ctx context.Context, o Options, dir string) (*exec.Cmd, error) {
	var err error
	if os.Geteuid() == 0 && !o.UserNamespace {
		cmd := insideCommand(ctx, o, dir, false)
		if err = cmd.Start(); err == nil {
			return cmd, nil
		}
		if !errors.Is(err, syscall.EPERM) {
			return nil, namespaceError(err, "/")
		}
	}
	cmd := insideCommand(ctx, o, dir, true)
	if err = cmd.Start(); err != nil {
		return nil, namespaceError(err, "/")
	}
	return cmd, nil
}

func insideCommand(ctx context.Context, o Options, dir string, user bool) *exec.Cmd {
	args := []string{Command, "--" + InsideFlag, dir}
	if o.Keep {
		args = append(args, "--keep")
	}
	if o.JSON {
		args = append(args, "--json")
	}
	if o.Transfer > 0 {
		args = append(args, "--transfer", o.Transfer.String())
	}
	cmd := exec.CommandContext(ctx, o.Self, args...)
	cmd.Stdout, cmd.Stderr = o.Stdout, o.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopLimit
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM}
	if user {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	return cmd
}

// longestDir leaves room for a socket's name in the 108 octets of sockaddr_un.
const longestDir = 90

// makeDir makes the folder for configurations, logs and control sockets.
func makeDir() (string, error) {
	for _, parent := range []string{os.TempDir(), "/tmp"} {
		dir, err := os.MkdirTemp(parent, "adit-demo-"+strconv.Itoa(os.Getpid())+"-")
		if err != nil {
			return "", err
		}
		if len(dir) <= longestDir {
			return dir, nil
		}
		if err := os.Remove(dir); err != nil {
			return "", err
		}
	}
	return "", errors.New("the path of the folder for temporary files is too long for a socket in it: set TMPDIR=/tmp")
}
