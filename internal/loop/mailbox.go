package loop

import "sync"

// Mailbox carries functions to the goroutine that owns some state. Put never
// blocks, so two owners can write to each other without a deadlock. It is
// bounded by its writers: each object posts a bounded number of functions in
// its life, and callers from outside wait for the answer before they ask again.
type Mailbox struct {
	mu     sync.Mutex
	queue  []func()
	spare  []func()
	closed bool
	ready  chan struct{} // holds one token while the queue is not empty
}

// NewMailbox makes an empty one.
func NewMailbox() *Mailbox { return &Mailbox{ready: make(chan struct{}, 1)} }

// Put queues f and reports whether the owner is still there to run it.
func (m *Mailbox) Put(f func()) bool {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return false
	}
	m.queue = append(m.queue, f)
	m.mu.Unlock()
	select {
	case m.ready <- struct{}{}:
	default:
	}
	return true
}

// Ready has something to receive while there is something to Run.
func (m *Mailbox) Ready() <-chan struct{} { return m.ready }

// Run executes what is queued. Only the owner calls it.
func (m *Mailbox) Run() {
	m.mu.Lock()
	batch := m.queue
	m.queue, m.spare = m.spare[:0], nil
	m.mu.Unlock()
	for i, f := range batch {
		f()
		batch[i] = nil
	}
	m.mu.Lock()
	m.spare = batch[:0]
	m.mu.Unlock()
}

// Close lets Put fail from now on and runs what was queued before.
func (m *Mailbox) Close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.Run()
}
