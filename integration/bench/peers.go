package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"adit/integration/scenario"
	"adit/internal/control"
)

// The addresses inside, the same at all servers.
var (
	innerServer = netip.MustParseAddr("10.64.0.1")
	innerPool   = netip.MustParsePrefix("10.64.16.0/20")
)

const (
	setupLimit = time.Minute // for all sessions
	l2tpPort   = 1701
	user       = "alice"
	password   = "her password"
	secret     = "open sesame"
)

// bench is one run.
type bench struct {
	scenario.TB
	adit                string // the binary
	self                string // this program
	l2tpnsTree          string // unpacked; "": there is none
	sessions            int
	generator, measured int // processors
	setups              map[string]float64
}

// network makes the namespaces of a server, with the route that swallows what
// its subscribers send. Traffic to the sink is let go by the routing table: what
// a real server does with it is the kernel's, and the same for all.
func (b *bench) network() *scenario.Net {
	n := scenario.NewNativeNet(b)
	n.B.MustRun(b, "ip", "route", "add", "blackhole", sinkRoute)
	left, right := n.Links[0].Left, n.Links[0].Right
	b.introduce(left, right)
	b.introduce(right, left)
	return n
}

// introduce tells one end of a wire for good where the other is: a question
// that is lost in the flood would stop it.
func (b *bench) introduce(to, other scenario.End) {
	var address net.HardwareAddr
	err := other.NS.Do(func() error {
		link, err := net.InterfaceByName(other.Interface)
		if err == nil {
			address = link.HardwareAddr
		}
		return err
	})
	if err != nil {
		b.Fatalf("%v", err)
	}
	to.NS.MustRun(b, "ip", "neigh", "replace", other.IPv4.String(), "lladdr", address.String(), "dev", to.Interface, "nud", "permanent")
}

// newServer describes a server in a network, without its calls.
func newServer(name string, n *scenario.Net, tun string) *server {
	return &server{name: name, outside: n.A, inside: n.B, wire: n.Links[0].Left.Interface, tun: tun,
		outer: netip.AddrPortFrom(n.AddrB(), l2tpPort)}
}

// startFloor starts a floor, which has as many addresses as the others have
// sessions.
func (b *bench) startFloor() *server {
	n := b.network()
	s := newServer("floor", n, "floor0")
	s.peer = netip.AddrPortFrom(n.AddrA(), l2tpPort)
	s.messageLen = headerLen
	// What IPv6 says on a new link of its own accord would be counted, and may be merged
	// with what is measured: the floor passes everything on.
	n.B.Sysctl(b, "net/ipv6/conf/default/disable_ipv6", "1")
	s.pid = b.runFloor(n.B, b.measured, floorOptions{listen: s.outer, peer: s.peer, tun: s.tun})
	n.B.MustRun(b, "ip", "link", "set", s.tun, "up")
	n.B.MustRun(b, "ip", "route", "add", innerPool.String(), "dev", s.tun)
	addr := innerPool.Addr()
	for i := range b.sessions {
		addr = addr.Next()
		s.calls = append(s.calls, call{tunnel: 1, session: uint16(i + 1), addr: addr})
	}
	return s
}

// runFloor starts the child and waits until its TUN is there.
func (b *bench) runFloor(ns *scenario.NS, cpu int, o floorOptions) (pid int) {
	argv := append([]string{b.self}, o.args()...)
	p := ns.Start(b, "floor-"+ns.Label, on(cpu, argv...)...)
	p.WaitLog(b, 10*time.Second, floorReady)
	return p.Pid()
}

// startAdit starts an LNS on the processor that is measured, and a LAC whose
// sessions come up at once.
func (b *bench) startAdit() *server {
	n := b.network()
	s := newServer("adit", n, "adit0")
	lns := b.runAdit(n.B, on(b.measured, b.adit), lnsDocument(n, b.sessions))
	s.pid = lns.Pid()
	b.dial(s, n)
	return s
}

// startL2TPNS starts an l2tpns on the processor that is measured, and the same
// LAC.
func (b *bench) startL2TPNS() *server {
	n := b.network()
	s := newServer("l2tpns", n, "tun0")
	const radiusSecret = "radius secret"
	responder := scenario.RADIUS(b, n.B, netip.MustParseAddrPort("127.0.0.1:1812"), radiusSecret,
		map[string]scenario.RADIUSUser{user: {Password: password}})
	d := scenario.L2TPNS(b, n.B, scenario.L2TPNSOptions{
		Tree: b.l2tpnsTree, Bind: n.AddrB(), Interface: n.Links[0].Right.Interface, Secret: secret, Auth: "chap",
		Peer: innerServer, Pool: innerPool, RADIUS: responder.Address, RADIUSSecret: radiusSecret,
	})
	s.pid = d.Pid()
	if err := pin(s.pid, b.measured); err != nil {
		b.Fatalf("%v", err)
	}
	b.dial(s, n)
	return s
}

