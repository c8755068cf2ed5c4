package aaa

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3162"
	"layeh.com/radius/rfc6911"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/lns/dhcp"
	"adit/lns/subscriber"
	"adit/proto/ppp"
	"adit/proto/tunnel"
)

// bubble runs a test of a rig in a bubble, and looks that nothing is left.
func bubble(t *testing.T, change func(*config.Config, *config.Profile), test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, change)
		test(t, r)
		r.layer.ask(t.Context(), func() {
			for _, s := range r.layer.sessions {
				go s.Ended(tunnel.Cause{}, nil)
			}
		})
		synctest.Wait()
		r.nothingLeft()
	})
}

// byRADIUS has a profile's peers judged by this server.
func byRADIUS(_ *config.Config, p *config.Profile) { p.AAA.Sources = []string{"isp"} }

// A peer that does not wait for its refusal, and has LCP begin anew, cannot try more
// passwords than one that waits.
func TestFailureDelayCannotBeEvaded(t *testing.T) {
	bubble(t, func(_ *config.Config, p *config.Profile) { p.AAA.FailureDelay = time.Second }, func(t *testing.T, r *rig) {
		s, _ := r.call("")
		began := time.Now()
		for range 10 {
			s.Authenticate(ppp.AuthRequest{Method: ppp.MethodPAP, Name: "bob", Password: []byte("guess")}, func(ppp.Verdict) { t.Error("a verdict on what was given up") })
			time.Sleep(time.Millisecond)
		}
		if n := r.layer.Counts()["auth_wrong_password"]; n != 1 {
			t.Errorf("%d passwords were judged at once", n)
		}
		if v := r.login(s, "bob", "right"); !v.Accept || time.Since(began) != time.Second {
			t.Errorf("the right one: %+v after %v", v, time.Since(began))
		}
	})
}

// holdLease has leases that come when the test says so.
func (r *rig) holdLease() (give func(a netip.Addr), l *heldLease) {
	l = &heldLease{}
	r.profile.Pool, r.profile.AAA.DHCP = nil, &config.DHCP{Name: "d"}
	r.layer.acquire = func(_ *config.DHCP, _ dhcp.Request, e dhcp.Events) lease {
		l.events = e
		return l
	}
	return func(a netip.Addr) { l.events.Acquired(dhcp.Lease{Address: a}, nil) }, l
}

type heldLease struct {
	events             dhcp.Events
	released, declined int
}

func (l *heldLease) Release() { l.released++ }
func (l *heldLease) Decline() { l.declined++ }

// What a network of before says while a peer is still being let in comes to
// nothing: there is nobody whose accounting could begin.
func TestNetworkWhileAddressing(t *testing.T) {
	bubble(t, nil, func(t *testing.T, r *rig) {
		_, l := r.holdLease()
		s, _ := r.call("")
		s.Authenticate(ppp.AuthRequest{Method: ppp.MethodPAP, Name: "bob", Password: []byte("right")}, func(ppp.Verdict) {})
		r.up(s, ppp.Verdict{})
		s.Authenticate(ppp.AuthRequest{Method: ppp.MethodPAP, Name: "bob"}, func(ppp.Verdict) {})
		s.NetworkDown(ppp.IPv4)
		s.Ended(tunnel.Cause{}, nil)
		r.settle()
		l.events.Acquired(dhcp.Lease{}, dhcp.ErrReleased)
		r.settle()
		if len(r.radius.records) != 0 || l.released != 1 {
			t.Errorf("%v; %d times released", r.radius.kinds(), l.released)
		}
	})
}

// An address of a DHCP server that is another session's is declined, and not
// released too.
func TestLeaseOfAnother(t *testing.T) {
	bubble(t, nil, func(t *testing.T, r *rig) {
		first, _ := r.call("")
		r.login(first, "alice", "right") // has 10.9.9.9
		give, l := r.holdLease()
		s, _ := r.call("")
		told := make(chan ppp.Verdict, 1)
		s.Authenticate(ppp.AuthRequest{Method: ppp.MethodPAP, Name: "bob", Password: []byte("right")}, func(v ppp.Verdict) { told <- v })
		r.settle()
		give(addr("10.9.9.9"))
		if v := <-told; v.Accept || l.declined != 1 || l.released != 0 || r.layer.Counts()["address_conflict"] != 1 {
			t.Errorf("%+v, %+v", v, l)
		}
	})
}

// A peer that changes its mind before it has a network is another user's, with that
// user's address; afterwards the session stays whose it was.
func TestAnotherUserBeforeTheNetwork(t *testing.T) {
	bubble(t, nil, func(t *testing.T, r *rig) {
		s, _ := r.call("")
		r.login(s, "alice", "right")
		v := r.login(s, "bob", "right")
		if !v.Accept || v.User != "bob" || v.Grant.Peer == addr("10.9.9.9") || len(v.Grant.Routes) != 2 {
			t.Errorf("%+v", v)
		}
		r.up(s, v)
		if w := r.login(s, "alice", "right"); w.Accept {
			t.Errorf("with a network: %+v", w)
		}
		if got := r.radius.last().Session; got.User != "bob" || got.Addresses.IPv4 != v.Grant.Peer {
			t.Errorf("recorded: %+v", got)
		}
	})
}

