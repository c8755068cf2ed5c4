package native

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"adit/integration/scenario"
)

// TestL2TPv3IP: a pseudowire of type IP has packets of both families without Ethernet.
func TestL2TPv3IP(t *testing.T) {
	t.Parallel()
	n := network(t)
	r := scenario.Row{Number: 1, APlane: "userspace", BPlane: "userspace", Cookie: 8, Sequenced: true, Digest: "hmac-md5"}
	ip := func(text string) string { return strings.ReplaceAll(text, `type = "ethernet"`, `type = "ip"`) }
	scenario.Adit(t, n.B, ip(scenario.AcceptDocument(n, []scenario.Row{r}, "")))
	a := scenario.Adit(t, n.A, ip(scenario.DialDocument(n, []scenario.Row{r}, "")))
	x, y := r.Ends(n)
	if err := scenario.Ethernet(x, y, upLimit, 4<<20); err != nil {
		t.Error(err)
	}
	if s := sessions(t, a); len(s) != 1 || s[0].Bridge != "ip/tun" {
		t.Errorf("the sessions are %+v", s)
	}
}

// TestL2TPv3VLAN: of a pseudowire of type VLAN each end has a device without tags, and
// the tag is on the wire alone. RFC 4719 section 3.1: with the Ethernet VLAN pseudowire
// type, frames have the tag of their VLAN.
func TestL2TPv3VLAN(t *testing.T) {
	t.Parallel()
	n := network(t)
	r := scenario.Row{Number: 1, APlane: "userspace", BPlane: "userspace", Cookie: 4, Digest: "hmac-sha1"}
	tagged := func(text string) string {
		return strings.ReplaceAll(text, `type = "ethernet"`, "type = \"vlan\"\nvlan = 7")
	}
	wire := openPackets(t, n.B, n.Links[0].Right.Interface)
	scenario.Adit(t, n.B, tagged(scenario.AcceptDocument(n, []scenario.Row{r}, "")))
	scenario.Adit(t, n.A, tagged(scenario.DialDocument(n, []scenario.Row{r}, "")))
	x, y := r.Ends(n)
	if err := scenario.Ethernet(x, y, upLimit, 1<<20); err != nil {
		t.Fatal(err)
	}
	// Ethernet header, tag 7, and IPv4, inside the messages on the wire.
	inner := append(macOf(t, y), append(macOf(t, x), 0x81, 0x00, 0x00, 0x07, 0x08, 0x00, 0x45)...)
	if !wire.saw(func(frame []byte) bool { return strings.Contains(string(frame), string(inner)) }) {
		t.Error("no frame on the wire has the tag")
	}
}

// TestL2TPv3TagPopped: a tag that one end of an Ethernet pseudowire pushes and pops is
// seen by the device of the other, which does not.
func TestL2TPv3TagPopped(t *testing.T) {
	t.Parallel()
	n := network(t)
	r := scenario.Row{Number: 1, APlane: "userspace", BPlane: "userspace", Cookie: 8}
	scenario.Adit(t, n.B, scenario.StaticDocument(n, 2, []scenario.Row{r}))
	document := strings.Replace(scenario.StaticDocument(n, 1, []scenario.Row{r}), `type = "ethernet"`, "type = \"ethernet\"\nvlan = 5", 1)
	scenario.Adit(t, n.A, document)
	x, y := r.Ends(n)
	awaitUp(t, x, y)
	near, far := openPackets(t, x.NS, x.Device), openPackets(t, y.NS, y.Device)
	plain := ethernetFrame(macOf(t, y), macOf(t, x), nil, 300)
	tag5 := ethernetFrame(macOf(t, y), macOf(t, x), []byte{0x81, 0x00, 0x00, 0x05}, 300)
	near.send(t, plain)
	if !far.saw(equals(tag5)) {
		t.Error("what was sent without a tag does not arrive with it")
	}
	back, back5 := ethernetFrame(macOf(t, x), macOf(t, y), nil, 300), ethernetFrame(macOf(t, x), macOf(t, y), []byte{0x81, 0x00, 0x00, 0x05}, 300)
	far.send(t, back5)
	if !near.saw(equals(back)) {
		t.Error("what was sent with the tag does not arrive without it")
	}
	// Another tag is another VLAN's.
	back6 := ethernetFrame(macOf(t, x), macOf(t, y), []byte{0x81, 0x00, 0x00, 0x06}, 200)
	far.send(t, back6)
	far.send(t, back5)
	through, mark := false, back6[len(back6)-200:]
	if !near.saw(func(f []byte) bool {
		through = through || bytes.HasSuffix(f, mark)
		return bytes.Equal(f, back)
	}) {
		t.Error("the next frame does not arrive")
	}
	if through {
		t.Error("a frame with another tag came through")
	}
}

