package main

import (
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// write is the table for people.
func (s *shown) write(w io.Writer) error {
	if s.Tunnels != nil {
		if err := s.writeTunnels(w); err != nil {
			return err
		}
	}
	if s.Tunnels != nil && len(s.Sessions) > 0 {
		fmt.Fprintln(w)
	}
	if s.Sessions == nil || s.Tunnels != nil && len(s.Sessions) == 0 {
		return nil
	}
	return s.writeSessions(w)
}

func (s *shown) writeTunnels(w io.Writer) error {
	if len(s.Tunnels) == 0 {
		_, err := fmt.Fprintln(w, "There are no tunnels.")
		return err
	}
	rows := make([][]string, len(s.Tunnels))
	for i, t := range s.Tunnels {
		rows[i] = []string{
			id(t.ID), id(t.PeerID), dash(t.Name), dash(t.State), dash(t.DataPlane), strconv.Itoa(t.Version), dash(t.Encapsulation),
			endpoint(t.LocalAddress), endpoint(t.PeerAddress), "-", "-", strconv.Itoa(t.Sessions), "-", "-", "-", "-", "-",
		}
		if k := t.Kernel; k != nil {
			rows[i][9] = words("udp", k.Checksum, "no udp6 tx", k.ZeroChecksum6Tx, "no udp6 rx", k.ZeroChecksum6Rx)
			rows[i][10] = words("yes", k.UsingIPsec)
			copy(rows[i][12:], k.Stats.cells())
		}
	}
	header := []string{"TUNNEL", "PEER ID", "NAME", "STATE", "DATA PLANE", "VERSION", "ENCAPSULATION", "LOCAL", "REMOTE", "CHECKSUM", "IPSEC", "SESSIONS"}
	header, rows = withoutEmpty(append(header, counterHeader...), rows, "NAME", "STATE", "CHECKSUM", "IPSEC", "ERRORS")
	return table(w, header, rows)
}

func (s *shown) writeSessions(w io.Writer) error {
	if len(s.Sessions) == 0 {
		_, err := fmt.Fprintln(w, "There are no sessions.")
		return err
	}
	rows := make([][]string, len(s.Sessions))
	for i, x := range s.Sessions {
		rows[i] = append([]string{
			id(x.Tunnel) + "/" + id(x.ID), id(x.PeerTunnel) + "/" + id(x.PeerID), dash(x.Name), dash(x.State), dash(x.DataPlane),
			number(uint64(x.Version)), dash(x.Pseudowire), dash(x.Interface), cookies(x.CookieLength, x.PeerCookieLength), dash(x.Sublayer),
			words("send", x.SendSequence, "require", x.RequireSequence), words("yes", x.LNS), seconds(x.ReorderTimeout), words("yes", x.UsingIPsec),
		}, x.Stats.cells()...)
	}
	header := []string{"SESSION", "PEER ID", "NAME", "STATE", "DATA PLANE", "VERSION", "TYPE", "INTERFACE", "COOKIES", "SUBLAYER", "SEQUENCING", "LNS", "REORDER", "IPSEC"}
	header, rows = withoutEmpty(append(header, counterHeader...), rows,
		"NAME", "STATE", "COOKIES", "SUBLAYER", "SEQUENCING", "LNS", "REORDER", "IPSEC", "ERRORS")
	return table(w, header, rows)
}

// counterHeader is that of cells.
var counterHeader = []string{"RX PACKETS", "RX", "TX PACKETS", "TX", "ERRORS"}

func (c *shownCounters) cells() []string {
	wrong := make(map[string]uint64)
	for name, n := range map[string]uint64{
		"rx_errors": c.RxErrors, "tx_errors": c.TxErrors, "rx_seq_discards": c.RxSeqDiscards, "rx_oos_packets": c.RxOOSPackets,
		"rx_cookie_discards": c.RxCookieDiscards, "rx_invalid": c.RxInvalid,
	} {
		if n > 0 {
			wrong[name] = n
		}
	}
	return []string{strconv.FormatUint(c.RxPackets, 10), octets(c.RxBytes), strconv.FormatUint(c.TxPackets, 10), octets(c.TxBytes), reasons(wrong)}
}

// words are those of the pairs of word and bool that are true.
func words(pairs ...any) string {
	var all []string
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == true {
			all = append(all, fmt.Sprint(pairs[i]))
		}
	}
	return dash(strings.Join(all, ","))
}

// endpoint is an end of a tunnel; over IP it has no port.
func endpoint(a netip.AddrPort) string {
	if a.Port() == 0 {
		return address(a.Addr())
	}
	return addressPort(a)
}