// A session that asks again and again for the place of one that hangs is in its
// queue once.
func TestWaitingOnce(t *testing.T) {
	bubble(t, func(_ *config.Config, p *config.Profile) {
		p.AAA.SecondLogin, p.AAA.MaxSessions = config.SecondLoginReplace, 1
	}, func(t *testing.T, r *rig) {
		first, call := r.call("1")
		call.hangs = true
		r.login(first, "bob", "right")
		second, _ := r.call("2")
		for range 100 {
			second.Authenticate(ppp.AuthRequest{Method: ppp.MethodPAP, Name: "bob", Password: []byte("right")}, func(ppp.Verdict) {})
		}
		r.layer.ask(t.Context(), func() {
			if n := first.waiting.Len(); n != 1 || r.layer.Counts()["auth_replaced"] != 1 {
				t.Errorf("%d in the queue, %v", n, r.layer.Counts())
			}
		})
		second.Ended(tunnel.Cause{}, nil)
		r.layer.ask(t.Context(), func() {
			if n := first.waiting.Len(); n != 0 {
				t.Errorf("%d in the queue after the end", n)
			}
		})
	})
}

// A fixed prefix is had once, as a fixed address is: second_login decides.
func TestSecondLoginByPrefix(t *testing.T) {
	bubble(t, func(c *config.Config, p *config.Profile) {
		p.AAA.SecondLogin = config.SecondLoginReplace
		c.Users[1].Delegated = prefix("2001:db8:9::/56")
	}, func(t *testing.T, r *rig) {
		first, call := r.call("1")
		r.login(first, "bob", "right")
		second, _ := r.call("2")
		if v := r.login(second, "bob", "right"); !v.Accept || call.message() != "the user has logged in anew" {
			t.Errorf("%+v; the first was told %q", v, call.message())
		}
	})
}

// RFC 6911 section 2.1 gives an address beside a prefix: it may lie in it, and is not
// another's for that. A prefix may come twice, too.
func TestAddressInItsOwnPrefix(t *testing.T) {
	bubble(t, byRADIUS, func(t *testing.T, r *rig) {
		link := []byte{0, 64, 0x20, 1, 0xd, 0xb8, 0, 7, 0, 0}
		r.radius.answer = func(p *radius.Packet) (*radius.Packet, error) {
			a := p.Response(radius.CodeAccessAccept)
			_ = rfc6911.FramedIPv6Address_Set(a, netip.MustParseAddr("2001:db8:7::1").AsSlice())
			a.Add(rfc3162.FramedIPv6Prefix_Type, link)
			a.Add(rfc3162.FramedIPv6Prefix_Type, link)
			return a, nil
		}
		s, _ := r.call("")
		if v := r.login(s, "carol", "x"); !v.Accept || !slices.Contains(v.Grant.Routes, prefix("2001:db8:7::/64")) {
			t.Errorf("%+v, %v", v, r.layer.Counts())
		}
		other, _ := r.call("")
		if v := r.login(other, "dave", "x"); v.Accept {
			t.Errorf("another gets it too: %+v", v)
		}
	})
}

// A server that names a pool of IPv6 for IPv4 gives nobody an address of sixteen
// octets there.
func TestPoolOfTheOtherFamily(t *testing.T) {
	bubble(t, byRADIUS, func(t *testing.T, r *rig) {
		r.radius.answer = func(p *radius.Packet) (*radius.Packet, error) {
			a := p.Response(radius.CodeAccessAccept)
			_ = rfc2869.FramedPool_SetString(a, "link")
			return a, nil
		}
		s, _ := r.call("")
		if v := r.login(s, "carol", "x"); v.Accept || r.layer.Counts()["address_none"] != 1 {
			t.Errorf("%+v, %v", v, r.layer.Counts())
		}
	})
}

// Without auth nobody is asked, and DHCP has no time: the peer must not choose an
// address for itself.
func TestAnonymousWithDHCP(t *testing.T) {
	bubble(t, nil, func(t *testing.T, r *rig) {
		r.holdLease()
		s := r.layer.NewSession(r.profile)
		if g, err := s.Anonymous(); err == nil || !strings.Contains(err.Error(), "set auth") {
			t.Errorf("%+v, %v", g, err)
		}
		s.Ended(tunnel.Cause{}, nil)
	})
}

