// Package lab runs a command as root under a Linux kernel that has PPP and
// L2TP, on machines whose own kernel may have neither.
//
// There are two ways. In the virtual machine, qemu boots Debian's kernel with
// this machine's files as a read-only root (an overlay in memory takes what the
// guest writes, so nothing done in the lab harms the machine). Natively, the
// command runs in fresh mount, network and process namespaces of this machine,
// which is quicker and needs root and the pppol2tp module. Run picks by itself.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Mode says where the command runs.
type Mode int

const (
	// Auto is Native where that works, else VM.
	Auto Mode = iota
	// VM always boots the virtual machine.
	VM
	// Native never boots one: the command runs under this machine's kernel.
	Native
)

func (m Mode) String() string {
	switch m {
	case Auto:
		return "auto"
	case VM:
		return "vm"
	case Native:
		return "native"
	}
	return fmt.Sprintf("Mode(%d)", int(m))
}

// NativeVariable is the environment variable that overrides Auto: "1" forces
// Native and "0" forces VM.
const NativeVariable = "ADIT_LAB_NATIVE"

// OutVariable names, inside the lab, the directory whose contents outlive it.
const OutVariable = "ADIT_LAB_OUT"

// Options of a run. The zero value is ready to use.
type Options struct {
	// Mode is where to run; Auto obeys NativeVariable.
	Mode Mode
	// Dir is the working directory, by default the caller's.
	Dir string
	// Env is added to the small environment of the lab (PATH, HOME, LANG,
	// ADIT_LAB=1 and ADIT_LAB_OUT); "NAME=value" each.
	Env []string
	// Out is a directory of this machine that the lab sees at the same path
	// and may write to. By default a temporary one that is removed at the end.
	Out string
	// Timeout ends the run by force; 0 means 10 minutes.
	Timeout time.Duration
	// CPUs and Memory (MiB) of the virtual machine; 0 means 2 and 2048.
	CPUs, Memory int
	// Stdout and Stderr take the command's output as it comes; nil discards.
	Stdout, Stderr io.Writer
	// Log takes one line for each step of the lab itself; nil discards.
	Log io.Writer
	// Console takes the guest's kernel console line by line; nil keeps only
	// its tail, which is part of the error when the guest dies.
	Console io.Writer
}

// Errors that a caller may want to tell apart. ErrTimeout: the command did not
// end in time. ErrGuest: the machine itself failed, not the command in it.
var (
	ErrTimeout = errors.New("lab: timeout")
	ErrGuest   = errors.New("lab: the guest failed")
)

// Run runs a command in the lab and returns its exit status. An error means
// that the command could not be started or did not come to its end (ErrTimeout,
// ErrGuest, the context's error, or a missing tool); a command that fails is no
// error. The command's standard input is empty.
func Run(ctx context.Context, o Options, argv ...string) (status int, err error) {
	if len(argv) == 0 {
		return -1, errors.New("lab: no command")
	}
	if err = o.defaults(); err != nil {
		return -1, err
	}
	made := false
	if o.Out == "" {
		if o.Out, err = os.MkdirTemp("", "adit-lab-"); err != nil {
			return -1, err
		}
		made = true
	}
	if o.Out, err = filepath.Abs(o.Out); err != nil {
		return -1, err
	}
	if err = os.MkdirAll(filepath.Join(o.Out, private), 0o755); err != nil {
		return -1, err
	}
	defer func() {
		remove := filepath.Join(o.Out, private)
		if made {
			remove = o.Out
		}
		if e := os.RemoveAll(remove); err == nil && e != nil {
			err = e
		}
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, o.Timeout, ErrTimeout)
	defer cancel()
	if o.resolveMode() == Native {
		return runNative(ctx, &o, argv)
	}
	return runVM(ctx, &o, argv)
}

// Ready installs, downloads and builds what a run with these options needs, so
// that the first run does not spend its time on it.
func Ready(ctx context.Context, o Options) error {
	if err := o.defaults(); err != nil {
		return err
	}
	if o.resolveMode() == Native {
		return Install(ctx, o.Log, false)
	}
	image, err := Prepare(ctx, o.Log, false)
	if err != nil {
		return err
	}
	qemu, err := lookTool("qemu-system-x86_64")
	if err != nil {
		return err
	}
	_, err = chooseAccelerator(ctx, o.Log, qemu, image)
	return err
}

// private is the folder in Options.Out that belongs to the lab itself.
const private = ".lab"

func (o *Options) defaults() error {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Minute
	}
	if o.CPUs == 0 {
		o.CPUs = 2
	}
	if o.Memory == 0 {
		o.Memory = 2048
	}
	if o.Stdout == nil {
		o.Stdout = io.Discard
	}
	if o.Stderr == nil {
		o.Stderr = io.Discard
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.Dir == "" {
		dir, err := os.Getwd()
		if err != nil {
			return err
		}
		o.Dir = dir
	}
	return nil
}

func (o *Options) logf(format string, args ...any) {
	fmt.Fprintf(o.Log, "lab: "+format+"\n", args...)
}

func (o *Options) privatePath(name string) string {
	return filepath.Join(o.Out, private, name)
}

// environment is what the command sees, in both modes.
func (o *Options) environment(path string) []string {
	env := []string{
		"PATH=" + path,
		"HOME=/root",
		"LANG=C.UTF-8",
		"TERM=dumb",
		"ADIT_LAB=1",
		OutVariable + "=" + o.Out,
	}
	return append(env, o.Env...)
}

// searchPath is the PATH of the lab: extra folders first.
func searchPath(extra ...string) string {
	path := ""
	for _, dir := range extra {
		path += dir + ":"
	}
	return path + "/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}
