package main

import (
	"flag"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"adit/internal/kernel"
	"adit/proto/ip"
)

// The floor is what the system calls and the merging cost by themselves: the
// program receives and writes with the same merging as adit, and does no more.
// It looks at no L2TP and no PPP header, has no sessions to look up, and checks
// no address; it reads the packets' headers, and verifies or makes their
// checksums, because without that nothing can be merged. With -single it does
// not merge, and takes each packet by a call of its own: the one-by-one path.

// childFloor is the word by which this program runs itself as a floor.
const childFloor = "floor"

// floorReady is what it prints when its TUN is there.
const floorReady = "the floor is ready"

// floorOptions are its flags.
type floorOptions struct {
	listen, peer netip.AddrPort
	tun          string
	single       bool
	taps         int // devices of Ethernet pseudowires, named by tun and a number; 0: one TUN
}

func (o floorOptions) args() []string {
	return []string{childFloor, "-listen", o.listen.String(), "-peer", o.peer.String(),
		"-tun", o.tun, fmt.Sprintf("-single=%t", o.single), fmt.Sprintf("-taps=%d", o.taps)}
}

// floorMain runs a floor until it is killed.
func floorMain(args []string) error {
	var o floorOptions
	f := flag.NewFlagSet(childFloor, flag.ContinueOnError)
	f.TextVar(&o.listen, "listen", netip.AddrPort{}, "own address")
	f.TextVar(&o.peer, "peer", netip.AddrPort{}, "the peer's address")
	f.StringVar(&o.tun, "tun", "", "name of the TUN to make")
	f.BoolVar(&o.single, "single", false, "packet by packet")
	f.IntVar(&o.taps, "taps", 0, "Ethernet pseudowires, each with a TAP")
	if err := f.Parse(args); err != nil {
		return err
	}
	fd, err := kernel.ListenUDP(o.listen)
	if err != nil {
		return err
	}
	if o.taps > 0 {
		return floorEthernet(fd, o)
	}
	if o.single {
		return floorSingle(fd, o)
	}
	t, err := kernel.OpenTUN(kernel.TUNOptions{Name: o.tun})
	if err != nil {
		return err
	}
	fmt.Println(floorReady)
	ended := make(chan error)
	go func() { ended <- floorUp(fd, t) }()
	go func() { ended <- floorDown(fd, t, o.peer) }()
	return <-ended
}

// await sleeps until a descriptor is readable.
func await(fd int) error {
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		if err != unix.EINTR {
			return err
		}
	}
}

// As many as adit's reader has.
const (
	floorMessages = 64
	floorSupers   = 64
)

// ascent is the way from the socket into the TUN.
type ascent struct {
	tun    *kernel.TUN
	writer kernel.TUNWriter
	supers [floorSupers]ip.Super
	open   int
	lost   uint64
}

// floorUp takes packets from the socket into the TUN.
func floorUp(fd int, t *kernel.TUN) error {
	batch, a := kernel.NewRecvBatch(floorMessages), &ascent{tun: t}
	for {
		n, err := batch.Receive(fd)
		if err != nil {
			continue // of ICMP: the peer is not there yet
		}
		for i := range n {
			data, size, _, _ := batch.Datagram(i)
			for ; len(data) > size; data = data[size:] {
				a.add(data[:size])
			}
			a.add(data)
		}
		a.flush()
		if n == 0 {
			if err := await(fd); err != nil {
				return err
			}
		}
	}
}

// add takes one message.
func (a *ascent) add(message []byte) {
	if len(message) <= headerLen {
		return
	}
	packet := message[headerLen:]
	h, err := ip.Parse(packet)
	if err != nil {
		return
	}
	if a.open > 0 && a.supers[a.open-1].Add(packet[:h.Length], &h) {
		return
	}
	if a.open == floorSupers {
		a.flush()
	}
	a.supers[a.open].Start(packet[:h.Length], &h, a.tun.Offloads())
	a.open++
}

func (a *ascent) flush() {
	for i := range a.supers[:a.open] {
		g, parts := a.supers[i].Finish()
		if a.writer.Write(a.tun.Queue(0), g, parts) != nil {
			a.lost++
		}
		a.supers[i].Reset()
	}
	a.open = 0
}

// floorHeader stands before every packet that a floor sends: tunnel 1, session 1.
var floorHeader = [headerLen]byte{0, 2, 0, 1, 0, 1, 0xff, 3, 0, 0x21}

// descentReads is how many packets of a TUN are sent together, as in adit.
const descentReads = 64

// floorDown takes packets from the TUN to the socket.
func floorDown(fd int, t *kernel.TUN, peer netip.AddrPort) error {
	var counts kernel.SendCounts
	var split ip.Splitter
	out, d := kernel.NewSendBatch(&counts), kernel.NewDestination(fd, netip.Addr{}, peer)
	buf, q := make([]byte, kernel.MaxSuperPacket), t.Queue(0)
	for {
		n := 1
		for i := 0; i < descentReads && n > 0; i++ {
			var g ip.GSO
			var err error
			// An error is an interface that is still down.
			if n, g, err = q.Read(buf); err != nil || n == 0 || split.Begin(g, buf[:n]) != nil {
				continue
			}
			for size := split.Next(); size > 0; size = split.Next() {
				room := out.Room(d, headerLen+size)
				if room == nil {
					continue
				}
				copy(room, floorHeader[:])
				split.Put(room[headerLen:])
			}
		}
		out.Flush()
		if n == 0 {
			if err := await(q.FD()); err != nil {
				return err
			}
		}
	}
}

// floorSingle is the path without merging and without batches.
func floorSingle(fd int, o floorOptions) error {
	tun, err := plainTUN(o.tun)
	if err != nil {
		return err
	}
	for _, option := range []struct{ fd int }{{fd}, {tun}} {
		if err := unix.SetNonblock(option.fd, false); err != nil {
			return err
		}
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 0); err != nil {
		return err
	}
	fmt.Println(floorReady)
	ended := make(chan error)
	go func() {
		buf := make([]byte, kernel.MaxDatagram)
		for {
			n, _, err := unix.Recvfrom(fd, buf, 0)
			if err != nil || n <= headerLen {
				continue // of ICMP: the peer is not there yet
			}
			_, _ = unix.Write(tun, buf[headerLen:n]) // refused while the interface is down
		}
	}()
	go func() {
		buf := make([]byte, kernel.MaxDatagram)
		copy(buf, floorHeader[:])
		to := &unix.SockaddrInet4{Addr: o.peer.Addr().As4(), Port: int(o.peer.Port())}
		for {
			n, err := unix.Read(tun, buf[headerLen:])
			if err != nil {
				ended <- err
				return
			}
			_ = unix.Sendto(fd, buf[:headerLen+n], 0, to) // lost, as datagrams may be
		}
	}()
	return <-ended
}

// plainTUN opens a TUN without any offload.
func plainTUN(name string) (int, error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return -1, err
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return -1, os.NewSyscallError("TUNSETIFF", err)
	}
	return fd, nil
}
