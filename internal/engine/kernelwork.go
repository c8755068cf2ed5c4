package engine

import (
	"errors"
	"sync"
	"time"
)

// maxKernelWorkers is how many goroutines talk to the kernel's L2TP at one time. It
// serves one request after another; more than one is for those that hang.
const maxKernelWorkers = 4

// kernelPatience is how long what a call waits for may wait itself for a worker: the peer
// has given up by then.
const kernelPatience = 20 * time.Second

// errKernelBusy says that kernelPatience is over.
var errKernelBusy = errors.New("the kernel's L2TP does not answer: look for its messages in dmesg")

// kernelWorkers ask the kernel, by netlink, for the tunnels and sessions of version 3, and
// have it delete them: each request may take five seconds, and no shard waits for one.
// There are as many goroutines as there is work for, and none without any.
//
// What is asked for on one path is done in its order: a tunnel is made after the one
// before it between the same addresses and ports is deleted, and a session is deleted
// after it was made.
type kernelWorkers struct {
	mu      sync.Mutex
	paths   map[kernelPath][]func() // what is to be done; the first is being done, or is next
	queue   []kernelPath            // those that are in no worker's hands
	running int
	closed  bool
	wg      sync.WaitGroup
}

// add has f done, after what was added for the path before. It returns at once. After
// close nothing is done.
func (w *kernelWorkers) add(path kernelPath, f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	if w.paths == nil {
		w.paths = make(map[kernelPath][]func())
	}
	jobs := append(w.paths[path], f)
	w.paths[path] = jobs
	if len(jobs) > 1 {
		return
	}
	w.queue = append(w.queue, path)
	if w.running < maxKernelWorkers {
		w.running++
		w.wg.Go(w.run)
	}
}

func (w *kernelWorkers) run() {
	for {
		path, f := w.next()
		if f == nil {
			return
		}
		f()
		w.did(path)
	}
}

// next is what to do next; nil ends the goroutine.
func (w *kernelWorkers) next() (path kernelPath, f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.queue) == 0 {
		w.queue = nil
		w.running--
		return path, nil
	}
	path = w.queue[0]
	w.queue = w.queue[1:]
	return path, w.paths[path][0]
}

// did takes what was done off the path's list. The others have their turn before the next
// of this path.
func (w *kernelWorkers) did(path kernelPath) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if rest := w.paths[path][1:]; len(rest) > 0 {
		w.paths[path] = rest
		w.queue = append(w.queue, path)
		return
	}
	delete(w.paths, path)
}

// idle says that there is nothing to do.
func (w *kernelWorkers) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.paths) == 0
}

// close drops what has not begun, and waits for what has. What is left in the kernel goes
// with the sockets of its tunnels.
func (w *kernelWorkers) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.wg.Wait()
}

// inKernel has a worker do something about the tunnel, and then, on the shard, what that
// returns, if anything. The IDs and the socket stay the tunnel's until it is done.
func (t *Tunnel) inKernel(do func() (then func())) {
	t.inWork++
	s := t.shard
	s.engine.kernelWork.add(t.kernelPath(), func() {
		then := do()
		s.post(func() {
			t.inWork--
			if then != nil {
				then()
			}
			t.letGo()
		})
	})
}

// promptly calls f unless it is too late for that.
func promptly(since time.Time, f func() error) error {
	if time.Since(since) > kernelPatience {
		return errKernelBusy
	}
	return f()
}
