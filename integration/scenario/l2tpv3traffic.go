package scenario

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
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

// The headers before the payload of an echo request.
const (
	echoHeaders4 = 20 + 8
	echoHeaders6 = 40 + 8
)

// PingDF sends echo requests whose packets have size octets and may not be
// fragmented on their way, and returns how many were answered.
func (ns *NS) PingDF(dst netip.Addr, size, count int) (received int, err error) {
	headers := echoHeaders4
	if dst.Is6() {
		headers = echoHeaders6
	}
	out, err := ns.Run("ping", "-n", "-q", "-M", "do", "-i", "0.2", "-W", "5",
		"-s", strconv.Itoa(size-headers), "-c", strconv.Itoa(count), dst.String())
	m := pingCounts.FindStringSubmatch(out)
	if m == nil {
		return 0, errors.Join(err, fmt.Errorf("ping in %s printed no counts: %q", ns.Name, out))
	}
	return strconv.Atoi(m[2])
}

// AwaitPing waits until an echo request is answered: devices, carriers and the
// neighbours' addresses take their time.
func AwaitPing(ns *NS, dst netip.Addr, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		out, err := ns.Run("ping", "-n", "-q", "-c", "1", "-W", "1", dst.String())
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("nothing answers for %s: %w: %s", limit, err, out)
		}
		time.Sleep(PollInterval)
	}
}

// NoPing says whether a few echo requests stay without an answer.
func NoPing(ns *NS, dst netip.Addr) error {
	out, _ := ns.Run("ping", "-n", "-q", "-i", "0.2", "-c", "3", "-W", "1", dst.String())
	if m := pingCounts.FindStringSubmatch(out); m != nil && m[2] != "0" {
		return fmt.Errorf("%s answered %s of 3 echo requests", dst, m[2])
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

// echoes sends a small request, again until it is answered, and three full-size ones.
func echoes(from *NS, to netip.Addr, limit time.Duration) error {
	if err := AwaitPing(from, to, limit); err != nil {
		return err
	}
	got, err := from.PingDF(to, FrameLimit, 3)
	if err == nil && got != 3 {
		err = fmt.Errorf("from %s to %s: %d answers to 3 requests of %d octets", from.Name, to, got, FrameLimit)
	}
	return err
}

// VLAN puts an 802.1Q device on top of each end, checks full-size frames between
// them, and takes the devices away.
func VLAN(a, b EthernetEnd, tag, n int) (err error) {
	ends := []EthernetEnd{a, b}
	for i := range ends {
		e := &ends[i]
		device := fmt.Sprintf("%s.%d", e.Device, tag)
		e.IPv4 = netip.MustParseAddr(fmt.Sprintf("10.95.%d.%d", n, i+1))
		for _, argv := range [][]string{
			{"link", "add", "link", e.Device, "name", device, "mtu", strconv.Itoa(FrameLimit), "type", "vlan", "id", strconv.Itoa(tag)},
			{"addr", "add", e.IPv4.String() + "/30", "dev", device},
			{"link", "set", device, "up"},
		} {
			if _, err = e.NS.Run("ip", argv...); err != nil {
				return err
			}
		}
		defer func() {
			_, e := e.NS.Run("ip", "link", "del", device)
			err = errors.Join(err, e)
		}()
	}
	if err := echoes(ends[0].NS, ends[1].IPv4, 10*time.Second); err != nil {
		return fmt.Errorf("with tag %d: %w", tag, err)
	}
	return nil
}

// DeviceCounts are the packets that a network device has counted.
type DeviceCounts struct{ RxPackets, TxPackets, RxErrors, TxErrors uint64 }

// Device is what ip -s -j link says of a device.
type Device struct {
	Name    string
	MTU     int
	Up      bool // set up by somebody
	Carrier bool
	Master  string // the bridge that it is a member of
	Counts  DeviceCounts
}

// Device looks at a device; an error if there is none.
func (ns *NS) Device(name string) (d Device, err error) {
	out, err := ns.Run("ip", "-s", "-j", "link", "show", "dev", name)
	if err != nil {
		return d, err
	}
	type counts struct {
		Packets uint64 `json:"packets"`
		Errors  uint64 `json:"errors"`
	}
	var all []struct {
		Name   string   `json:"ifname"`
		MTU    int      `json:"mtu"`
		Flags  []string `json:"flags"`
		Master string   `json:"master"`
		Stats  struct {
			Rx counts `json:"rx"`
			Tx counts `json:"tx"`
		} `json:"stats64"`
	}
	if err = json.Unmarshal([]byte(out), &all); err != nil || len(all) != 1 {
		return d, errors.Join(err, fmt.Errorf("ip says of %s: %q", name, out))
	}
	r := all[0]
	flags := " " + strings.Join(r.Flags, " ") + " "
	up := strings.Contains(flags, " UP ")
	return Device{Name: r.Name, MTU: r.MTU, Up: up, Carrier: up && !strings.Contains(flags, " NO-CARRIER "), Master: r.Master,
		Counts: DeviceCounts{r.Stats.Rx.Packets, r.Stats.Tx.Packets, r.Stats.Rx.Errors, r.Stats.Tx.Errors}}, nil
}

// Agree sends count echo requests and sees that the devices of both ends have
// counted the same packets. stray is how many others may pass meanwhile, of IPv6's
// and ARP's own accord.
func Agree(a, b EthernetEnd, count, stray int) error {
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
	got, err := a.NS.PingDF(b.IPv4, 200, count)
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
