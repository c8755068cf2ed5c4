package kernel

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stream is the datagrams of one Destination: what was sent and what came.
type stream struct {
	to         *Destination
	sent, seen []int // sizes
}

// datagram writes one of n octets (at least 8): which stream, its number in it,
// and a pattern.
func datagram(room []byte, stream, number int) {
	binary.BigEndian.PutUint32(room, uint32(stream))
	binary.BigEndian.PutUint32(room[4:], uint32(number))
	for i := range room[8:] {
		room[8+i] = byte(number + i)
	}
}

// sendTo adds one more datagram to a stream.
func sendTo(t testing.TB, b *SendBatch, streams []*stream, which, n int) {
	t.Helper()
	s := streams[which]
	room := b.Room(s.to, n)
	if room == nil {
		t.Fatalf("no room for %d octets", n)
	}
	datagram(room, which, len(s.sent))
	s.sent = append(s.sent, n)
}

// take reads what a socket has and notes it, checking order and octets.
func take(t testing.TB, in *RecvBatch, fd int, streams []*stream) (datagrams, messages int) {
	t.Helper()
	want := make([]byte, MaxDatagram)
	for {
		n, err := in.Receive(fd)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return datagrams, messages
		}
		messages += n
		for i := range n {
			data, segment, _, _ := in.Datagram(i)
			for at := 0; at < len(data); at += segment {
				d := data[at:min(at+segment, len(data))]
				which := int(binary.BigEndian.Uint32(d))
				s := streams[which]
				datagram(want[:len(d)], which, len(s.seen))
				if !bytes.Equal(d, want[:len(d)]) {
					t.Fatalf("stream %d: datagram %d of %d octets came where number %d was due",
						which, binary.BigEndian.Uint32(d[4:]), len(d), len(s.seen))
				}
				s.seen = append(s.seen, len(d))
				datagrams++
			}
		}
	}
}

func wantStreams(t testing.TB, streams []*stream) (datagrams int) {
	t.Helper()
	for i, s := range streams {
		if !equal(s.sent, s.seen) {
			t.Fatalf("stream %d: sizes %v were sent, %v came", i, s.sent, s.seen)
		}
		datagrams += len(s.sent)
	}
	return datagrams
}

// Sizes and destinations in any mix, more destinations than a batch has slots,
// two families and several sockets: everything arrives, in order for each
// destination, and is counted.
func TestMergingKeepsOrder(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		enter()
		in := NewRecvBatch(64)
		for seed := range uint64(4) {
			rng := rand.New(rand.NewPCG(seed, 1))
			var receivers []int
			var streams []*stream
			for i := range 6 {
				lb := loopbacks[i%2]
				out, _ := listen(t, lb.addr)
				fd, local := listen(t, lb.addr)
				receivers = append(receivers, fd)
				for range []int{1, 10, 100}[seed%3] {
					streams = append(streams, &stream{to: NewDestination(out, lb.addr, local)})
				}
			}
			var counts SendCounts
			out := NewSendBatch(&counts)
			sizes := []int{8, 60, 100, 100, 576, 1400, 1400, 1400, 1401, MaxDatagram}
			for range 60 {
				for range rng.IntN(100) {
					which, n := rng.IntN(len(streams)), sizes[rng.IntN(len(sizes))]
					for range 1 + rng.IntN(12) {
						sendTo(t, out, streams, which, n)
					}
				}
				out.Flush()
				for _, fd := range receivers {
					take(t, in, fd, streams)
				}
			}
			sent := wantStreams(t, streams)
			if segmented := counts.Segmented.Load(); segmented < uint64(sent)/2 {
				t.Errorf("seed %d: %d of %d datagrams were merged", seed, segmented, sent)
			}
			wantCounts(t, &counts, uint64(sent), 0, 0, counts.Segmented.Load())
		}
	})
}

