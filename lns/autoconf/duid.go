package autoconf

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// ErrDUID says that octets are no DUID.
var ErrDUID = errors.New("a DUID is 3 to 130 octets: two of the type, and the identifier")

// NewDUID makes a DUID-UUID, RFC 8415 section 11.5: of random octets, so that it
// needs no hardware's address. It is for writing down: a server keeps its DUID.
func NewDUID() []byte {
	var uuid [16]byte
	_, _ = rand.Read(uuid[:])     // it never fails
	uuid[6] = uuid[6]&0x0f | 0x40 // RFC 9562 section 5.4: version 4
	uuid[8] = uuid[8]&0x3f | 0x80 // of the variant of that RFC
	return append([]byte{0, 4}, uuid[:]...)
}

// parseDUID: RFC 8415 section 11.1: "The length of the DUID (not including the type
// code) is at least 1 octet and at most 128 octets."
func parseDUID(b []byte) (dhcpv6.DUID, error) {
	if len(b) < 3 || len(b) > 130 {
		return nil, fmt.Errorf("%w; this one has %d", ErrDUID, len(b))
	}
	d, err := dhcpv6.DUIDFromBytes(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDUID, err)
	}
	return d, nil
}
