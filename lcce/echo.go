package lcce

import (
	"crypto/rand"
	"encoding/binary"

	"adit/proto/ip"
)

// The types of ICMP messages that are used here.
const (
	echoReply4   = 0 // RFC 792
	echoRequest4 = 8
	echoRequest6 = 128 // RFC 4443 sections 4.1 and 4.2
	echoReply6   = 129
)

// echoLength is the octets of our echo requests: ICMP's header, the signature of this
// daemon's life, and the token.
const echoLength = 8 + 8 + 4

// signature tells our requests, and so the answers, from those of others.
type signature [8]byte

func newSignature() (s signature) {
	_, _ = rand.Read(s[:]) // it never fails
	return s
}

// appendEcho appends an echo request, RFC 792: "The identifier and sequence number may
// be used by the echo sender to aid in matching the replies with the echo requests." A
// socket without rights has its identifier chosen by the kernel, so ours are matched by
// the data, which "received in the echo message must be returned in the echo reply
// message". The checksum of ICMPv6 is the kernel's to fill in.
func (s *signature) appendEcho(b []byte, v4 bool, sequence uint16, token uint32) []byte {
	kind := byte(echoRequest6)
	if v4 {
		kind = echoRequest4
	}
	at := len(b)
	b = append(b, kind, 0, 0, 0)
	b = append(b, s[:2]...)
	b = binary.BigEndian.AppendUint16(b, sequence)
	b = append(b, s[:]...)
	b = binary.BigEndian.AppendUint32(b, token)
	if v4 {
		binary.BigEndian.PutUint16(b[at+2:], ip.Checksum(b[at:], 0))
	}
	return b
}

// parseReply reads an echo reply; false: it is none to a request of ours.
func (s *signature) parseReply(b []byte, v4 bool) (token uint32, ok bool) {
	kind := byte(echoReply6)
	if v4 {
		kind = echoReply4
	}
	if len(b) != echoLength || b[0] != kind || b[1] != 0 || signature(b[8:16]) != *s {
		return 0, false
	}
	return binary.BigEndian.Uint32(b[16:]), true
}
