package dhcp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// reply is a server's message, as far as it is looked at before anybody knows
// whose it is.
type reply struct {
	kind     dhcpv4.MessageType
	xid      uint32
	hardware [6]byte
	from     sender
	via      way
	lease    Lease // of an offer or acknowledgement; only Server of a refusal
}

// sender is where a message came from.
type sender struct {
	addr netip.AddrPort
	mac  [6]byte // of a client's interface
}

var errReply = errors.New("dhcp: malformed reply")

// The fields of a message where options may go on, RFC 2131 section 2.
const (
	snameOffset = 44
	fileOffset  = 108
	fileEnd     = 236
)

// parseReply parses a message from a server and judges it as such. The errors
// are errReply with a cause.
func parseReply(b []byte) (*reply, error) {
	m, err := dhcpv4.FromBytes(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errReply, err)
	}
	if m.OpCode != dhcpv4.OpcodeBootReply || m.HWType != iana.HWTypeEthernet || len(m.ClientHWAddr) != 6 {
		return nil, fmt.Errorf("%w: op %d, htype %d, hlen %d", errReply, m.OpCode, m.HWType, len(m.ClientHWAddr))
	}
	if err := unfold(m.Options, b); err != nil {
		return nil, err
	}
	r := &reply{
		kind: m.MessageType(), xid: binary.BigEndian.Uint32(m.TransactionID[:]),
		hardware: [6]byte(m.ClientHWAddr),
	}
	// RFC 2131 table 3: the Server Identifier is a MUST in all three.
	if r.lease.Server = address(m.Options.Get(dhcpv4.OptionServerIdentifier)); !usable(r.lease.Server) {
		return nil, fmt.Errorf("%w: no Server Identifier", errReply)
	}
	switch r.kind {
	case dhcpv4.MessageTypeOffer, dhcpv4.MessageTypeAck:
		return r, r.lease.parse(m)
	case dhcpv4.MessageTypeNak:
		return r, nil
	default:
		return nil, fmt.Errorf("%w: it is a %s", errReply, r.kind)
	}
}

// unfold adds the options that are in the fields file and sname. RFC 2131
// section 4.1: "The options in the 'options' field MUST be interpreted first
// [...]. The 'file' field MUST be interpreted next [...], followed by the
// 'sname' field."
func unfold(options dhcpv4.Options, b []byte) error {
	overload := options.Get(dhcpv4.OptionOptionOverload)
	if len(overload) != 1 {
		return nil
	}
	// The Option Overload of a field would not count.
	for bit, field := range [...][]byte{b[fileOffset:fileEnd], b[snameOffset:fileOffset]} {
		if overload[0]&(1<<bit) == 0 {
			continue
		}
		if err := options.FromBytes(field); err != nil {
			return fmt.Errorf("%w: options in sname or file: %w", errReply, err)
		}
	}
	return nil
}

// parse takes what a server gives. The times are those that it told, and 0 where
// it told none.
func (l *Lease) parse(m *dhcpv4.DHCPv4) error {
	l.Address = address(m.YourIPAddr.To4())
	if !usable(l.Address) {
		return fmt.Errorf("%w: yiaddr is %s", errReply, m.YourIPAddr)
	}
	l.Prefix = netip.PrefixFrom(l.Address, maskBits(m.Options.Get(dhcpv4.OptionSubnetMask))).Masked()
	if routers := addresses(m.Options.Get(dhcpv4.OptionRouter)); len(routers) > 0 {
		l.Router = routers[0]
	}
	l.DNS = addresses(m.Options.Get(dhcpv4.OptionDomainNameServer))
	l.WINS = addresses(m.Options.Get(dhcpv4.OptionNetBIOSOverTCPIPNameServer))
	l.Domain = domain(m.Options.Get(dhcpv4.OptionDomainName))
	text := m.Options.Get(dhcpv4.OptionClasslessStaticRoute)
	if text == nil {
		text = m.Options.Get(dhcpv4.GenericOptionCode(optionMicrosoftRoutes))
	}
	var err error
	if l.Routes, err = routes(text); err != nil {
		return err
	}
	l.Duration = seconds(m.Options.Get(dhcpv4.OptionIPAddressLeaseTime))
	l.RenewAfter = seconds(m.Options.Get(dhcpv4.OptionRenewTimeValue))
	l.RebindAfter = seconds(m.Options.Get(dhcpv4.OptionRebindingTimeValue))
	if m.MessageType() == dhcpv4.MessageTypeAck && l.Duration <= 0 {
		return fmt.Errorf("%w: no IP Address Lease Time", errReply)
	}
	return nil
}

// seconds reads a time; what is no time is 0.
func seconds(b []byte) time.Duration {
	if len(b) != 4 {
		return 0
	}
	return time.Duration(binary.BigEndian.Uint32(b)) * time.Second
}

// address reads an IPv4 address; what is none is the zero Addr.
func address(b []byte) netip.Addr {
	if len(b) != 4 {
		return netip.Addr{}
	}
	return netip.AddrFrom4([4]byte(b))
}

// addresses reads a list, without those that nobody can have.
func addresses(b []byte) (all []netip.Addr) {
	for ; len(b) >= 4; b = b[4:] {
		if a := address(b[:4]); usable(a) {
			all = append(all, a)
		}
	}
	return all
}

// usable says whether a machine can have the address.
func usable(a netip.Addr) bool {
	return a.Is4() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && a.As4()[0] < 240 && a.As4()[0] != 0
}

// maskBits reads a Subnet Mask; what is none is of one address.
func maskBits(b []byte) int {
	if len(b) != 4 {
		return 32
	}
	mask, bits := binary.BigEndian.Uint32(b), 0
	for ; mask&(1<<31) != 0; mask <<= 1 {
		bits++
	}
	if mask != 0 || bits == 0 {
		return 32
	}
	return bits
}

// domain reads a Domain Name; what cannot be one is empty.
func domain(b []byte) string {
	text := strings.TrimRight(string(b), "\x00")
	for _, c := range []byte(text) {
		if c <= ' ' || c >= 0x7f {
			return ""
		}
	}
	return text
}

// routes reads a Classless Static Route option: the length of a prefix in bits,
// its octets that count, and a router. RFC 3442: "After deriving a subnet number
// and subnet mask from each destination descriptor, the DHCP client MUST zero
// any bits in the subnet number where the corresponding bit in the mask is zero."
func routes(b []byte) ([]Route, error) {
	var all []Route
	for len(b) > 0 {
		bits := int(b[0])
		octets := (bits + 7) / 8
		if bits > 32 || len(b) < 1+octets+4 {
			return nil, fmt.Errorf("%w: a Classless Static Route of %d bits with %d octets left", errReply, bits, len(b))
		}
		var to [4]byte
		copy(to[:], b[1:1+octets])
		b = b[1+octets:]
		all = append(all, Route{To: netip.PrefixFrom(netip.AddrFrom4(to), bits).Masked(), Via: address(b[:4])})
		b = b[4:]
	}
	return all, nil
}
