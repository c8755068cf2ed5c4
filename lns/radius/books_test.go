package radius

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"layeh.com/radius"

	"adit/lns/subscriber"
)

const (
	start   = subscriber.RecordStart
	stop    = subscriber.RecordStop
	interim = subscriber.RecordInterim
	on      = subscriber.RecordOn
	off     = subscriber.RecordOff
)

// said lists what the servers were told, without times and retransmissions.
func (r *rig) said() (list []said) {
	for _, p := range r.net.packets("") {
		if radius.Code(p.wire[0]) != radius.CodeAccountingRequest {
			continue
		}
		one := saidBy(r.t, p)
		one.delay = 0
		if !slices.Contains(list, one) {
			list = append(list, one)
		}
	}
	return list
}

func (r *rig) wantSaid(want ...said) {
	r.t.Helper()
	synctest.Wait()
	if got := r.said(); !slices.Equal(got, want) {
		r.t.Errorf("the servers were told\n%+v, want\n%+v", got, want)
	}
}

// snapshot copies the folder of accounting records as kill -9 would leave it.
func (r *rig) snapshot() string {
	r.t.Helper()
	synctest.Wait()
	to := r.t.TempDir()
	if err := os.CopyFS(to, os.DirFS(r.books.store.dir)); err != nil {
		r.t.Fatal(err)
	}
	return to
}

// revive ends the Client and starts another with that folder.
func (r *rig) revive(dir string) {
	r.t.Helper()
	_ = kill(r.Client) // the folder is what counts
	r.net.mu.Lock()
	r.net.all = nil
	r.net.mu.Unlock()
	r.start(dir, 0)
}

// RFC 2866 section 5.1: Accounting-On comes before, Accounting-Off after all
// that is between; and a session's records in their order.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		r.On(r.group)
		r.On(r.group)
		r.Account(r.group, record(start, "a", 0))
		r.Account(r.group, record(start, "b", 0))
		r.Account(r.group, record(interim, "a", 1))
		r.wantSaid(said{kind: on})
		r.answerAll()
		time.Sleep(3 * time.Second)
		r.wantSaid(said{kind: on}, said{kind: start, id: "a"}, said{kind: start, id: "b"}, said{kind: interim, id: "a", octets: 1})
		r.Account(r.group, record(stop, "a", 2))
		r.Account(r.group, record(stop, "b", 2))
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
		got := r.said()
		if n := len(got); n != 7 || got[6] != (said{kind: off}) {
			t.Errorf("%+v", got)
		}
		if n := r.books.store.live; n != 0 {
			t.Errorf("%d octets are thought to matter still", n)
		}
	})
}

// RFC 2866 section 4.1: "if Acct-Delay-Time is included in the attributes of an
// Accounting-Request then the Acct-Delay-Time value will be updated when the
// packet is retransmitted, changing the content of the Attributes field and
// requiring a new Identifier and Request Authenticator."
func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		r.Account(r.group, record(start, "a", 0))
		time.Sleep(7 * time.Second)
		all := r.net.packets("")
		if len(all) != 3 {
			t.Fatalf("%d packets", len(all))
		}
		used := map[byte]bool{}
		for i, p := range all {
			if d := saidBy(t, p).delay; int(d) != 3*i {
				t.Errorf("packet %d has a delay of %d s", i, d)
			}
			if used[p.identifier()] || !radius.IsAuthenticRequest(p.wire, []byte("secret of only")) {
				t.Errorf("packet %d: %x", i, p.wire)
			}
			used[p.identifier()] = true
		}
		// An answer to the first is as good as one to the last.
		all[0].answer(t, "secret of only", radius.CodeAccountingResponse, false)
		time.Sleep(time.Hour)
		if n := len(r.net.packets("")); n != 3 || r.Counts()["radius_accounting_delivered"] != 1 {
			t.Errorf("%d packets, %v", n, r.Counts())
		}
		if s := r.server("only", true); s.Pending != 0 || s.Responses != 1 {
			t.Errorf("%+v", s.Counters)
		}
	})
}

