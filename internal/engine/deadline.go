package engine

import (
	"container/heap"
	"time"
)

// deadlines is a queue of objects by the time at which each wants attention:
// one entry per object, however often its deadline moves.
type deadlines[T any] struct{ q deadlineQueue[T] }

// deadline is an object's place in the queue. It is kept inside the object.
type deadline[T any] struct {
	at    time.Time
	index int // place in the heap plus one; 0: not queued
	owner T
}

// set moves d to the time at, or takes it out when at is zero.
func (l *deadlines[T]) set(d *deadline[T], at time.Time) {
	switch {
	case at.IsZero():
		if d.index != 0 {
			heap.Remove(&l.q, d.index-1)
		}
	case d.index == 0:
		d.at = at
		heap.Push(&l.q, d)
	case !at.Equal(d.at):
		d.at = at
		heap.Fix(&l.q, d.index-1)
	}
}

// next returns the earliest time; zero when nothing is queued.
func (l *deadlines[T]) next() time.Time {
	if len(l.q) == 0 {
		return time.Time{}
	}
	return l.q[0].at
}

// due takes out and returns one object whose time has come.
func (l *deadlines[T]) due(now time.Time) (owner T, ok bool) {
	if len(l.q) == 0 || l.q[0].at.After(now) {
		return owner, false
	}
	d := heap.Pop(&l.q).(*deadline[T])
	return d.owner, true
}

type deadlineQueue[T any] []*deadline[T]

func (q deadlineQueue[T]) Len() int           { return len(q) }
func (q deadlineQueue[T]) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q deadlineQueue[T]) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i+1, j+1
}

func (q *deadlineQueue[T]) Push(x any) {
	d := x.(*deadline[T])
	*q = append(*q, d)
	d.index = len(*q)
}

func (q *deadlineQueue[T]) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	last.index = 0
	return last
}