// TestL2TPv3Frames: frames that are not IP, that have one tag and two, the shortest and
// the longest, arrive octet for octet, both ways.
func TestL2TPv3Frames(t *testing.T) {
	t.Parallel()
	n := network(t)
	r := scenario.Row{Number: 1, APlane: "userspace", BPlane: "userspace", Cookie: 8, Sequenced: true}
	scenario.Adit(t, n.B, scenario.StaticDocument(n, 2, []scenario.Row{r}))
	scenario.Adit(t, n.A, scenario.StaticDocument(n, 1, []scenario.Row{r}))
	x, y := r.Ends(n)
	awaitUp(t, x, y)
	broadcast := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	for _, way := range []struct{ from, to scenario.EthernetEnd }{{x, y}, {y, x}} {
		from, to := openPackets(t, way.from.NS, way.from.Device), openPackets(t, way.to.NS, way.to.Device)
		for _, c := range []struct {
			to, tags []byte
			sizes    []int
		}{
			{broadcast, nil, []int{0, 1, 46, 800, scenario.FrameLimit}},
			// Tagged, the kernel takes no shorter one, and two tags count as payload.
			{macOf(t, way.to), []byte{0x81, 0x00, 0x20, 0x07}, []int{2, 800, scenario.FrameLimit}},
			{macOf(t, way.to), []byte{0x88, 0xa8, 0x00, 0x64, 0x81, 0x00, 0x00, 0x07}, []int{2, 800, scenario.FrameLimit - 8}},
		} {
			for _, size := range c.sizes {
				frame := ethernetFrame(c.to, macOf(t, way.from), c.tags, size)
				from.send(t, frame)
				if !to.saw(equals(frame)) {
					t.Errorf("a frame with %d octets of tags and %d of payload does not arrive at %s", len(c.tags), size, way.to.NS.Label)
				}
			}
		}
	}
}

// awaitUp waits until both devices of a row can be used.
func awaitUp(t *testing.T, ends ...scenario.EthernetEnd) {
	t.Helper()
	for _, e := range ends {
		scenario.WaitFor(t, upLimit, "the device in "+e.NS.Label, func() bool {
			d, err := e.NS.Device(e.Device)
			return err == nil && d.Up && d.Carrier
		})
	}
}

// TestL2TPv3PPP: PPP sessions of version 3, over UDP and over IP, and what two ends agree
// on that may both speak either version. RFC 3931 section 4.7.3.
func TestL2TPv3PPP(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, lac, lns string
		overIP         bool
		version        int
	}{
		{"v3 over UDP", "[3]", "[3]", false, 3},
		{"v3 over IP", "[3]", "[3]", true, 3},
		{"both may both", "[3, 2]", "[3, 2]", false, 3},
		{"the LNS prefers v2", "[3, 2]", "[2, 3]", false, 2},
		{"the LNS has only v2", "[3, 2]", "[2]", false, 2},
		{"the LAC has only v2", "[2]", "[2, 3]", false, 2},
		{"the LAC has only v3", "[3]", "[2, 3]", false, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := network(t)
			wire := openPackets(t, n.B, n.Links[0].Right.Interface)
			lns := scenario.Adit(t, n.B, lnsHead(n)+fmt.Sprintf("[l2tpv3]\nlisten_ip = [\"%s\"]\n", n.AddrB())+pool+user("alice", "her password")+
				lnsProfile("subscribers")+peer("lac", "", "subscribers", "versions = "+c.lns))
			dial := tunnel(n, "t", "client", "versions = "+c.lac)
			if c.overIP {
				dial = strings.Replace(dial, netip.AddrPortFrom(n.AddrB(), 1701).String(), n.AddrB().String(), 1) + "encapsulation = \"ip\"\n"
			}
			lac := scenario.Adit(t, n.A, "listen = []\n"+profile("client")+dial+call("c", "alice", "her password", "count = 2"))
			server := echoServer(t, n.B, inner)
			for _, s := range awaitIPv4(t, lac, upLimit, 2) {
				if err := echo(n.A, s.LocalAddress, server, 1000); err != nil {
					t.Error(err)
				}
			}
			if got := wire.versions(); !got[c.version] || got[3] != (c.version == 3) || c.lac == "[3]" && got[2] {
				t.Errorf("the control messages seen are of the versions %v, want %d", got, c.version)
			}
			lac.Stop(t)
			awaitGone(t, lns)
		})
	}
}