// While no server is alive records stay, over a restart too; then they come in
// order, and say how late they are.
func TestKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "first", "second")
		dir := t.TempDir()
		r.revive(dir)
		r.On(r.group)
		r.Account(r.group, record(start, "a", 0))
		r.Account(r.group, record(stop, "a", 5))
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "4 accounting records") {
			t.Errorf("closed: %v", err)
		}
		time.Sleep(time.Hour)
		r.answerAll()
		r.revive(dir)
		r.wantSaid(said{kind: on}, said{kind: start, id: "a"}, said{kind: stop, id: "a", octets: 5}, said{kind: off})
		for _, p := range r.net.packets("") {
			want := uint32(3661)
			s := saidBy(t, p)
			if s.kind == off {
				want = 3601
			}
			if p.server != "first" || s.delay != want {
				t.Errorf("%s was told of a delay of %d s, want %d", p.server, s.delay, want)
			}
		}
		r.revive(dir)
		r.wantSaid()
	})
}

// RFC 2866 section 5.10: "NAS Reboot: The NAS ended the session in order to reboot
// non-administratively ("crash")."
func TestRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		r.answerAll()
		r.On(r.group)
		r.Account(r.group, record(start, "closed", 0))
		r.Account(r.group, record(start, "begun", 0))
		r.Account(r.group, record(start, "counted", 0))
		r.Account(r.group, record(subscriber.RecordTunnelStart, "counted", 0))
		r.Account(r.group, record(interim, "counted", 77))
		r.Account(r.group, record(stop, "closed", 1))
		time.Sleep(time.Minute)
		r.silence()
		r.Account(r.group, record(interim, "counted", 99)) // that no server has
		dir := r.snapshot()
		if n := r.Counts()["radius_accounting_open_sessions"]; n != 3 {
			t.Errorf("%d sessions are open, want 3", n)
		}
		time.Sleep(time.Hour)
		r.revive(dir)
		r.answerAll()
		r.On(r.group)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		got := r.said()
		want := []said{
			{kind: stop, id: "begun", cause: 11}, {kind: interim, id: "counted", octets: 99}, {kind: stop, id: "counted", octets: 99, cause: 11},
			{kind: subscriber.RecordTunnelStop, id: "counted", cause: 11},
		}
		for _, w := range want {
			if !slices.Contains(got, w) {
				t.Errorf("%+v is missing", w)
			}
		}
		if len(got) != len(want)+1 || got[len(got)-1] != (said{kind: on}) || r.Counts()["radius_accounting_recovered"] != 3 {
			t.Errorf("the server was told %+v", got)
		}
		if slices.Index(got, want[1]) > slices.Index(got, want[2]) {
			t.Error("the Stop came before the Interim")
		}
		// They are as old as what is known of them.
		for _, p := range r.net.packets("") {
			if s := saidBy(t, p); s.id == "begun" && (s.delay < 3660 || s.delay > 3664) {
				t.Errorf("the delay is %d s", s.delay)
			}
		}
		r.revive(r.snapshot())
		r.wantSaid()
	})
}

// A server that never answers Accounting-On holds up nobody for good, and is not
// told of it when sessions have begun since.
func TestOnUnanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		r.net.on = func(p packetIn) {
			if saidBy(t, p).kind != on {
				p.answer(t, "secret of only", radius.CodeAccountingResponse, false)
			}
		}
		r.On(r.group)
		r.Account(r.group, record(start, "a", 0))
		time.Sleep(time.Hour)
		r.Account(r.group, record(stop, "a", 1))
		time.Sleep(time.Second)
		r.wantSaid(said{kind: on}, said{kind: start, id: "a"}, said{kind: stop, id: "a", octets: 1})
		sent := len(r.net.packets(""))
		time.Sleep(24 * time.Hour)
		if n := len(r.net.packets("")); n != sent || r.Counts()["radius_accounting_dropped_records"] != 1 || r.Counts()["radius_accounting_backlog"] != 0 {
			t.Errorf("%d packets more, %v", n-sent, r.Counts())
		}
	})
}

// A record that servers do not answer holds up those of its session only, and is
// tried less and less often.
func TestUnanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		r.net.on = func(p packetIn) {
			if saidBy(t, p).id != "poison" {
				p.answer(t, "secret of only", radius.CodeAccountingResponse, false)
			}
		}
		r.Account(r.group, record(start, "poison", 0))
		r.Account(r.group, record(stop, "poison", 1))
		const others = 100
		for i := range others {
			r.Account(r.group, record(start, fmt.Sprint("good ", i), 0))
			time.Sleep(time.Second)
		}
		time.Sleep(time.Second)
		if n := r.Counts()["radius_accounting_delivered"]; n != others {
			t.Errorf("%d others were delivered, want %d", n, others)
		}
		before := len(r.net.packets(""))
		time.Sleep(time.Hour)
		if n := len(r.net.packets("")) - before; n < 30 || n > 3*(12+3) {
			t.Errorf("%d packets in an hour for what is not answered", n)
		}
		r.answerAll()
		time.Sleep(10 * time.Minute)
		if c := r.Counts(); c["radius_accounting_backlog"] != 0 || c["radius_accounting_open_sessions"] != others {
			t.Errorf("%v", c)
		}
	})
}

