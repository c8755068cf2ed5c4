package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// resolveMode turns Auto into what this machine can do.
func (o *Options) resolveMode() Mode {
	if o.Mode != Auto {
		return o.Mode
	}
	switch os.Getenv(NativeVariable) {
	case "1":
		return Native
	case "0":
		return VM
	}
	if KernelHasL2TP() && canIsolate() {
		return Native
	}
	return VM
}

// pxProtoOL2TP is PX_PROTO_OL2TP of the kernel's <linux/if_pppox.h>.
const pxProtoOL2TP = 1

// KernelHasL2TP reports whether this process may open a PPPoL2TP socket: it is
// root and the kernel has the module or can load it.
func KernelHasL2TP() bool {
	if os.Geteuid() != 0 {
		return false
	}
	fd, err := unix.Socket(unix.AF_PPPOX, unix.SOCK_DGRAM, pxProtoOL2TP)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}

// isolation is what a native command gets of its own: mounts, so that tests
// can write under /etc/ppp; a network; and processes, so that none outlives it.
const isolation = syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID

// canIsolate tries it, for containers often have root but not this right.
func canIsolate() bool {
	cmd := exec.Command("/bin/sh", "-c", "mount --make-rprivate / && mount -t tmpfs tmpfs /mnt && ip link set lo up")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: isolation}
	cmd.Env = []string{"PATH=" + searchPath()}
	return cmd.Run() == nil
}

// runNative runs the command under this machine's kernel.
func runNative(ctx context.Context, o *Options, argv []string) (int, error) {
	if os.Geteuid() != 0 {
		return -1, errors.New("lab: running natively needs root")
	}
	if err := Install(ctx, o.Log, false); err != nil {
		return -1, err
	}
	cache, err := CacheDir()
	if err != nil {
		return -1, err
	}
	unlock, err := lock(ctx)
	if err != nil {
		return -1, err
	}
	tools, err := unpackTools(ctx, o.Log, cache)
	unlock()
	if err != nil {
		return -1, err
	}
	o.logf("running under this machine's own kernel")
	cmd := exec.Command("/bin/bash", "-c", nativeScript(o, tools, argv))
	cmd.Stdout, cmd.Stderr = o.Stdout, o.Stderr
	cmd.WaitDelay = 2 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: isolation}
	if err = startBound(cmd); err != nil {
		return -1, fmt.Errorf("lab: starting the command in namespaces of its own: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		// The shell is process 1 of its namespace: with it go all others.
		_ = cmd.Process.Kill()
		<-ended
		if cause := context.Cause(ctx); !errors.Is(cause, ErrTimeout) {
			return -1, cause
		}
		return -1, fmt.Errorf("%w: the command did not end within %s", ErrTimeout, o.Timeout)
	}
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return cmd.ProcessState.ExitCode(), nil
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode(), nil
	default:
		return -1, fmt.Errorf("lab: %w", err)
	}
}

func nativeScript(o *Options, tools []string, argv []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "export PATH=%s\nset -e\nmount --make-rprivate /\nmount -t proc proc /proc\n", searchPath())
	b.WriteString("mkdir -p /run/netns\nmount -t tmpfs tmpfs /run/netns\n")
	b.WriteString(commonSetup)
	// What the machine has not is missed by the test that needs it.
	fmt.Fprintf(&b, "modprobe -qa %s 2>/dev/null || true\nset +e\n", strings.Join(modules, " "))
	writeCommand(&b, o, searchPath(tools...), argv, "</dev/null")
	// An exit status of its own, for bash would replace itself by a last
	// command and then not be there to collect orphans.
	b.WriteString("exit $status\n")
	return b.String()
}

// Describe says in a few words where a run with these options would happen.
func (o Options) Describe() string {
	if o.resolveMode() == Native {
		return "natively, under this machine's kernel"
	}
	return "in a virtual machine (" + runtime.GOARCH + ")"
}
