package scenario

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"adit/internal/kernel"
)

// coveringRows are those of a plane of adit's, or all.
func coveringRows(aPlane, bPlane string, first int) []Row {
	if os.Getenv(FullVariable) != "" {
		return AllRows(aPlane, bPlane, first)
	}
	return CoveringRows(aPlane, bPlane, first)
}

// inLab are the limits of a row on an emulated machine.
var inLab = Limits{Up: time.Minute, Octets: 256 << 10, VLAN: true}

// TestIPL2TPBothEnds proves the lab's other end: two of iproute2's own, of which
// each is what an adit is tested with.
func TestIPL2TPBothEnds(t *testing.T) {
	t.Parallel()
	n := NewNet(t)
	rows := CoveringRows("iproute2", "", 1)[1:4:4]
	rows = append(rows[:1], rows[2:]...)
	var as, bs []IPL2TPOptions
	for _, r := range rows {
		b := r.IPL2TP(n)
		v4, v6 := r.Inside(1)
		a := b
		a.Local, a.Peer = b.Peer, b.Local
		a.Tunnel, a.PeerTunnel, a.Session, a.PeerSession = b.PeerTunnel, b.Tunnel, b.PeerSession, b.Session
		a.Cookie, a.PeerCookie = b.PeerCookie, b.Cookie
		a.Addresses = append(a.Addresses[:0:0], v4, v6)
		as, bs = append(as, a), append(bs, b)
	}
	IPL2TP(t, n.A, as...)
	IPL2TP(t, n.B, bs...)
	for _, r := range rows {
		t.Run(r.Name(), func(t *testing.T) {
			t.Parallel()
			CheckRow(t, n, r, inLab)
		})
	}
}

// TestL2TPv3Static: static tunnels of adit on both planes with iproute2's at the other
// end, over UDP and IP, IPv4 and IPv6, with cookies and numbers and without. All of
// them are in two namespaces, and one adit has one end of each.
func TestL2TPv3Static(t *testing.T) {
	t.Parallel()
	n := NewNet(t)
	rows := append(coveringRows("kernel", "", 1), coveringRows("userspace", "", 51)...)
	wrong := wrongCookies()
	silent := keptAlive()
	all := append(append(append([]Row{}, rows...), wrong...), silent...)
	s := &statics{net: n, rows: all}
	n.B.Capture(t, "wire", "eth0", "udp portrange 5000-7000 or ip proto 115 or ip6 proto 115")
	var ends []IPL2TPOptions
	for _, r := range silent {
		n.B.MustRun(t, "ip", "addr", "add", r.PeerAddress.String()+"/32", "dev", "lo")
		n.A.Route(t, netip.PrefixFrom(r.PeerAddress, 32), n.AddrB())
	}
	for _, r := range all {
		o := r.IPL2TP(n)
		if len(wrong) > 0 && r.Number >= wrong[0].Number && r.Number <= wrong[len(wrong)-1].Number {
			o.Cookie = flipLast(o.Cookie)
		}
		ends = append(ends, o)
	}
	IPL2TP(t, n.B, ends...)
	s.adit = Adit(t, n.A, s.document(silent))
	for _, r := range rows {
		t.Run(r.Name(), func(t *testing.T) {
			t.Parallel()
			limits := inLab
			limits.VLAN = r.Cookie == 4
			CheckRow(t, n, r, limits)
			// The kernel takes no numbers that are behind those of before, RFC 3931
			// section 4.6.1, and a new session begins with 0.
			if !r.Sequenced {
				s.repair(t, r)
			}
		})
	}
	for _, r := range wrong {
		t.Run("wrong-cookie_"+r.Name(), func(t *testing.T) {
			t.Parallel()
			s.wrongCookie(t, r)
		})
	}
	for _, r := range silent {
		t.Run("keepalive_"+r.Name(), func(t *testing.T) {
			t.Parallel()
			s.keepalive(t, r)
		})
	}
}

// wrongCookies are rows whose peer sends another cookie than is expected.
func wrongCookies() []Row {
	return []Row{
		{Number: 101, APlane: "kernel", Cookie: 8},
		{Number: 102, APlane: "userspace", OverIP: true, Cookie: 4},
	}
}

// keptAlive are rows whose peer falls silent: each has an address of its own, which
// can be taken away.
func keptAlive() []Row {
	return []Row{
		{Number: 111, APlane: "kernel", Cookie: 4, PeerAddress: netip.MustParseAddr("10.93.0.111")},
		{Number: 112, APlane: "userspace", OverIP: true, Cookie: 8, PeerAddress: netip.MustParseAddr("10.93.0.112")},
	}
}