// The batch flushes itself when its arena, its messages or its chunks are full.
func TestFullBatchFlushesItself(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		enter()
		a, b := pair(t, "0.0.0.0:0", "127.0.0.1:0")
		in := NewRecvBatch(64)
		for _, c := range []struct {
			name  string
			n     int
			size  func(i int) int
			which func(i int) int
			early uint64 // datagrams sent before Flush
		}{
			{"arena", 80, func(int) int { return MaxDatagram }, func(int) int { return 0 }, sendArena / MaxDatagram},
			{"messages", 1000, func(i int) int { return 8 + i%1000 }, func(int) int { return 0 }, sendMessages},
			{"chunks", 3000, func(int) int { return 8 }, func(i int) int { return i % 2 }, sendChunks},
		} {
			var counts SendCounts
			out := NewSendBatch(&counts)
			streams := []*stream{
				{to: NewDestination(a, netip.Addr{}, LocalAddr(b))}, {to: NewDestination(a, netip.Addr{}, LocalAddr(b))},
			}
			for i := range c.n {
				sendTo(t, out, streams, c.which(i), c.size(i))
				if i%250 == 0 {
					take(t, in, b, streams)
				}
			}
			if got := counts.Sent.Load(); got != c.early {
				t.Errorf("%s: %d datagrams went early, want %d", c.name, got, c.early)
			}
			out.Flush()
			out.Flush() // of nothing
			take(t, in, b, streams)
			wantStreams(t, streams)
			wantCounts(t, &counts, uint64(c.n), 0, 0, counts.Segmented.Load())
		}
	})
}

// The longest merged messages are such that the kernel takes them.
func TestMergedMessagesAtTheirLimits(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		enter()
		for i, lb := range loopbacks {
			fd, _ := listen(t, lb.addr)
			b, local := listen(t, lb.addr)
			in := NewRecvBatch(16)
			for _, c := range []struct {
				name         string
				sizes        []int
				messages     int
				notSegmented int
			}{
				// 32 datagrams of 2,000 octets and the rest of 65,507 or 65,487: an
				// old kernel takes 64 datagrams.
				{"octets", append(repeat(2000, 32), []int{1507, 1487}[i]), 1, 0},
				{"one octet too many", append(repeat(2000, 32), []int{1508, 1488}[i]), 2, 1},
				{"datagrams", repeat(8, maxSegments()), 1, 0},
				{"one datagram too many", repeat(8, maxSegments()+1), 2, 1},
				{"a shorter one closes", []int{100, 100, 99, 99, 100}, 3, 2},
			} {
				var counts SendCounts
				out := NewSendBatch(&counts)
				streams := []*stream{{to: NewDestination(fd, lb.addr, local)}}
				for _, n := range c.sizes {
					sendTo(t, out, streams, 0, n)
				}
				if len(out.msgs) != c.messages {
					t.Errorf("%s, %s: %d messages, want %d", lb.name, c.name, len(out.msgs), c.messages)
				}
				out.Flush()
				take(t, in, b, streams)
				wantStreams(t, streams)
				wantCounts(t, &counts, uint64(len(c.sizes)), 0, 0, uint64(len(c.sizes)-c.notSegmented))
			}
		}
	})
}

func repeat(n, times int) (all []int) {
	for range times {
		all = append(all, n)
	}
	return all
}

// A socket without checksums cannot merge: its datagrams arrive one by one, in
// order, and merging is not tried again for a minute.
func TestNoCheckFallsBack(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		enter()
		fd, b := pair(t, "0.0.0.0:0", "127.0.0.1:0")
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil {
			t.Fatal(err)
		}
		var counts SendCounts
		out, in := NewSendBatch(&counts), NewRecvBatch(16)
		now := time.Unix(1_000_000, 0)
		out.now = func() time.Time { return now }
		streams := []*stream{{to: NewDestination(fd, netip.Addr{}, LocalAddr(b))}}
		burst := func(messages int) {
			t.Helper()
			for range 20 {
				sendTo(t, out, streams, 0, 500)
			}
			if len(out.msgs) != messages {
				t.Errorf("%d messages, want %d", len(out.msgs), messages)
			}
			out.Flush()
			take(t, in, b, streams)
			wantStreams(t, streams)
		}
		burst(1) // refused, sent one by one
		wantCounts(t, &counts, 20, 0, 0, 0)
		burst(20)
		now = now.Add(retryMerging - time.Second)
		burst(20)
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 0); err != nil {
			t.Fatal(err)
		}
		burst(20) // not yet
		wantCounts(t, &counts, 80, 0, 0, 0)
		now = now.Add(time.Second)
		burst(1)
		wantCounts(t, &counts, 100, 0, 0, 20)
	})
}

