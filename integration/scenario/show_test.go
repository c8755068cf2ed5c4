package scenario

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shownL2TP is what adit show --json tells, as far as it is compared.
type shownL2TP struct {
	Tunnels []struct {
		ID            uint32         `json:"id"`
		PeerID        uint32         `json:"peer_id"`
		Name          string         `json:"name"`
		DataPlane     string         `json:"dataplane"`
		Version       int            `json:"version"`
		Encapsulation string         `json:"encapsulation"`
		Local         netip.AddrPort `json:"local_address"`
		Peer          netip.AddrPort `json:"peer_address"`
		Sessions      int            `json:"sessions"`
		Kernel        *struct {
			Checksum bool `json:"udp_checksum"`
			ZeroTx   bool `json:"udp_zero_csum6_tx"`
			ZeroRx   bool `json:"udp_zero_csum6_rx"`
		} `json:"kernel"`
	} `json:"tunnels"`
	Sessions []struct {
		Tunnel     uint32 `json:"tunnel"`
		PeerTunnel uint32 `json:"peer_tunnel"`
		ID         uint32 `json:"id"`
		PeerID     uint32 `json:"peer_id"`
		Name       string `json:"name"`
		Pseudowire string `json:"pseudowire"`
		Interface  string `json:"interface"`
		Cookie     int    `json:"cookie_length"`
		PeerCookie int    `json:"peer_cookie_length"`
		Send       bool   `json:"send_sequence"`
		Require    bool   `json:"require_sequence"`
		Stats      struct {
			TxPackets uint64 `json:"tx_packets"`
			TxBytes   uint64 `json:"tx_bytes"`
			RxPackets uint64 `json:"rx_packets"`
		} `json:"stats"`
	} `json:"sessions"`
}

// inWordsOfIP tells the same as ip l2tp show does, line by line.
func (s *shownL2TP) inWordsOfIP() string {
	var b strings.Builder
	for _, t := range s.Tunnels {
		fmt.Fprintf(&b, "Tunnel %d, encap %s\nFrom %v to %v\nPeer tunnel %d\n", t.ID, strings.ToUpper(t.Encapsulation), t.Local.Addr(), t.Peer.Addr(), t.PeerID)
		if t.Encapsulation != "udp" || t.Kernel == nil {
			continue
		}
		fmt.Fprintf(&b, "UDP source / dest ports: %d/%d\n", t.Local.Port(), t.Peer.Port())
		enabled := map[bool]string{true: "enabled", false: "disabled"}
		if t.Local.Addr().Is4() {
			fmt.Fprintf(&b, "UDP checksum: %s\n", enabled[t.Kernel.Checksum])
			continue
		}
		way := map[[2]bool]string{{true, true}: "disabled", {false, true}: "enabled-tx", {true, false}: "rx", {false, false}: "enabled"}
		fmt.Fprintf(&b, "UDP checksum: %s\n", way[[2]bool{t.Kernel.ZeroTx, t.Kernel.ZeroRx}])
	}
	for _, x := range s.Sessions {
		fmt.Fprintf(&b, "Session %d in tunnel %d\nPeer session %d, tunnel %d\ninterface name: %s\n", x.ID, x.Tunnel, x.PeerID, x.PeerTunnel, x.Interface)
		if x.Send || x.Require {
			fmt.Fprintf(&b, "sequence numbering:%s%s\n", map[bool]string{true: " send"}[x.Send], map[bool]string{true: " recv"}[x.Require])
		}
	}
	return b.String()
}

// linesOfIP counts the lines of ip l2tp show, less those of cookies: for a session that
// has none, iproute2 shows those of the session before.
func linesOfIP(text string) map[string]int {
	has := make(map[string]int)
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); !strings.Contains(line, "cookie ") {
			has[line]++
		}
	}
	return has
}

