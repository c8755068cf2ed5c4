package demo

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// room is a thread in a network namespace. What is opened and started on it
// belongs there: sockets, daemons. The daemons' death signal comes when the
// thread ends, so it lives as long as they.
type room struct {
	ns   *os.File // the namespace
	work chan func()
}

// newRoom makes a room in the process's own network namespace, or in a new one.
func newRoom(fresh bool) (*room, error) {
	r := &room{work: make(chan func())}
	ready := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		err := r.enter(fresh)
		ready <- err
		if err != nil {
			return
		}
		for f := range r.work {
			f()
		}
	}()
	return r, <-ready
}

func (r *room) enter(fresh bool) (err error) {
	if fresh {
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("making a network namespace: %w", err)
		}
	}
	r.ns, err = os.Open("/proc/thread-self/ns/net")
	return err
}

// do runs f on the room's thread.
func (r *room) do(f func() error) error {
	done := make(chan error)
	r.work <- func() { done <- f() }
	return <-done
}

// close ends the thread.
func (r *room) close() {
	close(r.work)
	r.ns.Close()
}
