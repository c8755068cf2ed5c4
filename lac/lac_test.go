package lac

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/internal/engine"
	"adit/lcce"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// names is a resolver that answers from a list, and a dialler that notes.
type names struct {
	mu      sync.Mutex
	addrs   []netip.Addr
	err     error
	network string
	slow    time.Duration
	asking  int
	most    int

	dials   []attemptSeen
	dialErr error
}

type attemptSeen struct {
	at          time.Time
	local, peer netip.AddrPort
	spec        *engine.TunnelSpec
}

func (n *names) LookupNetIP(ctx context.Context, network, _ string) ([]netip.Addr, error) {
	n.mu.Lock()
	n.network = network
	n.asking++
	n.most = max(n.most, n.asking)
	n.mu.Unlock()
	if n.slow > 0 {
		time.Sleep(n.slow)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asking--
	return n.addrs, n.err
}

func (n *names) Dial(local, peer netip.AddrPort, spec *engine.TunnelSpec) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dials = append(n.dials, attemptSeen{time.Now(), local, peer, spec})
	return n.dialErr
}

func (n *names) DialIP(local, peer netip.Addr, spec *engine.TunnelSpec) error {
	return n.Dial(netip.AddrPortFrom(local, 0), netip.AddrPortFrom(peer, 0), spec)
}

// seen returns the attempts so far.
func (n *names) seen() []attemptSeen {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.dials)
}

func (n *names) set(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

func oneTunnel() *config.Tunnel {
	return &config.Tunnel{
		Name: "isp", RemoteHost: "lns.example.net", RemotePort: 1701, HostName: "me",
		RetryMin: time.Second, RetryMax: 8 * time.Second, Profile: &config.Profile{Name: "p", PPP: config.PPPDiscard},
	}
}

// begin starts the role with tunnels; stop ends it.
func begin(n *names, tunnels ...*config.Tunnel) (r *Role, log *bytes.Buffer, stop func()) {
	log = new(bytes.Buffer)
	logger := logrus.New()
	logger.SetOutput(log)
	cfg := &config.Config{VendorName: "adit", LAC: config.LAC{Tunnels: tunnels}}
	cfg.Limits.SessionsPerTunnel = 100
	ctx, cancel := context.WithCancel(context.Background())
	r = start(ctx, cfg, n, &engine.Planes{}, lcce.NewCircuits(nil), nil, logrus.NewEntry(logger), n)
	return r, log, func() { cancel(); synctest.Wait() }
}

func addrs(texts ...string) (all []netip.Addr) {
	for _, s := range texts {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

// between says whether a pause is at least the least and has at most the quarter
// of chance on top.
func between(got, least time.Duration) bool { return got >= least && got <= least+least/4+1 }

// TestAttemptsGoThroughTheAddresses: each failure goes on to the next address,
// after pauses that double up to retry_max.
func TestAttemptsGoThroughTheAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{addrs: addrs("192.0.2.1", "192.0.2.2", "::ffff:192.0.2.3")}
		_, _, stop := begin(n, oneTunnel())
		defer stop()
		want := []string{"192.0.2.1:1701", "192.0.2.2:1701", "192.0.2.3:1701", "192.0.2.1:1701", "192.0.2.2:1701"}
		pauses := []time.Duration{1, 2, 4, 8, 8}
		last := time.Now()
		for i := range want {
			seen := n.seen()
			if len(seen) != i+1 || seen[i].peer.String() != want[i] || seen[i].local.IsValid() {
				t.Fatalf("attempt %d: %+v, want %s", i+1, seen[len(seen)-1], want[i])
			}
			if i > 0 && !between(seen[i].at.Sub(last), pauses[i-1]*time.Second) {
				t.Errorf("pause %d was %v, want %d s", i, seen[i].at.Sub(last), pauses[i-1])
			}
			last = time.Now()
			seen[i].spec.Handler.TunnelDown(nil, tunnel.Cause{})
			time.Sleep(pauses[i] * time.Second * 5 / 4)
			time.Sleep(time.Millisecond)
		}
	})
}

// kernelsChoice is how the zero AddrPort looks: the engine takes any address and
// port of the peer's family.
const kernelsChoice = "invalid AddrPort"

