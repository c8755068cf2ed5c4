package radattr

import (
	"encoding/binary"
	"math"
	"math/bits"
	"net/netip"
	"strings"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2868"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3162"
	"layeh.com/radius/rfc4818"
	"layeh.com/radius/rfc6911"
)

// minInterim is the shortest time between interim records that there may be.
//
// RFC 2869 section 5.16: "The value MUST NOT be smaller than 60. The value SHOULD
// NOT be smaller than 600".
const minInterim = 60 * time.Second

// accepted is an attribute of an Access-Accept: whether there is one of it, and
// what is done with its value. take says whether it can be a value of it.
type accepted struct {
	name   string
	single bool
	take   func(r *reader, v []byte) bool
}

// accepts are the attributes of an Access-Accept that mean something to us. What
// Reply-Message and EAP-Message say is put together elsewhere.
var accepts = map[radius.Type]accepted{
	rfc2865.UserName_Type: {"User-Name", true, func(r *reader, v []byte) bool {
		r.s.User = string(v)
		return len(v) > 0
	}},
	rfc2865.ServiceType_Type:     {"Service-Type", true, four},
	rfc2865.FramedProtocol_Type:  {"Framed-Protocol", true, four},
	rfc2865.FramedIPAddress_Type: {"Framed-IP-Address", true, (*reader).framedAddress},
	rfc2865.FramedIPNetmask_Type: {"Framed-IP-Netmask", true, (*reader).framedNetmask},
	rfc2865.FilterID_Type: {"Filter-Id", false, func(r *reader, v []byte) bool {
		r.s.FilterID = append(r.s.FilterID, string(v))
		return len(v) > 0
	}},
	rfc2865.FramedRoute_Type: {"Framed-Route", false, func(r *reader, v []byte) bool {
		return r.route("Framed-Route", v, parseRoute4)
	}},
	rfc2865.Class_Type: {"Class", false, func(r *reader, v []byte) bool {
		r.s.Class = append(r.s.Class, append([]byte(nil), v...))
		return len(v) > 0
	}},
	rfc2865.SessionTimeout_Type: {"Session-Timeout", true, func(r *reader, v []byte) bool {
		return seconds(v, &r.s.SessionTimeout)
	}},
	rfc2865.IdleTimeout_Type: {"Idle-Timeout", true, func(r *reader, v []byte) bool {
		return seconds(v, &r.s.IdleTimeout)
	}},
	rfc2865.TerminationAction_Type: {"Termination-Action", true, func(r *reader, v []byte) bool {
		if len(v) == 4 && binary.BigEndian.Uint32(v) != 0 {
			r.ignore("Termination-Action")
		}
		return len(v) == 4
	}},
	rfc2865.PortLimit_Type: {"Port-Limit", true, func(r *reader, v []byte) bool {
		if len(v) == 4 {
			r.s.MaxSessions = int(min(binary.BigEndian.Uint32(v), math.MaxInt32))
		}
		return len(v) == 4
	}},
	rfc2868.TunnelType_Type: {"Tunnel-Type", true, func(r *reader, v []byte) bool {
		r.ignore("Tunnel-Type: the session ends here and is not tunnelled further")
		return len(v) == 4
	}},
	rfc2869.AcctInterimInterval_Type: {"Acct-Interim-Interval", true, (*reader).interim},
	rfc2869.FramedPool_Type: {"Framed-Pool", true, func(r *reader, v []byte) bool {
		r.s.Pool = string(v)
		return len(v) > 0
	}},
	rfc3162.FramedInterfaceID_Type: {"Framed-Interface-Id", true, func(r *reader, v []byte) bool {
		if len(v) == 8 {
			r.s.InterfaceID = binary.BigEndian.Uint64(v)
		}
		return r.s.InterfaceID != 0
	}},
	rfc3162.FramedIPv6Prefix_Type: {"Framed-IPv6-Prefix", false, func(r *reader, v []byte) bool {
		return prefixes(v, &r.s.IPv6Prefixes)
	}},
	rfc3162.FramedIPv6Route_Type: {"Framed-IPv6-Route", false, func(r *reader, v []byte) bool {
		return r.route("Framed-IPv6-Route", v, parseRoute6)
	}},
	rfc3162.FramedIPv6Pool_Type: {"Framed-IPv6-Pool", true, func(r *reader, v []byte) bool {
		r.s.IPv6Pool = string(v)
		return len(v) > 0
	}},
	rfc4818.DelegatedIPv6Prefix_Type: {"Delegated-IPv6-Prefix", false, func(r *reader, v []byte) bool {
		return prefixes(v, &r.s.Delegated)
	}},
	rfc6911.FramedIPv6Address_Type: {"Framed-IPv6-Address", true, func(r *reader, v []byte) bool {
		return address6(v, &r.s.IPv6Address)
	}},
	rfc6911.DNSServerIPv6Address_Type: {"DNS-Server-IPv6-Address", false, func(r *reader, v []byte) bool {
		var a netip.Addr
		ok := address6(v, &a)
		r.s.DNSv6 = append(r.s.DNSv6, a)
		return ok
	}},
	rfc6911.RouteIPv6Information_Type: {"Route-IPv6-Information", false, func(r *reader, v []byte) bool {
		return prefixes(v, &r.s.PushRoutes6)
	}},
	rfc6911.DelegatedIPv6PrefixPool_Type: {"Delegated-IPv6-Prefix-Pool", true, func(r *reader, v []byte) bool {
		r.s.DelegatedPool = string(v)
		return len(v) > 0
	}},
	rfc6911.StatefulIPv6AddressPool_Type: {"Stateful-IPv6-Address-Pool", true, func(r *reader, v []byte) bool {
		r.ignore("Stateful-IPv6-Address-Pool: there are pools of prefixes only")
		return len(v) > 0
	}},
}

