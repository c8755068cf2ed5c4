package ppp

import (
	"errors"
	"fmt"
)

// The octets of RFC 1662 sections 4.1 and 4.2.
const (
	flagSequence  = 0x7e
	controlEscape = 0x7d
	escapeBit     = 0x20
	fcsLen        = 2
	controlChars  = 0x20 // octets below are what an ACCM is about
)

// DefaultACCM maps all control characters. RFC 1662 section 7.1: "For
// asynchronous links, the default receiving ACCM is 0xffffffff."
const DefaultACCM uint32 = 0xffffffff

// ErrEscape says that an octet cannot be escaped by prior configuration.
var ErrEscape = errors.New("ppp: octet cannot be escaped")

// Encoder frames for an octet stream, RFC 1662 section 4. The zero Encoder has
// the default sending ACCM, which is right for every receiver. One goroutine at
// a time may use it.
type Encoder struct {
	clear uint32    // control characters that go unescaped: the ACCM inverted
	extra [8]uint32 // other octets to escape, by prior configuration
}

// SetACCM sets the sending ACCM: bit n set means that octet n, 0 to 31, is
// escaped. It comes from the Configure-Request that the peer sent and we
// acknowledged, or in L2TP from SLI.
func (e *Encoder) SetACCM(accm uint32) { e.clear = ^accm }

// ACCM returns the sending ACCM.
func (e *Encoder) ACCM() uint32 { return ^e.clear }

// SetEscape has octet c escaped whatever the ACCM says. The error is ErrEscape
// for what the RFC excludes.
//
// RFC 1662 section 7.1: "The transmitter MAY also send octets with values in the
// range 0x40 through 0xff (except 0x5e) in Control Escape format."
func (e *Encoder) SetEscape(c byte) error {
	if c >= controlChars && c < 0x40 || c == flagSequence^escapeBit {
		return fmt.Errorf("%w: 0x%02x", ErrEscape, c)
	}
	e.extra[c>>5] |= 1 << (c & 31)
	return nil
}

// MaxEncodedLen is the most octets that AppendFrame appends for a frame of n.
func MaxEncodedLen(n int) int { return 2*(n+fcsLen) + 2 }

// AppendFrame appends frame to dst as it goes on the stream: a flag, the frame
// and its FCS with escapes, a flag. It allocates only if dst has no room. frame
// and dst must not overlap.
//
// RFC 1662 section 4.4.2: "It is suggested that implementations will achieve the
// best results by always sending an opening Flag Sequence".
func (e *Encoder) AppendFrame(dst, frame []byte) []byte {
	m := e.extra
	if alwaysDefault(frame) {
		m[0] = DefaultACCM
	} else {
		m[0] |= ^e.clear
	}
	// RFC 1662 section 4.2: "As a minimum, sending implementations MUST escape
	// the Flag Sequence and Control Escape octets."
	m[flagSequence>>5] |= 1<<(flagSequence&31) | 1<<(controlEscape&31)

	fcs := FCS16(frame)
	dst = append(dst, flagSequence)
	dst = appendEscaped(dst, frame, &m)
	// RFC 1662 section 3.1: "The FCS is transmitted least significant octet
	// first".
	dst = appendEscaped(dst, []byte{byte(fcs), byte(fcs >> 8)}, &m)
	return append(dst, flagSequence)
}

// appendEscaped appends b with the octets in m escaped.
//
// RFC 1662 section 4.2: "Each Flag Sequence, Control Escape octet, and any octet
// which is flagged in the sending Async-Control-Character-Map (ACCM), is
// replaced by a two octet sequence consisting of the Control Escape octet
// followed by the original octet exclusive-or'd with hexadecimal 0x20."
func appendEscaped(dst, b []byte, m *[8]uint32) []byte {
	// What the scan for plain octets knows of: octets from 0x20 on other than
	// these two are escaped by prior configuration only, which is rare.
	two := [8]uint32{m[0], flagSequence >> 5: 1<<(flagSequence&31) | 1<<(controlEscape&31)}
	scan, controls := *m == two, m[0] != 0
	start := 0 // of a run not yet copied
	for i := 0; i < len(b); i++ {
		if scan {
			if i += plainLen(b[i:], controls); i == len(b) {
				break
			}
		}
		if c := b[i]; m[c>>5]&(1<<(c&31)) != 0 {
			dst = append(dst, b[start:i]...)
			dst = append(dst, controlEscape, c^escapeBit)
			start = i + 1
		}
	}
	return append(dst, b[start:]...)
}

// alwaysDefault says whether a frame is one of those that are framed with the
// default ACCM whatever was negotiated.
//
// RFC 1661 section 5: "Regardless of which Configuration Options are enabled,
// all LCP Link Configuration, Link Termination, and Code-Reject packets (codes 1
// through 7) are always sent as if no Configuration Options were negotiated."
func alwaysDefault(frame []byte) bool {
	p, info, err := Split(frame)
	return err == nil && p == ProtocolLCP && len(info) > 0 &&
		info[0] >= byte(ConfigureRequest) && info[0] <= byte(CodeReject)
}
