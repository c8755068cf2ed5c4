package kernel

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	inet "adit/proto/ip"
)

// question makes a packet of this protocol whose payload begins with these octets.
func question(version int, protocol byte, payload ...byte) []byte {
	if version == 4 {
		p := append([]byte{0x45, 0, 0, byte(20 + len(payload)), 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 2, 255, 255, 255, 255}, payload...)
		sum := inet.Checksum(p[:20], 0)
		p[10], p[11] = byte(sum>>8), byte(sum)
		return p
	}
	p := make([]byte, 40, 40+len(payload))
	p[0], p[5], p[6], p[7] = 0x60, byte(len(payload)), protocol, 255
	p[8], p[9], p[23], p[24], p[25], p[39] = 0xfe, 0x80, 2, 0xff, 2, 2
	return append(p, payload...)
}

// What peers ask comes out of the socket with the interface that it came by, and
// nothing else does; what is sent goes out by the interface.
func TestLinkPackets(t *testing.T) {
	linkNamespace(t, func(t *testing.T, links *Links) {
		p, err := OpenLinkPackets()
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		tuns, indexes := [2]*TUN{}, [2]int{}
		for i, name := range []string{"ask0", "ask1"} {
			if tuns[i], err = OpenTUN(TUNOptions{Name: name}); err != nil {
				lacks(t, "no TUN: %v", err)
			}
			defer tuns[i].Close()
			if err = links.SetUp(tuns[i].Index(), 0); err != nil {
				t.Fatal(err)
			}
			if indexes[i], err = p.Index(name); err != nil || indexes[i] != tuns[i].Index() {
				t.Errorf("index %d, %v", indexes[i], err)
			}
		}
		if _, err = p.Index("nobody0"); !errors.Is(err, unix.ENODEV) {
			t.Errorf("an interface that is not there: %v", err)
		}
		if err = p.Start(); err != nil {
			t.Fatal(err)
		}
		fragment := question(4, 17, 0, 68, 0, 67, 0, 8, 0, 0)
		fragment[6] = 0x20
		options := question(4, 17, 1, 1, 1, 1, 0, 68, 0, 67, 0, 8, 0, 0)
		options[0] = 0x46
		all := [][]byte{
			question(4, 17, 0, 68, 0, 66, 0, 8, 0, 0),
			question(4, 6, 0, 68, 0, 67, 0, 8, 0, 0),
			fragment,
			question(6, 17, 2, 34, 2, 34, 0, 8, 0, 0),
			question(6, 6, 2, 34, 2, 35, 0, 8, 0, 0),
			question(6, 58, 134, 0, 0, 0, 0, 0, 0, 0),
			question(6, 58, 128, 0, 0, 0, 0, 0, 0, 0),
		}
		asked := [][]byte{
			question(4, 17, 0, 68, 0, 67, 0, 8, 0, 0),
			options,
			question(6, 17, 2, 34, 2, 35, 0, 8, 0, 0),
			question(6, 58, 133, 0, 0, 0, 0, 0, 0, 0),
		}
		var w TUNWriter
		buf := make([]byte, 100)
		for i, want := range asked {
			tun, index := tuns[i%2], indexes[i%2]
			for _, b := range append(all, want) { // first what does not pass
				if err := w.Write(tun.Queue(0), inet.GSO{}, [][]byte{b}); err != nil {
					t.Fatal(err)
				}
			}
			n, from, err := p.Receive(buf)
			if err != nil || from != index || !bytes.Equal(buf[:n], want) {
				t.Errorf("%x by %d: %v; want %x by %d", buf[:n], from, err, want, index)
			}
		}
		for i, b := range asked {
			if err := p.Send(indexes[i%2], b); err != nil {
				t.Fatal(err)
			}
			waitForTUN(t, tuns[i%2], b)
		}
		if err := p.Send(1<<20, asked[0]); !errors.Is(err, unix.ENXIO) && !errors.Is(err, unix.ENODEV) {
			t.Errorf("to an interface that is not there: %v", err)
		}
		ended := make(chan error)
		go func() { _, _, err := p.Receive(buf); ended <- err }()
		p.Close()
		select {
		case err := <-ended:
			if !errors.Is(err, os.ErrClosed) {
				t.Errorf("after Close: %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("Receive does not return")
		}
	})
}

// waitForTUN reads the TUN until this packet comes; the kernel sends some of its own.
func waitForTUN(t *testing.T, tun *TUN, want []byte) {
	t.Helper()
	buf := make([]byte, MaxSuperPacket)
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(tun.Queue(0).FD()), Events: unix.POLLIN}}, 100)
		n, _, err := tun.Queue(0).Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(buf[:n], want) {
			return
		}
	}
	t.Errorf("%x did not come out of the interface", want)
}