// four takes what reader.granted looks at.
func four(_ *reader, v []byte) bool { return len(v) == 4 }

// seconds takes a number of seconds. 0 leaves the matter to others, as if the
// attribute were not there: servers mean no limit by it.
func seconds(v []byte, to *time.Duration) bool {
	if len(v) == 4 {
		*to = time.Duration(binary.BigEndian.Uint32(v)) * time.Second
	}
	return len(v) == 4
}

func (r *reader) interim(v []byte) bool {
	ok := seconds(v, &r.s.InterimInterval)
	if d := r.s.InterimInterval; d > 0 {
		r.s.InterimInterval = max(d, minInterim)
	}
	return ok
}

// framedAddress takes a Framed-IP-Address.
//
// RFC 2865 section 5.8: "The value 0xFFFFFFFF indicates that the NAS Should allow
// the user to select an address (e.g. Negotiated). The value 0xFFFFFFFE indicates
// that the NAS should select an address for the user (e.g. Assigned from a pool of
// addresses kept by the NAS)." Nobody behind adit selects his own, so it selects in
// both cases.
func (r *reader) framedAddress(v []byte) bool {
	if len(v) != 4 {
		return false
	}
	switch binary.BigEndian.Uint32(v) {
	case 0xffffffff, 0xfffffffe:
		return true
	}
	a := netip.AddrFrom4([4]byte(v))
	r.s.Address = a
	return !a.IsUnspecified() && !a.IsLoopback() && a.As4()[0] < 224
}

// framedNetmask takes a netmask: ones, and then zeros.
func (r *reader) framedNetmask(v []byte) bool {
	if len(v) != 4 {
		return false
	}
	mask := binary.BigEndian.Uint32(v)
	r.netmask = bits.LeadingZeros32(^mask)
	return r.netmask > 0 && mask == ^uint32(0)<<(32-r.netmask)
}

// route takes a route in words.
//
// RFC 2865 section 5.22: "The Text field is one or more octets, and its contents
// are implementation dependent." What others made for another implementation is no
// reason to refuse anybody.
func (r *reader) route(name string, v []byte, parse func(string) (netip.Prefix, bool)) bool {
	p, ok := parse(string(v))
	if !ok {
		r.ignore(name + " " + strings.ToValidUTF8(string(v), "?"))
		return len(v) > 0
	}
	r.s.Routes = append(r.s.Routes, p)
	return true
}

// address6 takes an IPv6 address that a host may have.
func address6(v []byte, to *netip.Addr) bool {
	if len(v) != 16 {
		return false
	}
	*to = netip.AddrFrom16([16]byte(v))
	return !to.IsUnspecified() && !to.IsMulticast() && !to.IsLoopback() && !to.Is4In6()
}

// prefixes takes a prefix.
func prefixes(v []byte, to *[]netip.Prefix) bool {
	p, ok := ParsePrefix(v)
	if ok {
		*to = append(*to, p)
	}
	return ok
}

// ParsePrefix reads the value of an attribute in the form of RFC 3162 section 2.3:
// Reserved, Prefix-Length and Prefix. Octets at its end may be missing, as far as
// its length does not need them; bits beyond the length are left out.
func ParsePrefix(v []byte) (netip.Prefix, bool) {
	if len(v) < 2 || len(v) > 18 || v[1] > 128 || len(v)-2 < (int(v[1])+7)/8 {
		return netip.Prefix{}, false
	}
	var a [16]byte
	copy(a[:], v[2:])
	return netip.PrefixFrom(netip.AddrFrom16(a), int(v[1])).Masked(), true
}
