package pppbridge

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/proto/ppp"
)

// recorder is an Access that writes down what it is told.
type recorder struct {
	testAccess
	routes []netip.Prefix
	user   string
	onUp   func(f ppp.Family)

	mu     sync.Mutex
	events []string
}

func (r *recorder) Routes() []netip.Prefix { return r.routes }
func (r *recorder) User() string           { return r.user }

func (r *recorder) NetworkUp(f ppp.Family, n ppp.Network, a Attachment) {
	if r.onUp != nil {
		r.onUp(f)
	}
	r.note("up %d %s %v>%v %x>%x %s %v %v", f, a.Interface, n.LocalIPv4, n.PeerIPv4, n.LocalID, n.PeerID, n.User, n.Routes, a.Send != nil)
}

func (r *recorder) NetworkDown(f ppp.Family) { r.note("down %d", f) }

func (r *recorder) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, fmt.Sprintf(format, args...))
}

func (r *recorder) seen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

func says(lines ...string) (script []string) {
	for _, l := range lines {
		script = append(script, "do=say:"+l)
	}
	return script
}

// The lines of pppd 2.4.9 with both families, as its notices come.
var bothUp = []string{
	"Using interface ppp3", "Connect: ppp3 <--> /dev/pts/0", "PAP peer authentication succeeded for joe",
	"local  LL address fe80::1", "remote LL address fe80::1:2",
	"local  IP address 10.0.0.1", "remote IP address 10.0.0.2",
}

func TestHintsOfNetworks(t *testing.T) {
	up := func(h *hints) string {
		n := h.network()
		return fmt.Sprint(h.networks[ppp.IPv4], h.networks[ppp.IPv6], h.info.Interface, " ", n.LocalIPv4, n.PeerIPv4, " ", n.LocalID, n.PeerID, " ", n.User)
	}
	for _, c := range []struct {
		lines []string
		want  string
	}{
		{nil, "{false 0} {false 0} invalid IP invalid IP 0 0 "},
		{bothUp[:4], "{false 0} {false 0}ppp3 invalid IP invalid IP 1 0 joe"},
		{bothUp[:5], "{false 0} {true 1}ppp3 invalid IP invalid IP 1 65538 joe"},
		{bothUp, "{true 1} {true 1}ppp3 10.0.0.1 10.0.0.2 1 65538 joe"},
		{append(bothUp[:7:7], "Renamed interface ppp3 to sub3"), "{true 1} {true 1}sub3 10.0.0.1 10.0.0.2 1 65538 joe"},
		{append(bothUp[:7:7], "IPCP terminated by peer (bye)"), "{false 1} {true 1}ppp3 10.0.0.1 10.0.0.2 1 65538 joe"},
		{append(bothUp[:7:7], "IPV6CP terminated by peer"), "{true 1} {false 1}ppp3 10.0.0.1 10.0.0.2 1 65538 joe"},
		{append(bothUp[:7:7], "LCP terminated by peer"), "{false 1} {false 1}ppp3 10.0.0.1 10.0.0.2 1 65538 joe"},
		{append(bothUp[:7:7], "Connection terminated."), "{false 1} {false 1}ppp3 10.0.0.1 10.0.0.2 1 65538 joe"},
		// Negotiated again, with other addresses.
		{append(bothUp[:7:7], "local  IP address 10.0.0.1", "remote IP address 10.0.0.9"), "{true 2} {true 1}ppp3 10.0.0.1 10.0.0.9 1 65538 joe"},
		// What a peer says in a packet is not what pppd says.
		{append(bothUp[:7:7], `rcvd [LCP TermReq id=0x2 "IPCP terminated by peer"]`, "Remote message: IPCP terminated by peer"), "{true 1} {true 1}ppp3 10.0.0.1 10.0.0.2 1 65538 joe"},
	} {
		var h hints
		for _, l := range c.lines {
			h.see(l)
		}
		if got := up(&h); got != c.want {
			t.Errorf("%q:\n got %s\nwant %s", c.lines, got, c.want)
		}
	}
}

