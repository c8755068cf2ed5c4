package kernel

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// closable opens a socket on the loopback.
func closable(t *testing.T) (*Socket, netip.AddrPort) {
	t.Helper()
	fd, err := ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	s := NewSocket(fd)
	t.Cleanup(s.Close)
	return s, LocalAddr(fd)
}

func TestSocketAfterClose(t *testing.T) {
	s, _ := closable(t)
	_, b := pair(t, "0.0.0.0:0", "127.0.0.1:0")
	to := LocalAddr(b)
	var counts SendCounts
	out, d := NewSendBatch(&counts), s.Destination(netip.Addr{}, to)
	put(t, out, d, []byte("in time"))
	out.Flush()
	put(t, out, d, []byte("too late"))
	put(t, out, d, []byte("too"))
	number := s.fd
	s.Close()
	s.Close()
	// The lowest free number is the next descriptor's: mostly that of the one closed.
	again, _ := closable(t)
	if again.fd != number {
		t.Logf("the number %d was not given again but %d", number, again.fd)
	}
	between := again.Destination(netip.Addr{}, to)
	put(t, out, between, []byte("of the new one"))
	put(t, out, d, []byte("late"))
	out.Flush()
	wantCounts(t, &counts, 2, 3, 0, 0)
	if got := receiveAll(t, b, 2); got[0] != "in time" || got[1] != "of the new one" {
		t.Errorf("came: %q", got)
	}
	if _, err := s.Receive(NewRecvBatch(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("Receive: %v", err)
	}
	if err := s.SendFrom([]byte("x"), netip.Addr{}, to); !errors.Is(err, ErrClosed) {
		t.Errorf("SendFrom: %v", err)
	}
	if err := s.With(func(int) error { t.Error("With uses it"); return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("With: %v", err)
	}
	after := s.Destination(netip.Addr{}, to) // nor does one that is made too late
	put(t, out, after, []byte("x"))
	out.Flush()
	wantCounts(t, &counts, 2, 4, 0, 0)
}

// TestSocketsThatCloseWhileOthersSend: each message has the port of its socket in it, and
// never leaves by another one, though the numbers of the descriptors go round.
func TestSocketsThatCloseWhileOthersSend(t *testing.T) {
	const rounds, senders = 100, 3
	_, b := pair(t, "0.0.0.0:0", "127.0.0.1:0")
	to := LocalAddr(b)
	in := NewRecvBatch(64)
	batches := [senders]*SendBatch{}
	var counts SendCounts
	for i := range batches {
		batches[i] = NewSendBatch(&counts)
	}
	came := 0
	for range rounds {
		s, local := closable(t)
		d := s.Destination(netip.Addr{}, to)
		var wg sync.WaitGroup
		sent := make(chan bool, senders)
		for _, out := range batches {
			wg.Go(func() {
				for i, lost := 0, counts.Failed.Load(); counts.Failed.Load() == lost && i < 1000; i++ {
					binary.BigEndian.PutUint16(out.Room(d, 2), local.Port())
					out.Flush()
					select {
					case sent <- true:
					default:
					}
				}
			})
		}
		<-sent
		s.Close()
		stranger, _ := closable(t) // with the number that is free now
		wg.Wait()
		for n := 1; n > 0; {
			var err error
			if n, err = in.Receive(b); err != nil {
				t.Fatal(err)
			}
			for i := range n {
				data, _, from, _ := in.Datagram(i)
				if port := binary.BigEndian.Uint16(data); port != from.Port() {
					t.Fatalf("a message of port %d came from %v", port, from)
				}
				came++
			}
		}
		stranger.Close()
	}
	if came < rounds {
		t.Errorf("%d messages came", came)
	}
	if _, err := unix.GetsockoptInt(b, unix.SOL_SOCKET, unix.SO_ERROR); err != nil {
		t.Errorf("the receiver's descriptor was closed by somebody: %v", err)
	}
}

// BenchmarkSocket is what a datagram costs by a bare descriptor and by a Socket, alone and
// many at a time.
func BenchmarkSocket(b *testing.B) {
	fd, err := ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		b.Fatal(err)
	}
	s := NewSocket(fd)
	defer s.Close()
	nobody := netip.MustParseAddrPort("127.0.0.1:9")
	for _, c := range []struct {
		name string
		to   *Destination
		n    int
	}{
		{"descriptor/1", NewDestination(fd, netip.Addr{}, nobody), 1}, {"socket/1", s.Destination(netip.Addr{}, nobody), 1},
		{"descriptor/64", NewDestination(fd, netip.Addr{}, nobody), 64}, {"socket/64", s.Destination(netip.Addr{}, nobody), 64},
	} {
		b.Run(c.name, func(b *testing.B) {
			out := NewSendBatch(new(SendCounts))
			b.ReportAllocs()
			for b.Loop() {
				for range c.n {
					clear(out.Room(c.to, 100))
				}
				out.Flush()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.n), "ns/datagram")
		})
	}
}
