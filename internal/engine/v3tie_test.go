package engine

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// sccrqWithTie is an SCCRQ of version 3 from the LNS's address, made with a secret, or
// with a nonce and no digest if that is nil.
func sccrqWithTie(t *testing.T, tie uint64, secret []byte) []byte {
	t.Helper()
	opt := l2tp.AppendOptions{Version: l2tp.Version3}
	if secret != nil {
		opt.Digests = []l2tp.DigestType{l2tp.DigestMD5}
	}
	payload, err := l2tp.AppendMessage(nil, &l2tp.SCCRQ{
		HostName: "lns", RouterID: 2, AssignedTunnelID: 77, TieBreaker: &tie, Nonce: []byte("a nonce of theirs"),
		Pseudowires: []l2tp.PseudowireType{l2tp.PseudowireEthernet},
	}, opt)
	must(t, err)
	packet := l2tp.AppendControl3(nil, 0, 0, 0, payload)
	if secret != nil {
		must(t, l2tp.Sign(packet, [][]byte{l2tp.SharedKey(secret)}, nil, nil))
	}
	return packet
}

// RFC 3931 section 5.4.1: "This message authenticity and integrity checking MUST be
// performed before utilizing any information contained within the control message." So
// whoever does not know the secret cannot have us give up our own SCCRQ, with a tie
// breaker that wins or with the one that we have sent.
func TestForgedTie(t *testing.T) {
	for _, copied := range []bool{false, true} {
		for name, secret := range map[string][]byte{"no digest": nil, "wrong secret": []byte("wrong"), "secret": []byte("secret")} {
			synctest.Test(t, func(t *testing.T) {
				n, lac, lns := pair3(t)
				version3(lac.role.tunnelSpec)
				n.lose(func(_, to netip.AddrPort, _ []byte) bool { return to == lnsAddr })
				lac.dial(t, lnsAddr, func(s *TunnelSpec) { version3(s); s.Tunnel.TieBreaker = true })
				var breaker uint64
				if copied {
					breaker = *n.sentBy(lacAddr, l2tp.TypeSCCRQ)[0].message(t).(*l2tp.SCCRQ).TieBreaker
				}
				lac.port.dispatch(time.Now(), sccrqWithTie(t, breaker, secret), lnsAddr, lacAddr.Addr())
				synctest.Wait()
				lost := slices.ContainsFunc(lac.role.ended(), func(c tunnel.Cause) bool { return c.Err == tunnel.ErrTieLost })
				if want := name == "secret"; lost != want || (lac.counter(TieLost) == 1) != want {
					t.Errorf("%s, copied %v: lost %v, %v is %d; %v", name, copied, lost, TieLost, lac.counter(TieLost), lac.counts())
				}
				if len(n.sentBy(lacAddr, l2tp.TypeSCCRP)) != 0 && (copied || name != "secret") {
					t.Errorf("%s, copied %v: answered with SCCRP", name, copied)
				}
				lac.close(time.Second)
				lns.close(time.Second)
			})
		}
	}
}

// RFC 3931 section 5.4.3: "Applications that require tie breaking also require that an LCCE
// be uniquely identifiable upon receipt of an SCCRQ." It has the Router ID 2 and the Host
// Name "lns"; where it has lost to nobody, there are two tunnels.
func TestWhomWeDialled(t *testing.T) {
	elsewhere := netip.MustParseAddrPort("192.0.2.77:1701")
	for name, c := range map[string]struct {
		routerID uint32 // of whom we dial, if it is known
		hostName string
		secret   string // by which we dial
		from     netip.AddrPort
		want     bool
	}{
		"by its address":                 {0, "", "secret", lnsAddr, true},
		"at another address":             {0, "", "secret", elsewhere, false},
		"its Router ID":                  {2, "", "secret", lnsAddr, true},
		"another one behind its address": {3, "", "secret", lnsAddr, false},
		"its Router ID, elsewhere":       {2, "", "secret", elsewhere, true},
		"another one, elsewhere":         {3, "", "secret", elsewhere, false},
		"its Router ID, another secret":  {2, "", "other", elsewhere, false},
		"its Router ID, no secret":       {2, "", "", elsewhere, false},
		"its Host Name":                  {0, "lns", "secret", lnsAddr, true},
		"its Host Name, elsewhere":       {0, "lns", "secret", elsewhere, false},
		"another Host Name":              {0, "pop", "secret", lnsAddr, false},
		"its Router ID, another name":    {2, "pop", "secret", elsewhere, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			n, lac, lns := pair3(t)
			version3(lac.role.tunnelSpec)
			n.lose(func(_, to netip.AddrPort, _ []byte) bool { return to == lnsAddr })
			lac.dial(t, lnsAddr, func(s *TunnelSpec) {
				version3(s)
				s.Tunnel.TieBreaker, s.PeerRouterID, s.Tunnel.Secret = true, c.routerID, []byte(c.secret)
				if c.hostName != "" {
					s.RemoteHostName = func(name string) bool { return name == c.hostName }
				}
			})
			lac.port.dispatch(time.Now(), sccrqWithTie(t, 0, []byte("secret")), c.from, lacAddr.Addr())
			synctest.Wait()
			lost := slices.ContainsFunc(lac.role.ended(), func(c tunnel.Cause) bool { return c.Err == tunnel.ErrTieLost })
			if lost != c.want || (lac.counter(TieLost) == 1) != c.want || len(n.sentBy(lacAddr, l2tp.TypeSCCRP)) != 1 {
				t.Errorf("%s: lost %v, want %v; %v", name, lost, c.want, lac.counts())
			}
			lac.close(time.Second)
			lns.close(time.Second)
		})
	}
}

