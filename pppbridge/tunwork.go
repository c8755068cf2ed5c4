package pppbridge

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/sirupsen/logrus"

	"adit/internal/kernel"
)

// tunWorker is the goroutine that makes interfaces, addresses and routes: these
// are system calls that wait. Each thing is in its queue once at most, however
// often it changes meanwhile, so the queue is not longer than there are sessions
// and addresses.
type tunWorker struct {
	mu     sync.Mutex
	links  *kernel.Links
	queue  []job
	wake   sync.Cond
	done   chan struct{}
	closed bool
	wanted map[kernelThing]*kernelWish
}

// job is something whose state in the kernel is to be made what is wanted of it
// now.
type job interface{ work(links *kernel.Links) }

// open starts the worker, in the network namespace of now.
func (w *tunWorker) open() (*kernel.Links, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, ErrClosed
	}
	if w.links != nil {
		return w.links, nil
	}
	links, err := kernel.OpenLinks()
	if err != nil {
		return nil, err
	}
	w.links, w.wake.L, w.done = links, &w.mu, make(chan struct{})
	w.wanted = make(map[kernelThing]*kernelWish)
	go w.run()
	return links, nil
}

// add queues a job. The caller sees to it that it is there once.
func (w *tunWorker) add(j job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.put(j)
}

func (w *tunWorker) put(j job) {
	w.queue = append(w.queue, j)
	w.wake.Signal()
}

// run ends after close when the queue is empty.
func (w *tunWorker) run() {
	defer close(w.done)
	for {
		w.mu.Lock()
		for len(w.queue) == 0 && !w.closed {
			w.wake.Wait()
		}
		if len(w.queue) == 0 {
			w.mu.Unlock()
			return
		}
		j := w.queue[0]
		w.queue[0] = nil
		if w.queue = w.queue[1:]; len(w.queue) == 0 {
			w.queue = nil
		}
		w.mu.Unlock()
		j.work(w.links)
	}
}

// close ends the worker after what it has to do.
func (w *tunWorker) close() {
	w.mu.Lock()
	started := w.links != nil && !w.closed
	w.closed = true
	if started {
		w.wake.Signal()
	}
	w.mu.Unlock()
	if started {
		<-w.done
		w.links.Close()
	}
}

// kernelThing is an address or a route of the shared TUN.
type kernelThing struct {
	prefix  netip.Prefix
	address bool
}

func addressThing(a netip.Addr) kernelThing {
	return kernelThing{address: true, prefix: netip.PrefixFrom(a, a.BitLen())}
}

// String names it for the log.
func (k kernelThing) String() string {
	if k.address {
		return fmt.Sprintf("address %v", k.prefix)
	}
	return fmt.Sprintf("route %v", k.prefix)
}

// kernelWish is how many sessions want a thing, and whether it is there.
type kernelWish struct {
	thing  kernelThing
	worker *tunWorker
	index  int
	log    *logrus.Entry

	wants  int // under the worker's mu, as queued
	queued bool
	there  bool // the worker's own
}

// want changes by how many sessions the thing is wanted.
func (w *tunWorker) want(index int, thing kernelThing, by int, log *logrus.Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := w.wanted[thing]
	if k == nil {
		k = &kernelWish{thing: thing, worker: w, index: index, log: log}
		w.wanted[thing] = k
	}
	before := k.wants > 0
	k.wants += by
	if before != (k.wants > 0) && !k.queued {
		k.queued = true
		w.put(k)
	}
}

// work is job's.
func (k *kernelWish) work(links *kernel.Links) {
	k.worker.mu.Lock()
	k.queued = false
	want := k.wants > 0
	if !want && !k.there {
		delete(k.worker.wanted, k.thing)
	}
	k.worker.mu.Unlock()
	if want == k.there {
		return
	}
	if err := k.set(links, want); err != nil {
		k.log.WithError(err).Warnf("the %v cannot be changed", k.thing)
	}
	k.there = want
	k.worker.mu.Lock()
	defer k.worker.mu.Unlock()
	if !want && k.wants == 0 && !k.queued {
		delete(k.worker.wanted, k.thing)
	}
}

func (k *kernelWish) set(links *kernel.Links, on bool) error {
	var err error
	switch {
	case k.thing.address && on:
		err = links.AddAddress(k.index, k.thing.prefix, netip.Addr{})
	case k.thing.address:
		err = links.RemoveAddress(k.index, k.thing.prefix, netip.Addr{})
	case on:
		err = links.AddRoute(k.index, k.thing.prefix, kernel.RouteOptions{})
	default:
		err = links.RemoveRoute(k.index, k.thing.prefix, kernel.RouteOptions{})
	}
	if on && errors.Is(err, kernel.ErrExists) {
		return nil
	}
	return err
}
