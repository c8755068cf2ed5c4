package main

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/internal/engine"
	"adit/proto/sequence"
)

// TestTUN: there is one if some profile needs it, and it has the addresses of
// the pools that are used through it, and no others.
func TestTUN(t *testing.T) {
	pool := func(name, first, last string) *config.Pool {
		return &config.Pool{Name: name, Ranges: []config.Range{{First: netip.MustParseAddr(first), Last: netip.MustParseAddr(last)}}}
	}
	shared, own, pppd := &config.Profile{Name: "a", Pool: pool("p", "10.1.0.0", "10.1.0.3")},
		&config.Profile{Name: "b", Pool: pool("q", "10.2.0.0", "10.2.0.3")},
		&config.Profile{Name: "c", Pool: pool("r", "10.3.0.0", "10.3.0.3")}
	shared.LocalAddress, pppd.LocalAddress = netip.MustParseAddr("10.1.255.1"), netip.MustParseAddr("10.3.255.1")
	own.Builtin.Interface = "sub%d"
	client := &config.Profile{Name: "d", Pool: pool("s", "10.4.0.0", "10.4.0.3")}
	second := &config.Profile{Name: "e", Pool: shared.Pool}
	choices := map[*config.Profile]engine.Choice{
		shared: {Kind: circuit.Builtin}, own: {Kind: circuit.Builtin}, pppd: {Kind: circuit.PPPDKernel},
		client: {Kind: circuit.Builtin}, second: {Kind: circuit.Builtin},
	}
	daemonOf := func(peers ...*config.Profile) *daemon {
		d := &daemon{cfg: &config.Config{TUN: config.TUN{Name: "adit0", MTU: 1500, Queues: 2}}, choices: choices}
		for _, p := range peers {
			d.cfg.LNS.Peers = append(d.cfg.LNS.Peers, &config.Peer{Profile: p, AllowIncoming: true})
		}
		return d
	}
	if got := daemonOf(own, pppd).tun(); got != nil {
		t.Errorf("nobody needs it: %+v", got)
	}
	d := daemonOf(second, shared, own, pppd)
	d.cfg.LAC.Tunnels = []*config.Tunnel{{Sessions: []*config.Session{{Profile: client}}}}
	got := d.tun()
	if got == nil || got.Name != "adit0" || got.MTU != 1500 || got.Queues != 2 {
		t.Fatalf("%+v", got)
	}
	if want := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/30")}; !slices.Equal(got.Aggregates, want) {
		t.Errorf("aggregates %v, want %v", got.Aggregates, want)
	}
	if want := []netip.Addr{shared.LocalAddress}; !slices.Equal(got.Addresses, want) {
		t.Errorf("addresses %v, want %v", got.Addresses, want)
	}
}

func TestPlaneSaysWhoSpeaks(t *testing.T) {
	for kind, want := range map[circuit.Kind]string{
		circuit.Discard: "discard/userspace", circuit.PPPDKernel: "pppd/kernel", circuit.PPPDAsync: "pppd/userspace",
		circuit.PPPDSync: "pppd/userspace", circuit.Builtin: "builtin/userspace", circuit.BuiltinKernel: "builtin/kernel",
	} {
		got := plane(&config.Profile{Name: "p"}, engine.Choice{Kind: kind, Reason: "why"})
		if fmt.Sprintf("%s/%s", got.PPP, got.DataPlane) != want || got.Profile != "p" || got.Reason != "why" {
			t.Errorf("%v is %+v, want %s", kind, got, want)
		}
	}
}

func TestHeld(t *testing.T) {
	for _, c := range []struct {
		counters sequence.Counters
		want     int
	}{
		{sequence.Counters{}, 0},
		{sequence.Counters{Held: 5}, 5},
		{sequence.Counters{Held: 9, Reordered: 4, Released: 2, Discarded: 1}, 2},
		{sequence.Counters{Held: 9, Reordered: 8, Released: 2}, 0}, // one left while we were looking
	} {
		if v := sessionView(engine.CallInfo{Sequence: c.counters}); v.Sequencing.Held != c.want {
			t.Errorf("%+v: %d are held, want %d", c.counters, v.Sequencing.Held, c.want)
		}
	}
}

// TestSessionViewOfBuiltin: what the endpoint knows is shown, and what was
// dropped is told by its reason and counted on its side.
func TestSessionViewOfBuiltin(t *testing.T) {
	info := engine.CallInfo{Served: true, Kind: circuit.Builtin, LNS: true,
		Bridge: circuit.Info{Interface: "adit0", Phase: "network", User: "alice", LocalIPv6: netip.MustParseAddr("fe80::1"),
			PeerIPv6: netip.MustParseAddr("fe80::2"), Routes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		Stats: circuit.Stats{DropQueueFull: 1, DropTooLong: 2, DropClosed: 4, DropBadFCS: 8, DropSource: 16, DropNotUp: 32, DropMalformed: 64, DropTooBig: 128},
	}
	v := sessionView(info)
	if v.Bridge != "builtin/tun" || v.Phase != "network" || v.User != "alice" || v.LocalIPv6.String() != "fe80::1" ||
		v.RemoteIPv6.String() != "fe80::2" || len(v.Routes) != 1 {
		t.Errorf("%+v", v)
	}
	want := map[string]uint64{"queue_full": 1, "too_long": 2, "closed": 4, "bad_fcs": 8, "source": 16, "not_up": 32, "malformed": 64, "too_big": 128}
	if fmt.Sprint(v.Drops) != fmt.Sprint(want) {
		t.Errorf("drops %v, want %v", v.Drops, want)
	}
	if v.Traffic.RxErrors+v.Traffic.TxErrors != 255 || v.Traffic.RxErrors != 1+2+4+16+32+64 {
		t.Errorf("%+v", v.Traffic)
	}
	info.Kind = circuit.PPPDSync
	if v := sessionView(info); v.Traffic.TxErrors != 8+64+128 {
		t.Errorf("pppd's malformed frames are on the wrong side: %+v", v.Traffic)
	}
	info.Stats = circuit.Stats{}
	if v := sessionView(info); v.Drops != nil {
		t.Errorf("nothing was dropped: %v", v.Drops)
	}
}
