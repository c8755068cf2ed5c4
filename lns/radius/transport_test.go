package radius

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
)

// RFC 2865 section 2.5: "If the NAS is retransmitting a RADIUS request to the same
// server as before, and the attributes haven't changed, you MUST use the same
// Request Authenticator, ID, and source port."
func TestRetransmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "first", "second")
		start := time.Now()
		got := r.ask("alice")
		o := <-got
		if !errors.Is(o.err, ErrNoAnswer) || o.Reply != nil || o.at.Sub(start) != 18*time.Second {
			t.Fatalf("%v after %v, want ErrNoAnswer after 18 s", o.err, o.at.Sub(start))
		}
		all := r.net.packets("")
		if len(all) != 6 {
			t.Fatalf("%d packets, want 6", len(all))
		}
		for i, p := range all {
			server := "first"
			if i >= 3 {
				server = "second"
			}
			if p.server != server || p.at.Sub(start) != time.Duration(i)*3*time.Second {
				t.Errorf("packet %d to %s after %v", i, p.server, p.at.Sub(start))
			}
			if same := bytes.Equal(p.wire, all[i/3*3].wire) && p.conn == all[i/3*3].conn; !same {
				t.Errorf("packet %d is not the same as the first to its server", i)
			}
		}
		if bytes.Equal(all[0].wire[4:20], all[3].wire[4:20]) {
			t.Error("the second server got the first's Request Authenticator, under another secret")
		}
		first := r.server("first", false)
		if first.Alive || first.Timeouts != 1 || first.Requests != 1 || first.Retransmissions != 2 || first.Deaths != 1 || first.Pending != 0 {
			t.Errorf("%+v", first)
		}
		if want := start.Add(9 * time.Second).Add(time.Minute); !first.DeadUntil.Equal(want) {
			t.Errorf("dead until %v, want %v", first.DeadUntil, want)
		}
		if len(got) != 0 {
			t.Error("a second outcome")
		}
	})
}

// After its dead time a server is asked by one request; the others do not wait
// for what comes of it.
func TestDeadTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "first", "second")
		answering := map[string]bool{"second": true}
		r.net.on = func(p packetIn) {
			if answering[p.server] {
				p.answer(t, "secret of "+p.server, radius.CodeAccessAccept, true)
			}
		}
		one, other := r.ask("alice"), r.ask("bob")
		for _, c := range []<-chan outcome{one, other} {
			if o := <-c; o.err != nil || o.Server.Name != "second" {
				t.Fatalf("%+v", o)
			}
		}
		sent := len(r.net.packets("first"))
		if o := <-r.ask("carol"); o.err != nil || o.Server.Name != "second" || len(r.net.packets("first")) != sent {
			t.Fatal("a dead server was asked")
		}
		time.Sleep(time.Minute)
		// One probes, once, for there is another server; the other does not wait.
		start := time.Now()
		one, other = r.ask("alice"), r.ask("bob")
		if o := <-other; o.err != nil || o.Server.Name != "second" || o.at != start {
			t.Fatalf("%+v", o)
		}
		if o := <-one; o.err != nil || o.Server.Name != "second" || o.at.Sub(start) != 3*time.Second {
			t.Fatalf("%+v after %v", o, o.at.Sub(start))
		}
		if n := len(r.net.packets("first")) - sent; n != 1 {
			t.Errorf("%d packets probed, want 1", n)
		}
		answering["first"] = true
		time.Sleep(59 * time.Second)
		if o := <-r.ask("alice"); o.Server.Name != "second" {
			t.Error("the dead time did not begin anew")
		}
		time.Sleep(time.Second)
		if o := <-r.ask("alice"); o.err != nil || o.Server.Name != "first" || !r.server("first", false).Alive {
			t.Errorf("%+v", o)
		}
	})
}

