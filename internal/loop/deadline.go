package loop

import (
	"container/heap"
	"time"
)

// Deadlines is a queue of objects by the time at which each wants attention:
// one entry per object, however often its deadline moves.
type Deadlines[T any] struct{ q queue[T] }

// Deadline is an object's place in the queue. It is kept inside the object.
type Deadline[T any] struct {
	at    time.Time
	index int // place in the heap plus one; 0: not queued
	Owner T   // set by the owner, before the first Set
}

// Queued says whether it is in the queue.
func (d *Deadline[T]) Queued() bool { return d.index != 0 }

// Set moves d to the time at, or takes it out when at is zero.
func (l *Deadlines[T]) Set(d *Deadline[T], at time.Time) {
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

// Len is how many objects wait.
func (l *Deadlines[T]) Len() int { return len(l.q) }

// Next returns the earliest time; zero when nothing is queued.
func (l *Deadlines[T]) Next() time.Time {
	if len(l.q) == 0 {
		return time.Time{}
	}
	return l.q[0].at
}

// Due takes out and returns one object whose time has come.
func (l *Deadlines[T]) Due(now time.Time) (owner T, ok bool) {
	if len(l.q) == 0 || l.q[0].at.After(now) {
		return owner, false
	}
	d := heap.Pop(&l.q).(*Deadline[T])
	return d.Owner, true
}

type queue[T any] []*Deadline[T]

func (q queue[T]) Len() int           { return len(q) }
func (q queue[T]) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q queue[T]) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i+1, j+1
}

// Push is heap.Interface's.
func (q *queue[T]) Push(x any) {
	d := x.(*Deadline[T])
	*q = append(*q, d)
	d.index = len(*q)
}

// Pop is heap.Interface's.
func (q *queue[T]) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	last.index = 0
	return last
}
