package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fakeDaemon answers what it is told to.
type fakeDaemon struct {
	mu       sync.Mutex
	status   Status
	tunnels  []Tunnel
	sessions []Session
	selected []Selector
	reloaded Reloaded
	static   []Static
	added    []StaticDocument
	removed  []string
	err      error
	wait     bool // until the context ends
	panics   bool
}

func (d *fakeDaemon) answer(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.panics {
		panic("the daemon's mistake")
	}
	if d.wait {
		<-ctx.Done()
		return ctx.Err()
	}
	return d.err
}

func (d *fakeDaemon) Status(ctx context.Context) (Status, error) { return d.status, d.answer(ctx) }
func (d *fakeDaemon) Tunnels(ctx context.Context) ([]Tunnel, error) {
	return d.tunnels, d.answer(ctx)
}
func (d *fakeDaemon) Sessions(ctx context.Context) ([]Session, error) {
	return d.sessions, d.answer(ctx)
}
func (d *fakeDaemon) Reload(ctx context.Context) (Reloaded, error) {
	return d.reloaded, d.answer(ctx)
}
func (d *fakeDaemon) Static(ctx context.Context) ([]Static, error) { return d.static, d.answer(ctx) }
func (d *fakeDaemon) AddStatic(ctx context.Context, doc StaticDocument) (StaticAdded, error) {
	d.added = append(d.added, doc)
	return StaticAdded{Names: []string{"a", "b"}, Warnings: []Problem{{File: doc.File, Text: "odd"}}}, d.answer(ctx)
}
func (d *fakeDaemon) RemoveStatic(ctx context.Context, name string) (StaticRemoved, error) {
	d.removed = append(d.removed, name)
	return StaticRemoved{Name: name, Sessions: 2}, d.answer(ctx)
}
func (d *fakeDaemon) Disconnect(ctx context.Context, sel Selector) (Disconnected, error) {
	d.selected = append(d.selected, sel)
	return Disconnected{Tunnels: 1, Sessions: 2}, d.answer(ctx)
}

// serve runs a server on a socket of its own until the test ends.
func serve(t *testing.T, d Daemon, change ...func(*Server)) (socket string, stop func() error) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "run", "adit.sock")
	l, err := Listen(socket, "")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(d, nil)
	for _, f := range change {
		f(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Serve ended with %v", err)
		}
	})
	return socket, stop
}

func client(t *testing.T, socket string) *Client {
	c := NewClient(socket)
	t.Cleanup(c.Close)
	return c
}

