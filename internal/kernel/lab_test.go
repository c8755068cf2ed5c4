package kernel

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// labTunnel is one tunnel of the kernel between two addresses, from one end.
type labTunnel struct {
	udp        int
	peer       netip.AddrPort
	management *PPPoX
}

// labTunnels makes both ends of a tunnel (IDs 10 and 20) on the loopback.
func labTunnels(t *testing.T, a netip.Addr, b netip.Addr, base uint32) (x, y labTunnel) {
	t.Helper()
	la, lb := netip.AddrPortFrom(a, uint16(1701+base)), netip.AddrPortFrom(b, uint16(2701+base))
	open := func(local, peer netip.AddrPort, id, peerID uint32) labTunnel {
		fd := connected(t, local, peer)
		m, err := OpenManagement(2, fd, peer, id, peerID)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close() })
		return labTunnel{fd, peer, m}
	}
	return open(la, lb, 10+base, 20+base), open(lb, la, 20+base, 10+base)
}

func TestLabSessionIPv4AndIPv6(t *testing.T) {
	needLab(t)
	for i, lb := range loopbacks {
		t.Run(lb.name, func(t *testing.T) {
			base := uint32(100 * i)
			x, y := labTunnels(t, lb.addr, lb.addr, base)
			s, err := OpenSession(2, x.udp, x.peer, 10+base, 20+base, 1, 2)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			r, err := OpenSession(2, y.udp, y.peer, 20+base, 10+base, 2, 1)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			checkFlags(t, s.FD())

			// A frame written to a session that no pppd has bound comes out
			// at the other end.
			frame := []byte{0xc0, 0x21, 9, 1, 0, 8, 1, 2, 3, 4}
			if _, err := unix.Write(s.FD(), frame); err != nil {
				t.Fatal(err)
			}
			if !waitReadable(r.FD(), 5000) {
				t.Fatal("the frame did not arrive")
			}
			buf := make([]byte, 100)
			n, err := unix.Read(r.FD(), buf)
			if err != nil || string(buf[max(n-len(frame), 0):n]) != string(frame) {
				t.Fatalf("read %x, %v", buf[:max(n, 0)], err)
			}

			// Every counter is where it belongs.
			out, err := s.Stats()
			if err != nil {
				t.Fatal(err)
			}
			if out.TxPackets != 1 || out.TxBytes == 0 || out.RxPackets != 0 || out.TxErrors != 0 || out.UsingIPsec {
				t.Errorf("sender: %+v", out)
			}
			for name, x := range map[string]*PPPoX{"session": r, "tunnel": y.management} {
				in, err := x.Stats()
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if in.RxPackets != 1 || in.RxBytes == 0 || in.RxErrors != 0 || in.RxOOSPackets != 0 || in.RxSeqDiscards != 0 {
					t.Errorf("receiver's %s: %+v", name, in)
				}
				if in.TunnelID != 20+base || in.SessionID != r.localSession && name == "session" {
					t.Errorf("receiver's %s IDs: %+v", name, in)
				}
			}
		})
	}
}

func TestLabOptions(t *testing.T) {
	needLab(t)
	x, _ := labTunnels(t, loopbacks[0].addr, loopbacks[0].addr, 300)
	s, err := OpenSession(2, x.udp, x.peer, 310, 320, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, on := range []bool{true, false, true} {
		for name, o := range map[string]struct {
			set func(bool) error
			get func() (bool, error)
		}{
			"SENDSEQ": {s.SetSendSeq, s.SendSeq}, "RECVSEQ": {s.SetRecvSeq, s.RecvSeq}, "LNSMODE": {s.SetLNSMode, s.LNSMode},
		} {
			if err := o.set(on); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if got, err := o.get(); got != on || err != nil {
				t.Errorf("%s: set %v, read %v, %v", name, on, got, err)
			}
		}
	}
	if err := s.SetReorderTimeout(120 * time.Millisecond); err != nil {
		t.Error(err)
	}
	if d, err := s.ReorderTimeout(); d != 120*time.Millisecond || err != nil {
		t.Errorf("REORDERTO reads %v, %v", d, err)
	}
	if err := s.SetDebug(5); err != nil {
		t.Error(err)
	}
	// Linux since 5.12 ignores DEBUG and reads it as 0.
	if m, err := s.Debug(); m != 5 && m != 0 || err != nil {
		t.Errorf("DEBUG reads %d, %v", m, err)
	}
	// The management socket knows only DEBUG.
	if err := x.management.SetDebug(1); err != nil {
		t.Error(err)
	}
	if err := x.management.SetSendSeq(true); err == nil {
		t.Error("SENDSEQ on a management socket")
	}
}

func TestLabErrors(t *testing.T) {
	needLab(t)
	x, _ := labTunnels(t, loopbacks[0].addr, loopbacks[0].addr, 400)
	if _, err := OpenSession(2, x.udp, x.peer, 499, 20, 1, 2); err == nil {
		t.Error("a session of a tunnel that is not there")
	}
	s, err := OpenSession(2, x.udp, x.peer, 410, 420, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSession(2, x.udp, x.peer, 410, 420, 1, 3); err == nil {
		t.Error("the same session again")
	}
	_ = s.Close()
	_ = s.Close()
	if _, err := s.Stats(); !errors.Is(err, unix.EBADF) {
		t.Errorf("Stats after Close: %v", err)
	}
	// Closed for good: its ID is free again.
	waitFor(t, func() bool {
		again, err := OpenSession(2, x.udp, x.peer, 410, 420, 1, 2)
		if err == nil {
			_ = again.Close()
		}
		return err == nil
	})
}

// waitFor asks until ok, with real time between: the kernel frees a session
// after a grace period.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	t.Error("it did not happen within 20 s")
}