// RFC 2865 section 5.25: Class "SHOULD be sent unmodified by the client to the
// accounting server": that of the last Access-Accept. Everything else stays as it
// was first, and an answer without a User-Name is about the same user.
func TestSecondAccept(t *testing.T) {
	bubble(t, byRADIUS, func(t *testing.T, r *rig) {
		n := byte(0)
		r.radius.answer = func(p *radius.Packet) (*radius.Packet, error) {
			n++
			a := p.Response(radius.CodeAccessAccept)
			_ = rfc2865.FramedIPAddress_Set(a, []byte{10, 1, 1, n})
			_ = rfc2865.Class_Set(a, []byte{n})
			if n == 1 {
				_ = rfc2865.UserName_SetString(a, "carol of old")
			}
			return a, nil
		}
		s, _ := r.call("")
		r.up(s, r.login(s, "carol", "x"))
		v := r.login(s, "carol", "x")
		if !v.Accept || v.User != "carol of old" || v.Grant.Peer != addr("10.1.1.1") {
			t.Errorf("%+v", v)
		}
		s.Ended(tunnel.Cause{}, &circuit.Exit{})
		r.settle()
		if stop := r.radius.last().Session; stop.User != "carol of old" || len(stop.Service.Class) != 1 || stop.Service.Class[0][0] != 2 {
			t.Errorf("%+v", stop)
		}
	})
}

// A part that is not there refuses, and nothing falls over it.
func TestWithoutRADIUS(t *testing.T) {
	bubble(t, byRADIUS, func(t *testing.T, r *rig) {
		r.layer.parts.RADIUS = nil
		s, _ := r.call("")
		if v := r.login(s, "bob", "right"); v.Accept {
			t.Errorf("%+v", v)
		}
		r.profile.AAA.Sources = []string{config.Local}
		r.up(s, r.login(s, "bob", "right"))
		r.layer.Disconnect(selectUser("bob"), nil, done(t, 1))
		synctest.Wait()
		if s.View() != nil {
			t.Error("it has not ended")
		}
	})
}

// All the sessions of a LAC come up in one second: their records are spread.
func TestInterimsAreSpread(t *testing.T) {
	bubble(t, nil, func(t *testing.T, r *rig) {
		g := &grant{accounting: &config.RADIUSGroup{}}
		for every, bounds := range map[time.Duration][2]time.Duration{
			10 * time.Minute: {5 * time.Minute, 10 * time.Minute}, time.Minute: {time.Minute, 90 * time.Second}, time.Second: {time.Minute, 90 * time.Second},
		} {
			g.accounting.InterimInterval = every
			s := &Session{grant: g}
			seen := map[time.Duration]bool{}
			for range 1000 {
				s.firstInterim(time.Time{}.Add(1))
				d := s.due.interim.Sub(time.Time{}.Add(1))
				if d < bounds[0] || d > bounds[1] {
					t.Fatalf("%v: %v", every, d)
				}
				seen[d/time.Second] = true
			}
			if len(seen) < 25 {
				t.Errorf("%v: only %d different seconds", every, len(seen))
			}
		}
	})
}

// RFC 2867: links and tunnels have their times and counters too.
func TestTunnelRecords(t *testing.T) {
	bubble(t, func(c *config.Config, _ *config.Profile) { c.RADIUS.TunnelAccounting = true }, func(t *testing.T, r *rig) {
		r.layer.TunnelUp(subscriber.Line{Tunnel: 7}, r.profile)
		s := r.layer.NewSession(r.profile)
		s.Established(&subscriber.Line{Tunnel: 7}, &testCall{session: s}, nil)
		v := r.login(s, "bob", "right")
		time.Sleep(time.Second)
		r.up(s, v)
		time.Sleep(time.Minute)
		s.Ended(tunnel.Cause{Remote: true}, &circuit.Exit{Closed: true, Stats: circuit.Stats{BytesIn: 5, FramesIn: 1}})
		r.layer.TunnelDown(7, tunnel.Cause{Err: tunnel.ErrUnreachable})
		r.layer.TunnelDown(7, tunnel.Cause{})
		r.settle()
		want := []subscriber.RecordKind{subscriber.RecordTunnelStart, subscriber.RecordTunnelLinkUp, subscriber.RecordStart,
			subscriber.RecordStop, subscriber.RecordTunnelLinkEnd, subscriber.RecordTunnelStop}
		if got := r.radius.kinds(); !slices.Equal(got, want) {
			t.Fatalf("%v", got)
		}
		stop, link, all := r.radius.records[3].Session, r.radius.records[4].Session, r.radius.records[5].Session
		if stop.Duration != time.Minute || link.Duration != 61*time.Second || link.User != "bob" || link.Counters != stop.Counters ||
			link.Cause != stop.Cause || all.Counters.OctetsIn != 5 || all.Duration != 61*time.Second || all.Cause != subscriber.LostCarrier {
			t.Errorf("%+v\n%+v\n%+v", stop, link, all)
		}
	})
}
