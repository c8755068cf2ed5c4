package engine

import (
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/proto/ppp"
)

// builtinProfile has another value than the default at every key.
func builtinProfile() *config.Profile {
	dns, wins := netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("192.0.2.54")
	return &config.Profile{
		Name: "p", PPP: config.PPPBuiltin, DataPlane: config.DataPlaneUserspace,
		PPPDOptions: []string{"debug"}, LocalAddress: netip.MustParseAddr("10.0.0.1"),
		Sequencing: config.SequencingRequired, ReorderTimeout: time.Second,
		Builtin: config.Builtin{
			Auth: []config.Auth{config.AuthEAP, config.AuthPAP, config.AuthCHAPMD5, config.AuthMSCHAPv2},
			DNS:  [2]netip.Addr{dns}, WINS: [2]netip.Addr{wins},
			IPv4: true, IPv6: true, MRU: 1492, EchoInterval: 9 * time.Second, EchoFailures: 3,
			Rechallenge: time.Hour, Proxy: config.ProxyRenegotiate, Interface: "sub%d", ClampMSS: true,
			Routes:         []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")},
			SessionTimeout: 8 * time.Hour, IdleTimeout: time.Minute,
		},
	}
}

// noSecrets is a ppp.Secrets of a kind.
type noSecrets struct{ ppp.Secrets }

var allMethods = []ppp.Method{ppp.MethodEAP, ppp.MethodPAP, ppp.MethodCHAP, ppp.MethodMSCHAPv2}

func TestCallSpecBuiltinLNS(t *testing.T) {
	profile := builtinProfile()
	spec := new(Planes).CallSpec("name", profile, []string{"mtu"}, End{LNS: true, Name: "lns"})
	b := spec.Bridge
	if b.Kind != circuit.Builtin || len(b.Options) != 0 || b.Interface != "sub%d" || !b.ClampMSS ||
		b.MTU != 1492 || b.MRU != 1492 || b.LocalIP != profile.LocalAddress {
		t.Errorf("spec is %+v", b)
	}
	c := b.Endpoint
	if c.Rand == nil || c.Secrets != nil || len(c.Answer) != 0 {
		t.Errorf("endpoint is %+v", c)
	}
	want := ppp.Config{Name: "lns", MRU: 1492, Authenticate: allMethods, IPv4: true, IPv6: true, Compress: true,
		Proxy: ppp.ProxyRenegotiate, EchoInterval: 9 * time.Second, EchoFailures: 3, Rechallenge: time.Hour, Rand: c.Rand}
	if diff := cmp.Diff(want, *c, cmp.Comparer(func(a, b io.Reader) bool { return a == b })); diff != "" {
		t.Errorf("endpoint (-want +got):\n%s", diff)
	}
	g := b.Grant
	if g.DNS != profile.Builtin.DNS || g.WINS != profile.Builtin.WINS || len(g.Routes) != 0 ||
		g.SessionTimeout != 0 || g.IdleTimeout != time.Minute { // the role's AAA looks after the session's time
		t.Errorf("grant is %+v", g)
	}
	if !spec.SequencingRequired || !spec.SendSequence || spec.ReorderTimeout != time.Second {
		t.Errorf("sequencing is %+v", spec)
	}
}

func TestCallSpecBuiltinClient(t *testing.T) {
	profile, secrets := builtinProfile(), new(noSecrets)
	profile.MTU = 1400
	b := new(Planes).CallSpec("name", profile, nil, End{Name: "alice", Secrets: secrets}).Bridge
	if c := b.Endpoint; c.Name != "alice" || c.Secrets != secrets || len(c.Authenticate) != 0 || c.Rechallenge != 0 ||
		cmp.Diff(allMethods, c.Answer) != "" {
		t.Errorf("endpoint is %+v", c)
	}
	if g := b.Grant; len(g.Routes) != 1 || g.Routes[0] != profile.Builtin.Routes[0] || g.DNS[0].IsValid() || g.WINS[0].IsValid() {
		t.Errorf("grant is %+v", g)
	}
	if b.MTU != 1400 || b.MRU != 1492 {
		t.Errorf("MTU %d, MRU %d", b.MTU, b.MRU)
	}
	profile.DataPlane = config.DataPlaneKernel
	if c := new(Planes).CallSpec("name", profile, nil, End{Secrets: secrets}).Bridge.Endpoint; c.Compress {
		t.Error("the kernel's L2TP is to be sent compressed fields")
	}
	if c := new(Planes).CallSpec("name", profile, nil, End{}).Bridge.Endpoint; len(c.Answer) != 0 || c.Secrets != nil {
		t.Errorf("a client without secrets has the endpoint %+v", c)
	}
}

// TestCallSpecShares sees that a call adds no configuration of its own.
func TestCallSpecShares(t *testing.T) {
	p, profile, other := new(Planes), builtinProfile(), builtinProfile()
	alice, bob := End{Name: "u", Secrets: &noSecrets{}}, End{Name: "u", Secrets: &noSecrets{ppp.Secrets(nil)}}
	first := p.CallSpec("1", profile, nil, alice).Bridge
	second := p.CallSpec("2", profile, nil, alice).Bridge
	if first.Endpoint != second.Endpoint || first.Grant != second.Grant {
		t.Error("two calls of a kind do not share their configuration")
	}
	for name, spec := range map[string]*CallSpec{
		"another profile": p.CallSpec("", other, nil, alice),
		"another secret":  p.CallSpec("", profile, nil, bob),
		"an LNS":          p.CallSpec("", profile, nil, End{LNS: true, Name: "u"}),
	} {
		if spec.Bridge.Endpoint == first.Endpoint {
			t.Errorf("%s has the same configuration", name)
		}
	}
}

func TestCallSpecPPPD(t *testing.T) {
	profile := builtinProfile()
	profile.PPP, profile.PPPDOptionsFile, profile.PPPDDebug = config.PPPPPPD, "/o", true
	b := new(Planes).CallSpec("name", profile, []string{"noauth"}, End{LNS: true, Name: "lns"}).Bridge
	if b.Kind != circuit.PPPDAsync || b.Endpoint != nil || b.Grant != nil || b.Interface != "" ||
		cmp.Diff([]string{"debug", "noauth"}, b.Options) != "" || b.OptionsFile != "/o" || !b.Debug || b.MTU != 0 || b.MRU != 0 {
		t.Errorf("spec is %+v", b)
	}
}
