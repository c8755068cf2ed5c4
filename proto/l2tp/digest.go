package l2tp

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
)

// Errors of Sign and Verify.
var (
	// ErrNoDigest is a control message without a Message Digest AVP where it has to be.
	ErrNoDigest = errors.New("l2tp: no Message Digest AVP follows the Message Type")
	// ErrDigest is a control message none of whose digests is right: of another
	// secret, damaged on its way, or forged.
	ErrDigest = errors.New("l2tp: the Message Digest is wrong: damaged, or another secret")
	// ErrDigestType is a digest algorithm that this package does not have.
	ErrDigestType = errors.New("l2tp: unknown Message Digest type")
	// ErrNoKey is a call without any key.
	ErrNoKey = errors.New("l2tp: Message Digests need a shared key")
)

// The position of the first AVP after the Message Type, where the digest has to be:
// "This forces the Message Digest AVP to begin at a well-known and fixed offset."
const digestOffset = ControlHeaderLen + avpHeaderLen + 2

// maxDigests: "A second Message Digest AVP MAY be present in a message and MUST be
// placed directly after the first Message Digest AVP."
const maxDigests = 2

// SharedKey is the key for Sign and Verify. RFC 3931 section 5.4.1: "The derived
// shared key is obtained via an HMAC-MD5 keyed hash [RFC2104], with the key
// consisting of the shared secret, and with the data being hashed consisting of a
// single octet containing the value 2." With no secret the digest is an integrity
// check alone (section 4.3), whose key is that of the empty secret.
func SharedKey(secret []byte) []byte { return deriveKey(secret, 2) }

// hidingKey is what AVPs of a version are hidden with: in version 2 the shared secret, and
// in version 3, RFC 3931 section 5.3, "shared_key = HMAC_MD5 (shared_secret, 1)".
func hidingKey(version uint8, secret []byte) []byte {
	if version != Version3 {
		return secret
	}
	return deriveKey(secret, 1)
}

func deriveKey(secret []byte, use byte) []byte {
	mac := hmac.New(md5.New, secret)
	mac.Write([]byte{use})
	return mac.Sum(nil)
}

// newHash is the hash function of d; nil if d is not known.
func (d DigestType) newHash() func() hash.Hash {
	switch d {
	case DigestMD5:
		return md5.New
	case DigestSHA1:
		return sha1.New
	}
	return nil
}

// Len is the length of a digest in octets; 0 if the algorithm is not known. RFC 3931
// section 5.4.1: "For Digest Type 0 (HMAC-MD5), the length of the digest MUST be 16
// bytes. For Digest Type 1 (HMAC-SHA-1) the length of the digest MUST be 20 bytes."
func (d DigestType) Len() int {
	switch d {
	case DigestMD5:
		return md5.Size
	case DigestSHA1:
		return sha1.Size
	}
	return 0
}

// digests are the Message Digest AVPs of a packet.
type digests struct {
	list   [maxDigests]struct{ start, end int } // the values, with the Digest Type
	n      int
	sccrq  bool
	packet []byte // up to its Length field
}

// findDigests looks at a whole control message, from the header on.
func findDigests(packet []byte) (d digests, err error) {
	if len(packet) < ControlHeaderLen {
		return d, ErrShortHeader
	}
	n := int(binary.BigEndian.Uint16(packet[2:]))
	if n > len(packet) {
		return d, ErrLengthTooLong
	}
	if n < digestOffset {
		return d, ErrNoDigest
	}
	d.packet = packet[:n]
	a, rest, ok := nextAVP(d.packet[ControlHeaderLen:])
	if !ok || a.Vendor != 0 || a.Type != AVPMessageType || a.Hidden || len(a.Value) != 2 {
		return d, ErrNoDigest
	}
	d.sccrq = MessageType(binary.BigEndian.Uint16(a.Value)) == TypeSCCRQ
	for d.n < maxDigests {
		start := len(d.packet) - len(rest) + avpHeaderLen
		// "This AVP MUST NOT be hidden (the H bit MUST be 0)."
		a, rest, ok = nextAVP(rest)
		if !ok || a.Vendor != 0 || a.Type != AVPMessageDigest || a.Hidden || a.reserved || len(a.Value) == 0 {
			break
		}
		d.list[d.n].start, d.list[d.n].end = start, start+len(a.Value)
		d.n++
	}
	if d.n == 0 {
		return d, ErrNoDigest
	}
	return d, nil
}

// kind is the algorithm of the digest i, and whether its length fits.
func (d *digests) kind(i int) (DigestType, error) {
	at := d.list[i]
	t := DigestType(d.packet[at.start])
	switch {
	case t.newHash() == nil:
		return t, fmt.Errorf("%s: %w", t, ErrDigestType)
	case at.end-at.start != 1+t.Len():
		return t, fmt.Errorf("%s of %d octets: %w", t, at.end-at.start-1, ErrDigest)
	}
	return t, nil
}

// noDigest stands for the digests while one is computed.
var noDigest [maxAVPLen]byte