func TestFamilies(t *testing.T) {
	for _, test := range []struct {
		family  config.Family
		local   string
		network string
		peer    string
		from    string
	}{
		{config.FamilyAny, "", "ip", "[2001:db8::1]:1701", kernelsChoice},
		{config.FamilyIPv4, "", "ip4", "[2001:db8::1]:1701", kernelsChoice}, // the resolver is what filters
		{config.FamilyIPv6, "", "ip6", "[2001:db8::1]:1701", kernelsChoice},
		{config.FamilyAny, "198.51.100.1", "ip", "192.0.2.1:1701", "198.51.100.1:1701"},
		{config.FamilyAny, "2001:db8::2", "ip", "[2001:db8::1]:1701", "[2001:db8::2]:1701"},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := &names{addrs: addrs("2001:db8::1", "192.0.2.1")}
			cfg := oneTunnel()
			cfg.Family = test.family
			if test.local != "" {
				cfg.LocalAddress, cfg.LocalPort = netip.MustParseAddr(test.local), 1701
			}
			_, _, stop := begin(n, cfg)
			defer stop()
			seen := n.seen()
			if len(seen) != 1 || n.network != test.network || seen[0].peer.String() != test.peer || seen[0].local.String() != test.from {
				t.Errorf("%+v: asked for %q, dialled %+v", test, n.network, seen)
			}
		})
	}
}

func TestNoAddressOfTheFamily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{addrs: addrs("2001:db8::1")}
		cfg := oneTunnel()
		cfg.LocalAddress = netip.MustParseAddr("192.0.2.9")
		_, log, stop := begin(n, cfg)
		if seen := n.seen(); len(seen) != 0 || !strings.Contains(log.String(), "has no address of the family that lac.tunnels.isp may use") {
			t.Errorf("%+v, log %s", seen, log)
		}
		stop()
	})
}

func TestLookUpFailsThenSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{err: errors.New("server misbehaving")}
		start := time.Now()
		_, log, stop := begin(n, oneTunnel())
		time.Sleep(500 * time.Millisecond)
		if seen := n.seen(); len(seen) != 0 {
			t.Fatalf("%+v", seen)
		}
		n.set(func() { n.err, n.addrs = nil, addrs("192.0.2.1") })
		time.Sleep(time.Second)
		seen := n.seen()
		if len(seen) != 1 || !between(seen[0].at.Sub(start), time.Second) {
			t.Errorf("%+v", seen)
		}
		stop()
		if !strings.Contains(log.String(), "look up lns.example.net: server misbehaving") {
			t.Errorf("log: %s", log)
		}
	})
}

// TestLookUpsAreBounded: DNS is asked by few at a time, and an address needs it
// not at all.
func TestLookUpsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{addrs: addrs("192.0.2.1"), slow: time.Second}
		var tunnels []*config.Tunnel
		for range 50 {
			tunnels = append(tunnels, oneTunnel())
		}
		literal := oneTunnel()
		literal.RemoteHost = "192.0.2.77"
		_, _, stop := begin(n, append(tunnels, literal)...)
		if seen := n.seen(); len(seen) != 1 || seen[0].peer.String() != "192.0.2.77:1701" {
			t.Errorf("an address waited for the resolver: %+v", seen)
		}
		time.Sleep(10 * time.Second)
		if seen := n.seen(); len(seen) != 51 || n.most != lookupsAtATime {
			t.Errorf("%d dialled, %d asked at once", len(seen), n.most)
		}
		stop()
	})
}

// TestTunnelThatLasted: a tunnel that was up for retry_max makes the next pause
// short; one that fell at once does not.
func TestTunnelThatLasted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{addrs: addrs("192.0.2.1")}
		_, log, stop := begin(n, oneTunnel())
		for i := range 3 {
			seen := n.seen()
			h := seen[len(seen)-1].spec.Handler
			h.TunnelUp(nil)
			time.Sleep(time.Second) // not for long
			h.TunnelDown(nil, tunnel.Cause{})
			if got := len(n.seen()); got != i+1 {
				t.Fatalf("%d attempts", got)
			}
			time.Sleep(10 * time.Second)
		}
		seen := n.seen()
		if gap := seen[3].at.Sub(seen[2].at); gap < 5*time.Second {
			t.Errorf("after three tunnels that fell at once the pause is %v", gap-time.Second)
		}
		h := seen[3].spec.Handler
		h.TunnelUp(nil)
		time.Sleep(time.Minute)
		down := time.Now()
		h.TunnelDown(nil, tunnel.Cause{})
		time.Sleep(2 * time.Second)
		if seen = n.seen(); len(seen) != 5 || !between(seen[4].at.Sub(down), time.Second) {
			t.Errorf("after a tunnel that lasted: %+v", seen[len(seen)-1])
		}
		stop()
		if !strings.Contains(log.String(), "a LAC tunnel is kept up, so it is dialled again") {
			t.Errorf("the log does not say why: %s", log)
		}
	})
}

