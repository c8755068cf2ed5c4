package l2tp

import (
	"crypto/md5"
	"encoding/binary"
)

// Hiding of AVP values, RFC 2661 section 4.3:
//
//	b1 = MD5(AV + S + RV)   c(1) = p1 xor b1
//	b2 = MD5(S  + c(1))     c(2) = p2 xor b2
//
// where AV is the attribute number, S the shared secret, RV the random vector
// and p1, p2 the subformat (length, value, padding) in pieces of 16 octets.

// firstPad is b1.
func firstPad(t AVPType, secret, vector []byte) [md5.Size]byte {
	in := make([]byte, 0, 128)
	in = binary.BigEndian.AppendUint16(in, uint16(t))
	in = append(in, secret...)
	in = append(in, vector...)
	return md5.Sum(in)
}

// nextPad is b(i+1), of the ciphertext c(i).
func nextPad(secret, cipher []byte) [md5.Size]byte {
	in := make([]byte, 0, 128)
	in = append(in, secret...)
	in = append(in, cipher...)
	return md5.Sum(in)
}

// hide turns a subformat into the hidden value, in place.
func hide(sub []byte, t AVPType, secret, vector []byte) {
	pad := firstPad(t, secret, vector)
	for {
		n := min(len(sub), md5.Size)
		for i := range n {
			sub[i] ^= pad[i]
		}
		if len(sub) <= md5.Size {
			return
		}
		pad = nextPad(secret, sub[:md5.Size])
		sub = sub[md5.Size:]
	}
}

// unhide gives the original value of a hidden one, in memory of its own. ok is
// false if the length within does not fit, as with another secret it hardly
// ever does. A right length is no proof of a right secret.
func unhide(hidden []byte, t AVPType, secret, vector []byte) (value []byte, ok bool) {
	if len(hidden) < 2 {
		return nil, false
	}
	sub := make([]byte, len(hidden))
	pad := firstPad(t, secret, vector)
	for pos := 0; ; pos += md5.Size {
		n := min(len(sub)-pos, md5.Size)
		for i := range n {
			sub[pos+i] = hidden[pos+i] ^ pad[i]
		}
		if pos+md5.Size >= len(sub) {
			break
		}
		pad = nextPad(secret, hidden[pos:pos+md5.Size])
	}
	// "Padding does NOT alter the value placed in the Length of Original
	// Attribute Value field".
	n := int(binary.BigEndian.Uint16(sub))
	if n > len(sub)-2 {
		return nil, false
	}
	return sub[2 : 2+n : 2+n], true
}
