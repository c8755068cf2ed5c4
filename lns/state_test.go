package lns

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	layeh "layeh.com/radius"

	"adit/internal/config"
	"adit/lns/hooks"
	"adit/lns/radius"
)

// TestStateOfServers: all servers are there, in order, those that were asked with
// what became of it.
func TestStateOfServers(t *testing.T) {
	cfg := &config.RADIUS{Servers: map[string]*config.RADIUSServer{}}
	for i, name := range []string{"two", "one"} {
		cfg.Servers[name] = &config.RADIUSServer{Name: name, Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), AuthPort: 1812, AcctPort: 1813}
	}
	dead := time.Unix(1, 0)
	asked := []radius.ServerState{{Name: "one", Accounting: true, Address: netip.MustParseAddrPort("192.0.2.1:1813"), DeadUntil: dead,
		Counters: radius.Counters{Requests: 3}}}
	var got []string
	for _, s := range withUnasked(asked, cfg) {
		got = append(got, fmt.Sprintf("%s %t %v %t %d %t", s.Name, s.Accounting, s.Address, s.Alive, s.Requests, s.DeadUntil.Equal(dead)))
	}
	want := []string{
		"one false 192.0.2.1:1812 true 0 false", "one true 192.0.2.1:1813 false 3 true",
		"two false 192.0.2.0:1812 true 0 false", "two true 192.0.2.0:1813 true 0 false",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestReloadOfUsers: the users are others, and the pools the same.
func TestReloadOfUsers(t *testing.T) {
	cfg, _ := builtinConfig()
	r := newTestRole(t, cfg)
	if s := r.State(); s.Users != 2 || s.Pools["small"].Size != 2 || s.RADIUS != nil || s.DHCP {
		t.Errorf("%+v", s)
	}
	other := cfg.WithUsers(cfg.Users[1:])
	other.Hooks = config.Hooks{Up: "/bin/true", Concurrency: 1}
	r.Reload(other)
	if r.State().Users != 1 || !r.parts.hooks.Wants(hooks.SessionUp) {
		t.Errorf("%+v", r.State())
	}
	// A role that serves nobody has nothing to reload.
	client, err := New(&config.Config{}, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	client.Reload(other)
	if s := client.State(); s.Users != 0 || s.Pools != nil {
		t.Errorf("%+v", s)
	}
	if err := client.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestReloadOfDynamicAuthorizationClients: who was no client is one afterwards,
// and is answered.
func TestReloadOfDynamicAuthorizationClients(t *testing.T) {
	cfg, _ := builtinConfig()
	cfg.RADIUS.DynamicAuth = netip.MustParseAddrPort("127.0.0.1:0")
	r := newTestRole(t, cfg)
	ask := func(within time.Duration) (*layeh.Packet, error) {
		p := layeh.New(layeh.CodeDisconnectRequest, []byte("coa-secret"))
		p.Add(1, layeh.Attribute("nobody")) // User-Name
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		return (&layeh.Client{Retry: time.Second}).Exchange(ctx, p, r.parts.coa.Addr().String())
	}
	if _, err := ask(100 * time.Millisecond); err == nil {
		t.Error("a stranger is answered")
	}
	other := *cfg
	other.RADIUS.DynamicAuthClients = []*config.DynamicAuthClient{
		{Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Secret: config.Secret("coa-secret")}}
	r.Reload(&other)
	if p, err := ask(20 * time.Second); err != nil || p.Code != layeh.CodeDisconnectNAK {
		t.Errorf("a client is answered with %v, %v", p, err)
	}
}
