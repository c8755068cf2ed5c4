package lcce

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/kernel"
)

// pinger sends echo requests and hears of the replies, by one socket for each family.
// The Role's loop sends; the poller's goroutine receives.
type pinger struct {
	answered  func(from netip.Addr, token uint32)
	signature signature
	sequence  uint16
	four, six *echoSocket
	buf       []byte // of send
}

// echoSocket is a raw ICMP socket or, without the right to have one, a ping socket.
type echoSocket struct {
	pinger *pinger
	v4     bool
	raw    bool
	fd     int
	err    error // why there is none; nil: there is
	buf    [256]byte
}

// newPinger opens the sockets, in the network namespace of the caller. One that cannot
// be opened is an error of send.
func newPinger(poller *kernel.Poller, answered func(netip.Addr, uint32)) *pinger {
	p := &pinger{answered: answered, signature: newSignature()}
	p.four, p.six = p.open(poller, true), p.open(poller, false)
	return p
}

// icmpFilter is ICMP_FILTER of <linux/icmp.h>: the types whose bit is set are dropped.
const icmpFilter = 1

func (p *pinger) open(poller *kernel.Poller, v4 bool) *echoSocket {
	s := &echoSocket{pinger: p, v4: v4, raw: true, fd: -1}
	family, protocol := unix.AF_INET6, unix.IPPROTO_ICMPV6
	if v4 {
		family, protocol = unix.AF_INET, unix.IPPROTO_ICMP
	}
	const flags = unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	s.fd, s.err = unix.Socket(family, unix.SOCK_RAW|flags, protocol)
	if s.err != nil {
		s.raw = false
		var second error
		if s.fd, second = unix.Socket(family, unix.SOCK_DGRAM|flags, protocol); second != nil {
			s.fd = -1
			s.err = fmt.Errorf("open a socket for ICMP: %w; give adit the capability CAP_NET_RAW, or its group a place in net.ipv4.ping_group_range", s.err)
			return s
		}
	}
	s.err = s.onlyReplies()
	if s.err == nil {
		_, s.err = poller.Add(s.fd, kernel.Readable, s)
	}
	return s
}

// onlyReplies has the kernel drop what a raw socket would get besides: all ICMP that
// reaches this machine.
func (s *echoSocket) onlyReplies() error {
	switch {
	case !s.raw:
		return nil
	case s.v4:
		mask := binary.NativeEndian.AppendUint32(nil, ^uint32(1<<echoReply4))
		return unix.SetsockoptString(s.fd, unix.SOL_RAW, icmpFilter, string(mask))
	}
	var filter unix.ICMPv6Filter
	for i := range filter.Data {
		filter.Data[i] = ^uint32(0)
	}
	filter.Data[echoReply6/32] &^= 1 << (echoReply6 % 32)
	return unix.SetsockoptICMPv6Filter(s.fd, unix.SOL_ICMPV6, unix.ICMPV6_FILTER, &filter)
}

// send is prober's. It does not wait.
func (p *pinger) send(local, peer netip.Addr, token uint32) error {
	local, peer = local.Unmap(), peer.Unmap()
	s := p.six
	if peer.Is4() {
		s = p.four
	}
	if s.err != nil {
		return s.err
	}
	p.sequence++
	p.buf = p.signature.appendEcho(p.buf[:0], s.v4, p.sequence, token)
	var to unix.Sockaddr
	var from []byte
	if s.v4 {
		to = &unix.SockaddrInet4{Addr: peer.As4()}
		from = unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: local.As4()})
	} else {
		zone := zoneOf(peer)
		to = &unix.SockaddrInet6{Addr: peer.As16(), ZoneId: zone}
		from = unix.PktInfo6(&unix.Inet6Pktinfo{Addr: local.As16(), Ifindex: zone})
	}
	if err := unix.Sendmsg(s.fd, p.buf, from, to, unix.MSG_DONTWAIT); err != nil {
		return fmt.Errorf("send an echo request from %v to %v: %w", local, peer, err)
	}
	return nil
}

// zoneOf is the index of the interface of a link-local address; 0: none.
func zoneOf(a netip.Addr) uint32 {
	n, _ := strconv.ParseUint(kernel.WithNumericZone(a).Zone(), 10, 32)
	return uint32(n)
}

// Ready is kernel.Handler's: replies have come.
func (s *echoSocket) Ready(time.Time, kernel.Events) {
	for {
		n, from, err := unix.Recvfrom(s.fd, s.buf[:], unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return
		case err != nil:
			return // what else there is to read makes it ready again
		}
		s.take(s.buf[:n], from)
	}
}

// take reads one message.
func (s *echoSocket) take(b []byte, from unix.Sockaddr) {
	var peer netip.Addr
	switch a := from.(type) {
	case *unix.SockaddrInet4:
		peer = netip.AddrFrom4(a.Addr)
	case *unix.SockaddrInet6:
		peer = netip.AddrFrom16(a.Addr)
	}
	if s.raw && s.v4 { // the IP header comes with it
		if len(b) < 20 {
			return
		}
		b = b[min(int(b[0]&0xf)*4, len(b)):]
	}
	if token, ok := s.pinger.signature.parseReply(b, s.v4); ok {
		s.pinger.answered(peer, token)
	}
}

// close closes the sockets; the poller has ended.
func (p *pinger) close() {
	for _, s := range []*echoSocket{p.four, p.six} {
		if s.fd >= 0 {
			_ = unix.Close(s.fd)
			s.fd, s.err = -1, kernel.ErrClosed
		}
	}
}
