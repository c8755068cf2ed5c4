package lns

import (
	"net/netip"
	"strings"
	"testing"

	"adit/internal/config"
	"adit/internal/engine"
	"adit/pppbridge"
	"adit/proto/ppp"
	"adit/proto/tunnel"
)

// builtinConfig has a profile for the built-in endpoint, and a user.
func builtinConfig() (*config.Config, *config.Profile) {
	cfg := testConfig()
	profile := &config.Profile{Name: "b", PPP: config.PPPBuiltin, DataPlane: config.DataPlaneUserspace,
		LocalAddress: netip.MustParseAddr("10.0.0.1"), Pool: cfg.Pools["small"],
		Builtin: config.Builtin{IPv4: true, IPv6: true, MRU: 1400, Auth: []config.Auth{config.AuthPAP}}}
	cfg.LNS.Peers[0].Profile = profile
	cfg.Users = []*config.User{
		{Name: "alice", Password: config.Secret("right"), Address: netip.MustParseAddr("10.0.9.9"),
			Routes: []netip.Prefix{netip.MustParsePrefix("2001:db8:7::/48")}},
		{Name: "bob", Password: config.Secret("right")},
	}
	return cfg, profile
}

// TestCallSpecOfBuiltin: an LNS demands, and has its users asked; a LAC that
// places calls for its peer demands nothing and can prove nothing.
func TestCallSpecOfBuiltin(t *testing.T) {
	cfg, profile := builtinConfig()
	r := New(cfg, &engine.Planes{})
	lns := r.callSpec("", profile, nil, true).Bridge
	if lns.Kind != pppbridge.Builtin || len(lns.Endpoint.Authenticate) != 1 || lns.Endpoint.Name != "lns.test" ||
		lns.LocalIP != profile.LocalAddress {
		t.Errorf("the LNS's call is %+v", lns)
	}
	lac := r.callSpec("", profile, nil, false).Bridge
	if len(lac.Endpoint.Authenticate)+len(lac.Endpoint.Answer) != 0 {
		t.Errorf("the LAC's call is %+v", lac)
	}
}

// TestUsersOfBuiltin: the access of a call knows the users of the configuration.
func TestUsersOfBuiltin(t *testing.T) {
	cfg, profile := builtinConfig()
	r := New(cfg, &engine.Planes{})
	spec := r.callSpec("", profile, nil, true)
	if err := r.Serve(spec, profile); err != nil || !spec.Bridge.RemoteIP.IsValid() {
		t.Fatalf("no address of the pool: %v", err)
	}
	for _, c := range []struct {
		name, password string
		accept         bool
		address        string // of the grant; "invalid IP": that of the pool
	}{
		{"alice", "right", true, "10.0.9.9"},
		{"bob", "right", true, "invalid IP"},
		{"alice", "wrong", false, "invalid IP"},
		{"nobody", "right", false, "invalid IP"},
	} {
		var got []ppp.Verdict
		spec.Bridge.Access.Authenticate(ppp.AuthRequest{Method: ppp.MethodPAP, Name: c.name, Password: []byte(c.password)},
			func(v ppp.Verdict) { got = append(got, v) })
		if len(got) != 1 || got[0].Accept != c.accept || got[0].Grant.Peer.String() != c.address {
			t.Errorf("%s %s: %+v", c.name, c.password, got)
		}
	}
	if n := r.Counts(); n["auth_accepted"] != 2 || n["auth_refused"] != 2 {
		t.Errorf("counted %v", n)
	}
	// The pool has two addresses.
	if err := r.Serve(r.callSpec("", profile, nil, true), profile); err != nil {
		t.Error(err)
	}
	if err := r.Serve(r.callSpec("", profile, nil, true), profile); err == nil || !strings.Contains(err.Error(), "pool small is exhausted") {
		t.Errorf("a third address: %v", err)
	}
	spec.Session.Ended(tunnel.Cause{}, nil)
	if err := r.Serve(r.callSpec("", profile, nil, true), profile); err != nil {
		t.Errorf("after one came back: %v", err)
	}
}
