package loop

import (
	"slices"
	"testing"
	"time"
)

func TestDeadlines(t *testing.T) {
	var l Deadlines[int]
	base := time.Unix(1000, 0)
	d := make([]Deadline[int], 6)
	for i, after := range []int{5, 1, 4, 1, 3, 2} {
		d[i].Owner = after
		l.Set(&d[i], base.Add(time.Duration(after)*time.Second))
	}
	l.Set(&d[2], time.Time{})              // out
	l.Set(&d[2], time.Time{})              // twice is nothing
	l.Set(&d[0], base.Add(-time.Second))   // to the front
	l.Set(&d[1], base.Add(10*time.Second)) // to the back
	if got := l.Next(); !got.Equal(base.Add(-time.Second)) {
		t.Errorf("next is %v", got)
	}
	var order []int
	for {
		owner, ok := l.Due(base.Add(3 * time.Second))
		if !ok {
			break
		}
		order = append(order, owner)
	}
	if want := []int{5, 1, 2, 3}; !slices.Equal(order, want) || !l.Next().Equal(base.Add(10*time.Second)) {
		t.Errorf("due in the order %v, want %v; next %v", order, want, l.Next())
	}
	l.Set(&d[1], time.Time{})
	if !l.Next().IsZero() {
		t.Error("the queue is not empty")
	}
}

func TestMailboxAfterClose(t *testing.T) {
	m := NewMailbox()
	ran := 0
	m.Put(func() { ran++; m.Put(func() { ran += 10 }) })
	m.Run()
	m.Close()
	if ran != 11 || m.Put(func() { ran = 0 }) {
		t.Errorf("ran %d", ran)
	}
}
