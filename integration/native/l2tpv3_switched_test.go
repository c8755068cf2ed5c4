package native

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"adit/integration/scenario"
)

// rawEnd is an end of a static session over UDP that is a socket of the test's: what it
// sends and receives is written out here, octet for octet.
type rawEnd struct {
	conn            *net.UDPConn
	own, peer       uint32 // Session IDs
	sends, expects  []byte // cookies
	sublayer        int    // octets: 0 or 4
	sequence, heard uint32
	flags           byte // of the sublayer, beside hasSequence
}

// openRawEnd makes the socket of an end in a namespace whose peer is an adit there.
func openRawEnd(t *testing.T, ns *scenario.NS, own, peer netip.AddrPort, e rawEnd) *rawEnd {
	t.Helper()
	err := ns.Do(func() (err error) {
		e.conn, err = net.DialUDP("udp", net.UDPAddrFromAddrPort(own), net.UDPAddrFromAddrPort(peer))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.conn.Close() })
	return &e
}

// hasSequence is the S bit of the sublayer, RFC 3931 section 4.6, and of that of ATM,
// RFC 4454 section 4.1.
const hasSequence = 0x40

// send writes a data message over UDP: RFC 3931 section 4.1.2.1, flags with version 3 and
// a reserved field, then the Session ID and the cookie; section 4.6, the sublayer.
func (e *rawEnd) send(frame []byte) error {
	m := []byte{0, 3, 0, 0}
	m = binary.BigEndian.AppendUint32(m, e.peer)
	m = append(m, e.sends...)
	if e.sublayer > 0 {
		m = binary.BigEndian.AppendUint32(m, uint32(hasSequence|e.flags)<<24|e.sequence&0xffffff)
		e.sequence++
	}
	_, err := e.conn.Write(append(m, frame...))
	return err
}

// receive reads the frame of the next data message and sees that its header is right.
func (e *rawEnd) receive(limit time.Duration) ([]byte, error) {
	if err := e.conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return nil, err
	}
	m := make([]byte, 1<<16)
	n, err := e.conn.Read(m)
	if err != nil {
		return nil, err
	}
	m = m[:n]
	length := 8 + len(e.expects) + e.sublayer
	switch {
	case n < length, m[0] != 0, m[1] != 3:
		return nil, fmt.Errorf("% x is no data message", m[:min(n, 32)])
	case binary.BigEndian.Uint32(m[4:]) != e.own:
		return nil, fmt.Errorf("the Session ID is %d, want %d", binary.BigEndian.Uint32(m[4:]), e.own)
	case !bytes.Equal(m[8:8+len(e.expects)], e.expects):
		return nil, fmt.Errorf("the cookie is %x, want %x", m[8:8+len(e.expects)], e.expects)
	}
	if e.sublayer > 0 {
		word := binary.BigEndian.Uint32(m[length-4:])
		if byte(word>>24) != hasSequence|e.flags || word&0xffffff != e.heard {
			return nil, fmt.Errorf("the sublayer is %08x, want the flags %02x and the number %d", word, hasSequence|e.flags, e.heard)
		}
		e.heard++
	}
	return m[length:], nil
}

// switchedKinds are those that adit only passes on.
var switchedKinds = []struct {
	kind, sublayer string
	flags          byte
}{
	{"hdlc", "default", 0},
	{"frame-relay", "default", 0},
	// RFC 4454 section 4.1: G and C are the frame's EFCI and CLP, T tells administrative
	// cells from frames. They belong to what is carried.
	{"atm-aal5", "atm", 0x04 | 0x02},
	{"atm-cell-vcc", "atm", 0},
}

// TestL2TPv3Switched: frames of kinds that have no device go from a static session at one
// adit through one with a control connection to a static session at another, as they are,
// both ways. The ends of all are sockets of the test.
func TestL2TPv3Switched(t *testing.T) {
	t.Parallel()
	for i, k := range switchedKinds {
		t.Run(k.kind, func(t *testing.T) {
			t.Parallel()
			n := network(t)
			local := func(port int) netip.AddrPort {
				return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
			}
			adits := map[int]string{1: "", 2: ""}
			var ends [3]*rawEnd
			r := scenario.Row{Number: 1, APlane: "userspace", BPlane: "userspace", Cookie: 8, Digest: "hmac-md5", OverIP: i%2 == 0}
			dialling := scenario.DialDocument(n, nil, "")
			accepting := scenario.AcceptDocument(n, nil, "")
			for end := 1; end <= 2; end++ {
				trunk := scenario.Pseudowire{Name: r.Device(), Type: k.kind, Switch: "line", CookieLength: 8, Sublayer: k.sublayer, Sequencing: "all"}
				line := scenario.Pseudowire{Name: "line", Type: k.kind, Sublayer: k.sublayer, Sequencing: "all"}
				static := scenario.StaticTunnel{Name: "line", Local: local(5000), Remote: local(6000), ID: 1, PeerID: 2, DataPlane: "userspace",
					Sessions: []scenario.StaticSession{{Name: "line", Pseudowire: "line", ID: 11, PeerID: 22, Cookie: "0102030405060708", PeerCookie: "a1a2a3a4"}}}
				adits[end] = trunk.TOML() + line.TOML() + static.TOML()
				ends[end] = openRawEnd(t, map[int]*scenario.NS{1: n.A, 2: n.B}[end], local(6000), local(5000),
					rawEnd{own: 22, peer: 11, sends: []byte{1, 2, 3, 4, 5, 6, 7, 8}, expects: []byte{0xa1, 0xa2, 0xa3, 0xa4}, sublayer: 4, flags: k.flags})
			}
			scenario.Adit(t, n.B, accepting+adits[2]+r.Accepted())
			a := scenario.Adit(t, n.A, dialling+adits[1]+r.Dialled(n))
			scenario.WaitFor(t, upLimit, "the session between the two", func() bool { return status(t, a).Sessions.Up >= 1 })
			for _, way := range [][2]*rawEnd{{ends[1], ends[2]}, {ends[2], ends[1]}} {
				if err := passes(way[0], way[1]); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// passes sends frames of many sizes, and sees each come out as it was.
func passes(from, to *rawEnd) error {
	for _, size := range []int{1, 4, 52, 300, 1400, 1600} {
		frame := make([]byte, size)
		for i := range frame {
			frame[i] = byte(i*31 + size)
		}
		for try := 0; ; try++ {
			got, err := exchange(from, to, frame)
			var fault net.Error
			// The session may be up at one end a moment before the other, and who knocks
			// before an adit listens is told so later.
			if errors.As(err, &fault) && size == 1 && try < tries {
				continue
			}
			if err != nil {
				return fmt.Errorf("a frame of %d octets: %w", size, err)
			}
			if !bytes.Equal(got, frame) {
				return fmt.Errorf("a frame of %d octets came out as % x", size, got[:min(len(got), 32)])
			}
			break
		}
	}
	return nil
}

func exchange(from, to *rawEnd, frame []byte) ([]byte, error) {
	if err := from.send(frame); err != nil {
		return nil, err
	}
	return to.receive(time.Second)
}
