package kernel

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrNoLink says that there is no interface of this index or name (any more).
var ErrNoLink = errors.New("no such interface")

// ErrExists says that the address or route is there already.
var ErrExists = errors.New("it is there already")

// Links sets up network interfaces, their addresses and routes, by rtnetlink.
// It works in the network namespace that it was opened in, whatever the thread's
// is later. Methods may be called from any goroutine and wait for each other;
// each is one or two blocking system calls of some 30 us, but of milliseconds
// where the kernel is busy with interfaces (RTNL): they belong into a worker, not
// into a shard's loop.
type Links struct {
	mu sync.RWMutex // held for writing by Close
	h  *netlink.Handle
}

// OpenLinks opens the socket, in the network namespace of now.
func OpenLinks() (*Links, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, plainError("open an rtnetlink socket", err)
	}
	return &Links{h: h}, nil
}

// Close closes the socket; methods called after it return ErrClosed. Closing
// twice does nothing.
func (l *Links) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.h != nil {
		l.h.Close()
		l.h = nil
	}
}

// ErrClosed is returned by the methods of what was closed.
var ErrClosed = errors.New("closed")

// do calls f with the handle and gives its error the words of op.
func (l *Links) do(op string, f func(h *netlink.Handle) error) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.h == nil {
		return &Error{Op: op, Err: ErrClosed}
	}
	if err := f(l.h); err != nil {
		return linkError(op, err)
	}
	return nil
}

func linkError(op string, err error) error {
	var gone netlink.LinkNotFoundError
	switch {
	case errors.As(err, &gone), errors.Is(err, unix.ENODEV):
		return &Error{Op: op, Kind: ErrNoLink, Err: unix.ENODEV}
	case errors.Is(err, unix.EEXIST):
		return &Error{Op: op, Kind: ErrExists, Err: err}
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return &Error{Op: op, Kind: ErrPermission, Err: err,
			Advice: "interfaces, addresses and routes need root or the capability CAP_NET_ADMIN; IPv6 addresses also that IPv6 is not disabled (net.ipv6.conf.*.disable_ipv6)"}
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EAFNOSUPPORT):
		return &Error{Op: op, Kind: ErrNotSupported, Err: err}
	}
	return plainError(op, err)
}

// link names an interface by its index, so that nothing is looked up.
func link(index int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
}

// SetUp sets the interface's MTU, in octets (0: leaves it), and brings it up.
func (l *Links) SetUp(index, mtu int) error {
	if mtu != 0 {
		if err := l.SetMTU(index, mtu); err != nil {
			return err
		}
	}
	return l.do(fmt.Sprintf("bring interface %d up", index), func(h *netlink.Handle) error {
		return h.LinkSetUp(link(index))
	})
}

// SetMTU sets the interface's MTU, in octets.
func (l *Links) SetMTU(index, mtu int) error {
	return l.do(fmt.Sprintf("set the MTU of interface %d to %d", index, mtu), func(h *netlink.Handle) error {
		return h.LinkSetMTU(link(index), mtu)
	})
}

// SetMAC gives the interface, which is an Ethernet, the address mac of 6 octets.
func (l *Links) SetMAC(index int, mac net.HardwareAddr) error {
	return l.do(fmt.Sprintf("give interface %d the address %v", index, mac), func(h *netlink.Handle) error {
		return h.LinkSetHardwareAddr(link(index), mac)
	})
}

// SetDown brings the interface down: the kernel removes its routes and its IPv6
// addresses.
func (l *Links) SetDown(index int) error {
	return l.do(fmt.Sprintf("bring interface %d down", index), func(h *netlink.Handle) error {
		return h.LinkSetDown(link(index))
	})
}

// Rename names the interface, which has to be down, and returns its name: in
// "sub%d" the kernel puts the lowest free number in the place of %d. A name that
// is taken is ErrExists.
func (l *Links) Rename(index int, name string) (string, error) {
	op := fmt.Sprintf("name interface %d %q", index, name)
	err := l.do(op, func(h *netlink.Handle) error { return h.LinkSetName(link(index), name) })
	if err != nil {
		return "", err
	}
	return l.Name(index)
}

// Name is the interface's name now.
func (l *Links) Name(index int) (name string, err error) {
	err = l.do(fmt.Sprintf("look for interface %d", index), func(h *netlink.Handle) error {
		a, problem := attrs(h.LinkByIndex(index))
		name = a.Name
		return problem
	})
	return name, err
}

// Index is the index of the interface of that name.
func (l *Links) Index(name string) (index int, err error) {
	err = l.do(fmt.Sprintf("look for interface %q", name), func(h *netlink.Handle) error {
		a, problem := attrs(h.LinkByName(name))
		index = a.Index
		return problem
	})
	return index, err
}

func attrs(link netlink.Link, err error) (netlink.LinkAttrs, error) {
	if err != nil {
		return netlink.LinkAttrs{}, err
	}
	return *link.Attrs(), nil
}

// DisableIPv6AutoLinkLocal keeps the kernel from giving the interface a
// link-local address by itself, so that the one of IPv6CP is the only one. It
// has to be said before the interface is up. ErrNotSupported where the kernel
// is without IPv6.
func (l *Links) DisableIPv6AutoLinkLocal(index int) error {
	const addrGenModeNone = 1 // IN6_ADDR_GEN_MODE_NONE
	return l.do(fmt.Sprintf("turn the automatic link-local address of interface %d off", index), func(h *netlink.Handle) error {
		return h.LinkSetIP6AddrGenMode(link(index), addrGenModeNone)
	})
}

// LinkCounters are what the kernel counted for an interface. Received is what
// came out of the interface into this machine.
type LinkCounters struct {
	ReceivedPackets, ReceivedBytes uint64
	SentPackets, SentBytes         uint64
	ReceivedErrors, SentErrors     uint64
	ReceivedDropped, SentDropped   uint64
}

// Counters reads the interface's counters.
func (l *Links) Counters(index int) (c LinkCounters, err error) {
	err = l.do(fmt.Sprintf("read the counters of interface %d", index), func(h *netlink.Handle) error {
		a, problem := attrs(h.LinkByIndex(index))
		if problem != nil || a.Statistics == nil {
			return problem
		}
		s := a.Statistics
		c = LinkCounters{
			ReceivedPackets: s.RxPackets, ReceivedBytes: s.RxBytes, SentPackets: s.TxPackets, SentBytes: s.TxBytes,
			ReceivedErrors: s.RxErrors, SentErrors: s.TxErrors, ReceivedDropped: s.RxDropped, SentDropped: s.TxDropped,
		}
		return nil
	})
	return c, err
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