// TestNothingAfterTheEnd: no attempt, and no timer that the bubble would have to
// wait for.
func TestNothingAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{addrs: addrs("192.0.2.1")}
		r, _, stop := begin(n, oneTunnel(), oneTunnel())
		n.seen()[0].spec.Handler.TunnelDown(nil, tunnel.Cause{}) // pausing now
		if len(r.pausing) != 1 {
			t.Errorf("%d pauses", len(r.pausing))
		}
		stop()
		n.seen()[1].spec.Handler.TunnelDown(nil, tunnel.Cause{})
		time.Sleep(time.Hour)
		if seen := n.seen(); len(seen) != 2 || len(r.pausing) != 0 {
			t.Errorf("%d attempts, %d pauses", len(seen), len(r.pausing))
		}
	})
}

func TestDialErrorIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{addrs: addrs("192.0.2.1"), dialErr: engine.ErrLimit}
		_, log, stop := begin(n, oneTunnel())
		time.Sleep(1500 * time.Millisecond)
		if seen := n.seen(); len(seen) != 2 {
			t.Errorf("%d attempts", len(seen))
		}
		stop()
		if !strings.Contains(log.String(), "cannot dial") {
			t.Errorf("log: %s", log)
		}
	})
}

func TestSpec(t *testing.T) {
	cfg := oneTunnel()
	cfg.Secret, cfg.Challenge, cfg.HideAVPs = config.Secret("s"), true, true
	cfg.AcceptOtherAddress, cfg.AllowOutgoing, cfg.TieBreaker = true, true, true
	cfg.RemoteHostName = "lns*.example.net"
	cfg.Profile = &config.Profile{Name: "k", DataPlane: config.DataPlaneKernel}
	synctest.Test(t, func(t *testing.T) {
		n := &names{addrs: addrs("192.0.2.1")}
		_, _, stop := begin(n, cfg, oneTunnel())
		specs := map[bool]*engine.TunnelSpec{}
		for _, d := range n.seen() {
			specs[d.spec.AcceptOtherAddress] = d.spec
		}
		s := specs[true]
		if string(s.Tunnel.Secret) != "s" || !s.Tunnel.Challenge || !s.Tunnel.HideAVPs || s.Tunnel.HostName != "me" ||
			s.Tunnel.VendorName != "adit" || s.Tunnel.MaxSessions != 100 || !s.Tunnel.AllowOutgoing || s.Tunnel.AllowIncoming || !s.Tunnel.TieBreaker {
			t.Errorf("%+v", s.Tunnel)
		}
		if !s.RemoteHostName("lns7.example.net") || s.RemoteHostName("lns.example.org") {
			t.Error("remote_host_name is not what is matched")
		}
		if !s.KernelPlane {
			t.Error("calls of the LNS would be on the kernel plane, but the tunnel gets no socket")
		}
		if plain := specs[false]; plain.RemoteHostName != nil || plain.Tunnel.AllowOutgoing || plain.Tunnel.TieBreaker || plain.KernelPlane {
			t.Errorf("%+v", plain)
		}
		stop()
	})
}