// A tunnel that is up tells the peer's Router ID, which the next attempt knows then.
func TestPeerRouterID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, lac, lns := pair3(t)
		lns.role.tunnelSpec.Tunnel.RouterID = 0xc0000207
		var got []uint32
		lac.role.onUp = func(tu *Tunnel) { got = append(got, tu.PeerRouterID()) }
		lns.role.onUp = lac.role.onUp
		lac.dial(t, lnsAddr, version3)
		synctest.Wait()
		if slices.Sort(got); !slices.Equal(got, []uint32{1, 0xc0000207}) {
			t.Errorf("Router IDs %x", got)
		}
		closePair(lac, lns)
	})
}

// RFC 3931 section 5.4.3: "A StopCCN SHOULD be sent by the winner as an explicit rejection
// for the losing SCCRQ." With a secret it has a digest, and is no answer to strangers.
func TestLoserIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lac, lns := pair3(t)
		version3(lac.role.tunnelSpec)
		n.lose(func(_, to netip.AddrPort, _ []byte) bool { return to == lnsAddr })
		lac.dial(t, lnsAddr, func(s *TunnelSpec) { version3(s); s.Tunnel.TieBreaker = true })
		for _, secret := range []string{"wrong", "secret"} {
			lac.port.dispatch(time.Now(), sccrqWithTie(t, 1<<64-1, []byte(secret)), lnsAddr, lacAddr.Addr())
			synctest.Wait()
		}
		stops := n.sentBy(lacAddr, l2tp.TypeStopCCN)
		if len(stops) != 1 || lac.counter(DropDigest) != 1 || lac.counter(TieWon) != 2 || lac.counter(TieLost) != 0 {
			t.Fatalf("%d StopCCNs; %v", len(stops), lac.counts())
		}
		key := [][]byte{l2tp.SharedKey([]byte("secret"))}
		stop := stops[0].message(t).(*l2tp.StopCCN)
		if err := l2tp.Verify(stops[0].packet, key, []byte("a nonce of theirs"), nil); err != nil || stop.ResultCode.Result != l2tp.StopCCNAlreadyExists {
			t.Errorf("%v, %+v", err, stop)
		}
		if h, _, err := l2tp.ParseHeader(stops[0].packet); err != nil || h.TunnelID != 77 || h.Nr != 1 {
			t.Errorf("%v, %+v", err, h)
		}
		if lac.tunnels.Load() != 1 || lac.halfOpen.Load() != 0 || lac.role.got().up != 0 {
			t.Errorf("%d tunnels, %d half open", lac.tunnels.Load(), lac.halfOpen.Load())
		}
		lac.close(time.Second)
		lns.close(time.Second)
	})
}

// RFC 3931 section 4.4: "An LCCE sending Hello messages across multiple control
// connections between the same LCCE endpoints MUST employ a jittered timer mechanism to
// prevent grouping of Hello messages."
func TestHellosOfManyConnectionsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lac, lns := pair3(t)
		lns.role.tunnelSpec.Tunnel.HelloInterval = -1
		start := time.Now()
		const connections = 40
		for range connections {
			lac.dial(t, lnsAddr, func(s *TunnelSpec) { version3(s); s.Tunnel.HelloInterval = 40 * time.Second })
		}
		time.Sleep(40 * time.Second)
		synctest.Wait()
		at := times(start, n.sentBy(lacAddr, l2tp.TypeHELLO))
		if len(at) != connections || slices.Min(at) < 35 || slices.Max(at) > 40 {
			t.Errorf("%d HELLOs at %v", len(at), at)
		}
		if distinct := len(slices.Compact(slices.Sorted(slices.Values(at)))); distinct < connections*3/4 {
			t.Errorf("%d HELLOs at %d times: %v", len(at), distinct, at)
		}
		if hellos := n.sentBy(lnsAddr, l2tp.TypeHELLO); len(hellos) != 0 {
			t.Errorf("the end with HELLO off sent %d", len(hellos))
		}
		closePair(lac, lns)
	})
}

