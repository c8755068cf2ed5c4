package radius

import (
	"testing"
	"testing/synctest"
	"time"

	"layeh.com/radius"
)

// served lets a server with so many threads, each of which takes service for a
// request, and a wire of length there and back, answer n requests. It returns how
// many there were at most behind the wire, waiting for a thread, and how long
// everything took.
func (f *flow) served(n, most, threads int, service, wire time.Duration) (queued int, took time.Duration) {
	type sent struct{ at, answered time.Duration }
	var (
		underWay []sent // in the order of their answers
		now      time.Duration
		free     = make([]time.Duration, threads)
		start    = time.Now()
	)
	for done := 0; done < n; {
		for len(underWay) < f.limit(most) && done+len(underWay) < n {
			first := 0
			for i := range free {
				if free[i] < free[first] {
					first = i
				}
			}
			free[first] = max(free[first], now+wire/2) + service
			underWay = append(underWay, sent{now, free[first] + wire/2})
		}
		waiting := 0
		for _, s := range underWay {
			if s.answered-wire/2-service > now+wire/2 {
				waiting++
			}
		}
		queued = max(queued, waiting)
		s := underWay[0]
		now = s.answered
		f.answered(start.Add(now), now-s.at, len(underWay), most)
		underWay = underWay[1:]
		done++
	}
	return queued, now
}

// What a server cannot take at once waits here, and not in a buffer there that has
// room for some 160; and yet it is never idle, be it near and fast, near and slow,
// or far away.
func TestFlow(t *testing.T) {
	const room = 160
	for _, c := range []struct {
		name          string
		threads       int
		service, wire time.Duration
		most          int // wait at the server
	}{
		{"near, fast", 2, 300 * time.Microsecond, 50 * time.Microsecond, room},
		{"near, one thread", 1, 5 * time.Millisecond, 50 * time.Microsecond, room},
		{"near, with a data base", 32, 20 * time.Millisecond, 50 * time.Microsecond, room},
		{"far", 8, time.Millisecond, 100 * time.Millisecond, room},
		{"a proxy", 400, time.Second, 50 * time.Millisecond, 2 * 400}, // a second goes by until they are seen to wait
	} {
		const n, most = 20000, 1024
		var f flow
		queued, took := f.served(n, most, c.threads, c.service, c.wire)
		if queued > c.most {
			t.Errorf("%s: %d requests waited at the server", c.name, queued)
		}
		least := n / c.threads * int(c.service)
		if took > time.Duration(least)*3/2+10*(c.wire+c.service) {
			t.Errorf("%s: %v for what takes %v", c.name, took, time.Duration(least))
		}
		if f.size < startWindow || f.size > most {
			t.Errorf("%s: the window is %d", c.name, f.size)
		}
	}
}

// What is lost makes the window smaller, but not too small to grow again.
func TestFlowLost(t *testing.T) {
	f := flow{size: 512}
	for range 100 {
		f.lost()
	}
	if f.size != lostWindow {
		t.Errorf("the window is %d, want %d", f.size, lostWindow)
	}
	f.served(1000, 1024, 100, 10*time.Millisecond, time.Millisecond)
	if f.size < startWindow {
		t.Errorf("the window stays at %d", f.size)
	}
	if n := f.limit(5); n != 5 {
		t.Errorf("max_pending is 5, the window %d", n)
	}
	if n := f.limit(0); n != 1 {
		t.Errorf("none may be under way: %d", n)
	}
}

// A way that has become longer is no queue for ever.
func TestFlowBase(t *testing.T) {
	var f flow
	start := time.Now()
	f.answered(start, time.Millisecond, 64, 1024)
	f.answered(start.Add(time.Second), 100*time.Millisecond, 64, 1024)
	if f.base != time.Millisecond {
		t.Errorf("base is %v", f.base)
	}
	f.answered(start.Add(baseAge+time.Second), 100*time.Millisecond, 64, 1024)
	if f.base != time.Millisecond {
		t.Errorf("base is %v, of an answer that others were before", f.base)
	}
	f.answered(start.Add(baseAge+time.Second), 100*time.Millisecond, 1, 1024)
	if f.base != 100*time.Millisecond {
		t.Errorf("base is %v, of half a minute ago", f.base)
	}
}

// wide lets so many requests be under way to the servers, as if they were known to
// take as many.
func (r *rig) wide(n int) {
	for _, s := range r.cfg.Servers {
		r.transport.inbox.Put(func() {
			r.transport.peerOf(s, authentication).flow.size = n
			r.transport.peerOf(s, accounting).flow.size = n
		})
	}
	synctest.Wait()
}

// A server that nobody knows gets as many requests as its socket has room for; the
// others wait, and all are answered.
func TestFlowOfTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		var all []<-chan outcome
		for range 1000 {
			all = append(all, r.ask("alice"))
		}
		synctest.Wait()
		if s := r.server("only", false); s.Pending != startWindow || s.Waiting != 1000-startWindow {
			t.Errorf("%d are under way, %d wait", s.Pending, s.Waiting)
		}
		for _, p := range r.net.packets("") {
			p.answer(t, "secret of only", radius.CodeAccessReject, true)
		}
		r.answerAll()
		synctest.Wait()
		for i, c := range all {
			// The first ones were not answered by the rig.
			if o := <-c; o.err != nil {
				t.Fatalf("request %d: %v", i, o.err)
			}
		}
		if s := r.server("only", false); s.Requests != 1000 || s.Retransmissions > startWindow {
			t.Errorf("%+v", s.Counters)
		}
	})
}
