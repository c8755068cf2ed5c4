package pppbridge

import "runtime"

// forker starts processes on a thread of its own: a fork of a large process
// takes milliseconds, which the poller must not spend, and the thread has to
// outlive the processes. For each of them asks the kernel for a signal when its
// parent dies (prctl PR_SET_PDEATHSIG), and to the kernel that is the thread. So
// a pppd whose adit was killed ends by itself, on the kernel plane too, where no
// line hangs up.
type forker struct {
	jobs chan func()
}

// newForker starts the thread. At most limit jobs wait at a time.
func newForker(limit int) *forker {
	f := &forker{jobs: make(chan func(), limit)}
	go func() {
		runtime.LockOSThread()
		// Unlocked, it goes back to the runtime's other threads; a thread that
		// ends locked is destroyed.
		defer runtime.UnlockOSThread()
		for job := range f.jobs {
			job()
		}
	}()
	return f
}