// Datagrams that do not fit the path's MTU are fragmented by the kernel, which
// merged ones cannot be: these go one by one, and shorter ones go on merging.
func TestMergingBeyondTheMTU(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		enter()
		here := threadNamespace(t)
		command(t, "ip", "link", "add", "near", "type", "veth", "peer", "name", "far")
		addrs := map[string][]string{"near": {"10.77.1.1/24", "fd77:1::1/64"}, "far": {"10.77.1.2/24", "fd77:1::2/64"}}
		up := func(name string) {
			noRouterSolicitations(t)
			for _, a := range addrs[name] {
				command(t, "ip", "address", "add", a, "dev", name, "nodad")
			}
			command(t, "ip", "link", "set", name, "up")
			waitLocal(t, addrs[name])
		}
		enter()
		there := threadNamespace(t)
		join(t, here)
		moveLink(t, "far", there)
		up("near")
		join(t, there)
		up("far")
		for i, addr := range []string{"10.77.1.2", "fd77:1::2"} {
			far, local := listen(t, netip.MustParseAddr(addr))
			join(t, here)
			near, _ := listen(t, netip.MustParseAddr([]string{"10.77.1.1", "fd77:1::1"}[i]))
			join(t, there)
			var counts SendCounts
			out, in := NewSendBatch(&counts), NewRecvBatch(64)
			streams := []*stream{{to: NewDestination(near, netip.Addr{}, local)}}
			sizes := []int{100, 1400, 1452, 1453, 1473, 2000, MaxDatagram, 1472, 1400, 2000, 64}
			for round, want := range []int{0, 10 * len(sizes)} {
				for _, n := range sizes {
					for range 10 {
						sendTo(t, out, streams, 0, n)
					}
				}
				out.Flush()
				for total := want + 10*len(sizes); len(streams[0].seen) < total; {
					if !waitReadable(far, 5000) {
						t.Fatalf("%s, round %d: %d of %d came", addr, round, len(streams[0].seen), total)
					}
					take(t, in, far, streams)
				}
			}
			wantStreams(t, streams)
			limit := int(streams[0].to.limit.Load())
			if fits := []int{1472, 1452}[i]; limit != fits+1 {
				t.Errorf("%s: merging stops at %d octets, want %d", addr, limit, fits+1)
			}
			// Of 11 sizes, 6 (IPv6: 4) fit the MTU, in both rounds; and the last
			// of a run may have ended a longer one's message.
			if got, want := counts.Segmented.Load(), uint64(2*10*[]int{7, 5}[i]-20); got < want {
				t.Errorf("%s: %d datagrams merged, want %d and more", addr, got, want)
			}
			wantCounts(t, &counts, uint64(20*len(sizes)), 0, 0, counts.Segmented.Load())
		}
	})
}

// What fails merged and one by one has another reason: it is counted, and
// merging is not blamed.
func TestRefusalForAnotherReason(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		enter()
		fd, b := pair(t, "0.0.0.0:0", "127.0.0.1:0")
		var counts SendCounts
		out := NewSendBatch(&counts)
		// EINVAL, as what cannot be merged gets.
		d := NewDestination(fd, netip.Addr{}, netip.AddrPortFrom(LocalAddr(b).Addr(), 0))
		for range 5 {
			put(t, out, d, make([]byte, 100))
		}
		out.Flush()
		wantCounts(t, &counts, 0, 5, 0, 0)
		if d.limit.Load() <= MaxDatagram {
			t.Errorf("datagrams of %d octets and more are not merged any more", d.limit.Load())
		}
	})
}

