package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"adit/internal/kernel"
	"adit/proto/ip"
)

// The floor of Ethernet pseudowires: each has a TAP, and its Session ID is the number of
// the TAP, from 1. Nothing is checked, neither cookie nor sender.

// frameAt is where the frame begins in a message, and framePrefix its header.
const (
	framePrefix = 14
	frameAt     = ethernetHeaderLen - framePrefix
)

func floorEthernet(fd int, o floorOptions) error {
	taps := make([]*kernel.TUN, o.taps)
	for i := range taps {
		var err error
		if taps[i], err = kernel.OpenTAP(kernel.TAPOptions{Name: fmt.Sprintf("%s%d", o.tun, i+1)}); err != nil {
			return err
		}
	}
	fmt.Println(floorReady)
	ended := make(chan error)
	go func() { ended <- ethernetUp(fd, taps) }()
	go func() { ended <- ethernetDown(fd, taps, o.peer) }()
	return <-ended
}

// tapAscent is the way from the socket into the TAPs.
type tapAscent struct {
	taps   []*kernel.TUN
	writer kernel.TUNWriter
	supers [floorSupers]ip.Super
	of     [floorSupers]int // the TAP of each
	open   int
	lost   uint64
}

func ethernetUp(fd int, taps []*kernel.TUN) error {
	batch, a := kernel.NewRecvBatch(floorMessages), &tapAscent{taps: taps}
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
func (a *tapAscent) add(message []byte) {
	if len(message) < ethernetHeaderLen {
		return
	}
	tap := int(binary.BigEndian.Uint32(message[4:])) - 1
	if tap < 0 || tap >= len(a.taps) {
		return
	}
	frame := message[frameAt:]
	h, err := ip.Parse(frame[framePrefix:])
	if err == nil && a.open > 0 && a.of[a.open-1] == tap && a.supers[a.open-1].AddFrame(frame, framePrefix, &h) {
		return
	}
	if a.open == floorSupers {
		a.flush()
	}
	if a.of[a.open] = tap; err != nil {
		a.supers[a.open].StartAlone(frame) // as ARP
	} else {
		a.supers[a.open].StartFrame(frame, framePrefix, &h, a.taps[tap].Offloads())
	}
	a.open++
}

func (a *tapAscent) flush() {
	for i := range a.supers[:a.open] {
		g, parts := a.supers[i].Finish()
		if a.writer.Write(a.taps[a.of[i]].Queue(0), g, parts) != nil {
			a.lost++
		}
		a.supers[i].Reset()
	}
	a.open = 0
}

// tapDescent is the way from the TAPs to the socket.
type tapDescent struct {
	out   *kernel.SendBatch
	to    *kernel.Destination
	split ip.Splitter
	buf   []byte
}

func ethernetDown(fd int, taps []*kernel.TUN, peer netip.AddrPort) error {
	var counts kernel.SendCounts
	d := &tapDescent{out: kernel.NewSendBatch(&counts), to: kernel.NewDestination(fd, netip.Addr{}, peer),
		buf: make([]byte, kernel.MaxSuperPacket)}
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	for i, t := range taps {
		if err := unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, t.Queue(0).FD(), &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}); err != nil {
			return err
		}
	}
	events := make([]unix.EpollEvent, len(taps))
	for {
		n, err := unix.EpollWait(poll, events, -1)
		if err != nil && err != unix.EINTR {
			return err
		}
		for _, e := range events[:max(n, 0)] {
			d.read(int(e.Fd), taps[e.Fd].Queue(0))
		}
		d.out.Flush()
	}
}

// read takes what one TAP has, as far as a turn goes.
func (d *tapDescent) read(tap int, q *kernel.TUNQueue) {
	for range descentReads {
		n, g, err := q.Read(d.buf)
		if n == 0 && err == nil {
			return
		}
		// An error is an interface that is still down.
		if err != nil || d.split.BeginFrame(g, d.buf[:n], min(framePrefix, n)) != nil {
			continue
		}
		for size := d.split.Next(); size > 0; size = d.split.Next() {
			room := d.out.Room(d.to, frameAt+size)
			if room == nil {
				continue
			}
			header := [frameAt]byte{1: 3}
			binary.BigEndian.PutUint32(header[4:], uint32(tap+1))
			copy(header[8:], ethernetPeerCookie[:])
			copy(room, header[:])
			d.split.Put(room[frameAt:])
		}
	}
}
