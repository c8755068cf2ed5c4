package native

import (
	"bytes"
	"encoding/binary"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"adit/integration/scenario"
)

// packets is a socket that sees every frame of a device, and sends any.
type packets struct {
	fd int

	mu     sync.Mutex
	frames [][]byte
	ended  chan struct{}
}

// openPackets begins to gather what a device receives, and what it sends, if anybody
// does with another socket.
func openPackets(t *testing.T, ns *scenario.NS, device string) *packets {
	t.Helper()
	p := &packets{ended: make(chan struct{})}
	err := ns.Do(func() error {
		i, err := net.InterfaceByName(device)
		if err != nil {
			return err
		}
		var protocol [2]byte // in network order
		binary.BigEndian.PutUint16(protocol[:], unix.ETH_P_ALL)
		if p.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		// A tag is taken out of the frame, and told besides.
		if err = unix.SetsockoptInt(p.fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
			return err
		}
		tv := unix.NsecToTimeval(int64(100 * time.Millisecond))
		if err = unix.SetsockoptTimeval(p.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
			return err
		}
		return unix.Bind(p.fd, &unix.SockaddrLinklayer{Protocol: binary.NativeEndian.Uint16(protocol[:]), Ifindex: i.Index})
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	go p.gather(stop)
	t.Cleanup(func() {
		close(stop)
		<-p.ended
		_ = unix.Close(p.fd)
	})
	return p
}

// most is how many frames are kept.
const most = 4096

func (p *packets) gather(stop chan struct{}) {
	defer close(p.ended)
	buffer, control := make([]byte, 1<<16), make([]byte, 128)
	for {
		select {
		case <-stop:
			return
		default:
		}
		n, c, _, _, err := unix.Recvmsg(p.fd, buffer, control, 0)
		if err != nil {
			continue // nothing came for a while
		}
		frame := withTag(buffer[:n], control[:c])
		p.mu.Lock()
		if len(p.frames) < most {
			p.frames = append(p.frames, frame)
		}
		p.mu.Unlock()
	}
}

// withTag puts the tag back that the kernel took out of a frame.
func withTag(frame, control []byte) []byte {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil || len(frame) < 12 {
		return bytes.Clone(frame)
	}
	for _, m := range messages {
		// struct tpacket_auxdata: status, len, snaplen (32 bits), mac, net, vlan_tci, vlan_tpid.
		if m.Header.Type != unix.PACKET_AUXDATA || len(m.Data) < 20 {
			continue
		}
		host := binary.NativeEndian
		if host.Uint32(m.Data)&unix.TP_STATUS_VLAN_VALID == 0 {
			continue
		}
		tagged := append(make([]byte, 0, len(frame)+4), frame[:12]...)
		tagged = binary.BigEndian.AppendUint16(tagged, host.Uint16(m.Data[18:]))
		tagged = binary.BigEndian.AppendUint16(tagged, host.Uint16(m.Data[16:]))
		return append(tagged, frame[12:]...)
	}
	return bytes.Clone(frame)
}

func (p *packets) send(t *testing.T, frame []byte) {
	t.Helper()
	if _, err := unix.Write(p.fd, frame); err != nil {
		t.Fatal(err)
	}
}

// saw waits until a frame of that kind has come, and forgets it and those before it.
func (p *packets) saw(want func(frame []byte) bool) bool {
	return scenario.Eventually(5*time.Second, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for i, f := range p.frames {
			if want(f) {
				p.frames = p.frames[i+1:]
				return true
			}
		}
		return false
	})
}

// versions are those of the L2TP control messages over IPv4 that were seen.
func (p *packets) versions() map[int]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := map[int]bool{}
	for _, f := range p.frames {
		if len(f) < 14+20+12 || f[12] != 0x08 || f[13] != 0 || f[14] != 0x45 {
			continue
		}
		payload := f[34:]
		switch f[14+9] {
		case unix.IPPROTO_UDP:
			payload = payload[8:]
		case unix.IPPROTO_L2TP:
			// RFC 3931 section 4.1.1.2: control messages over IP begin with a Session
			// ID of zero.
			if binary.BigEndian.Uint32(payload) != 0 {
				continue
			}
			payload = payload[4:]
		default:
			continue
		}
		if payload[0]&0x80 != 0 {
			seen[int(payload[1]&0x0f)] = true
		}
	}
	return seen
}

// equals is for frames that are these octets.
func equals(frame []byte) func([]byte) bool {
	return func(f []byte) bool { return bytes.Equal(f, frame) }
}

// ethernetFrame makes a frame of the local experimental EtherType, RFC 9542.
func ethernetFrame(destination, source, tags []byte, payload int) []byte {
	frame := append(bytes.Clone(destination), source...)
	frame = append(append(frame, tags...), 0x88, 0xb5)
	for i := range payload {
		frame = append(frame, byte(i*7+payload))
	}
	return frame
}

func macOf(t *testing.T, e scenario.EthernetEnd) (mac []byte) {
	t.Helper()
	err := e.NS.Do(func() error {
		i, err := net.InterfaceByName(e.Device)
		if err == nil {
			mac = i.HardwareAddr
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return mac
}