func TestViewsPassThrough(t *testing.T) {
	then := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	d := &fakeDaemon{
		status: Status{Version: "v1", HostName: "lns", Started: then, UptimeSeconds: 61, Listeners: []string{"[::]:1701"},
			Tunnels: Counts{1, 2, 3, 4}, Sessions: Counts{5, 6, 7, 8}, Counters: map[string]uint64{"drop_short": 1 << 63},
			Planes:     []Plane{{"default", "pppd", "kernel", "l2tp_ppp can be opened"}},
			LocalUsers: 1, Pools: []Pool{{"p", 1 << 63, 2, 3, 4}}, Accounting: &Accounting{1, 2, 3}, DHCP: &DHCP{4},
			Static:        &StaticCounts{1, 2, 3},
			RADIUSServers: []RADIUSServer{{"s", ServiceAccounting, netip.MustParseAddrPort("192.0.2.1:1813"), true, then, 1, 2, 3, 4}}},
		tunnels: []Tunnel{
			{ID: 9, Peer: "b"}, {ID: 8, Peer: "b"},
			{ID: 65535, PeerID: 1, Peer: "a", PeerAddress: netip.MustParseAddrPort("192.0.2.1:1701"),
				LocalAddress: netip.MustParseAddrPort("[2001:db8::1]:1701"), PeerHostName: "lac", PeerVendor: "v",
				Role: RoleAcceptor, State: "established", Since: then, Sessions: 3, DataPlane: "kernel",
				Version: 3, Encapsulation: "ip", ControlChannel: ControlChannel{1, 2, 3, 4, 5, 6, 7, 8, then}},
		},
		sessions: []Session{
			{ID: 2, Tunnel: 1, TunnelPeer: "a"}, {ID: 1, Tunnel: 2, TunnelPeer: "a"}, {ID: 1, Tunnel: 1, TunnelPeer: "a"},
			{ID: 3, PeerID: 4, Tunnel: 5, TunnelPeer: "B", Name: "n", Profile: "p", Direction: "incoming", Role: "lns",
				State: "established", Since: then, Bridge: "pppd/kernel", Interface: "ppp0", PPPDPID: 99,
				LocalAddress: netip.MustParseAddr("10.0.0.1"), RemoteAddress: netip.MustParseAddr("10.0.0.2"),
				Phase: "network", User: "alice", AcctSessionID: "m1-000001", ServiceProfile: "gold", AuthMethod: "radius", Leased: true,
				IPv6Prefixes:      []netip.Prefix{netip.MustParsePrefix("2001:db8:0:1::/64")},
				DelegatedPrefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8:100::/56")},
				IPv6Address:       netip.MustParseAddr("2001:db8:0:1::2"), NetworkSince: then, Ends: then,
				FilterIDs: []string{"f"}, Rates: []string{"up=1"},
				LocalIPv6: netip.MustParseAddr("fe80::1"), RemoteIPv6: netip.MustParseAddr("fe80::2"),
				Routes:       []netip.Prefix{netip.MustParsePrefix("2001:db8:7::/48"), netip.MustParsePrefix("192.0.2.0/24")},
				CalledNumber: "1", CallingNumber: "2", Traffic: Traffic{1, 2, 3, 4, 5, 6},
				Drops:      map[string]uint64{"source": 1 << 63},
				Sequencing: Sequencing{true, true, 1, 2, 3, 4, 5, 6, 7},
				Version:    3, Pseudowire: "ethernet", RemoteEndID: "0xff", ApplicationID: new(uint16), CookieLength: 4, PeerCookieLength: 8, Sublayer: "none",
				PeerSublayer: "default", CircuitStatus: "active, new", PeerCircuitStatus: "inactive"},
		},
	}
	socket, _ := serve(t, d)
	c := client(t, socket)
	addrs := cmp.Options{
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	}
	status, err := c.Status(t.Context())
	if diff := cmp.Diff(d.status, status, addrs); err != nil || diff != "" {
		t.Errorf("status: %v\n%s", err, diff)
	}
	tunnels, err := c.Tunnels(t.Context())
	// By peer, then by ID.
	want := []Tunnel{d.tunnels[2], d.tunnels[1], d.tunnels[0]}
	slices.SortFunc(want, func(a, b Tunnel) int { return strings.Compare(a.Peer, b.Peer)*100000 + int(a.ID) - int(b.ID) })
	if diff := cmp.Diff(want, tunnels, addrs); err != nil || diff != "" {
		t.Errorf("tunnels: %v\n%s", err, diff)
	}
	sessions, err := c.Sessions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, s := range sessions {
		order = append(order, fmt.Sprintf("%s %d/%d", s.TunnelPeer, s.Tunnel, s.ID))
	}
	if diff := cmp.Diff([]string{"B 5/3", "a 1/1", "a 1/2", "a 2/1"}, order); diff != "" {
		t.Errorf("order of sessions:\n%s", diff)
	}
	full := d.sessions[slices.IndexFunc(d.sessions, func(s Session) bool { return s.TunnelPeer == "B" })]
	if diff := cmp.Diff(full, sessions[0], addrs); diff != "" {
		t.Errorf("session:\n%s", diff)
	}
	// Nothing was left out of the test: no field of these is zero.
	for _, v := range []any{d.status, d.status.Pools[0], d.status.RADIUSServers[0], full, tunnels[0], full.Traffic, full.Sequencing, tunnels[0].ControlChannel} {
		for i := range reflect.TypeOf(v).NumField() {
			if reflect.ValueOf(v).Field(i).IsZero() {
				t.Errorf("the test does not set %T.%s", v, reflect.TypeOf(v).Field(i).Name)
			}
		}
	}
}

