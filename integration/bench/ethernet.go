package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"adit/integration/scenario"
)

// Ethernet pseudowires are measured as PPP sessions are: packets of IP in frames, each
// session with a TAP of its own. There is no control connection; both ends of each
// session are known from the configuration.

const (
	// ethernetSessions is how many "many" are.
	ethernetSessions = 200
	// ethernetRounds is how often each load is measured at most: the whole run takes
	// long enough.
	ethernetRounds = 3
	// ethernetName is before the names of their figures.
	ethernetName = "ethernet/"
	// ethernetHeaderLen is the octets before the IP packet in a data message over UDP:
	// RFC 3931 section 4.1.2.1, flags, version and reserved field, and the Session
	// ID; a cookie of 8 octets; the default sublayer, section 4.6; the frame's header.
	ethernetHeaderLen = 4 + 4 + 8 + 4 + 14
	ethernetPort      = 5000 // the server's
	ethernetPeerPort  = 6000
	ethernetDevice    = "pw"
)

// The paths of TCP through two TAPs.
const (
	ethernetTCP   = "ethernet adit"
	ethernetFloor = "ethernet floor"
)

// The cookies of all sessions, to the server and from it.
var (
	ethernetCookie     = [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	ethernetPeerCookie = [8]byte{8, 7, 6, 5, 4, 3, 2, 1}
)

// strangerMAC is the address of the host that each TAP has on its link.
var strangerMAC = net.HardwareAddr{2, 0, 0, 0, 0, 1}

// appendEthernet appends what is before the IP packet of a message to the server.
func (c call) appendEthernet(b []byte) []byte {
	b = append(b, 0, 3, 0, 0) // data, version 3
	b = binary.BigEndian.AppendUint32(b, uint32(c.session))
	b = append(b, ethernetCookie[:]...)
	b = append(b, 0, 0, 0, 0)
	b = append(append(b, c.mac...), strangerMAC...)
	return append(b, 0x08, 0x00)
}

// ethernetLoads are what is measured.
func ethernetLoads() (all []load) {
	for _, size := range sizes {
		for _, n := range []int{1, ethernetSessions} {
			burst := burstOfMany
			if n == 1 {
				burst = min(longest, longestUDP/(ethernetHeaderLen+size))
			}
			all = append(all, load{false, size, n, burst}, load{true, size, n, burst})
		}
	}
	return all
}

// runEthernet measures nothing else.
func (o *options) runEthernet(ctx context.Context, t scenario.TB) *report {
	o.skip += ",l2tpns"
	b, r := o.prepare(ctx, t), &report{}
	b.ethernet(ctx, r, o)
	return r
}

// ethernet measures pseudowires: TCP through two TAPs, and packets with one session
// and with many.
func (b *bench) ethernet(ctx context.Context, r *report, o *options) {
	rounds := min(o.rounds, ethernetRounds)
	if !o.withoutTCP {
		b.Logf("bench: TCP through an Ethernet pseudowire")
		b.measureTCP(ctx, r, rounds, []tcpPath{b.ethernetPath(ethernetTCP, true), b.ethernetPath(ethernetFloor, false)})
	}
	b.Logf("bench: starting servers with %d Ethernet pseudowires", ethernetSessions)
	servers := []*server{b.ethernetServer("adit", ethernetSessions), b.ethernetServer("floor", ethernetSessions)}
	for _, s := range servers {
		if ctx.Err() != nil {
			return
		}
		if err := s.check(); err != nil {
			b.Fatalf("Ethernet: %v", err)
		}
	}
	all, err := processors()
	if err == nil {
		err = pin(os.Getpid(), b.generator)
	}
	if err != nil {
		b.Fatalf("%v", err)
	}
	for _, l := range ethernetLoads() {
		if strings.Contains(ethernetName+l.name(), o.only) {
			r.ethernet = append(r.ethernet, b.row(ctx, servers, l, rounds))
		}
	}
	if err := pin(os.Getpid(), all...); err != nil {
		b.Fatalf("%v", err)
	}
}

// ethernetEnd starts one end of so many sessions, with a TAP for each, which are up and
// without IPv6.
func (b *bench) ethernetEnd(ns *scenario.NS, cpu int, adit bool, own, peer netip.AddrPort, sessions int) (pid int) {
	// What IPv6 says on a new link of its own accord would be counted.
	ns.Sysctl(b, "net/ipv6/conf/default/disable_ipv6", "1")
	if adit {
		pid = b.runAdit(ns, on(cpu, b.adit), ethernetDocument(own, peer, sessions)).Pid()
	} else {
		pid = b.runFloor(ns, cpu, floorOptions{listen: own, peer: peer, tun: ethernetDevice, taps: sessions})
	}
	names := make([]string, sessions)
	for i := range names {
		names[i] = fmt.Sprintf("link set %s%d up mtu 1400", ethernetDevice, i+1)
	}
	if !scenario.Eventually(setupLimit, func() bool { return len(ns.Interfaces(b, ethernetDevice)) == sessions }) {
		b.Fatalf("there are %d TAPs, want %d", len(ns.Interfaces(b, ethernetDevice)), sessions)
	}
	b.batch(ns, names)
	return pid
}

// batch runs several ip commands with one process.
func (b *bench) batch(ns *scenario.NS, lines []string) {
	file, err := os.CreateTemp(b.TempDir(), "batch")
	if err == nil {
		_, err = file.WriteString(strings.Join(lines, "\n") + "\n")
	}
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		b.Fatalf("%v", err)
	}
	ns.MustRun(b, "ip", "-batch", file.Name())
}