// Where no server is alive they are asked all the same, as many requests at a time
// as they may have; nobody else waits.
func TestNoServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		r.cfg.Servers["only"].MaxPending = 2
		<-r.ask("alice")
		start := time.Now()
		insisting := []<-chan outcome{r.ask("bob"), r.ask("carol")}
		o := <-r.ask("dave")
		if !errors.Is(o.err, ErrNoServer) || o.at != start {
			t.Errorf("%v after %v", o.err, o.at.Sub(start))
		}
		var dead noServer
		if !errors.As(o.err, &dead) || dead.retryAt.Sub(start) != time.Minute {
			t.Errorf("to be tried again at %v", dead.retryAt)
		}
		for _, c := range insisting {
			if o = <-c; !errors.Is(o.err, ErrNoAnswer) || o.at.Sub(start) != 9*time.Second {
				t.Errorf("%v after %v", o.err, o.at.Sub(start))
			}
		}
		if s := r.server("only", false); s.Pending != 0 || s.Waiting != 0 || s.Deaths != 1 || s.DeadUntil.Sub(start) != time.Minute {
			t.Errorf("%+v", s)
		}
		r.group.Servers = nil
		if o = <-r.ask("bob"); !errors.Is(o.err, ErrNoServer) {
			t.Errorf("a group of none: %v", o.err)
		}
	})
}

// An answer that lies, or is to nothing, or is no packet, costs a counter and
// does not end the request, also not by thousands.
func TestGarbage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		got := r.ask("alice")
		synctest.Wait()
		p := r.net.packets("")[0]
		good := answerTo(t, p.wire, "secret of only", radius.CodeAccessAccept, true)
		other := bytes.Clone(good)
		other[1]++
		flood := map[string][]byte{
			"wrong secret": answerTo(t, p.wire, "another secret", radius.CodeAccessAccept, true),
			"unsigned":     answerTo(t, p.wire, "secret of only", radius.CodeAccessAccept, false),
			"other number": other,
			"short":        good[:19],
			"cut":          good[:len(good)-1],
			"accounting":   answerTo(t, p.wire, "secret of only", radius.CodeAccountingResponse, false),
			"empty":        {},
		}
		const times = 1000
		for _, wire := range flood {
			for range times {
				p.conn.deliver(wire)
			}
			synctest.Wait()
		}
		if len(got) != 0 {
			t.Fatal("garbage ended the request")
		}
		s := r.server("only", false)
		if s.BadAuthenticators != times || s.Unsigned != times || s.Unexpected != times || s.Malformed != 4*times {
			t.Errorf("%+v", s.Counters)
		}
		if n := len(r.lines.all()); n == 0 || n > 60 {
			t.Errorf("%d lines in the log", n)
		}
		p.conn.deliver(append(bytes.Clone(good), "padding"...))
		if o := <-got; o.err != nil || o.Packet.Code != radius.CodeAccessAccept || string(o.Packet.Secret) != "secret of only" ||
			!bytes.Equal(o.Request[:], p.wire[4:20]) {
			t.Errorf("%+v", o)
		}
		p.conn.deliver(good)
		synctest.Wait()
		if s = r.server("only", false); s.Unexpected != times+1 || s.Accepts != 1 || len(got) != 0 {
			t.Errorf("the same answer once more: %+v", s.Counters)
		}
	})
}