func TestRefusesMerging(t *testing.T) {
	fd, _ := listen(t, loopbacks[0].addr)
	for _, c := range []struct {
		err  unix.Errno
		want bool
		from int
	}{
		{unix.EIO, true, 0}, // an IPsec route
		{unix.EINVAL, true, 1400},
		{unix.EMSGSIZE, true, 1400},
		{unix.EOPNOTSUPP, true, 0},
		{unix.EAGAIN, false, 0},
		{unix.ENOBUFS, false, 0},
		{unix.ENETUNREACH, false, 0},
		{unix.ECONNREFUSED, false, 0},
	} {
		if got := refusesMerging(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
		if got := refusedFrom(fd, c.err, 1400); got != c.from {
			t.Errorf("%v: from %d octets on, want %d", c.err, got, c.from)
		}
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil {
		t.Fatal(err)
	}
	if got := refusedFrom(fd, unix.EINVAL, 1400); got != 0 {
		t.Errorf("without checksums: from %d octets on, want 0", got)
	}
}

func TestSegmentsOfRelease(t *testing.T) {
	for release, want := range map[string]int{
		"6.9.0": 128, "6.18.44-fc-v595": 128, "7.0.0-rc1": 128, "6.10": 128, "10.1": 128,
		"6.8.0-45-generic": 64, "5.15.0": 64, "4.19.1": 64, "": 64, "6": 64, "six.nine": 64, "6.x": 64,
	} {
		if got := segmentsOf(release); got != want {
			t.Errorf("%q: %d, want %d", release, got, want)
		}
	}
}

func TestListenersMergeAndTunnelSocketsDoNot(t *testing.T) {
	for _, lb := range loopbacks {
		fd, local := listen(t, lb.addr)
		if !GRO(fd) {
			t.Errorf("%s: the listener does not merge", lb.name)
		}
		if GRO(connected(t, netip.AddrPortFrom(lb.addr, 0), local)) {
			t.Errorf("%s: the connected socket merges", lb.name)
		}
	}
}

func TestTruncatedMessagesAreCounted(t *testing.T) {
	a, b := pair(t, "0.0.0.0:0", "127.0.0.1:0")
	in := newRecvBatch(4, 100)
	for _, n := range []int{99, 100, 101, 2000} {
		if err := SendFrom(a, make([]byte, n), netip.Addr{}, LocalAddr(b)); err != nil {
			t.Fatal(err)
		}
	}
	receive(t, b, in, 4)
	for i, want := range []int{99, 100, 100, 100} {
		if data, segment, _, _ := in.Datagram(i); len(data) != want || segment != want {
			t.Errorf("datagram %d: %d octets in pieces of %d, want %d", i, len(data), segment, want)
		}
	}
	if in.Truncated() != 2 {
		t.Errorf("%d truncated, want 2", in.Truncated())
	}
}

func TestBatchAllocatesNothing(t *testing.T) {
	for _, lb := range loopbacks {
		for _, c := range []struct {
			name     string
			sizes    []int
			unsummed int
		}{
			{"merged", repeat(1400, 40), 0},
			{"one by one", []int{10, 20, 30, 40}, 0},
			{"refused", repeat(1400, 4), 1},
		} {
			t.Run(lb.name+" "+c.name, func(t *testing.T) {
				a, _ := listen(t, lb.addr)
				b, peer := listen(t, lb.addr)
				if err := unix.SetsockoptInt(a, unix.SOL_SOCKET, unix.SO_NO_CHECK, c.unsummed); err != nil {
					t.Fatal(err)
				}
				var counts SendCounts
				out, in := NewSendBatch(&counts), NewRecvBatch(64)
				to := NewDestination(a, lb.addr, peer)
				packet := make([]byte, 1400)
				moved := 0
				if n := testing.AllocsPerRun(100, func() {
					to.limit.Store(MaxDatagram + 1) // so that each refusal is a new one
					for _, n := range c.sizes {
						copy(out.Room(to, n), packet)
					}
					out.Flush()
					n, _ := in.Receive(b)
					for i := range n {
						data, _, _, _ := in.Datagram(i)
						moved += len(data)
					}
				}); n != 0 {
					t.Errorf("%v allocations for %d datagrams out and in", n, len(c.sizes))
				}
				if sent := counts.Sent.Load(); sent != uint64(101*len(c.sizes)) || moved == 0 {
					t.Errorf("%d sent, %d octets moved", sent, moved)
				}
			})
		}
	}
}