// ethernetServer starts a server with all sessions. Each TAP has a network of its own
// with one host on it.
func (b *bench) ethernetServer(name string, sessions int) *server {
	n := b.network()
	s := newServer(name, n, ethernetDevice)
	s.ethernet = true
	s.outer = netip.AddrPortFrom(n.AddrB(), ethernetPort)
	s.peer = netip.AddrPortFrom(n.AddrA(), ethernetPeerPort)
	s.messageLen = ethernetHeaderLen
	s.pid = b.ethernetEnd(n.B, b.measured, name == "adit", s.outer, s.peer, sessions)
	var lines []string
	for i := range sessions {
		device := fmt.Sprintf("%s%d", ethernetDevice, i+1)
		host := netip.AddrFrom4([4]byte{10, 65, byte(i), 2})
		lines = append(lines, fmt.Sprintf("addr add %s/30 dev %s", host.Prev(), device),
			fmt.Sprintf("neigh replace %s lladdr %s dev %s nud permanent", host, strangerMAC, device))
		s.calls = append(s.calls, call{session: uint16(i + 1), addr: host})
	}
	b.batch(n.B, lines)
	b.addresses(s)
	return s
}

// addresses finds out the addresses of the TAPs.
func (b *bench) addresses(s *server) {
	err := s.inside.Do(func() error {
		for i := range s.calls {
			link, err := net.InterfaceByName(fmt.Sprintf("%s%d", ethernetDevice, i+1))
			if err != nil {
				return err
			}
			s.calls[i].mac = link.HardwareAddr
		}
		return nil
	})
	if err != nil {
		b.Fatalf("%v", err)
	}
}

// ethernetPath is a session between two ends of a kind, each with a TAP.
func (b *bench) ethernetPath(name string, adit bool) tcpPath {
	n := scenario.NewNativeNet(b)
	near, far := netip.AddrPortFrom(n.AddrA(), ethernetPort), netip.AddrPortFrom(n.AddrB(), ethernetPort)
	b.ethernetEnd(n.A, b.generator, adit, near, far, 1)
	b.ethernetEnd(n.B, b.measured, adit, far, near, 1)
	device := ethernetDevice + "1"
	n.A.MustRun(b, "ip", "addr", "add", innerServer.Next().String()+"/24", "dev", device)
	n.B.MustRun(b, "ip", "addr", "add", innerServer.String()+"/24", "dev", device)
	if err := scenario.AwaitPing(n.A, innerServer, 10*time.Second); err != nil {
		b.Fatalf("%s: %v", name, err)
	}
	return tcpPath{name, n.A, n.B, innerServer, [2]int{b.generator, b.measured}}
}

// ethernetDocument is a static tunnel with so many sessions, which has the same IDs at
// both ends.
func ethernetDocument(own, peer netip.AddrPort, sessions int) string {
	var text strings.Builder
	cookie, peerCookie := ethernetCookie, ethernetPeerCookie
	if peer.Port() == ethernetPort {
		peerCookie = cookie // two adits, whose cookies are alike
	}
	fmt.Fprintf(&text, `listen = []

[[l2tpv3.static]]
name = "peer"
local = "%s"
remote = "%s"
tunnel_id = 1
peer_tunnel_id = 1
dataplane = "userspace"
`, own, peer)
	for i := range sessions {
		fmt.Fprintf(&text, `
[[l2tpv3.static.sessions]]
name = "s%d"
interface = "%s%d"
session_id = %d
peer_session_id = %d
cookie = "%x"
peer_cookie = "%x"
`, i+1, ethernetDevice, i+1, i+1, i+1, cookie, peerCookie)
	}
	return text.String()
}

// printEthernet shows their table.
func (r *report) printEthernet(w io.Writer) {
	if len(r.ethernet) > 0 {
		fmt.Fprintf(w, "\nEthernet pseudowires in userspace, each with a TAP: the same, in packets of IP in frames. To reach: %.0f %% of the floor.\n\n", targetFloor*100)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, "load\tadit Mpps\tGbit/s\tfloor Mpps\tof floor\treached\tprocessor full\t")
		for _, x := range r.ethernet {
			ours, floor, q := x.of["adit"], x.of["floor"], x.ratio["floor"]
			fmt.Fprintf(t, "%s\t%.3f\t%.2f\t%.3f\t%.0f %%\t%s\t%.0f %%\t\n", x.load, ours.perCPU/1e6, x.load.gbit(ours.perCPU),
				floor.perCPU/1e6, q*100, reached(q, targetFloor), ours.busy*100)
		}
		_ = t.Flush() // of standard output
	}
	if v := r.tcp[ethernetFloor]; v > 0 {
		fmt.Fprintf(w, "\nOne TCP connection through an Ethernet pseudowire between two TAPs: %.2f Gbit/s; %.0f %% of the floor's %.2f\n",
			r.tcp[ethernetTCP]/1e9, r.tcpRatio[ethernetFloor]*100, v/1e9)
	}
}
