package lns

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/internal/engine"
	"adit/lcce"
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
	r := newTestRole(t, cfg)
	lns := r.callSpec("", profile, nil, true).Bridge
	if lns.Kind != circuit.Builtin || len(lns.Endpoint.Authenticate) != 1 || lns.Endpoint.Name != "lns.test" ||
		lns.LocalIP != profile.LocalAddress {
		t.Errorf("the LNS's call is %+v", lns)
	}
	lac := r.callSpec("", profile, nil, false).Bridge
	if len(lac.Endpoint.Authenticate)+len(lac.Endpoint.Answer) != 0 {
		t.Errorf("the LAC's call is %+v", lac)
	}
}

// TestServe: a call whose peer is asked gets its address by the verdict, one whose
// peer is not gets it now.
func TestServe(t *testing.T) {
	cfg, profile := builtinConfig()
	r := newTestRole(t, cfg)
	asked := r.callSpec("", profile, nil, true)
	if err := r.Serve(asked, profile); err != nil || asked.Bridge.RemoteIP.IsValid() || asked.Session == nil || asked.Bridge.Access == nil {
		t.Fatalf("%+v, %v", asked.Bridge, err)
	}
	nobody := *profile
	nobody.Builtin.Auth = []config.Auth{}
	var all []*engine.CallSpec
	// The pool has two addresses.
	for i := range 3 {
		spec := r.callSpec("", &nobody, nil, true)
		err := r.Serve(spec, &nobody)
		if i < 2 && (err != nil || !spec.Bridge.RemoteIP.IsValid()) {
			t.Errorf("%d: %v", i, err)
		}
		if i == 2 && (err == nil || !strings.Contains(err.Error(), "pool small") || !strings.Contains(err.Error(), "add a range")) {
			t.Errorf("a third address: %v", err)
		}
		all = append(all, spec)
	}
	all[0].Session.Ended(tunnel.Cause{}, nil)
	eventually(t, "one to come back", func() bool { return r.taken("small") == 1 })
	if err := r.Serve(r.callSpec("", &nobody, nil, true), &nobody); err != nil {
		t.Errorf("after one came back: %v", err)
	}
	asked.Session.Ended(tunnel.Cause{}, nil)
}

// newTestRole is a role with a state directory of its own, and no log.
func newTestRole(t *testing.T, cfg *config.Config) *Role {
	t.Helper()
	cfg.StateDir = t.TempDir()
	r, err := New(cfg, &engine.Planes{}, lcce.NewCircuits(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := r.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return r
}

// taken is how many addresses of a pool are in use.
func (r *Role) taken(pool string) uint64 { return uint64(r.parts.pools.Stats()[pool].InUse) }

// A state directory is one daemon's.
func TestStateDirectoryOfAnother(t *testing.T) {
	cfg, _ := builtinConfig()
	newTestRole(t, cfg)
	if _, err := New(cfg, &engine.Planes{}, lcce.NewCircuits(nil), nil); err == nil || !strings.Contains(err.Error(), "another adit uses state_dir") {
		t.Errorf("%v", err)
	}
}