// sum computes a digest, RFC 3931 section 5.4.1:
//
//	Message Digest = HMAC_Hash (shared_key, local_nonce +
//	                            remote_nonce + control_message)
//
// local and remote are as the sender sees them. "When calculating a digest for a
// control message, the Value field for both of the Message Digest AVPs MUST be set to
// zero", but for the Digest Type: "the Message Digest AVP MUST be present within the
// control message with the Digest Type set to its proper value, but the Message
// Digest itself set to zeros."
func (d *digests) sum(t DigestType, key, local, remote []byte) []byte {
	mac := hmac.New(t.newHash(), key)
	// "Since the nonce is present within the message itself [...] there is no need to
	// use it in the calculation explicitly. Calculation of the SCCRQ Message Digest is
	// performed as follows: Message Digest = HMAC_Hash (shared_key, control_message)"
	if !d.sccrq {
		mac.Write(local)
		mac.Write(remote)
	}
	pos := 0
	for _, at := range d.list[:d.n] {
		mac.Write(d.packet[pos : at.start+1])
		mac.Write(noDigest[:at.end-at.start-1])
		pos = at.end
	}
	mac.Write(d.packet[pos:])
	return mac.Sum(nil)
}

// Sign fills in the digests of packet, a whole control message from its header on (not
// with the zero session ID that precedes it over IP), which was written with
// AppendOptions.Digests. keys are those that SharedKey made: the first digest takes
// the first, the second the second or, if there is no more, the last. localNonce is
// ours, remoteNonce the peer's; the SCCRQ goes without them.
//
// A header that changes, as Nr does when a message is sent again, needs new digests.
func Sign(packet []byte, keys [][]byte, localNonce, remoteNonce []byte) error {
	if len(keys) == 0 {
		return ErrNoKey
	}
	d, err := findDigests(packet)
	if err != nil {
		return err
	}
	var sums [maxDigests][]byte
	for i := range d.n {
		t, err := d.kind(i)
		if err != nil {
			return err
		}
		sums[i] = d.sum(t, keys[min(i, len(keys)-1)], localNonce, remoteNonce)
	}
	for i, at := range d.list[:d.n] {
		copy(packet[at.start+1:at.end], sums[i])
	}
	return nil
}

// Verify says whether packet, a whole control message from its header on, is what a
// peer with one of the keys sent, and arrived as it was sent: nil if it did.
// localNonce is ours, remoteNonce the peer's. Nothing of a message may be believed
// before; of a peer's first message, FindNonce tells the nonce that it claims.
//
// "If two Message Digest AVPs are received in a control message, the message MUST be
// accepted if either Message Digest is valid. If two shared secrets are configured,
// each (separately) MUST be used for calculating a digest to be compared to the
// Message Digest(s) received."
//
// ErrNoDigest: it has none in its place, whatever follows later. ErrDigestType: it has
// only such as this package cannot compute. ErrDigest: they are wrong. It takes the
// same time for every wrong digest of a kind.
func Verify(packet []byte, keys [][]byte, localNonce, remoteNonce []byte) error {
	if len(keys) == 0 {
		return ErrNoKey
	}
	d, err := findDigests(packet)
	if err != nil {
		return err
	}
	for i, at := range d.list[:d.n] {
		t, kindErr := d.kind(i)
		if kindErr != nil {
			// One that could be computed, and is wrong, says more than one that could not.
			if !errors.Is(err, ErrDigest) {
				err = kindErr
			}
			continue
		}
		for _, key := range keys {
			// "This is done by performing the same digest calculation above, with the
			// local_nonce and remote_nonce reversed."
			if hmac.Equal(d.sum(t, key, remoteNonce, localNonce), d.packet[at.start+1:at.end]) {
				return nil
			}
		}
		err = ErrDigest
	}
	return err
}

// HasDigest says whether packet, a whole control message from its header on, has a
// Message Digest AVP where it has to be.
func HasDigest(packet []byte) bool {
	_, err := findDigests(packet)
	return err == nil
}

// FindNonce finds the Control Message Authentication Nonce in the payload of an SCCRQ
// or SCCRP, which is never hidden. RFC 3931 section 4.3: "Presence of the Control
// Message Authentication Nonce AVP in an SCCRQ or SCCRP message serves as indication
// to a peer that Control Message Authentication is enabled." The nonce is a part of
// payload.
func FindNonce(payload []byte) (nonce []byte, ok bool) {
	nonce = FindAVP(payload, AVPNonce)
	return nonce, len(nonce) > 0
}

// digests writes the Message Digest AVPs, with zeros.
func (e *encoder) digests() {
	if len(e.opt.Digests) > maxDigests {
		e.fail(fmt.Errorf("%d digests: %w", len(e.opt.Digests), ErrValueTooLong))
	}
	for _, t := range e.opt.Digests {
		if t.Len() == 0 {
			e.fail(fmt.Errorf("%s: %w", t, ErrDigestType))
			return
		}
		value := make([]byte, 1+t.Len())
		value[0] = byte(t)
		e.put3(AVPMessageDigest, value)
	}
}
