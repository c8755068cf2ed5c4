package l2tp

import (
	"fmt"
	"strings"
)

// FramingType is the mask of the Framing Capabilities and Framing Type AVPs,
// RFC 2661 sections 4.4.3 and 4.4.4.
type FramingType uint32

// The kinds of framing.
const (
	FramingSync  FramingType = 1 << 0 // S
	FramingAsync FramingType = 1 << 1 // A
)

// String names the bits, as in "sync|async"; "none" without any.
func (f FramingType) String() string {
	return maskString(uint32(f), "sync", "async")
}

// BearerType is the mask of the Bearer Capabilities and Bearer Type AVPs,
// RFC 2661 sections 4.4.3 and 4.4.4.
type BearerType uint32

// The kinds of bearer.
const (
	BearerDigital BearerType = 1 << 0 // D
	BearerAnalog  BearerType = 1 << 1 // A
)

// String names the bits, as in "digital|analog"; "none" without any.
func (b BearerType) String() string {
	return maskString(uint32(b), "digital", "analog")
}

func maskString(v uint32, names ...string) string {
	if v == 0 {
		return "none"
	}
	var parts []string
	for i, name := range names {
		if v&(1<<i) != 0 {
			parts = append(parts, name)
			v &^= 1 << i
		}
	}
	if v != 0 {
		parts = append(parts, fmt.Sprintf("%#x", v))
	}
	return strings.Join(parts, "|")
}

// CallErrors are the counters of the Call Errors AVP, RFC 2661 section 4.4.6, which
// is Circuit Errors in RFC 3931 section 5.4.5.
// They count from the beginning of the call.
type CallErrors struct {
	CRCErrors        uint32 // PPP frames received with CRC errors
	FramingErrors    uint32 // improperly framed PPP packets received
	HardwareOverruns uint32 // receive buffer overruns
	BufferOverruns   uint32 // buffer overruns detected
	TimeoutErrors    uint32 // time-outs
	AlignmentErrors  uint32 // alignment errors
}

// ProxyLCP is what the LAC negotiated before the LNS saw the call, RFC 2661
// section 4.4.5. Each is the list of LCP options of a Configure-Request, from
// the first option on. Nil: the AVP was absent. Empty: it had no options.
type ProxyLCP struct {
	InitialReceived []byte // the first CONFREQ from the peer
	LastSent        []byte // the last CONFREQ sent to the peer
	LastReceived    []byte // the last CONFREQ from the peer
}

// ProxyAuthType is the value of the Proxy Authen Type AVP.
type ProxyAuthType uint16

// The kinds of proxy authentication, RFC 2661 section 4.4.5.
const (
	ProxyAuthText     ProxyAuthType = 1 // textual username/password exchange
	ProxyAuthCHAP     ProxyAuthType = 2
	ProxyAuthPAP      ProxyAuthType = 3
	ProxyAuthNone     ProxyAuthType = 4
	ProxyAuthMSCHAPv1 ProxyAuthType = 5
)

// String names the type.
func (t ProxyAuthType) String() string {
	switch t {
	case ProxyAuthText:
		return "text"
	case ProxyAuthCHAP:
		return "CHAP"
	case ProxyAuthPAP:
		return "PAP"
	case ProxyAuthNone:
		return "none"
	case ProxyAuthMSCHAPv1:
		return "MS-CHAPv1"
	}
	return fmt.Sprintf("proxy authen type %d", uint16(t))
}

// usesID says whether the Proxy Authen ID AVP belongs to the type.
func (t ProxyAuthType) usesID() bool {
	return t == ProxyAuthCHAP || t == ProxyAuthPAP || t == ProxyAuthMSCHAPv1
}

// usesName says whether Proxy Authen Name and Response belong to the type.
func (t ProxyAuthType) usesName() bool { return t == ProxyAuthText || t.usesID() }

// usesChallenge says whether the Proxy Authen Challenge belongs to the type.
func (t ProxyAuthType) usesChallenge() bool {
	return t == ProxyAuthCHAP || t == ProxyAuthMSCHAPv1
}

// ProxyAuth is what the remote system told the LAC to authenticate itself,
// RFC 2661 section 4.4.5.
type ProxyAuth struct {
	Type      ProxyAuthType
	Name      string // the name in the client's response
	Challenge []byte // what the LAC sent; CHAP and MS-CHAPv1
	ID        uint8  // of the LAC's challenge, or of the PAP request
	Response  []byte // of CHAP; the password in clear for PAP and text
}

// Complete says whether every AVP is there that RFC 2661 section 4.4.5 wants for
// the type. Otherwise the LNS has to authenticate the remote system itself.
// The ID is not counted: 0 is a value it may have.
func (p *ProxyAuth) Complete() bool {
	switch {
	case p.Type == ProxyAuthNone:
		return true
	case !p.Type.usesName():
		return false
	case p.Name == "" || p.Response == nil:
		return false
	}
	return !p.Type.usesChallenge() || len(p.Challenge) > 0
}

// ProtocolVersion is the value of the Protocol Version AVP: Ver in the high
// octet, Rev in the low one.
type ProtocolVersion uint16

// ProtocolVersion1 is version 1, revision 0: the one RFC 2661 defines.
const ProtocolVersion1 ProtocolVersion = 0x0100

// String is "ver.rev".
func (v ProtocolVersion) String() string {
	return fmt.Sprintf("%d.%d", uint8(v>>8), uint8(v))
}