func TestWantedCalls(t *testing.T) {
	p := &config.Profile{Name: "p", PPP: config.PPPDiscard, Sequencing: config.SequencingRequired}
	cfg := oneTunnel()
	cfg.Sessions = []*config.Session{
		{Name: "in", Count: 2, Profile: p, CalledNumber: "1", CallingNumber: "2", PrivateGroupID: "g", TxSpeed: 5, RxSpeed: 6,
			AgentCircuitID: "node eth 1/2", AgentRemoteID: "r7", ActualDataRateUp: 1 << 33, ActualDataRateDown: 2},
		{Name: "out", Count: 1, Profile: p, Direction: config.Outgoing, CalledNumber: "3", MinimumBPS: 7, MaximumBPS: 8},
	}
	l := &line{role: &Role{planes: &engine.Planes{}, server: served{}}, cfg: cfg}
	all := l.wanted(l2tp.Version)
	if len(all) != 3 {
		t.Fatalf("%d calls", len(all))
	}
	for i, want := range []struct {
		name      string
		direction tunnel.Direction
	}{{"in-1", tunnel.Incoming}, {"in-2", tunnel.Incoming}, {"out", tunnel.Outgoing}} {
		spec, err := all[i].Spec()
		if err != nil || spec.Name != want.name || all[i].Call.Direction != want.direction || !spec.SequencingRequired {
			t.Errorf("call %d: %+v, %v", i, spec, err)
		}
		if n := all[i].Call.CallSerial; n != 0 { // it is for each time that the call is placed
			t.Errorf("call %d has the number %d already", i, n)
		}
	}
	if c := all[0].Call; c.CalledNumber != "1" || c.CallingNumber != "2" || string(c.PrivateGroupID) != "g" || c.TxConnectSpeed != 5 || c.RxConnectSpeed != 6 {
		t.Errorf("%+v", c)
	}
	// RFC 5515 section 7.1: Agent-Circuit-Id, Agent-Remote-Id and the actual data
	// rates, of 64 bits.
	line := []l2tp.AccessLineAVP{
		{Type: 1, Value: []byte("node eth 1/2")}, {Type: 2, Value: []byte("r7")},
		{Type: 129, Value: []byte{0, 0, 0, 2, 0, 0, 0, 0}}, {Type: 130, Value: []byte{0, 0, 0, 0, 0, 0, 0, 2}},
	}
	if c := all[1].Call; !reflect.DeepEqual(c.Access, line) {
		t.Errorf("of the line is told %v, want %v", c.Access, line)
	}
	if c := all[2].Call; c.Access != nil || c.CalledNumber != "3" || c.MinimumBPS != 7 || c.MaximumBPS != 8 {
		t.Errorf("%+v", c)
	}
}

// TestEndOfASession: who we are to the built-in PPP endpoint.
func TestEndOfASession(t *testing.T) {
	p := &config.Profile{Name: "p", PPP: config.PPPBuiltin, DataPlane: config.DataPlaneUserspace, Builtin: config.Builtin{IPv4: true, MRU: 1400}}
	cfg := oneTunnel()
	cfg.Sessions = []*config.Session{
		{Name: "in", Count: 2, Profile: p, User: "alice", Password: config.Secret("pw")},
		{Name: "open", Count: 1, Profile: p},
		{Name: "out", Count: 1, Profile: p, Direction: config.Outgoing},
	}
	l := &line{role: &Role{planes: &engine.Planes{}, server: served{}, secrets: secrets([]*config.Tunnel{cfg})}, cfg: cfg}
	var specs []*engine.CallSpec
	for _, w := range l.wanted(l2tp.Version) {
		spec, err := w.Spec()
		if err != nil || spec.Bridge.Kind != circuit.Builtin {
			t.Fatalf("%+v, %v", spec, err)
		}
		specs = append(specs, spec)
	}
	first, second, open, out := specs[0].Bridge, specs[1].Bridge, specs[2].Bridge, specs[3].Bridge
	if first.Endpoint.Name != "alice" || len(first.Endpoint.Answer) != 4 || len(first.Endpoint.Authenticate) != 0 {
		t.Errorf("a client with a user is %+v", first.Endpoint)
	}
	if name, password := first.Endpoint.Secrets.Password(); name != "alice" || string(password) != "pw" {
		t.Errorf("it says %q %q", name, password)
	}
	if second.Endpoint != first.Endpoint || second.Grant != first.Grant {
		t.Error("two calls of a session do not share their configuration")
	}
	if open.Endpoint.Name != "me" || open.Endpoint.Secrets != nil || len(open.Endpoint.Answer) != 0 {
		t.Errorf("a client without a user is %+v", open.Endpoint)
	}
	if len(out.Endpoint.Authenticate) != 2 || out.Endpoint.Secrets != nil || out.RemoteIP != servedIP {
		t.Errorf("the LNS of an outgoing call is %+v for %v", out.Endpoint, out.RemoteIP)
	}
	if first.RemoteIP.IsValid() {
		t.Errorf("a client serves %v", first.RemoteIP)
	}
}

var servedIP = netip.MustParseAddr("10.9.9.9")

// served marks the calls in which we are the LNS.
type served struct{}

func (served) Serve(spec *engine.CallSpec, _ *config.Profile) error {
	spec.Bridge.RemoteIP = servedIP
	return nil
}
