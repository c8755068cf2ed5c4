package radius

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
)

// A server that leaves one name without an answer, as a proxy does whose home
// server is down, is asked about all others: one caller keeps nobody out.
func TestSilentAboutOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "first", "second")
		r.net.on = func(p packetIn) {
			secret := "secret of " + p.server
			if rfc2865.UserName_GetString(p.parsed(t, secret)) != "mallory@nowhere" && p.server == "second" {
				p.answer(t, secret, radius.CodeAccessAccept, true)
			}
		}
		if o := <-r.ask("alice"); o.err != nil {
			t.Fatal(o.err)
		}
		time.Sleep(time.Hour) // at night nobody else asks
		for range 5 {
			if o := <-r.ask("mallory@nowhere"); o.Reply != nil {
				t.Fatalf("%+v", o)
			}
			// Again at once, so that whatever probes is his.
			again := r.ask("mallory@nowhere")
			began := time.Now()
			o := <-r.ask("alice")
			if o.err != nil || o.Server.Name != "second" {
				t.Fatalf("alice is kept out: %v after %v", o.err, o.at.Sub(began))
			}
			if late := o.at.Sub(began); late > 9*time.Second {
				t.Errorf("alice waited for %v", late)
			}
			<-again
			time.Sleep(30 * time.Second)
		}
	})
}

// An answer that comes after its request was given up, and after its identifier
// had another, is late and no more: nobody is sent to look for a wrong secret.
func TestLateAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		r.cfg.Servers["only"].Retries = 0
		for range 2 * identifiers {
			<-r.ask("alice")
		}
		all := r.net.packets("only")
		if len(all) != 2*identifiers {
			t.Fatalf("%d packets", len(all))
		}
		got := r.ask("bob")
		synctest.Wait()
		now := r.net.packets("only")[2*identifiers]
		answered := 0
		for _, p := range all {
			if p.identifier() == now.identifier() && p.at.Equal(all[identifiers].at) {
				answered++
			}
		}
		if answered != 1 {
			t.Fatalf("the identifier of now was that of %d others", answered)
		}
		for _, p := range all[identifiers:] {
			p.answer(t, "secret of only", radius.CodeAccessAccept, true)
		}
		synctest.Wait()
		if s := r.server("only", false); s.Unexpected != identifiers || s.BadAuthenticators != 0 {
			t.Errorf("%+v", s.Counters)
		}
		if strings.Contains(strings.Join(r.lines.all(), ""), "its authenticator is wrong") {
			t.Errorf("%q", r.lines.all())
		}
		select {
		case o := <-got:
			t.Fatalf("an answer to another was taken: %+v", o)
		default:
		}
		now.answer(t, "secret of only", radius.CodeAccessAccept, true)
		if o := <-got; o.err != nil {
			t.Error(o.err)
		}
		// A lie with the same identifier is one all the same.
		r.ask("carol")
		synctest.Wait()
		packets := r.net.packets("only")
		packets[len(packets)-1].answer(t, "another secret", radius.CodeAccessAccept, true)
		synctest.Wait()
		if s := r.server("only", false); s.BadAuthenticators != 1 {
			t.Errorf("%+v", s.Counters)
		}
	})
}

// stepped is the same moment on a clock that was put by d meanwhile: the wall
// clock of a time differs, and its monotonic reading does not.
func stepped(at time.Time, d time.Duration) time.Time {
	const secondsAt = 30 // of the wall word, package time
	*(*uint64)(unsafe.Pointer(&at)) += uint64(int64(d/time.Second) << secondsAt)
	return at
}

// A clock that is put back, by years as at a boot without a battery, gives no
// server up for longer, and has no accounting record wait for longer.
func TestClockPutBack(t *testing.T) {
	begin := time.Now()
	const years = 5 * 365 * 24 * time.Hour
	if back := stepped(begin, -years); back.Year() == begin.Year() || back.Sub(begin) != 0 {
		t.Fatalf("the clock cannot be put back here: %v", back)
	}
	cfg, _ := testConfig("only")
	p := &peer{server: cfg.Servers["only"], pending: make(map[*request]struct{})}
	tr := newTransport(nil, quiet())
	tr.die(p, begin)
	if p.available(stepped(begin.Add(59*time.Second), -years)) {
		t.Error("it is asked before its time")
	}
	at := stepped(begin.Add(time.Minute), -years)
	if !p.available(at) {
		t.Error("it is not asked after its time")
	}
	a := newAccount("group")
	a.pause(p.retryAt(begin), begin)
	if at.Before(a.pausedUntil) {
		t.Error("accounting records wait for the clock")
	}
}
