package ip

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"
)

// The kernel makes one end of a TCP connection through the TUN; the packets on
// the TUN are taken apart, joined again and given back as if the other end, a
// socket of the same kernel, had sent them.
func TestTUNTCP(t *testing.T) {
	u := newTUN(t)
	for _, version := range []int{4, 6} {
		u.transfer(version)
	}
}

// transfer sends 4 MiB from the kernel to itself: a connection from the TUN's
// address to one behind it, which turn makes one to the TUN's address.
func (u *tun) transfer(version int) {
	t := u.t
	t.Helper()
	local, remote := ends(version)
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).AddrPort().Port()
	data := octets(4<<20, version)
	received := make(chan []byte, 1)
	go func() {
		c, err := listener.AcceptTCP()
		if err != nil {
			received <- nil
			return
		}
		defer c.Close()
		b, _ := io.ReadAll(c)
		received <- b
	}()
	// The socket belongs to the namespace of the thread that makes it; the Dial
	// of this goroutine would wait for packets that it must carry itself.
	fd := connect(t, remote, port)
	client := os.NewFile(uintptr(fd), "client")
	defer client.Close()
	sent := make(chan error, 1)
	go func() {
		conn, err := net.FileConn(client)
		if err == nil {
			defer conn.Close()
			if _, err = conn.Write(data); err == nil {
				err = conn.(*net.TCPConn).CloseWrite()
			}
		}
		sent <- err
	}()
	most, mss := 0, 0
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	for {
		select {
		case <-deadline.C:
			t.Fatalf("IPv%d: the transfer does not end", version)
		case got := <-received:
			if !bytes.Equal(got, data) {
				t.Errorf("%d octets of %d, or others", len(got), len(data))
			}
			if err := <-sent; err != nil {
				t.Error(err)
			}
			if most < 2 || mss == 0 {
				t.Errorf("%d packets in a super packet at most, %d SYNs clamped", most, mss)
			}
			return
		default:
		}
		n, clamped := u.turn(remote)
		most, mss = max(most, n), mss+clamped
	}
}

// connect begins a connection without waiting for it.
func connect(t *testing.T, to netip.Addr, port uint16) int {
	t.Helper()
	family, address := syscall.AF_INET, syscall.Sockaddr(&syscall.SockaddrInet4{Port: int(port), Addr: [4]byte(to.AsSlice())})
	if to.Is6() {
		family, address = syscall.AF_INET6, &syscall.SockaddrInet6{Port: int(port), Addr: to.As16()}
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Connect(fd, address); err != nil && !errors.Is(err, syscall.EINPROGRESS) {
		t.Fatal(err)
	}
	return fd
}

// turn takes what the kernel sends next, cuts it into packets, exchanges the
// addresses of each, so that local:p to remote:q becomes remote:p to local:q,
// joins them, and writes that. It returns how many went into a super packet at
// most, and how many SYNs were clamped.
func (u *tun) turn(remote netip.Addr) (most, clamped int) {
	u.t.Helper()
	if err := u.file.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		u.t.Fatal(err)
	}
	b := make([]byte, 70000)
	n, err := u.file.Read(b)
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, 0
		}
		u.t.Fatal(err)
	}
	g := ofVnet(b)
	packets, err := cut(g, b[vnetLen:n])
	if err != nil {
		u.t.Fatalf("%+v: %v", g, err)
	}
	var s Super
	for _, p := range packets {
		h := mustParse(p)
		if h.Protocol != ProtocolTCP || h.Dst != remote {
			continue
		}
		if !right(p) {
			u.t.Errorf("%+v gives a packet with wrong checksums", g)
		}
		if ClampMSS(p, *h, 1400) {
			clamped++
		}
		// Both addresses change places: no checksum changes.
		if h.Version == 4 {
			swap(p[12:16], p[16:20])
		} else {
			swap(p[8:24], p[24:40])
		}
		turned := mustParse(p)
		if s.Segments() > 0 && s.Add(p, turned) {
			most = max(most, s.Segments())
			continue
		}
		u.write(s.Finish())
		s.Start(p, turned, u.o)
	}
	u.write(s.Finish())
	return most, clamped
}

func swap(a, b []byte) {
	for i := range a {
		a[i], b[i] = b[i], a[i]
	}
}
