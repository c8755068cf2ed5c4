package scenario

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// EthernetEnd is one end of an Ethernet link through a tunnel: a device with an
// address of each family.
type EthernetEnd struct {
	NS     *NS
	Device string
	IPv4   netip.Addr
	IPv6   netip.Addr
}

// FrameLimit is the payload of a full-size Ethernet frame, in octets.
const FrameLimit = 1500

// echoWait is how long the answer to one echo request is awaited.
const echoWait = 2 * time.Second

// AwaitPing waits until an echo request is answered: devices, carriers and the
// neighbours' addresses take their time.
func AwaitPing(ns *NS, dst netip.Addr, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		got, err := ns.Echo(dst, 84, 1, 500*time.Millisecond)
		if got == 1 {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(err, fmt.Errorf("%s does not answer %s for %s", dst, ns.Name, limit))
		}
		time.Sleep(PollInterval)
	}
}

// NoPing says whether a few echo requests stay without an answer.
func NoPing(ns *NS, dst netip.Addr) error {
	if got, _ := ns.Echo(dst, 84, 3, 400*time.Millisecond); got != 0 {
		return fmt.Errorf("%s answered %d of 3 echo requests of %s", dst, got, ns.Name)
	}
	return nil
}

// Ethernet checks a link: small packets and full-size ones that may not be
// fragmented, of both families, which come back as they went; and TCP both ways, with so
// many octets compared by SHA-256. limit is how long the link may take to come up.
func Ethernet(a, b EthernetEnd, limit time.Duration, octets int64) error {
	for _, to := range []netip.Addr{b.IPv4, b.IPv6} {
		if !to.IsValid() {
			continue
		}
		if err := echoes(a.NS, to, limit); err != nil {
			return err
		}
	}
	if octets == 0 {
		return nil
	}
	for _, way := range []struct{ from, to EthernetEnd }{{a, b}, {b, a}} {
		if _, err := transfer(way.from.NS, way.to.NS, way.to.IPv4, octets); err != nil {
			return fmt.Errorf("TCP from %s to %s: %w", way.from.NS.Name, way.to.IPv4, err)
		}
	}
	return nil
}

// echoAttempts is how often full-size packets may get lost: other rows share the
// sockets and the processors, and may send more than they take.
const echoAttempts = 3

// echoes sends a small request, again until it is answered, and three full-size ones,
// which are all answered in one of some attempts.
func echoes(from *NS, to netip.Addr, limit time.Duration) error {
	if err := AwaitPing(from, to, limit); err != nil {
		return err
	}
	var failure error
	for range echoAttempts {
		got, err := from.Echo(to, FrameLimit, 3, echoWait)
		if err == nil && got == 3 {
			return nil
		}
		failure = errors.Join(err, fmt.Errorf("from %s to %s: %d answers to 3 requests of %d octets", from.Name, to, got, FrameLimit))
	}
	return failure
}

// VLAN puts an 802.1Q device on top of each end and checks full-size frames between
// them.
func VLAN(t TB, a, b EthernetEnd, tag, n int) error {
	t.Helper()
	ends := []EthernetEnd{a, b}
	for i := range ends {
		e := &ends[i]
		device := fmt.Sprintf("%s.%d", e.Device, tag)
		e.IPv4 = netip.MustParseAddr(fmt.Sprintf("10.95.%d.%d", n, i+1))
		e.NS.batch(t,
			fmt.Sprintf("link add link %s name %s mtu %d type vlan id %d", e.Device, device, FrameLimit, tag),
			fmt.Sprintf("addr add %s/30 dev %s", e.IPv4, device),
			"link set "+device+" up")
	}
	if err := echoes(ends[0].NS, ends[1].IPv4, 10*time.Second); err != nil {
		return fmt.Errorf("with tag %d: %w", tag, err)
	}
	return nil
}

// DeviceCounts are the packets that a network device has counted.
type DeviceCounts struct{ RxPackets, TxPackets, RxErrors, TxErrors uint64 }

// Device is a network device as the kernel has it.
type Device struct {
	Name    string
	MTU     int
	Up      bool // set up by somebody
	Carrier bool // and able to carry packets
	Counts  DeviceCounts
}

// Device looks at a device; an error if there is none.
func (ns *NS) Device(name string) (d Device, err error) {
	var link netlink.Link
	if err = ns.rtnetlink(func(h *netlink.Handle) (err error) {
		link, err = h.LinkByName(name)
		return err
	}); err != nil {
		return d, fmt.Errorf("interface %s in %s: %w", name, ns.Name, err)
	}
	a := link.Attrs()
	d = Device{Name: a.Name, MTU: a.MTU, Up: a.RawFlags&unix.IFF_UP != 0, Carrier: a.RawFlags&unix.IFF_RUNNING != 0}
	if s := a.Statistics; s != nil {
		d.Counts = DeviceCounts{s.RxPackets, s.TxPackets, s.RxErrors, s.TxErrors}
	}
	return d, nil
}

// Agree sends count echo requests and sees that the devices of both ends have
// counted the same packets. stray is how many others may pass meanwhile, of IPv6's
// and ARP's own accord.
func Agree(a, b EthernetEnd, count, stray int) error {
	var failure error
	for range echoAttempts {
		if failure = agree(a, b, count, stray); failure == nil {
			return nil
		}
	}
	return failure
}

func agree(a, b EthernetEnd, count, stray int) error {
	look := func() (d [2]DeviceCounts, err error) {
		for i, e := range []EthernetEnd{a, b} {
			var x Device
			if x, err = e.NS.Device(e.Device); err != nil {
				return d, err
			}
			d[i] = x.Counts
		}
		return d, nil
	}
	before, err := look()
	if err != nil {
		return err
	}
	got, err := a.NS.Echo(b.IPv4, 200, count, echoWait)
	if err != nil || got != count {
		return errors.Join(err, fmt.Errorf("%d answers to %d requests", got, count))
	}
	after, err := look()
	if err != nil {
		return err
	}
	for i := range 2 {
		sent, came := after[i].TxPackets-before[i].TxPackets, after[1-i].RxPackets-before[1-i].RxPackets
		if int(sent) < count || int(came) < count || max(sent, came)-min(sent, came) > uint64(stray) {
			return fmt.Errorf("one end has counted %d packets sent, the other %d received, and %d were pinged", sent, came, count)
		}
	}
	return nil
}

// AtOnce runs f for 0 to n-1, so many at a time, and returns their errors.
func AtOnce(n, atATime int, f func(i int) error) error {
	errs := make([]error, n)
	next := make(chan int)
	var wg sync.WaitGroup
	for range atATime {
		wg.Go(func() {
			for i := range next {
				errs[i] = f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	return errors.Join(errs...)
}
