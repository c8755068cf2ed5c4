package pseudowire

import "sync"

// maxWorkers is how many goroutines make and remove devices at one time. The kernel
// does it under one lock (RTNL), so more would wait for each other; what removes an
// interface waits outside that lock for a grace period, so one is too few.
const maxWorkers = 4

// workers are goroutines for system calls that wait. There are as many as there is
// work for, and none without any. Each attachment is queued once at most.
type workers struct {
	// begin is called at the start of each goroutine. It is for tests.
	begin func()

	mu      sync.Mutex
	queue   []*attachment
	running int
}

// add queues an attachment, which is in no worker's hands.
func (w *workers) add(a *attachment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = append(w.queue, a)
	if w.running < maxWorkers {
		w.running++
		go w.run()
	}
}

func (w *workers) run() {
	if w.begin != nil {
		w.begin()
	}
	for a := w.next(); a != nil; a = w.next() {
		a.work()
	}
}

// next is what to do next; nil ends the goroutine.
func (w *workers) next() *attachment {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		w.queue = nil
		w.running--
		return nil
	}
	a := w.queue[0]
	w.queue[0] = nil
	w.queue = w.queue[1:]
	return a
}