// The records under way are bounded.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		r.wide(2 * window)
		for i := range 3 * window {
			r.Account(r.group, record(start, fmt.Sprint(i), 0))
		}
		synctest.Wait()
		if n := len(r.net.packets("")); n != window {
			t.Errorf("%d packets at once, want %d", n, window)
		}
		r.answerAll()
		time.Sleep(4 * time.Second)
		if n := r.Counts()["radius_accounting_delivered"]; n != 3*window {
			t.Errorf("%d delivered", n)
		}
	})
}

// Without room interim records go first; of the others none goes without a line
// and a counter.
func TestFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		_ = kill(r.Client)
		dir := t.TempDir()
		const limit = 1 << 18
		r.start(dir, limit)
		accepted := map[subscriber.RecordKind]int{}
		last := r.Counts()
		for i := range 4000 {
			kind := start
			if i%2 == 1 {
				kind = interim
			}
			r.Account(r.group, record(kind, fmt.Sprint("session ", i), uint64(i)))
			synctest.Wait()
			c := r.Counts()
			if c["radius_accounting_records"] > last["radius_accounting_records"] {
				accepted[kind]++
				if kind == start && c["radius_accounting_dropped_records"] > 0 || kind == interim && c["radius_accounting_dropped_interims"] > 0 {
					t.Fatalf("record %d was taken after others were dropped", i)
				}
			}
			last = c
		}
		if accepted[start] < accepted[interim]+50 || accepted[interim] == 0 {
			t.Errorf("taken: %v", accepted)
		}
		if n := last["radius_accounting_dropped_records"]; n != uint64(2000-accepted[start]) {
			t.Errorf("%d are counted as dropped, %d were taken", n, accepted[start])
		}
		if size := diskSize(t, dir); size > limit {
			t.Errorf("%d octets on disk", size)
		}
		if !strings.Contains(strings.Join(r.lines.all(), ""), "files are full") {
			t.Error("nothing was said")
		}
		r.answerAll()
		time.Sleep(10 * time.Minute)
		if c := r.Counts(); c["radius_accounting_backlog"] != 0 || c["radius_accounting_delivered"] != c["radius_accounting_records"] {
			t.Errorf("%v", c)
		}
	})
}

// With little room, an interim record that waits goes for a newer one of its
// session.
func TestSuperseded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		_ = kill(r.Client)
		r.start(t.TempDir(), 1<<18)
		for i := range 800 {
			r.Account(r.group, record(start, fmt.Sprint("other ", i), 0))
		}
		r.Account(r.group, record(start, "one", 0))
		for i := range 500 {
			r.Account(r.group, record(interim, "one", uint64(i)))
		}
		synctest.Wait()
		if c := r.Counts(); c["radius_accounting_superseded_interims"] == 0 {
			t.Fatalf("%v", c)
		}
		r.Account(r.group, record(stop, "one", 5000))
		r.answerAll()
		time.Sleep(10 * time.Minute)
		got := r.said()
		if last := got[len(got)-1]; !slices.Contains(got, said{kind: stop, id: "one", octets: 5000}) || r.Counts()["radius_accounting_backlog"] != 0 {
			t.Errorf("%+v, %v", last, r.Counts())
		}
	})
}

func diskSize(t *testing.T, dir string) (size int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
		size += info.Size()
	}
	return size
}

// What passes does not stay on disk, and what is open does, wherever in the files
// it is.
func TestCleaning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		_ = kill(r.Client)
		const limit = 1 << 20
		r.start(t.TempDir(), limit)
		r.answerAll()
		r.Account(r.group, record(start, "open", 0))
		for i := range 10000 {
			id := fmt.Sprint("session ", i)
			r.Account(r.group, record(start, id, 0))
			r.Account(r.group, record(stop, id, 1))
			if i%100 == 0 {
				r.Account(r.group, record(start, "open "+id, 0))
				synctest.Wait()
				r.net.mu.Lock()
				r.net.all = nil
				r.net.mu.Unlock()
			}
		}
		synctest.Wait()
		if size := diskSize(t, r.books.store.dir); size > limit*3/8 {
			t.Errorf("%d octets on disk", size)
		}
		r.revive(r.snapshot())
		r.answerAll()
		time.Sleep(3 * time.Second)
		if c := r.Counts(); c["radius_accounting_recovered"] != 101 || c["radius_accounting_delivered"] != 101 {
			t.Errorf("%v", c)
		}
	})
}