// dial starts a LAC that places all calls, and notes what the generators need to
// know of them.
func (b *bench) dial(s *server, n *scenario.Net) {
	begin := time.Now()
	lac := b.runAdit(n.A, on(b.generator, b.adit), lacDocument(n, b.sessions))
	var up []control.Session
	lac.await(b, "sessions at "+s.name, func(ctx context.Context) (bool, error) {
		st, err := lac.client.Status(ctx)
		if err != nil || st.Sessions.Up < b.sessions {
			return false, err
		}
		up = up[:0]
		all, err := lac.client.Sessions(ctx)
		for _, c := range all {
			if c.LocalAddress.IsValid() && c.PeerID != 0 {
				up = append(up, c)
			}
		}
		return len(up) == b.sessions, err
	})
	b.setups[s.name] = float64(b.sessions) / time.Since(begin).Seconds()
	tunnels, err := lac.client.Tunnels(context.Background())
	if err != nil || len(tunnels) != 1 {
		b.Fatalf("the LAC of %s has %d tunnels: %v", s.name, len(tunnels), err)
	}
	s.peer = netip.AddrPortFrom(n.AddrA(), tunnels[0].LocalAddress.Port())
	for _, c := range up {
		s.calls = append(s.calls, call{tunnel: uint16(tunnels[0].PeerID), session: uint16(c.PeerID), addr: c.LocalAddress})
	}
}

// daemon is a running adit.
type daemon struct {
	*scenario.Process
	client *control.Client
}

// runAdit starts adit, by argv to which its arguments are added, and waits until
// it answers.
func (b *bench) runAdit(ns *scenario.NS, argv []string, document string) *daemon {
	// Not TempDir: a unix socket's path must be shorter than 108 octets.
	dir, err := os.MkdirTemp("", "adit-bench-")
	if err != nil {
		b.Fatalf("%v", err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	config, socket := filepath.Join(dir, "adit.toml"), filepath.Join(dir, "adit.sock")
	// Several run at once, each with a state of its own.
	document = fmt.Sprintf("state_dir = %q\n", filepath.Join(dir, "state")) + document
	if err := os.WriteFile(config, []byte(document), 0o600); err != nil {
		b.Fatalf("%v", err)
	}
	d := &daemon{client: control.NewClient(socket)}
	argv = append(slices.Clone(argv), "run", "-c", config, "--socket", socket)
	d.Process = ns.Start(b, "adit-"+ns.Label, argv...)
	b.Cleanup(d.client.Close)
	d.await(b, "answer of adit", func(ctx context.Context) (bool, error) {
		_, err := d.client.Status(ctx)
		return err == nil, nil
	})
	return d
}

// await asks the daemon until the condition holds.
func (d *daemon) await(t scenario.TB, what string, condition func(context.Context) (bool, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), setupLimit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := condition(ctx)
		if err != nil {
			t.Fatalf("waiting for %s: %v", what, err)
		}
		if ok {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited %s in vain for %s", setupLimit, what)
		case <-tick.C:
		}
		if done, err := d.Exited(); done {
			t.Fatalf("adit ended while waiting for %s: %v\n%s", what, err, d.Log())
		}
	}
}

// quiet keeps control messages and echoes out of the measurement.
const quiet = "echo_interval = \"0s\"\n"

func lnsDocument(n *scenario.Net, sessions int) string {
	return fmt.Sprintf(`host_name = "lns.bench"

[[listen]]
address = "%s:%d"

[control_channel]
hello_interval = "1h"

[[users]]
name = "%s"
password = "%s"

[pools.subscribers]
ranges = ["%s-%s"]

[profiles.subscribers]
ppp = "builtin"
dataplane = "userspace"
auth = ["chap-md5"]
local_address = "%s"
pool = "subscribers"
%s
[[lns.peers]]
name = "lac"
secret = "%s"
profile = "subscribers"
max_sessions = %d
`, n.AddrB(), l2tpPort, user, password, innerPool.Addr().Next(), "10.64.31.254", innerServer, quiet, secret, sessions)
}

func lacDocument(n *scenario.Net, sessions int) string {
	return fmt.Sprintf(`host_name = "lac.bench"
listen = []

[control_channel]
hello_interval = "1h"

[profiles.client]
ppp = "builtin"
dataplane = "userspace"
auth = ["chap-md5"]
%s
[[lac.tunnels]]
name = "lns"
remote = "%s:%d"
secret = "%s"
profile = "client"

[[lac.tunnels.sessions]]
name = "call"
user = "%s"
password = "%s"
count = %d
`, quiet, n.AddrB(), l2tpPort, secret, user, password, sessions)
}
