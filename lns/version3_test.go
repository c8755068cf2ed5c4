package lns

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"adit/internal/config"
	"adit/internal/engine"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// An SCCRQ is answered in the version that its peer's block prefers of those that it
// offers; RFC 3931 section 5.4.2: "5 - The protocol version of the requester is not
// supported, Error Code indicates highest version supported."
func TestVersionOfATunnel(t *testing.T) {
	for _, c := range []struct {
		allowed []uint8
		v2, v3  bool
		version uint8 // 0: refused
		highest l2tp.ErrorCode
	}{
		{nil, true, false, 2, 0},
		{nil, false, true, 0, 2},
		{nil, true, true, 2, 0},
		{[]uint8{2}, false, true, 0, 2},
		{[]uint8{3}, true, false, 0, 3},
		{[]uint8{3}, false, true, 3, 0},
		{[]uint8{3}, true, true, 3, 0},
		{[]uint8{2, 3}, true, true, 2, 0},
		{[]uint8{2, 3}, false, true, 3, 0},
		{[]uint8{3, 2}, true, true, 3, 0},
		{[]uint8{3, 2}, true, false, 2, 0},
	} {
		cfg := testConfig()
		cfg.LNS.Peers[0].V3.Versions = c.allowed
		r := newTestRole(t, cfg)
		spec, refusal := r.AcceptTunnel(&engine.TunnelRequest{
			From: netip.MustParseAddrPort("192.0.2.1:1701"), HostName: "lac-a", V2: c.v2, V3: c.v3,
		})
		if c.version == 0 {
			if refusal == nil || refusal.Result.Result != l2tp.StopCCNUnsupportedVersion || refusal.Result.Error != c.highest ||
				!strings.Contains(refusal.Why, "versions of this [[lns.peers]]") || refusal.Name != "pooled" {
				t.Errorf("%+v: %+v", c, refusal)
			}
			if n := r.peers[cfg.LNS.Peers[0]].tunnels.Load(); n != 0 {
				t.Errorf("%+v: %d tunnels are counted", c, n)
			}
			continue
		}
		if refusal != nil {
			t.Errorf("%+v: %s", c, refusal.Why)
			continue
		}
		if got := max(spec.Tunnel.Version, l2tp.Version); got != c.version {
			t.Errorf("%+v: version %d", c, got)
		}
	}
}

// A tunnel of version 3 has what its peer's block and the [l2tpv3] table say.
func TestSpecOfVersion3(t *testing.T) {
	cfg := testConfig()
	cfg.L2TPv3.RouterID = 0xc0000201
	lan := &config.Pseudowire{Name: "lan", Type: l2tp.PseudowireEthernet}
	other := &config.Pseudowire{Name: "other", Type: l2tp.PseudowireEthernet, DataPlane: config.DataPlaneUserspace}
	p := cfg.LNS.Peers[0]
	p.Secret = config.Secret("secret")
	p.V3 = config.PeerV3{
		Versions: []uint8{3}, Digests: []l2tp.DigestType{l2tp.DigestSHA1, l2tp.DigestMD5}, OtherSecret: config.Secret("old"),
		Pseudowires: []*config.Pseudowire{other}, AllowPPP: true,
	}
	ask := func() *engine.TunnelSpec {
		spec, refusal := newTestRole(t, cfg).AcceptTunnel(&engine.TunnelRequest{From: netip.MustParseAddrPort("192.0.2.1:1701"), HostName: "lac-a", V3: true})
		if refusal != nil {
			t.Fatal(refusal.Why)
		}
		return spec
	}
	spec := ask()
	c := spec.Tunnel
	if c.Version != 3 || c.RouterID != 0xc0000201 || !slices.Equal(c.Digests, p.V3.Digests) || string(c.Secret) != "secret" || string(c.OtherSecret) != "old" ||
		!slices.Equal(c.Pseudowires, []l2tp.PseudowireType{l2tp.PseudowireEthernet, l2tp.PseudowirePPP}) || spec.KernelPlane {
		t.Errorf("%+v", spec)
	}
	p.V3.AllowPPP, p.V3.Pseudowires = false, []*config.Pseudowire{other, lan}
	if spec = ask(); !spec.KernelPlane || !slices.Equal(spec.Tunnel.Pseudowires, []l2tp.PseudowireType{l2tp.PseudowireEthernet}) {
		t.Errorf("%+v", spec)
	}
}

// What the AAA layer is told of a tunnel has its version, which NAS-Port depends on.
func TestLineOfAVersion(t *testing.T) {
	cfg := testConfig()
	cfg.L2TPv3.RouterID = 1
	cfg.LNS.Peers[0].V3 = config.PeerV3{Versions: []uint8{3, 2}, AllowPPP: true}
	b := newBed(t, cfg)
	for version := uint8(l2tp.Version); version <= l2tp.Version3; version++ {
		spec := &engine.TunnelSpec{Name: "lac-a", Handler: b.caller, Tunnel: tunnel.Config{
			Version: version, HostName: "lac-a", RouterID: 2, Pseudowires: []l2tp.PseudowireType{l2tp.PseudowirePPP},
		}}
		if err := b.lac.Dial(netip.MustParseAddrPort("0.0.0.0:0"), b.addr, spec); err != nil {
			t.Fatal(err)
		}
		if line := tunnelLine(await[up](t, b.caller).t); line.Version != version || line.Tunnel == 0 || line.PeerHostName != "lns.test" {
			t.Errorf("version %d: %+v", version, line)
		}
	}
}