// RFC 3579 section 3.2: "It MUST be used in any Access-Request, Access-Accept,
// Access-Reject or Access-Challenge that includes an EAP-Message attribute."
func TestMessageAuthenticatorOfAnswers(t *testing.T) {
	eap := &radius.AVP{Type: rfc2869.EAPMessage_Type, Attribute: []byte{3, 1, 0, 4}}
	text := &radius.AVP{Type: rfc2865.ReplyMessage_Type, Attribute: []byte("hello")}
	signature := &radius.AVP{Type: rfc2869.MessageAuthenticator_Type, Attribute: make([]byte, 16)}
	for _, c := range []struct {
		name             string
		required, signed bool
		with             *radius.AVP
		taken            bool
	}{
		{"signed", true, true, text, true},
		{"unsigned", true, false, text, false},
		{"unsigned, as the configuration allows", false, false, text, true},
		{"unsigned with EAP", false, false, eap, false},
		{"signed with EAP", false, true, eap, true},
		{"wrong signature", false, false, signature, false},
		{"two signatures", false, true, signature, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, "only")
				r.cfg.Servers["only"].RequireMessageAuthenticator = c.required
				r.net.on = func(p packetIn) {
					p.answer(t, "secret of only", radius.CodeAccessReject, c.signed, c.with)
				}
				if o := <-r.ask("alice"); (o.err == nil) != c.taken {
					t.Errorf("%v", o.err)
				}
			})
		})
	}
}

// More than 256 at one time take more source ports; more than max_pending wait.
func TestIdentifiers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		r.cfg.Servers["only"].MaxPending = 1000
		r.wide(2000)
		var all []<-chan outcome
		for i := range 1100 {
			all = append(all, r.ask(fmt.Sprint("user ", i)))
		}
		synctest.Wait()
		packets := r.net.packets("")
		if s := r.server("only", false); len(packets) != 1000 || s.Pending != 1000 || s.Waiting != 100 {
			t.Fatalf("%d packets, %+v", len(packets), s.Counters)
		}
		if n := len(r.net.conns); n != 4 {
			t.Errorf("%d sockets for 1000 requests", n)
		}
		type port struct {
			conn       *memoryConn
			identifier byte
		}
		used := map[port]bool{}
		for _, p := range packets {
			at := port{p.conn, p.identifier()}
			if used[at] {
				t.Fatalf("identifier %d twice", p.identifier())
			}
			used[at] = true
		}
		r.answerAll()
		for _, p := range packets {
			p.answer(t, "secret of only", radius.CodeAccessReject, true)
		}
		for i, c := range all {
			if o := <-c; o.err != nil || o.at != packets[0].at {
				t.Fatalf("request %d: %v", i, o.err)
			}
		}
		if s := r.server("only", false); s.Pending != 0 || s.Waiting != 0 || s.Rejects != 1000 || s.Accepts != 100 {
			t.Errorf("%+v", s.Counters)
		}
	})
}

// What waits too long, or is one too many, ends; and nothing is left of it.
func TestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		r.cfg.Servers["only"].MaxPending = 1
		start := time.Now()
		first := r.ask("first")
		var all []<-chan outcome
		for range maxWaiting + 10 {
			all = append(all, r.ask("another"))
		}
		busy, late := 0, 0
		for _, c := range all {
			switch o := <-c; {
			case errors.Is(o.err, ErrBusy) && o.at == start:
				busy++
			case o.at.Sub(start) == 9*time.Second:
				late++
			default:
				t.Fatalf("%v after %v", o.err, o.at.Sub(start))
			}
		}
		if busy != 10 || late != maxWaiting {
			t.Errorf("%d were too many, %d waited in vain", busy, late)
		}
		if o := <-first; !errors.Is(o.err, ErrNoAnswer) {
			t.Error(o.err)
		}
		if s := r.server("only", false); s.Pending != 0 || s.Waiting != 0 || r.transport.deadlines.Len() != 0 {
			t.Errorf("%+v", s.Counters)
		}
	})
}

// An ICMP error sends requests to the next server at once. Where there is none
// they go on: a server that is started anew is away for a moment.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "first", "second")
		r.net.on = func(p packetIn) {
			if p.server == "first" {
				p.conn.deliver(syscall.ECONNREFUSED)
			} else {
				p.answer(t, "secret of second", radius.CodeAccessAccept, true)
			}
		}
		start := time.Now()
		if o := <-r.ask("alice"); o.err != nil || o.Server.Name != "second" || o.at != start {
			t.Errorf("%+v after %v", o, o.at.Sub(start))
		}
		if s := r.server("first", false); s.Alive || s.Refusals != 1 {
			t.Errorf("%+v", s)
		}

		r.group.Servers = r.group.Servers[:1]
		time.Sleep(time.Minute)
		start = time.Now()
		got := r.ask("bob")
		time.Sleep(4 * time.Second)
		r.answerAll()
		if o := <-got; o.err != nil || o.at.Sub(start) != 6*time.Second {
			t.Errorf("%v after %v", o.err, o.at.Sub(start))
		}
	})
}