// Access is told of each network once when it comes, and once when it goes.
func TestPPPDTellsAccess(t *testing.T) {
	f := fakeFactory(t, Config{})
	file := filepath.Join(t.TempDir(), "go on")
	log, a := newTestLog(), &recorder{}
	script := slices.Concat(says(bothUp...), []string{"do=file:" + file},
		says("IPCP terminated by peer", "local  IP address 10.0.0.1", "remote IP address 10.0.0.9"), []string{"do=wait"})
	b, c := runSpec(t, f, Spec{Kind: circuit.PPPDAsync, Options: script, Log: log.entry, Access: a}, &sink{})
	waitFor(t, 10*time.Second, "both families", func() bool { return len(a.seen()) == 2 }, log)
	waitFor(t, 10*time.Second, "the addresses", func() bool { return b.Info().PeerIP.IsValid() })
	if i := b.Info(); i.User != "joe" || i.Interface != "ppp3" || i.LocalIPv6 != netip.MustParseAddr("fe80::1") || i.PeerIPv6 != netip.MustParseAddr("fe80::1:2") {
		t.Errorf("%+v", i)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	waitFor(t, 10*time.Second, "IPv4 once more", func() bool { return len(a.seen()) == 4 }, log)
	b.Close("")
	waitExit(t, c, log)
	want := []string{
		"up 1 ppp3 invalid IP>invalid IP 1>10002 joe [] false",
		"up 0 ppp3 10.0.0.1>10.0.0.2 1>10002 joe [] false",
		"down 0",
		"up 0 ppp3 10.0.0.1>10.0.0.9 1>10002 joe [] false",
		"down 0", "down 1",
	}
	if got := a.seen(); !slices.Equal(got, want) {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

// Routes lead to pppd's interface before anybody is told that packets flow, and
// are gone with their network protocol.
func TestPPPDRoutes(t *testing.T) {
	if wholeNamespace(t) == nil {
		return
	}
	tun, err := kernel.OpenTUN(kernel.TUNOptions{Name: "ppp3"})
	if err != nil {
		t.Fatal(err)
	}
	defer tun.Close()
	links, err := kernel.OpenLinks()
	if err != nil {
		t.Fatal(err)
	}
	defer links.Close()
	index, err := links.Index("ppp3")
	if err == nil {
		err = links.SetUp(index, 0)
	}
	if err == nil {
		err = links.AddAddress(index, netip.MustParsePrefix("10.0.0.1/32"), netip.MustParseAddr("10.0.0.2"))
	}
	if err != nil {
		t.Fatal(err)
	}
	routes := func() string {
		var all []byte
		for _, v := range []string{"-4", "-6"} {
			out, err := exec.Command("ip", v, "route", "show", "dev", "ppp3", "proto", "static").CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v", out, err)
			}
			all = append(all, out...)
		}
		return strings.Join(strings.Fields(string(all)), " ")
	}
	f := fakeFactory(t, Config{})
	file := filepath.Join(t.TempDir(), "go on")
	log := newTestLog()
	var atUp [2]string
	a := &recorder{routes: []netip.Prefix{
		netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8:1::/48"), netip.MustParsePrefix("198.51.100.0/24"),
	}, user: "ann"}
	a.onUp = func(f ppp.Family) { atUp[f] = routes() }
	script := slices.Concat(says(bothUp...), []string{"do=file:" + file}, says("IPV6CP terminated by peer"), []string{"do=wait"})
	b, c := runSpec(t, f, Spec{Kind: circuit.PPPDAsync, Options: script, Log: log.entry, Access: a}, &sink{})
	waitFor(t, 10*time.Second, "both families", func() bool { return len(a.seen()) == 2 }, log)
	if !strings.Contains(atUp[ppp.IPv4], "192.0.2.0/24 scope link 198.51.100.0/24 scope link") || !strings.Contains(atUp[ppp.IPv6], "2001:db8:1::/48") {
		t.Errorf("routes when the networks came: %q; log:\n%s", atUp, log)
	}
	if i := b.Info(); i.User != "ann" || len(i.Routes) != 3 {
		t.Errorf("%+v", i)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	waitFor(t, 10*time.Second, "the end of IPv6 routes", func() bool { return !strings.Contains(routes(), "2001:db8") }, log)
	if r := routes(); !strings.Contains(r, "192.0.2.0/24") {
		t.Errorf("routes %q", r)
	}
	b.Close("")
	waitExit(t, c, log)
	if got := a.seen(); len(got) != 4 || got[2] != "down 1" || got[3] != "down 0" {
		t.Errorf("%q", got)
	}
	if strings.Contains(log.String(), "level=warning") {
		t.Errorf("log:\n%s", log)
	}
}

// A network that somebody else has already is one line in the log, and the
// session goes on; one whose interface is gone is nobody's matter.
func TestPPPDRouteTaken(t *testing.T) {
	if wholeNamespace(t) == nil {
		return
	}
	tun, err := kernel.OpenTUN(kernel.TUNOptions{Name: "ppp3"})
	if err != nil {
		t.Fatal(err)
	}
	defer tun.Close()
	for _, words := range []string{"link set ppp3 up", "addr add 10.0.0.1 peer 10.0.0.2 dev ppp3", "route add 192.0.2.0/24 dev ppp3"} {
		if out, err := exec.Command("ip", strings.Fields(words)...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
	}
	f := fakeFactory(t, Config{})
	for _, c := range []struct {
		name  string
		warns bool
	}{{"ppp3", true}, {"ppp4", false}} {
		log, a := newTestLog(), &recorder{routes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
		script := append(says("Using interface "+c.name, "local  IP address 10.0.0.1", "remote IP address 10.0.0.2"), "do=wait")
		b, exits := runSpec(t, f, Spec{Kind: circuit.PPPDAsync, Options: script, Log: log.entry, Access: a}, &sink{})
		waitFor(t, 10*time.Second, "IPv4", func() bool { return len(a.seen()) == 1 }, log)
		if strings.Contains(log.String(), "is routed elsewhere already") != c.warns {
			t.Errorf("%s: log:\n%s", c.name, log)
		}
		b.Close("")
		waitExit(t, exits, log)
	}
}

// The last counters are in the Exit.
func TestExitStats(t *testing.T) {
	f := fakeFactory(t, Config{})
	log := newTestLog()
	b, c := run(t, f, log, &sink{}, "do=echo")
	waitFor(t, 10*time.Second, "pppd", func() bool { return strings.Contains(log.String(), "Connect:") }, log)
	for range 3 {
		b.Deliver(nil, time.Now(), ipFrame(100))
	}
	waitFor(t, 10*time.Second, "the echoes", func() bool { return b.Stats().FramesOut == 3 }, log)
	b.Close("")
	if e := waitExit(t, c, log); e.Stats != b.Stats() || e.Stats.FramesIn != 3 || e.Stats.FramesOut != 3 || e.Stats.BytesIn == 0 {
		t.Errorf("%+v, want %+v", e.Stats, b.Stats())
	}
}

// A number among the words takes the place of the caller's.
func TestRemoteNumberOnce(t *testing.T) {
	for _, c := range []struct {
		options []string
		want    string
	}{
		{nil, "123"}, {[]string{"remotenumber", "token"}, "token"},
	} {
		argv := arguments("pppd", &Spec{Kind: circuit.PPPDAsync, Options: c.options, CallingNumber: "123"})
		var got []string
		for i, w := range argv {
			if w == "remotenumber" {
				got = append(got, argv[i+1])
			}
		}
		if len(got) != 1 || got[0] != c.want {
			t.Errorf("%q: remotenumber %q", c.options, got)
		}
	}
}
