package kernel

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/need"
)

// pair opens two sockets on loopback; the first is bound to the wildcard, so
// that packet information decides its source address.
func pair(t *testing.T, wildcard, second string) (a, b int) {
	t.Helper()
	a, err := ListenUDP(netip.MustParseAddrPort(wildcard))
	if errors.Is(err, ErrNotSupported) {
		need.Lack(t, "needs IPv6: %v", err)
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

// put writes a datagram into the batch.
func put(t testing.TB, b *SendBatch, d *Destination, packet []byte) {
	t.Helper()
	room := b.Room(d, len(packet))
	if len(room) != len(packet) || cap(room) != len(packet) {
		t.Fatalf("room for %d octets of %d (capacity %d)", len(room), len(packet), cap(room))
	}
	copy(room, packet)
}

func wantCounts(t testing.TB, c *SendCounts, sent, failed, tooLong, segmented uint64) {
	t.Helper()
	got := [4]uint64{c.Sent.Load(), c.Failed.Load(), c.TooLong.Load(), c.Segmented.Load()}
	if want := [4]uint64{sent, failed, tooLong, segmented}; got != want {
		t.Errorf("sent, failed, too long, segmented: %d, want %d", got, want)
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
			var counts SendCounts
			out, to := NewSendBatch(&counts), NewDestination(a, source, peer)
			for i := range 3 { // each longer than the one before: none merge
				put(t, out, to, bytes.Repeat([]byte{byte(i)}, 10+i))
			}
			out.Flush()
			wantCounts(t, &counts, 3, 0, 0, 0)
			if err := SendFrom(a, []byte("one more"), source, peer); err != nil {
				t.Fatal(err)
			}
			in := NewRecvBatch(1)
			for i := range 4 {
				receive(t, b, in, 1)
				data, segment, from, to := in.Datagram(0)
				want := bytes.Repeat([]byte{byte(i)}, 10+i)
				if i == 3 {
					want = []byte("one more")
				}
				if !bytes.Equal(data, want) || segment != len(want) {
					t.Errorf("datagram %d: %x in pieces of %d, want %x", i, data, segment, want)
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

func TestBatchCountsRefusedDatagrams(t *testing.T) {
	a, b := pair(t, "0.0.0.0:0", "127.0.0.1:0")
	var counts SendCounts
	out := NewSendBatch(&counts)
	// 255.255.255.255 needs SO_BROADCAST: the kernel refuses it with EACCES.
	refused := NewDestination(a, netip.Addr{}, netip.MustParseAddrPort("255.255.255.255:9"))
	good := NewDestination(a, netip.Addr{}, LocalAddr(b))
	put(t, out, refused, []byte("x"))
	put(t, out, good, []byte("y"))
	put(t, out, refused, []byte("z"))
	out.Flush()
	wantCounts(t, &counts, 1, 2, 0, 0)
	if got := receiveAll(t, b, 1); got[0] != "y" {
		t.Errorf("came: %q", got)
	}
}

func TestRoomBounds(t *testing.T) {
	a, b := pair(t, "0.0.0.0:0", "127.0.0.1:0")
	var counts SendCounts
	out, to := NewSendBatch(&counts), NewDestination(a, netip.Addr{}, LocalAddr(b))
	for _, n := range []int{-1, 0, MaxDatagram + 1, 1 << 40} {
		if out.Room(to, n) != nil {
			t.Errorf("room for %d octets", n)
		}
	}
	out.Flush()
	wantCounts(t, &counts, 0, 0, 4, 0)
	put(t, out, to, make([]byte, MaxDatagram))
	out.Flush()
	wantCounts(t, &counts, 1, 0, 4, 0)
	if got := receiveAll(t, b, 1); len(got[0]) != MaxDatagram {
		t.Errorf("%d octets came", len(got[0]))
	}
}
