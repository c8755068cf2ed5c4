package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// The lengths of a measurement.
const (
	warmUp = 100 * time.Millisecond
	window = 300 * time.Millisecond
)

// load is one kind of traffic.
type load struct {
	down     bool // from the network to the subscribers; else from them
	size     int  // octets of the IP packets
	sessions int
	burst    int // packets of one session that come together
}

func (l load) String() string {
	return fmt.Sprintf("%s, %d bytes, %d session%s, bursts of %d", l.direction(), l.size, l.sessions, plural(l.sessions), l.burst)
}

// name is for machines.
func (l load) name() string {
	return fmt.Sprintf("%s/%d-bytes/%d-sessions/bursts-of-%d", l.direction(), l.size, l.sessions, l.burst)
}

func (l load) direction() string {
	if l.down {
		return "down"
	}
	return "up"
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

// sample is what one measurement saw.
type sample struct {
	delivered float64 // packets a second
	perCPU    float64 // packets a second of the server's processor time
	busy      float64 // processor time by time: 1 is one processor, full
}

// newSample is what so many packets in so many seconds are, for which the server
// has run so many seconds.
func newSample(packets, elapsed, used float64) sample {
	if packets <= 0 || used <= 0 {
		return sample{busy: used / elapsed}
	}
	return sample{delivered: packets / elapsed, perCPU: packets / used, busy: used / elapsed}
}

// generatorFor makes the generator of a load.
func (s *server) generatorFor(l load) (*blast, error) {
	calls := s.calls[:l.sessions]
	if l.down {
		return downlink(s, calls, l.size, l.burst)
	}
	return uplink(s, calls, l.size, l.burst)
}

// count is how to look at what has passed the server, and how many packets that
// is: what has come into its TUN, or to its peer. It is the kernel's, not the server's own.
func (s *server) count(l load) (func() (traffic, error), func(traffic) float64) {
	const ethernet = 14
	if !l.down {
		headers := udpHeaders
		if s.ethernet {
			headers += ethernet
		}
		return func() (traffic, error) { return received(s.inside, s.tun) },
			func(t traffic) float64 { return t.cut(headers, l.size-udpHeaders) }
	}
	return func() (traffic, error) { return received(s.outside, s.wire) },
		func(t traffic) float64 { return t.cut(ethernet+udpHeaders, s.messageLen+l.size) }
}

// moment is what has been counted at one time.
type moment struct {
	at      time.Time
	traffic traffic
	ran     int64 // the server, nanoseconds
}

func (b *bench) look(s *server, count func() (traffic, error)) (m moment, err error) {
	m.at = time.Now()
	if m.traffic, err = count(); err == nil {
		m.ran, err = processorTime(s.pid, b.measured)
	}
	return m, err
}

// measure puts a load on a server and counts what it delivers.
func (b *bench) measure(s *server, l load) (m sample, err error) {
	// What the server sends shall be swallowed by a socket that is not read.
	drop := -1
	if l.down {
		if drop, err = s.peerSocket(); err != nil {
			return m, err
		}
		defer unix.Close(drop)
	}
	g, err := s.generatorFor(l)
	if err != nil {
		return m, err
	}
	defer g.close()
	count, packets := s.count(l)
	g.start()
	time.Sleep(warmUp)
	before, err := b.look(s, count)
	if err == nil {
		time.Sleep(window)
	}
	after, errAfter := b.look(s, count)
	if err = errors.Join(g.halt(), err, errAfter); err != nil {
		return m, err
	}
	return newSample(packets(after.traffic.since(before.traffic)), after.at.Sub(before.at).Seconds(),
		float64(after.ran-before.ran)/1e9), nil
}

// middle is the median.
func middle(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

// median is what several measurements saw, the median of each kind.
func median(all []sample) sample {
	of := func(get func(sample) float64) float64 {
		var values []float64
		for _, m := range all {
			values = append(values, get(m))
		}
		return middle(values)
	}
	return sample{
		delivered: of(func(m sample) float64 { return m.delivered }),
		perCPU:    of(func(m sample) float64 { return m.perCPU }),
		busy:      of(func(m sample) float64 { return m.busy }),
	}
}

// ratio is the median of how one's values are to the other's of the same round:
// the speed of a machine drifts, and from round to round more than within one.
func ratio(ours, theirs []float64) float64 {
	var all []float64
	for i := range min(len(ours), len(theirs)) {
		if theirs[i] > 0 {
			all = append(all, ours[i]/theirs[i])
		}
	}
	return middle(all)
}

// check sends a few packets each way, and they have all to arrive and be counted
// right.
func (s *server) check() error {
	for _, size := range sizes {
		for _, down := range []bool{false, true} {
			for _, burst := range []int{1, 7} {
				if err := s.checkLoad(load{down, size, min(len(s.calls), 8), burst}); err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
			}
		}
	}
	return nil
}

// checkLimit is how long packets may be under way.
const checkLimit = 5 * time.Second

func (s *server) checkLoad(l load) (err error) {
	fd := -1
	if l.down {
		if fd, err = s.peerSocket(); err != nil {
			return err
		}
		defer unix.Close(fd)
	}
	g, err := s.generatorFor(l)
	if err != nil {
		return err
	}
	defer g.close()
	look, packets := s.count(l)
	before, err := look()
	if err != nil {
		return err
	}
	if err = g.send(); err != nil {
		return err
	}
	if l.down {
		if err := s.readFirst(fd, l.size); err != nil {
			return err
		}
	}
	want := float64(l.sessions * l.burst)
	var n float64
	for begin := time.Now(); time.Since(begin) < checkLimit; time.Sleep(time.Millisecond) {
		after, err := look()
		if err != nil {
			return err
		}
		// A stray packet (ARP, IPv6's neighbours) makes it uneven.
		if n = packets(after.since(before)); n > want-0.5 && n < want+2 {
			return nil
		}
	}
	return fmt.Errorf("%s: %.2f of %.0f packets arrived", l, n, want)
}

// readFirst reads a datagram that the server has sent, and sees how long its
// headers are.
func (s *server) readFirst(fd, size int) error {
	tv := unix.NsecToTimeval(int64(checkLimit))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		return err
	}
	// Several merged ones begin like one.
	buf := make([]byte, 1<<16)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return fmt.Errorf("nothing arrives: %w", err)
	}
	for length := 8; length <= ethernetHeaderLen && length+20 <= n; length++ {
		if buf[length] == 0x45 && int(binary.BigEndian.Uint16(buf[length+2:])) == size {
			if s.messageLen = length; (n % (length + size)) == 0 {
				return nil
			}
		}
	}
	return fmt.Errorf("%d octets came, which are no data messages with packets of %d: % x", n, size, buf[:min(n, 48)])
}
