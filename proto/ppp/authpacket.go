package ppp

import "encoding/binary"

// maxAuthMessage bounds the message with which an attempt is answered, in
// octets: PAP has one octet for its length.
const maxAuthMessage = 255

// authPacket makes a packet of one of the protocols of authentication: Code,
// Identifier, Length and data.
func authPacket(code, id uint8, data ...[]byte) []byte {
	n := packetHeaderLen
	for _, d := range data {
		n += len(d)
	}
	b := make([]byte, 0, n)
	b = append(b, code, id)
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	for _, d := range data {
		b = append(b, d...)
	}
	return b
}

// counted takes a field off b that begins with an octet for its length.
func counted(b []byte) (field, rest []byte, ok bool) {
	if len(b) == 0 || len(b) < 1+int(b[0]) {
		return nil, nil, false
	}
	n := 1 + int(b[0])
	return b[1:n], b[n:], true
}

// cut returns the first n octets of s.
func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
