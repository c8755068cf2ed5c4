package kernel

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair opens two sockets on loopback; the first is bound to the wildcard, so
// that packet information decides its source address.
func pair(t *testing.T, wildcard, second string) (a, b int) {
	t.Helper()
	a, err := ListenUDP(netip.MustParseAddrPort(wildcard))
	if errors.Is(err, ErrNotSupported) {
		t.Skipf("this machine has no IPv6: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(a) })
	b, err = ListenUDP(netip.MustParseAddrPort(second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(b) })
	return a, b
}

// receive waits for n datagrams.
func receive(t *testing.T, fd int, b *RecvBatch, n int) {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	deadline := time.Now().Add(5 * time.Second)
	for got := 0; got < n; {
		if _, err := unix.Poll(fds, int(time.Until(deadline).Milliseconds())); err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
		k, err := b.Receive(fd)
		if err != nil {
			t.Fatal(err)
		}
		if k == 0 && time.Now().After(deadline) {
			t.Fatalf("%d of %d datagrams came", got, n)
		}
		got += k
	}
}

func TestBatchKeepsAddressesAndOctets(t *testing.T) {
	for _, test := range []struct{ wildcard, second, source string }{
		{"0.0.0.0:0", "127.0.0.1:0", "127.0.0.2"},
		{"[::]:0", "[::1]:0", "::1"},
	} {
		t.Run(test.source, func(t *testing.T) {
			a, b := pair(t, test.wildcard, test.second)
			peer, source := LocalAddr(b), netip.MustParseAddr(test.source)
			out := NewSendBatch(a, 8)
			for i := range 3 {
				if out.Add(bytes.Repeat([]byte{byte(i)}, 10+i), source, peer) {
					t.Fatal("a batch of 8 is full after 3")
				}
			}
			if sent, failed := out.Flush(); sent != 3 || failed != 0 {
				t.Fatalf("sent %d, failed %d", sent, failed)
			}
			if err := SendFrom(a, []byte("one more"), source, peer); err != nil {
				t.Fatal(err)
			}
			in := NewRecvBatch(1)
			for i := range 4 {
				receive(t, b, in, 1)
				data, from, to := in.Datagram(0)
				want := bytes.Repeat([]byte{byte(i)}, 10+i)
				if i == 3 {
					want = []byte("one more")
				}
				if !bytes.Equal(data, want) {
					t.Errorf("datagram %d: %x, want %x", i, data, want)
				}
				if from.Addr() != source || from.Port() != LocalAddr(a).Port() {
					t.Errorf("datagram %d came from %v, not from %v", i, from, source)
				}
				if to != peer.Addr() {
					t.Errorf("datagram %d was sent to %v, not to %v", i, to, peer.Addr())
				}
			}
		})
	}
}

func TestBatchReportsRefusedDatagrams(t *testing.T) {
	a, b := pair(t, "0.0.0.0:0", "127.0.0.1:0")
	out := NewSendBatch(a, 3)
	// 255.255.255.255 needs SO_BROADCAST: the kernel refuses it with EACCES.
	refused := netip.MustParseAddrPort("255.255.255.255:9")
	out.Add([]byte("x"), netip.Addr{}, refused)
	out.Add([]byte("y"), netip.Addr{}, LocalAddr(b))
	if !out.Add([]byte("z"), netip.Addr{}, refused) {
		t.Error("a batch of 3 is not full after 3")
	}
	if sent, failed := out.Flush(); sent != 1 || failed != 2 {
		t.Errorf("sent %d, failed %d; want 1 and 2", sent, failed)
	}
}

func TestBatchAllocatesNothing(t *testing.T) {
	for _, test := range []struct{ name, wildcard, second string }{
		{"IPv4", "0.0.0.0:0", "127.0.0.1:0"},
		{"IPv6", "[::]:0", "[::1]:0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b := pair(t, test.wildcard, test.second)
			peer := LocalAddr(b)
			out, in := NewSendBatch(a, 4), NewRecvBatch(4)
			packet := make([]byte, 1400)
			moved := 0
			if n := testing.AllocsPerRun(100, func() {
				for range 4 {
					out.Add(packet, peer.Addr(), peer)
				}
				out.Flush()
				n, _ := in.Receive(b)
				for i := range n {
					data, _, _ := in.Datagram(i)
					moved += len(data)
				}
			}); n != 0 {
				t.Errorf("%v allocations for 4 datagrams out and in", n)
			}
			if moved == 0 {
				t.Error("nothing was moved")
			}
		})
	}
}