// TestLabShow: adit show tells of the kernel's tunnels and sessions what ip l2tp show
// tells, without a daemon and with one, names those that are the daemon's, and tells
// what happens.
func TestLabShow(t *testing.T) {
	t.Parallel()
	n := NewNet(t)
	binary := Binary(t)
	show := func(args ...string) (s shownL2TP) {
		t.Helper()
		out := n.A.MustRun(t, binary, append([]string{"show", "--json"}, args...)...)
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			t.Fatal(err, out)
		}
		return s
	}
	watch := n.A.Start(t, "adit-watch", binary, "show", "--watch")
	// It listens when it tells of what is made; the first may come too early.
	WaitFor(t, time.Minute, "the watch to listen", func() bool {
		n.A.MustRun(t, "ip", "l2tp", "add", "tunnel", "tunnel_id", "9", "peer_tunnel_id", "9", "local", n.AddrA().String(), "remote", n.AddrB().String(),
			"encap", "udp", "udp_sport", "9000", "udp_dport", "9000")
		n.A.MustRun(t, "ip", "l2tp", "del", "tunnel", "tunnel_id", "9")
		Eventually(5*time.Second, func() bool { return n.A.IPL2TPTunnels(t) == "" })
		return strings.Contains(watch.Log(), "tunnel created: 9, peer 9, version 3 over udp")
	})
	rows := CoveringRows("iproute2", "", 1)
	var ends []IPL2TPOptions
	for _, r := range rows {
		ends = append(ends, r.IPL2TP(n))
	}
	for i := range ends { // this end instead of the other
		e := &ends[i]
		e.Local, e.Peer = e.Peer, e.Local
	}
	IPL2TP(t, n.A, ends...)
	check := func(when string, s shownL2TP) {
		t.Helper()
		if len(s.Tunnels) < len(rows) || len(s.Sessions) < len(rows) {
			t.Fatalf("%s: %d tunnels and %d sessions are shown", when, len(s.Tunnels), len(s.Sessions))
		}
		for i, r := range rows {
			for _, x := range s.Sessions {
				if x.ID == ends[i].Session && (x.Cookie != r.Cookie || x.PeerCookie != r.Cookie) {
					t.Errorf("%s: session %d has cookies of %d and %d octets, and not of %d", when, x.ID, x.Cookie, x.PeerCookie, r.Cookie)
				}
			}
		}
		theirs := n.A.IPL2TPTunnels(t)
		has := linesOfIP(theirs)
		for line := range strings.Lines(s.inWordsOfIP()) {
			if line = strings.TrimSuffix(line, "\n"); has[line] == 0 {
				t.Errorf("%s: ip l2tp does not say %q:\n%s", when, line, theirs)
				return
			}
			has[line]--
		}
		for line, left := range has {
			about, _, _ := strings.Cut(line, " ")
			if left > 0 && slices.Contains([]string{"Tunnel", "From", "Peer", "UDP", "Session", "interface", "sequence"}, about) {
				t.Errorf("%s: adit show does not tell %q of ip l2tp", when, line)
			}
		}
	}
	check("without a daemon", show("--socket", "/nonexistent/socket"))

	r := Row{Number: 90, APlane: "kernel", Cookie: 4}
	tunnel, wire := r.Static(n, 1)
	d := Adit(t, n.A, "host_name = \"a.test\"\nlisten = []\n"+wire.TOML()+tunnel.TOML())
	WaitFor(t, time.Minute, "the daemon's tunnel", func() bool {
		s := show("tunnels", "--socket", d.Socket)
		for _, x := range s.Tunnels {
			if x.Name == tunnel.Name && x.ID == tunnel.ID && x.Kernel != nil && x.Sessions == 1 {
				return true
			}
		}
		return false
	})
	s := show("--socket", d.Socket)
	check("with a daemon", s)
	named := 0
	for _, x := range s.Tunnels {
		if x.Name != "" {
			named++
		}
	}
	for _, x := range s.Sessions {
		if strings.HasPrefix(x.Name, tunnel.Name+"/") && x.Cookie == 4 && x.Interface == r.Device() {
			named++
		}
	}
	if named != 2 {
		t.Errorf("%d tunnels and sessions are named, and not 2: %+v", named, s)
	}
	watch.WaitLog(t, time.Minute, fmt.Sprintf("session created: %d/%d, ", tunnel.ID, tunnel.Sessions[0].ID))
	watch.Signal(t, syscall.SIGINT)
	if err := watch.Wait(30 * time.Second); err != nil {
		t.Errorf("an interrupted watch ends with %v", err)
	}
}
