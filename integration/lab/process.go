package lab

import (
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// startBound starts a command that dies with this process, however that ends.
//
// The kernel sends the death signal when the *thread* that forked ends. Threads
// of the Go runtime live on unless a goroutine exits while locked to one, so
// the fork is done on a thread of its own that waits until the command is gone.
func startBound(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			runtime.UnlockOSThread()
			return
		}
		waitGone(cmd.Process.Pid)
		runtime.UnlockOSThread()
	}()
	return <-started
}

// waitGone blocks until a child has ended, and leaves it to be reaped by its
// owner's Wait.
func waitGone(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return
		}
	}
}