// TestJSONNames holds the names that programs rely on.
func TestJSONNames(t *testing.T) {
	for _, c := range []struct {
		view any
		want string
	}{
		{Status{}, "counters host_name listeners planes sessions started tunnels uptime_seconds version"},
		{Counts{}, "closing limit setting_up up"},
		{Plane{}, "dataplane ppp profile reason"},
		{Tunnel{}, "control_channel dataplane encapsulation id local_address peer peer_address peer_host_name peer_id role sessions since state version"},
		{ControlChannel{}, "duplicates out_of_order received retransmitted send_queue sent window"},
		{Session{}, "bridge direction id local_address name peer_id remote_address role sequencing since state traffic tunnel tunnel_peer version"},
		{Traffic{}, "rx_bytes rx_errors rx_packets tx_bytes tx_errors tx_packets"},
		{Sequencing{}, "duplicate held late lost missing overflow reordered required send"},
		{Selector{Tunnel: 1, Session: 1, Peer: "x", User: "x", All: true, Reason: "x"}, "all peer reason session tunnel user"},
		{Session{User: "x", AcctSessionID: "x", ServiceProfile: "x", AuthMethod: "x", Leased: true, IPv6Prefixes: make([]netip.Prefix, 1),
			DelegatedPrefixes: make([]netip.Prefix, 1), IPv6Address: netip.IPv6Unspecified(), NetworkSince: time.Unix(0, 0), Ends: time.Unix(0, 0),
			FilterIDs: []string{""}, Rates: []string{""}},
			"acct_session_id auth_method bridge delegated_prefixes direction ends filter_ids id ipv6_address ipv6_prefixes leased local_address name network_since peer_id rates remote_address role sequencing service_profile since state traffic tunnel tunnel_peer user version"},
		{Session{Pseudowire: "x", RemoteEndID: "x", ApplicationID: new(uint16), CookieLength: 4, PeerCookieLength: 4, Sublayer: "x", PeerSublayer: "x", CircuitStatus: "x", PeerCircuitStatus: "x"},
			"application_id bridge circuit_status cookie_length direction id local_address name peer_circuit_status peer_cookie_length peer_id peer_sublayer pseudowire remote_address remote_end_id role sequencing since state sublayer traffic tunnel tunnel_peer version"},
		{Static{Problem: "x", Adopted: true, LastHeard: time.Unix(0, 0)}, "adopted answers dataplane encapsulation id last_heard local_address name origin peer_address peer_id probes problem repairs sessions since state"},
		{StaticSession{Problem: "x", Interface: "x"}, "bridge cookie_length id interface name peer_cookie_length peer_id problem pseudowire rx_out_of_order sequencing sublayer traffic type up"},
		{StaticDocument{}, "document file"}, {StaticAdded{}, "names warnings"}, {StaticRemoved{}, "name sessions"}, {StaticCounts{}, "dead down up"},
		{Status{Static: new(StaticCounts), LocalUsers: 1, Pools: make([]Pool, 1), RADIUSServers: make([]RADIUSServer, 1), Accounting: new(Accounting), DHCP: new(DHCP)},
			"accounting counters dhcp host_name listeners local_users planes pools radius_servers sessions started static tunnels uptime_seconds version"},
		{Pool{}, "in_use name quarantined resting size"},
		{RADIUSServer{DeadUntil: time.Unix(0, 0)}, "address alive dead_until name pending requests service timeouts waiting"},
		{Accounting{}, "backlog disk_octets open_sessions"},
		{DHCP{}, "leases"},
		{Reloaded{}, "applied needs_restart users warnings"},
		{UsersChange{}, "added changed removed total"},
		{Problem{Line: 1, Key: "x"}, "file key line text"},
		{Error{Problems: make([]Problem, 1)}, "error problems"},
		{Disconnected{}, "sessions tunnels"},
		{Error{}, "error"},
	} {
		encoded, err := json.Marshal(c.view)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]any
		if err := json.Unmarshal(encoded, &fields); err != nil {
			t.Fatal(err)
		}
		var names []string
		for name := range fields {
			names = append(names, name)
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%T has %s\nwant %s", c.view, got, c.want)
		}
	}
}

