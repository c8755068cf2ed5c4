package simnet

import (
	"container/heap"
	"time"
)

// event is something that is to happen at a time. run says whether it happened:
// the event of a stopped timer does not.
type event struct {
	at    time.Time
	order uint64 // events of the same instant run in the order they were made
	timer *Timer // nil for a packet
	gen   int
	run   func(now time.Time)
}

// void says whether the event belongs to a timer that was stopped or set anew.
func (e *event) void() bool { return e.timer != nil && e.timer.gen != e.gen }

type eventQueue []event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].order < q[j].order
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *eventQueue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = event{}
	*q = (*q)[:last]
	return e
}

func (n *Net) schedule(e event) {
	if e.at.Before(n.now) {
		e.at = n.now
	}
	n.order++
	e.order = n.order
	heap.Push(&n.events, e)
}

// step runs the next event that is not later than until; zero means any.
func (n *Net) step(until time.Time) bool {
	for len(n.events) > 0 {
		if n.events[0].void() {
			heap.Pop(&n.events)
			continue
		}
		if !until.IsZero() && n.events[0].at.After(until) {
			return false
		}
		e := heap.Pop(&n.events).(event)
		if e.at.After(n.now) {
			n.now, n.instant = e.at, 0
		}
		if n.instant++; n.instant > sameInstantLimit {
			panic("simnet: too many events at one instant: time does not advance")
		}
		e.run(n.now)
		return true
	}
	return false
}