// The log has the words of the tunnel's version. RFC 3931 section 5.4.2: "13 - Session not
// established due to losing tie breaker"; RFC 2661 has no such Result Code.
func TestWordsOfTheVersion(t *testing.T) {
	cause := tunnel.Cause{Result: l2tp.ResultCode{Result: l2tp.CDNTieLost}}
	older, newer := &Tunnel{version: l2tp.Version}, &Tunnel{version: l2tp.Version3}
	a, b := older.causeText(cause, l2tp.TypeCDN), newer.causeText(cause, l2tp.TypeCDN)
	if a == b || !bytes.Contains([]byte(b), []byte("tie")) {
		t.Errorf("%q and %q", a, b)
	}
}

// RFC 3931 section 5.4.4: "If neither side issues a tie breaker, then both sides MUST tear
// down the session." Two ends that keep a session of one circuit up and pause as long do
// not meet again for ever.
func TestSessionTieIsNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lac, lns := pair3(t)
		version3(lac.role.tunnelSpec)
		start := time.Now()
		// Neither has the other's request before it has sent its own.
		n.lose(func(_, _ netip.AddrPort, p []byte) bool { return kindOf(p) == l2tp.TypeICRQ && time.Now().Equal(start) })
		for _, d := range []*node{lac, lns} {
			var keeper *Keeper
			d.role.callSpec = ethernetSpec
			d.role.onUp = func(tu *Tunnel) {
				keeper = KeepCalls(tu, []Wanted{{Call: ethernetCall(), Spec: func() (*CallSpec, error) {
					return ethernetSpec(), nil
				}}}, 10*time.Second, time.Minute)
			}
			d.role.onCallDown = func(c *Call, _ tunnel.Cause) { keeper.Down(c) }
			d.role.onTunnel = func(*Tunnel, tunnel.Cause) { keeper.Stop() }
		}
		lac.dial(t, lnsAddr, version3)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		for _, d := range []*node{lac, lns} {
			causes := d.role.causes()
			if !slices.ContainsFunc(causes, func(c tunnel.Cause) bool { return c.Err == tunnel.ErrSessionTie }) || d.role.got().callsUp != 0 {
				t.Errorf("%v: %+v", d.addr, causes)
			}
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		var second []float64
		for _, d := range []*node{lac, lns} {
			for _, at := range times(start, n.sentBy(d.addr, l2tp.TypeICRQ)) {
				if at > 5 {
					second = append(second, at)
					break
				}
			}
		}
		if len(second) != 2 || second[0] == second[1] || slices.Min(second) < 11 || slices.Max(second) > 14 {
			t.Errorf("after the tie at 1 s, requests at %v", second)
		}
		closePair(lac, lns)
	})
}

// An answer to our SCCRQ that comes when the tie is lost, and before the tunnel's shard
// has heard of it, does not bring the loser up.
func TestAnswerAfterTheTieWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lac, lns := pair3(t)
		n.cut(lacAddr)
		lac.dial(t, lnsAddr, func(s *TunnelSpec) { version3(s); s.Tunnel.Secret = nil })
		payload, err := l2tp.AppendMessage(nil, &l2tp.SCCRP{
			HostName: "lns", RouterID: 2, AssignedTunnelID: 77, Pseudowires: []l2tp.PseudowireType{l2tp.PseudowireEthernet},
		}, l2tp.AppendOptions{Version: l2tp.Version3})
		must(t, err)
		lac.do(func(s *shard) {
			for _, tn := range s.tunnels {
				s.engine.lose([]*Tunnel{tn})
				s.receive(inbound{packet: l2tp.AppendControl3(nil, tn.id, 0, 1, payload), path: *tn.path})
			}
		})
		synctest.Wait()
		if ended := lac.role.ended(); lac.role.got().up != 0 || len(ended) != 1 || ended[0].Err != tunnel.ErrTieLost {
			t.Errorf("up %d, ended %+v", lac.role.got().up, ended)
		}
		lac.empty(t)
		lac.close(time.Second)
		lns.close(time.Second)
	})
}
