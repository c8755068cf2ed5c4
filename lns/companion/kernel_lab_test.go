package companion

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/internal/kernel"
	"adit/pppbridge"
	"adit/proto/ppp"
)

// labAccess is the role's side of a session whose pppd asks by the companion.
type labAccess struct {
	mu     sync.Mutex
	events []string
	net    ppp.Network
	dev    string
}

func (*labAccess) Authenticate(ppp.AuthRequest, func(ppp.Verdict)) {}
func (*labAccess) Packet([]byte)                                   {}
func (*labAccess) User() string                                    { return "joe" }

func (*labAccess) Routes() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8:7::/48")}
}

func (a *labAccess) NetworkUp(f ppp.Family, n ppp.Network, at pppbridge.Attachment) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = append(a.events, fmt.Sprint("up ", f))
	a.net, a.dev = n, at.Interface
}

func (a *labAccess) NetworkDown(f ppp.Family) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = append(a.events, fmt.Sprint("down ", f))
}

func (a *labAccess) seen() ([]string, ppp.Network, string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.events), a.net, a.dev
}

// The kernel plane with all that belongs to it: MS-CHAPv2 by the companion, both
// families told to the role, the routes of the peer, the last counters.
func TestLabKernelPlane(t *testing.T) {
	rig := newLabRig(t, "kernel", &labAsk{service: labService})
	poller, err := kernel.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = poller.Run() }()
	t.Cleanup(poller.Stop)
	f := pppbridge.NewFactory(pppbridge.Config{Poller: poller})
	t.Cleanup(f.Close)

	profile := labProfile(config.AuthMSCHAPv2)
	profile.Builtin.IPv6 = true
	access := &labAccess{}
	lnsLog, lacLog := &syncBuffer{}, &syncBuffer{}
	open := func(s pppbridge.Spec, local, peer netip.AddrPort, id, peerID uint32, log *syncBuffer) (circuit.Bridge, <-chan circuit.Exit) {
		t.Helper()
		udp, err := kernel.ConnectedUDP(local, peer)
		if err != nil {
			t.Fatal(err)
		}
		m, err := kernel.OpenManagement(2, udp, peer, id, peerID)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close(); _ = unix.Close(udp) })
		logger := logrus.New()
		logger.SetOutput(log)
		s.Kind, s.Log, s.Peer, s.UDP = circuit.PPPDKernel, logrus.NewEntry(logger), peer, udp
		s.LocalTunnel, s.PeerTunnel, s.LocalSession, s.PeerSession = id, peerID, id, peerID
		s.CallingNumber = "5551234"
		exits := make(chan circuit.Exit, 1)
		b, err := f.Open(s, nil, func(e circuit.Exit) { exits <- e })
		if err != nil {
			t.Fatal(err)
		}
		return b, exits
	}
	// Two free ports, the one of each socket being the other's peer.
	a, b := freePort(t), freePort(t)
	lns, lnsExit := open(pppbridge.Spec{LNS: true, Access: access, LocalIP: netip.MustParseAddr("10.78.0.1"),
		Options: append([]string{"require-mppe-128"}, rig.Words("kernel-1", profile)...)}, a, b, 41, 42, lnsLog)
	lac, lacExit := open(pppbridge.Spec{Options: []string{"noauth", "name", "joe", "password", "right", "refuse-eap", "require-mppe-128", "+ipv6",
		"ipcp-accept-local", "ipcp-accept-remote"}}, b, a, 42, 41, lacLog)
	show := func() string {
		return fmt.Sprintf("log of the LNS:\n%s\nof the LAC:\n%s\nasked %v", lnsLog, lacLog, rig.Counts())
	}
	waitUp := time.Now().Add(90 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for events, _, _ := access.seen(); len(events) < 2; events, _, _ = access.seen() {
		if <-tick.C; time.Now().After(waitUp) {
			t.Fatalf("the networks do not come up; %s", show())
		}
	}
	events, n, dev := access.seen()
	info := lns.Info()
	if slices.Sort(events); !slices.Equal(events, []string{"up IPv4", "up IPv6"}) || dev != info.Interface || dev == "" || n.User != "joe" ||
		n.PeerIPv4 != netip.MustParseAddr("10.78.0.10") || n.LocalIPv4 != netip.MustParseAddr("10.78.0.1") || n.PeerID == 0 || n.LocalID == 0 {
		t.Errorf("events %q, network %+v, interface %q; %s", events, n, dev, show())
	}
	if peer := lac.Info(); info.PeerIPv6 != peer.LocalIPv6 || !info.PeerIPv6.IsLinkLocalUnicast() || info.User != "joe" || len(info.Routes) != 2 {
		t.Errorf("LNS %+v, LAC %+v", info, peer)
	}
	if r := sh(t, "ip route show dev %[1]s; ip -6 route show dev %[1]s", dev); !strings.Contains(r, "192.0.2.0/24") || !strings.Contains(r, "2001:db8:7::/48") {
		t.Errorf("routes\n%s", r)
	}
	before := lns.Stats()
	lns.Close("the test is over")
	for _, c := range [...]<-chan circuit.Exit{lnsExit, lacExit} {
		select {
		case e := <-c:
			t.Logf("%s; %+v", e.Text, e.Stats)
			if e.Stats.FramesIn == 0 || e.Stats.BytesOut == 0 || e.Stats.Kernel == nil {
				t.Errorf("the last counters are missing: %+v", e)
			}
			if c == lnsExit && e.Stats.FramesOut < before.FramesOut {
				t.Errorf("%+v, before %+v", e.Stats, before)
			}
		case <-time.After(60 * time.Second):
			t.Fatalf("a pppd does not end; %s", show())
		}
	}
	if events, _, _ := access.seen(); len(events) != 4 {
		t.Errorf("events %q", events)
	}
	if asked, list := rig.ask.seen(); len(asked) != 1 || len(list) < 2 || list[0].token != "kernel-1" {
		t.Errorf("asked %q, accounting %+v; %s", asked, list, show())
	}
}

func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	c, err := listen()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return netip.MustParseAddrPort(c.LocalAddr().String())
}