func TestNoneIsAList(t *testing.T) {
	socket, _ := serve(t, &fakeDaemon{})
	for _, path := range []string{"/v1/tunnels", "/v1/sessions", "/v1/static"} {
		status, body := request(t, socket, "GET "+path+" HTTP/1.0\r\n\r\n")
		if status != http.StatusOK || body != "[]\n" {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
}

func TestDisconnect(t *testing.T) {
	d := &fakeDaemon{}
	socket, _ := serve(t, d)
	c := client(t, socket)
	sel := Selector{Tunnel: 7, Session: 9, Reason: "täglich"}
	got, err := c.Disconnect(t.Context(), sel)
	if err != nil || got != (Disconnected{1, 2}) {
		t.Errorf("got %v, %v", got, err)
	}
	if diff := cmp.Diff([]Selector{sel}, d.selected); diff != "" {
		t.Error(diff)
	}
	d.err = fmt.Errorf("tunnel 7: %w", ErrNotFound)
	_, err = c.Disconnect(t.Context(), sel)
	var refused *Error
	if !errors.Is(err, ErrNotFound) || !errors.As(err, &refused) || err.Error() != "tunnel 7: not found" {
		t.Errorf("not found: %v", err)
	}
	if _, err = c.Disconnect(t.Context(), Selector{Session: 1}); err == nil || len(d.selected) != 2 {
		t.Errorf("the client sends a bad selector (%v)", err)
	}
}

// TestReload: an answer passes through, and so does everything that is wrong with
// a configuration.
func TestReload(t *testing.T) {
	problem := Problem{File: "/etc/adit.toml", Line: 7, Key: "users[0].name", Text: "is missing"}
	d := &fakeDaemon{reloaded: Reloaded{Applied: []string{"users"}, NeedsRestart: []string{"listen", "pools.a"},
		Users: UsersChange{1, 2, 3, 4}, Warnings: []Problem{problem}}}
	socket, _ := serve(t, d)
	c := client(t, socket)
	got, err := c.Reload(t.Context())
	if diff := cmp.Diff(d.reloaded, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	wrong := &Error{Message: "the configuration has 1 error", Problems: []Problem{problem}}
	d.err = fmt.Errorf("wrapped: %w", wrong)
	_, err = c.Reload(t.Context())
	var refused *Error
	if !errors.As(err, &refused) {
		t.Fatalf("%v", err)
	}
	if diff := cmp.Diff(wrong, refused); diff != "" {
		t.Error(diff)
	}
	if got, want := refused.Problems[0].Error(), "/etc/adit.toml:7: users[0].name: is missing"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if status, _ := request(t, socket, "POST /v1/reload HTTP/1.0\r\nContent-Length: 0\r\n\r\n"); status != http.StatusUnprocessableEntity {
		t.Errorf("status %d", status)
	}
	d.err = errors.New("the engine is stopping")
	if _, err = c.Reload(t.Context()); err == nil || err.Error() != "the engine is stopping" {
		t.Errorf("another error: %v", err)
	}
}

func TestSelector(t *testing.T) {
	for _, c := range []struct {
		sel  Selector
		text string
		good bool
	}{
		{Selector{All: true}, "all tunnels", true},
		{Selector{Peer: "p"}, `peer "p"`, true},
		{Selector{User: "u"}, `user "u"`, true},
		{Selector{User: "u", Peer: "p"}, `peer "p"`, false},
		{Selector{User: "u", Tunnel: 1}, `user "u"`, false},
		{Selector{Tunnel: 1}, "tunnel 1", true},
		{Selector{Tunnel: 1, Session: 2}, "session 1/2", true},
		{Selector{Tunnel: 1, Reason: strings.Repeat("x", MaxReason)}, "tunnel 1", true},
		{Selector{Tunnel: 1, Reason: strings.Repeat("x", MaxReason+1)}, "tunnel 1", false},
		{Selector{Tunnel: 1, Reason: "\xff"}, "tunnel 1", false},
		{Selector{}, "tunnel 0", false},
		{Selector{Session: 2}, "session 0/2", false},
		{Selector{Peer: "p", Session: 2}, `peer "p"`, false},
		{Selector{All: true, Tunnel: 1}, "all tunnels", false},
		{Selector{All: true, Peer: "p"}, "all tunnels", false},
		{Selector{Tunnel: 1, Peer: "p"}, `peer "p"`, false},
	} {
		if err := c.sel.Validate(); (err == nil) != c.good || c.sel.String() != c.text {
			t.Errorf("%v: %v", c.sel, err)
		}
	}
}

// request sends raw octets and reads the whole answer.
func request(t *testing.T, socket, raw string) (int, string) {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write([]byte(raw)); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufferOf(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if got := answer.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("the answer is %s", got)
	}
	return answer.StatusCode, read(t, answer.Body)
}

func post(body string) string { return postTo("/v1/disconnect", body) }

func postTo(path, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}

func TestRefusals(t *testing.T) {
	d := &fakeDaemon{}
	socket, _ := serve(t, d)
	for _, c := range []struct {
		raw    string
		status int
		want   string // in the sentence
	}{
		{"GET / HTTP/1.0\r\n\r\n", 404, "/v1/status"},
		{"GET /v2/status HTTP/1.0\r\n\r\n", 404, "/v1/status"},
		{"POST /v1/status HTTP/1.0\r\nContent-Length: 0\r\n\r\n", 405, "takes GET, not POST"},
		{"GET /v1/disconnect HTTP/1.0\r\n\r\n", 405, "takes POST, not GET"},
		{"PUT /v1/static HTTP/1.0\r\nContent-Length: 0\r\n\r\n", 405, "takes GET, POST, DELETE, not PUT"},
		{"DELETE /v1/static HTTP/1.0\r\n\r\n", 400, "name=NAME"},
		{"DELETE /v1/static?name= HTTP/1.0\r\n\r\n", 400, "name=NAME"},
		{"DELETE /v1/static?name=a&force=1 HTTP/1.0\r\n\r\n", 400, "nothing else"},
		{postTo("/v1/static", `{"document": 1}`), 400, "not a document"},
		{postTo("/v1/static", `{"documents": ""}`), 400, "documents"},
		{postTo("/v1/static", `{} {}`), 400, "goes on"},
		{postTo("/v1/static", `{"document": "`+strings.Repeat("x", maxDocument)+`"}`), 413, "octets"},
		{"GET /v1/reload HTTP/1.0\r\n\r\n", 405, "takes POST, not GET"},
		{post(""), 400, "not a selector"},
		{post("{"), 400, "not a selector"},
		{post(`[]`), 400, "not a selector"},
		{post(`{"tunnel": 4294967296}`), 400, "not a selector"},
		{post(`{"tunnel": -1}`), 400, "not a selector"},
		{post(`{"tunel": 1}`), 400, "tunel"},
		{post(`{"all": true} {}`), 400, "goes on"},
		{post(`{}`), 400, "nothing is selected"},
		{post(`{"session": 1}`), 400, "tunnel"},
		{post(`{"peer": "` + strings.Repeat("x", maxBody) + `"}`), 413, "octets"},
	} {
		status, body := request(t, socket, c.raw)
		var e Error
		if err := json.Unmarshal([]byte(body), &e); err != nil {
			t.Errorf("%.40q: the answer %q is not JSON: %v", c.raw, body, err)
		}
		if status != c.status || !strings.Contains(e.Message, c.want) {
			t.Errorf("%.40q: %d %q, want %d and %q", c.raw, status, e.Message, c.status, c.want)
		}
	}
	if len(d.selected)+len(d.added)+len(d.removed) != 0 {
		t.Errorf("the daemon was asked %v %v %v", d.selected, d.added, d.removed)
	}
}

func TestDaemonFails(t *testing.T) {
	socket, _ := serve(t, &fakeDaemon{err: errors.New("the engine is stopping")})
	if _, err := client(t, socket).Status(t.Context()); err == nil || err.Error() != "the engine is stopping" {
		t.Errorf("got %v", err)
	}
}

func TestDaemonHangs(t *testing.T) {
	socket, _ := serve(t, &fakeDaemon{wait: true}, func(s *Server) { s.timeout = 20 * time.Millisecond })
	_, err := client(t, socket).Sessions(t.Context())
	if err == nil || err.Error() != "the daemon is too busy to answer; try again" {
		t.Errorf("got %v", err)
	}
}

// TestDaemonPanics: one request that panics ends neither the server nor the
// requests after it.
func TestDaemonPanics(t *testing.T) {
	d := &fakeDaemon{panics: true}
	socket, _ := serve(t, d)
	c := client(t, socket)
	if _, err := c.Tunnels(t.Context()); err == nil {
		t.Error("a panic is an answer")
	}
	d.mu.Lock()
	d.panics = false
	d.mu.Unlock()
	if _, err := c.Tunnels(t.Context()); err != nil {
		t.Errorf("after a panic: %v", err)
	}
}

// TestConnectionsAreBounded opens more connections than the server takes: those
// that wait are served as soon as one of the others goes.
func TestConnectionsAreBounded(t *testing.T) {
	socket, _ := serve(t, &fakeDaemon{})
	var idle []net.Conn
	for range maxConnections {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, conn)
	}
	late, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	if _, err := late.Write([]byte("GET /v1/tunnels HTTP/1.0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	_ = late.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := late.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("connection %d is served beside the others", maxConnections+1)
	}
	for _, conn := range idle {
		conn.Close()
	}
	_ = late.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := http.ReadResponse(bufferOf(late), nil); err != nil {
		t.Errorf("it is not served after they went: %v", err)
	}
}

func TestServeEnds(t *testing.T) {
	socket, stop := serve(t, &fakeDaemon{})
	// A connection that asks nothing does not hold it up.
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	start := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if d := time.Since(start); d > shutdownTimeout+5*time.Second {
		t.Errorf("it took %v", d)
	}
	if _, err := client(t, socket).Status(t.Context()); err == nil || !strings.Contains(err.Error(), "there is no control socket at "+socket) {
		t.Errorf("the socket is still there: %v", err)
	}
}