// A socket that gives nothing but errors is replaced by another.
func TestBrokenSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		got := r.ask("alice")
		synctest.Wait()
		for range maxReadErrors {
			r.net.packets("")[0].conn.deliver(syscall.ENOBUFS)
		}
		synctest.Wait()
		r.answerAll()
		if o := <-got; o.err != nil || len(r.net.conns) != 2 {
			t.Errorf("%v, %d sockets", o.err, len(r.net.conns))
		}
	})
}

// RFC 2865 section 5.24: State "MUST be sent unmodified from the client to the
// server in any subsequent Access-Request" - to the one that knows it.
func TestSticky(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "first", "second")
		r.answerAll()
		build := func(*radius.Packet) error { return nil }
		if o := <-r.askFor(Request{Group: r.group, Server: r.cfg.Servers["second"], Build: build}); o.err != nil || o.Server.Name != "second" {
			t.Errorf("%+v", o)
		}
		r.silence()
		if o := <-r.askFor(Request{Group: r.group, Server: r.cfg.Servers["second"], Build: build}); !errors.Is(o.err, ErrNoAnswer) {
			t.Errorf("%+v", o)
		}
		if n := len(r.net.packets("first")); n != 0 {
			t.Errorf("%d packets to a server that does not know the State", n)
		}
	})
}

var errBuild = errors.New("no such password")

// A request that cannot be built ends, and those that wait behind it go on.
func TestBuildFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		for range 300 {
			if o := <-r.askFor(Request{Group: r.group, Build: func(*radius.Packet) error { return errBuild }}); !errors.Is(o.err, errBuild) {
				t.Fatal(o.err)
			}
		}
		long := func(p *radius.Packet) error {
			for range 20 {
				p.Add(rfc2865.ReplyMessage_Type, make([]byte, 253))
			}
			return nil
		}
		if o := <-r.askFor(Request{Group: r.group, Build: long}); o.err == nil || !strings.Contains(o.err.Error(), "too large") {
			t.Error(o.err)
		}
		if s := r.server("only", false); s.Pending != 0 || len(r.net.packets("")) != 0 {
			t.Errorf("%+v", s.Counters)
		}
	})
}

// The configuration that stands in for another: its servers are asked under
// their own secrets, and those of the old one are forgotten.
func TestReplace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "old")
		pending := r.ask("alice")
		synctest.Wait()
		cfg, group := testConfig("new")
		r.Replace(cfg)
		r.group = group
		r.answerAll()
		if o := <-r.ask("bob"); o.err != nil || o.Server.Name != "new" {
			t.Errorf("%+v", o)
		}
		if o := <-pending; o.err != nil || o.Server.Name != "old" {
			t.Errorf("what was under way: %+v", o)
		}
		synctest.Wait()
		if list := r.Servers(); len(list) != 1 || list[0].Name != "new" {
			t.Errorf("%+v", list)
		}
	})
}

// What is under way when the Client is closed ends, and so does what comes after.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		got := r.ask("alice")
		synctest.Wait()
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
		for _, c := range []<-chan outcome{got, r.ask("bob")} {
			if o := <-c; !errors.Is(o.err, ErrClosed) {
				t.Error(o.err)
			}
		}
		r.Account(r.group, record(1, "late", 0))
		if n := r.Counts()["radius_accounting_dropped_records"]; n != 1 {
			t.Errorf("%d records are counted as dropped", n)
		}
	})
}
