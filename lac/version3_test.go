package lac

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"adit/internal/config"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// circuitTunnel is a tunnel of version 3 with a session of a pseudowire.
func circuitTunnel() *config.Tunnel {
	t := oneTunnel()
	t.V3 = config.PeerV3{Versions: []uint8{3}, Digests: []l2tp.DigestType{l2tp.DigestSHA1}, OtherSecret: config.Secret("old")}
	t.Sessions = []*config.Session{{Name: "s", Count: 1, Profile: t.Profile, TxSpeed: 5, Pseudowire: &config.Pseudowire{
		Name: "lan", RemoteEndID: []byte("site 7"), Type: l2tp.PseudowireEthernet, DataPlane: config.DataPlaneUserspace,
		CookieLength: 8, Sublayer: l2tp.SublayerDefault,
	}}}
	return t
}

// What is dialled says what the configuration says of version 3; both versions are
// offered where both may be spoken.
func TestSpecOfVersion3(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{addrs: addrs("192.0.2.1")}
		cfg := circuitTunnel()
		_, _, stop := begin(n, cfg)
		seen := n.seen()
		stop()
		if len(seen) != 1 || seen[0].peer.Port() != 1701 {
			t.Fatalf("%+v", seen)
		}
		c := seen[0].spec.Tunnel
		if c.Version != 3 || c.Fallback || !slices.Equal(c.Digests, cfg.V3.Digests) || string(c.OtherSecret) != "old" ||
			!slices.Equal(c.Pseudowires, []l2tp.PseudowireType{l2tp.PseudowireEthernet}) || c.AllowIncoming || seen[0].spec.KernelPlane {
			t.Errorf("%+v", seen[0].spec)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		n := &names{addrs: addrs("192.0.2.1")}
		cfg := circuitTunnel()
		cfg.V3.Versions, cfg.V3.AllowPPP = []uint8{3, 2}, true
		cfg.V3.Pseudowires = []*config.Pseudowire{{Name: "x", Type: l2tp.PseudowireHDLC}}
		_, _, stop := begin(n, cfg)
		seen := n.seen()
		stop()
		c := seen[0].spec.Tunnel
		if c.Version != 3 || !c.Fallback || !c.AllowIncoming ||
			!slices.Equal(c.Pseudowires, []l2tp.PseudowireType{l2tp.PseudowireHDLC, l2tp.PseudowireEthernet, l2tp.PseudowirePPP}) {
			t.Errorf("%+v", c)
		}
	})
}

// The peer's Router ID is known from its last tunnel, at the address that it had. RFC 3931
// section 5.4.3: "Applications that require tie breaking also require that an LCCE be
// uniquely identifiable upon receipt of an SCCRQ."
func TestRouterIDIsKnownAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{addrs: addrs("192.0.2.1")}
		cfg := circuitTunnel()
		r, _, stop := begin(n, cfg)
		defer stop()
		synctest.Wait() // the role's own line dials first
		l := &line{role: r, cfg: cfg, log: r.log, peer: netip.MustParseAddr("192.0.2.1"), routerID: 7}
		for i, c := range []struct {
			peer string
			want uint32
		}{{"192.0.2.1:1701", 7}, {"192.0.2.2:1701", 0}} {
			if err := l.reach(netip.AddrPort{}, netip.MustParseAddrPort(c.peer)); err != nil {
				t.Fatal(err)
			}
			if seen := n.seen(); len(seen) != 2+i || seen[1+i].spec.PeerRouterID != c.want || seen[0].spec.PeerRouterID != 0 {
				t.Errorf("%s: %+v", c.peer, seen[len(seen)-1].spec)
			}
		}
	})
}

// A tunnel over IP has no ports.
func TestDialledOverIP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{addrs: addrs("192.0.2.1")}
		cfg := circuitTunnel()
		cfg.V3.Encapsulation = config.EncapsulationIP
		cfg.LocalAddress = netip.MustParseAddr("192.0.2.9")
		_, _, stop := begin(n, cfg)
		seen := n.seen()
		stop()
		if len(seen) != 1 || seen[0].peer != netip.MustParseAddrPort("192.0.2.1:0") || seen[0].local != netip.MustParseAddrPort("192.0.2.9:0") {
			t.Errorf("%+v", seen)
		}
	})
}

// A session with a pseudowire is an ICRQ with its Remote End ID, and has the pseudowire
// for itself while it lasts.
func TestWantedCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := circuitTunnel()
		r, log, stop := begin(&names{addrs: addrs("192.0.2.1")}, cfg)
		defer stop()
		synctest.Wait() // the role's own line dials first
		l := &line{role: r, cfg: cfg, log: r.log}
		all := l.wanted(l2tp.Version3)
		if len(all) != 1 {
			t.Fatalf("%d calls", len(all))
		}
		c := all[0].Call
		if c.Direction != tunnel.Incoming || string(c.RemoteEndID) != "site 7" || c.Pseudowire != l2tp.PseudowireEthernet || c.TxConnectSpeed != 5 {
			t.Errorf("%+v", c)
		}
		spec, err := all[0].Spec()
		if err != nil || spec.Name != "s" || spec.Pseudowire == nil || spec.Wire.CookieLength != 8 || r.circuits.Holder("lan") != `session "s" of the tunnel "isp"` {
			t.Errorf("%+v, %v, %q", spec, err, r.circuits.Holder("lan"))
		}
		if _, err = all[0].Spec(); err == nil {
			t.Error("it is placed twice at one time")
		}
		spec.Session.Ended(tunnel.Cause{}, nil)
		if _, err = all[0].Spec(); err != nil {
			t.Error(err)
		}
		// Version 2 has no pseudowires.
		if all = l.wanted(l2tp.Version); len(all) != 0 || !strings.Contains(log.String(), "have the peer speak version 3") {
			t.Errorf("%d calls; %s", len(all), log)
		}
	})
}

// While the peer's own tunnel carries all that ours is for, we do not dial; when it has
// gone, we do.
func TestBothEndsDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{addrs: addrs("192.0.2.1")}
		cfg := circuitTunnel()
		r, _, stop := begin(n, cfg)
		defer stop()
		seen := n.seen()
		if len(seen) != 1 {
			t.Fatalf("%d attempts", len(seen))
		}
		theirs, err := r.circuits.Take(cfg.Sessions[0].Pseudowire, "the peer")
		if err != nil {
			t.Fatal(err)
		}
		seen[0].spec.Handler.TunnelDown(nil, tunnel.Cause{Err: tunnel.ErrTieLost})
		time.Sleep(10 * time.Minute)
		if got := len(n.seen()); got != 1 {
			t.Errorf("%d attempts while the peer serves all", got)
		}
		theirs.Release(true)
		time.Sleep(cfg.RetryMax)
		if got := len(n.seen()); got != 2 {
			t.Errorf("%d attempts after it ended", got)
		}
	})
}