// A disk that fails costs a line; the records are delivered.
func TestDiskFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		synctest.Wait()
		r.books.store.current().file.Close()
		r.Account(r.group, record(start, "a", 0))
		r.Account(r.group, record(stop, "a", 1))
		synctest.Wait()
		if n := r.Counts()["radius_accounting_write_errors"]; n == 0 || !strings.Contains(strings.Join(r.lines.all(), ""), "cannot be written to disk") {
			t.Errorf("%d errors, %q", n, r.lines.all())
		}
		r.answerAll()
		time.Sleep(4 * time.Second)
		if c := r.Counts(); c["radius_accounting_delivered"] != 2 || len(r.books.store.unsaved) != 0 {
			t.Errorf("%v, %d in memory", c, len(r.books.store.unsaved))
		}
	})
}

// Two daemons do not share a folder.
func TestLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		if _, err := New(r.cfg, Options{Dir: r.books.store.dir, Encode: encodeForTest}); err == nil || !strings.Contains(err.Error(), "another daemon") {
			t.Error(err)
		}
		if _, err := New(r.cfg, Options{Dir: filepath.Join(r.books.store.dir, "lock"), Encode: encodeForTest}); err == nil {
			t.Error("a file is no folder")
		}
	})
}

// Random sessions, servers that come and go, and kill -9 at random times: every
// session's Start and Stop arrive, in their order, and after it all nothing is
// left.
func TestCrashes(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) { crashes(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func crashes(t *testing.T, random *rand.Rand) {
	r := newRig(t, "first", "second")
	var mu sync.Mutex // of up and theirs
	up := map[string]bool{}
	theirs := rand.New(rand.NewPCG(random.Uint64(), 2))
	type history struct{ started, stopped bool }
	arrived := map[string]*history{}
	answering := func(p packetIn) {
		s := saidBy(t, p)
		mu.Lock()
		defer mu.Unlock()
		if !up[p.server] || theirs.IntN(5) == 0 {
			return
		}
		if s.id != "" {
			h := arrived[s.id]
			if h == nil {
				h = &history{}
				arrived[s.id] = h
			}
			switch s.kind {
			case start:
				h.started = true
			case stop:
				if !h.started {
					t.Errorf("%s: Stop before Start", s.id)
				}
				h.stopped = true
			default:
				if !h.started {
					t.Errorf("%s: Interim before Start", s.id)
				}
			}
		}
		p.answer(t, "secret of "+p.server, radius.CodeAccountingResponse, false)
	}
	// A later Start of a session that has ended is a copy; servers know it.
	r.net.on = answering
	var open []string
	all := map[string]bool{}
	for i := range 200 {
		switch random.IntN(8) {
		case 0, 1:
			id := fmt.Sprint(i)
			open, all[id] = append(open, id), true
			r.Account(r.group, record(start, id, 0))
		case 2:
			for _, id := range open {
				r.Account(r.group, record(interim, id, uint64(i)))
			}
		case 3:
			if len(open) > 0 {
				n := random.IntN(len(open))
				r.Account(r.group, record(stop, open[n], uint64(i)))
				open = slices.Delete(open, n, n+1)
			}
		case 4:
			mu.Lock()
			up["first"], up["second"] = random.IntN(2) == 0, random.IntN(2) == 0
			mu.Unlock()
		case 5:
			if random.IntN(4) == 0 {
				dir := r.snapshot()
				open = nil
				r.revive(dir)
				r.On(r.group)
			}
		default:
			time.Sleep(time.Duration(random.IntN(60000)) * time.Millisecond)
		}
	}
	dir := r.snapshot()
	mu.Lock()
	up["first"], up["second"] = true, true
	mu.Unlock()
	r.revive(dir)
	time.Sleep(time.Hour)
	synctest.Wait()
	for id := range all {
		if h := arrived[id]; h == nil || !h.started || !h.stopped {
			t.Errorf("session %s arrived as %+v", id, h)
		}
	}
	if c := r.Counts(); c["radius_accounting_backlog"] != 0 || c["radius_accounting_open_sessions"] != 0 || r.books.store.live != 0 {
		t.Errorf("left: %v, %d octets", c, r.books.store.live)
	}
	for _, s := range r.Servers() {
		if s.Pending != 0 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
	}
}
