package ip

import (
	"encoding/binary"
	"errors"
)

// ErrDontFragment: a packet too long for the link has its Don't Fragment flag
// set, or is IPv6. The sender is owed AppendTooBig.
var ErrDontFragment = errors.New("ip: packet is too long and may not be fragmented")

// Fragmenter cuts an IPv4 packet into fragments (RFC 791 section 3.2). It is
// used as Splitter is: Begin, then Next and Put for each.
type Fragmenter struct {
	packet  []byte
	header  int // octets
	size    int // octets of data in a fragment
	at, end int // the fragment of now: octets of packet
	offset  int // of the first octet of data, in octets
	more    bool
	started bool
}

// Begin takes a packet, h its header, to be sent over a link of mtu octets. One
// that fits gives one fragment, itself. The packet must stay as it is until the
// last Put. Errors are ErrDontFragment, and ErrHeader if mtu has no room for
// the header and 8 octets, or if packet is itself a fragment that ends beyond
// the 65,535 octets of a datagram.
func (f *Fragmenter) Begin(packet []byte, h Header, mtu int) error {
	*f = Fragmenter{}
	if h.Length < h.HeaderLen || h.Length > len(packet) || h.HeaderLen < header4Len {
		return ErrTruncated
	}
	packet = packet[:h.Length]
	f.end = h.HeaderLen
	f.header = h.HeaderLen
	if len(packet) <= mtu {
		f.size = len(packet) - f.header
		f.packet = packet
		return nil
	}
	field := binary.BigEndian.Uint16(packet[6:])
	if h.Version != 4 || field&flagDF != 0 {
		return ErrDontFragment
	}
	if f.header > 60 || mtu < f.header+8 {
		return ErrHeader
	}
	// "the data ... must be ... an integral multiple of 8 octets"
	f.size = (mtu - f.header) &^ 7
	f.offset = int(field&maskOffset) * 8
	if f.offset+len(packet)-f.header > MaxLength {
		return ErrHeader // a fragment that ends where no datagram can
	}
	f.more = field&flagMF != 0
	f.packet = packet
	return nil
}

// Next goes on to the next fragment and returns its octets; 0: no more.
func (f *Fragmenter) Next() int {
	if f.packet == nil || f.started && f.end == len(f.packet) {
		f.packet = nil
		return 0
	}
	f.started = true
	f.at = f.end
	f.end = min(f.at+f.size, len(f.packet))
	return f.header + f.end - f.at
}

// Put writes the fragment whose octets Next returned to the start of dst and
// returns its octets, or 0 if dst is shorter or there is no fragment.
func (f *Fragmenter) Put(dst []byte) int {
	n := f.header + f.end - f.at
	if !f.started || f.packet == nil || len(dst) < n {
		return 0
	}
	header := dst[:copy(dst, f.packet[:f.header])]
	copy(dst[f.header:n], f.packet[f.at:f.end])
	if f.header+f.size >= len(f.packet) {
		return n // whole
	}
	if f.at > f.header {
		onlyCopied(header[header4Len:])
	}
	field := uint16((f.offset + f.at - f.header) / 8)
	if f.more || f.end < len(f.packet) {
		field |= flagMF
	}
	binary.BigEndian.PutUint16(header[2:], uint16(n))
	binary.BigEndian.PutUint16(header[6:], field)
	binary.BigEndian.PutUint16(header[10:], 0)
	binary.BigEndian.PutUint16(header[10:], Checksum(header, 0))
	return n
}

// onlyCopied makes No Operation of the options that belong into the first
// fragment only. RFC 791 section 3.1: "The copied flag indicates that this
// option is copied into all fragments on fragmentation." Malformed options stay.
func onlyCopied(options []byte) {
	for at := 0; at < len(options); {
		kind := options[at]
		switch kind {
		case 0:
			return
		case 1:
			at++
			continue
		}
		if at+1 >= len(options) {
			return
		}
		size := int(options[at+1])
		if size < 2 || at+size > len(options) {
			return
		}
		if kind&0x80 == 0 {
			for i := range size {
				options[at+i] = 1
			}
		}
		at += size
	}
}