// flipLast changes the last digit of a cookie.
func flipLast(cookie string) string {
	last := "0"
	if strings.HasSuffix(cookie, "0") {
		last = "1"
	}
	return cookie[:len(cookie)-1] + last
}

// statics is an adit in A with static tunnels to iproute2's ends in B.
type statics struct {
	net  *Net
	rows []Row
	adit *AditDaemon
}

// document is adit's configuration; the peers of silent rows are watched.
func (s *statics) document(silent []Row) string {
	var plain []Row
	watched := map[int]bool{}
	for _, r := range silent {
		watched[r.Number] = true
	}
	for _, r := range s.rows {
		if !watched[r.Number] {
			plain = append(plain, r)
		}
	}
	text := StaticDocument(s.net, 1, plain)
	for _, r := range silent {
		tunnel, wire := r.Static(s.net, 1)
		tunnel.Keepalive, tunnel.DeadAfter, tunnel.LinkDown = "1s", 3, true
		text += wire.TOML() + tunnel.TOML()
	}
	return text
}

// repair deletes adit's end, as somebody with ip might, and sees it come back.
func (s *statics) repair(t *testing.T, r Row) {
	t.Helper()
	a, b := r.Ends(s.net)
	tunnel, session := r.ids(1)
	deletions := [][]string{
		{"l2tp", "del", "session", "tunnel_id", fmt.Sprint(tunnel), "session_id", fmt.Sprint(session)},
		{"l2tp", "del", "tunnel", "tunnel_id", fmt.Sprint(tunnel)},
	}
	if r.APlane == "userspace" {
		deletions = [][]string{{"link", "del", a.Device}}
	}
	for _, argv := range deletions {
		s.net.A.MustRun(t, "ip", argv...)
		if err := AwaitPing(a.NS, b.IPv4, 30*time.Second); err != nil {
			t.Errorf("after ip %s: %v", strings.Join(argv, " "), err)
		}
	}
}

// wrongCookie: nothing of the peer's passes, and it is counted. RFC 3931 section 4.1:
// "the received Cookie MUST match this value, and the packet MUST be discarded if not".
func (s *statics) wrongCookie(t *testing.T, r Row) {
	t.Helper()
	a, b := r.Ends(s.net)
	WaitFor(t, time.Minute, "adit's device", func() bool {
		d, err := a.NS.Device(a.Device)
		return err == nil && d.Up
	})
	before, err := a.NS.Device(a.Device)
	if err != nil {
		t.Fatal(err)
	}
	if err := NoPing(b.NS, a.IPv4); err != nil {
		t.Error(err)
	}
	after, err := a.NS.Device(a.Device)
	if err != nil {
		t.Fatal(err)
	}
	if after.Counts.RxPackets != before.Counts.RxPackets {
		t.Errorf("%d packets with a wrong cookie came through", after.Counts.RxPackets-before.Counts.RxPackets)
	}
	if r.APlane == "userspace" && s.adit.Status(t).Counters["drop_cookie"] == 0 {
		t.Error("no wrong cookie is counted")
	}
	if r.APlane == "kernel" && s.cookieDiscards(t, r) == 0 {
		t.Error("the kernel has not counted a wrong cookie")
	}
}

// cookieDiscards is what the kernel has counted for the row's session.
func (s *statics) cookieDiscards(t *testing.T, r Row) (count uint64) {
	t.Helper()
	tunnel, session := r.ids(1)
	if err := s.net.A.Do(func() error {
		k, err := kernel.OpenL2TP()
		if err != nil {
			return err
		}
		defer k.Close()
		v, err := k.Session(tunnel, session)
		count = v.Stats.RxCookieDiscards
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return count
}

// keepalive: the peer's address goes, and with it the carrier of adit's device; both
// come back.
func (s *statics) keepalive(t *testing.T, r Row) {
	t.Helper()
	a, b := r.Ends(s.net)
	if err := Ethernet(a, b, time.Minute, 0); err != nil {
		t.Fatal(err)
	}
	usable := func() bool {
		d, err := a.NS.Device(a.Device)
		return err == nil && d.Up && d.Carrier
	}
	if !usable() {
		t.Fatal("the device is not usable though its peer answers")
	}
	for _, word := range []string{"del", "add"} {
		s.net.B.MustRun(t, "ip", "addr", word, r.PeerAddress.String()+"/32", "dev", "lo")
		want := word == "add"
		WaitFor(t, 30*time.Second, fmt.Sprintf("the device to be usable: %t", want), func() bool { return usable() == want })
	}
	if err := Ethernet(a, b, 30*time.Second, 0); err != nil {
		t.Errorf("after the peer came back: %v", err)
	}
}
