package scenario

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"strings"
)

// aaaCallID is a call by the client's IDs.
type aaaCallID struct{ tunnel, session uint16 }

// acknowledgedDNS reads a capture of Ethernet frames for the name servers that the
// LNS at an address has granted: the options of the last IPCP Configure-Ack that
// it sent into each call. It is what the client goes by, whoever speaks PPP there.
func acknowledgedDNS(file string, lns netip.Addr) (map[aaaCallID]string, error) {
	capture, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	const header, recordHeader = 24, 16
	all := map[aaaCallID]string{}
	for rest := capture[min(header, len(capture)):]; len(rest) >= recordHeader; {
		size := int(binary.LittleEndian.Uint32(rest[8:]))
		rest = rest[recordHeader:]
		if size > len(rest) {
			break // tcpdump is writing it
		}
		if id, ipcp, ok := ipcpOf(rest[:size], lns); ok {
			if dns, is := dnsOfAck(ipcp); is {
				all[id] = dns
			}
		}
		rest = rest[size:]
	}
	return all, nil
}

// ipcpOf finds the IPCP packet in an L2TP data message from an address, RFC 2661
// section 3.1.
func ipcpOf(frame []byte, from netip.Addr) (id aaaCallID, ipcp []byte, ok bool) {
	const ethernet, udpHeader = 14, 8
	if len(frame) < ethernet+20 || frame[12] != 8 || frame[13] != 0 || frame[ethernet+9] != 17 {
		return id, nil, false
	}
	ip := frame[ethernet:]
	size := int(ip[0]&15) * 4
	if len(ip) < size+udpHeader+6 || netip.AddrFrom4([4]byte(ip[12:16])) != from {
		return id, nil, false
	}
	l2tp := ip[size+udpHeader:]
	const control, length, sequence, offset = 0x80, 0x40, 0x08, 0x02
	flags, at := l2tp[0], 2
	if flags&control != 0 {
		return id, nil, false
	}
	if flags&length != 0 {
		at += 2
	}
	if len(l2tp) < at+4 {
		return id, nil, false
	}
	id = aaaCallID{binary.BigEndian.Uint16(l2tp[at:]), binary.BigEndian.Uint16(l2tp[at+2:])}
	at += 4
	if flags&sequence != 0 {
		at += 4
	}
	if flags&offset != 0 {
		if len(l2tp) < at+2 {
			return id, nil, false
		}
		at += 2 + int(binary.BigEndian.Uint16(l2tp[at:]))
	}
	if len(l2tp) < at {
		return id, nil, false
	}
	ppp := bytes.TrimPrefix(l2tp[at:], []byte{0xff, 0x03})
	ipcp, ok = bytes.CutPrefix(ppp, []byte{0x80, 0x21})
	return id, ipcp, ok
}

// dnsOfAck reads the name servers, RFC 1877 sections 1.1 and 1.3, of an IPCP
// Configure-Ack.
func dnsOfAck(ipcp []byte) (string, bool) {
	const configureAck, headerSize, primary, secondary = 2, 4, 129, 131
	if len(ipcp) < headerSize || ipcp[0] != configureAck {
		return "", false
	}
	var all []string
	for o := ipcp[headerSize:min(len(ipcp), int(binary.BigEndian.Uint16(ipcp[2:])))]; len(o) >= 2 && int(o[1]) >= 2 && int(o[1]) <= len(o); o = o[o[1]:] {
		if (o[0] == primary || o[0] == secondary) && o[1] == 6 {
			all = append(all, netip.AddrFrom4([4]byte(o[2:6])).String())
		}
	}
	return strings.Join(all, " "), true
}

// aaaPools are the names by which an outcome speaks of what the LNS chose.
var (
	aaaDHCPRange = netip.MustParsePrefix("10.66.0.0/16")
	aaaPools     = []struct {
		name string
		of   netip.Prefix
	}{
		{"pool home", netip.MustParsePrefix("10.64.1.0/24")},
		{"pool vip", netip.MustParsePrefix("10.64.2.0/24")},
		{"dhcp", aaaDHCPRange},
		{"link", netip.MustParsePrefix("2001:db8:1000::/44")},
		{"home", netip.MustParsePrefix("2001:db8:2000::/44")},
	}
)

// nameOf is a prefix in the words of an outcome.
func nameOf(p netip.Prefix) string {
	for _, pool := range aaaPools {
		if pool.of.Contains(p.Addr()) {
			return pool.name
		}
	}
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
