package l2tp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"unicode/utf8"
)

// Errors of AppendMessage. They are mistakes of ours or of the configuration.
var (
	ErrValueTooLong   = errors.New("l2tp: value does not fit into an AVP")
	ErrMessageTooLong = errors.New("l2tp: message does not fit into a packet")
	ErrValueMissing   = errors.New("l2tp: a required value is missing")
	ErrNoSecret       = errors.New("l2tp: hiding needs a secret and a source of random octets")
	ErrVersion        = errors.New("l2tp: the version has no such message")
)

// randomVectorLen: "a random vector of at least 16 octets is recommended".
const randomVectorLen = 16

// AppendOptions say how AppendMessage writes a message.
type AppendOptions struct {
	// Version is Version, which 0 stands for, or Version3.
	Version uint8
	// Digests has a Message Digest AVP written for each, right after the Message
	// Type, with zeros for the digest, which Sign fills in. One or two.
	Digests []DigestType
	// Hide hides every AVP that may be hidden (and extra ones whose Hidden is
	// set). It needs Secret and Rand.
	Hide   bool
	Secret []byte
	// Rand gives the Random Vector and the padding.
	Rand io.Reader
}

// encoder is the state of AppendMessage.
type encoder struct {
	dst      []byte
	opt      AppendOptions
	hideWith []byte // what hidingKey makes of the secret, if something may be hidden
	vector   []byte // the Random Vector written; nil: none yet
	err      error  // the first error
}

// AppendMessage writes the AVPs of m to dst, without the packet's header. The
// M bits are the RFC's. With an error, dst comes back as it was; the error
// wraps one of the sentinels above or is Rand's.
func AppendMessage(dst []byte, m Message, opt AppendOptions) ([]byte, error) {
	e := encoder{dst: dst, opt: opt}
	if opt.Hide && (len(opt.Secret) == 0 || opt.Rand == nil) {
		return dst, ErrNoSecret
	}
	if !m.Type().knownIn(opt.Version) {
		return dst, fmt.Errorf("%s: %w", m.Type(), ErrVersion)
	}
	if opt.Hide {
		e.hideWith = hidingKey(opt.Version, opt.Secret)
	}
	e.uint16(AVPMessageType, uint16(m.Type()))
	e.digests()
	m.append(&e)
	for _, a := range m.Rest().Extra {
		e.avp(a.Mandatory, a.Hidden && opt.Hide, a.Vendor, a.Type, a.Value)
	}
	if e.err == nil && len(e.dst)-len(dst) > math.MaxUint16-ControlHeaderLen {
		e.err = ErrMessageTooLong
	}
	if e.err != nil {
		return dst, fmt.Errorf("%s: %w", m.Type(), e.err)
	}
	return e.dst, nil
}

// put writes an AVP of the version's table; one that the version has not got stays out
// of the message.
func (e *encoder) put(t AVPType, value []byte) {
	if info := lookupVersion(e.opt.Version, t); info != nil {
		e.putAs(info, value)
	}
}

// putAs writes an AVP of a table.
func (e *encoder) putAs(info *avpInfo, value []byte) {
	t := info.Type
	if !info.lengthOK(len(value)) {
		err := ErrValueTooLong
		if len(value) < info.Min {
			err = ErrValueMissing
		}
		e.fail(fmt.Errorf("%s of %d octets: %w", t, len(value), err))
		return
	}
	mandatory := info.Mandatory
	if e.opt.Version != Version3 && info.RFC == 3931 {
		mandatory = false // an offer of version 3, which a peer need not understand
	}
	e.avp(mandatory, e.opt.Hide && info.MayHide, 0, t, value)
}

func (e *encoder) uint16(t AVPType, v uint16) {
	e.put(t, binary.BigEndian.AppendUint16(make([]byte, 0, 2), v))
}

func (e *encoder) uint32(t AVPType, v uint32) {
	e.put(t, binary.BigEndian.AppendUint32(make([]byte, 0, 4), v))
}

// optUint16 writes v unless it is 0.
func (e *encoder) optUint16(t AVPType, v uint16) {
	if v != 0 {
		e.uint16(t, v)
	}
}

// nonzeroID writes an ID that the RFC wants to be non-zero.
func (e *encoder) nonzeroID(t AVPType, id uint32) {
	if id == 0 {
		e.fail(fmt.Errorf("%s is 0: %w", idType(e.opt.Version, t), ErrValueMissing))
	}
	e.id(t, id)
}

// id writes an ID that version 2 has in the AVP t.
func (e *encoder) id(t AVPType, id uint32) {
	if e.opt.Version == Version3 {
		e.uint32(idType(Version3, t), id)
		return
	}
	e.uint16(t, uint16(id))
}

// optUint32 writes v unless it is nil.
func (e *encoder) optUint32(t AVPType, v *uint32) {
	if v != nil {
		e.uint32(t, *v)
	}
}

// optText writes s unless it is empty.
func (e *encoder) optText(t AVPType, s string) {
	if s != "" {
		e.put(t, []byte(s))
	}
}

// optOctets writes b unless it is nil.
func (e *encoder) optOctets(t AVPType, b []byte) {
	if b != nil {
		e.put(t, b)
	}
}

// avp writes any AVP.
func (e *encoder) avp(mandatory, hidden bool, vendor uint16, t AVPType, value []byte) {
	limit := maxValueLen
	if hidden {
		limit = maxHiddenLen
	}
	if len(value) > limit {
		e.fail(fmt.Errorf("%s of %d octets: %w", avpName(vendor, t), len(value), ErrValueTooLong))
	}
	if e.err != nil {
		return
	}
	if hidden {
		value = e.hidden(t, value)
		if e.err != nil {
			return
		}
	}
	e.dst = appendAVPHeader(e.dst, mandatory, hidden, vendor, t, len(value))
	e.dst = append(e.dst, value...)
}

// hidden makes the hidden form of value. Before the first one it writes the
// Random Vector: "This AVP MUST precede the first AVP with the H bit set."
func (e *encoder) hidden(t AVPType, value []byte) []byte {
	if e.vector == nil {
		vector := make([]byte, randomVectorLen)
		if _, err := io.ReadFull(e.opt.Rand, vector); err != nil {
			e.fail(fmt.Errorf("random vector: %w", err))
			return nil
		}
		e.put(AVPRandomVector, vector)
		e.vector = vector
	}
	// "To mask the size of the data being hidden, the resulting subformat MAY be
	// padded": up to a multiple of 16, so that lengths come in few sizes.
	n := min((2+len(value)+15)/16*16, maxValueLen)
	sub := make([]byte, n)
	binary.BigEndian.PutUint16(sub, uint16(len(value)))
	copy(sub[2:], value)
	if _, err := io.ReadFull(e.opt.Rand, sub[2+len(value):]); err != nil {
		e.fail(fmt.Errorf("padding: %w", err))
		return nil
	}
	hide(sub, t, e.hideWith, e.vector)
	return sub
}

// fail keeps the first error.
func (e *encoder) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

// clip cuts a text for humans down to what an AVP can hold beside n other
// octets, between characters: a long reason must not keep a CDN from going out.
func clip(s string, n int) string {
	limit := maxHiddenLen - n
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
