package native

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"adit/integration/scenario"
)

// echoServer sends every UDP packet back to where it came from, from an address
// in a namespace, until the test ends.
func echoServer(t *testing.T, ns *scenario.NS, at netip.Addr) netip.AddrPort {
	t.Helper()
	var conn *net.UDPConn
	err := ns.Do(func() (err error) {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, 0)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		buffer := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buffer)
			if err == nil {
				_, err = conn.WriteToUDPAddrPort(buffer[:n], from)
			}
			if errors.Is(err, net.ErrClosed) {
				ended <- nil
				return
			}
			if err != nil {
				ended <- err
				return
			}
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		if err := <-ended; err != nil {
			t.Errorf("echo server: %v", err)
		}
	})
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// tries is how often a packet is sent again: UDP may be lost where thousands of
// sessions begin at once.
const tries = 5

// echo sends a packet of size octets from an address in a namespace and waits for
// it to come back.
func echo(ns *scenario.NS, from netip.Addr, to netip.AddrPort, size int) error {
	var conn *net.UDPConn
	err := ns.Do(func() (err error) {
		conn, err = net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), net.UDPAddrFromAddrPort(to))
		return err
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	packet := make([]byte, size)
	copy(packet[8:], from.AsSlice())
	buffer := make([]byte, 2048)
	for try := range tries {
		binary.BigEndian.PutUint64(packet, uint64(try))
		if _, err = conn.Write(packet); err != nil {
			continue // such as an ICMP error to the packet before
		}
		if err = conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		var n int
		if n, err = conn.Read(buffer); err == nil && bytes.Equal(buffer[8:n], packet[8:]) {
			return nil
		}
	}
	return fmt.Errorf("from %s to %s, %d octets, %d times: %w", from, to, size, tries, errors.Join(err, errTimeout))
}
