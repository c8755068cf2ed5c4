package radius

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"

	"adit/lns/subscriber"
)

// frameType is what a frame in a file of accounting records means.
type frameType byte

const (
	frameRecord frameType = 'r' // a record that is to be sent
	frameTaken  frameType = 'a' // the record of that number needs no sending any more
	frameOpen   frameType = 'o' // a record that was sent: the last known of a session that is open
	frameGone   frameType = 'g' // the record of that number matters no more in any way
)

// A frame is: magic, type, number (8 octets), length of what follows (4), CRC-32C
// of all from type on without itself (4), content.
const (
	frameMagic  = "\xadRA1"
	frameHeader = len(frameMagic) + 1 + 8 + 4 + 4
	lengthAt    = len(frameMagic) + 1 + 8
	sumAt       = lengthAt + 4
	// maxContent is more than a record can have: two names and a packet.
	maxContent = 2*math.MaxUint8 + 32 + radius.MaxPacketLength
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendFrame(b []byte, t frameType, number uint64, content []byte) []byte {
	start := len(b)
	b = append(b, frameMagic...)
	b = append(b, byte(t))
	b = binary.BigEndian.AppendUint64(b, number)
	b = binary.BigEndian.AppendUint32(b, uint32(len(content)))
	b = binary.BigEndian.AppendUint32(b, frameSum(b[start:], content))
	return append(b, content...)
}

// frameSum is the sum of a frame; header has at least all before the sum.
func frameSum(header, content []byte) uint32 {
	return crc32.Update(crc32.Checksum(header[len(frameMagic):sumAt], castagnoli), castagnoli, content)
}

// frame is one in a file.
type frame struct {
	kind    frameType
	number  uint64
	content []byte // of the buffer that it was read from
}

// errFrame says that octets are no frame.
var errFrame = errors.New("not a frame of accounting records")

// parseFrame reads the frame that b begins with, and says how long it is.
func parseFrame(b []byte) (f frame, n int, err error) {
	if len(b) < frameHeader || string(b[:len(frameMagic)]) != frameMagic {
		return frame{}, 0, errFrame
	}
	length := binary.BigEndian.Uint32(b[lengthAt:])
	if length > uint32(maxContent) || int(length) > len(b)-frameHeader {
		return frame{}, 0, errFrame
	}
	f = frame{kind: frameType(b[len(frameMagic)]), number: binary.BigEndian.Uint64(b[len(frameMagic)+1:])}
	n = frameHeader + int(length)
	f.content = b[frameHeader:n]
	if binary.BigEndian.Uint32(b[sumAt:]) != frameSum(b, f.content) {
		return frame{}, 0, errFrame
	}
	return f, n, nil
}

// content is what a record's frame holds.
type content struct {
	group      string
	id         string // Acct-Session-Id; empty for Accounting-On and -Off
	kind       subscriber.RecordKind
	time       time.Time
	attributes []byte // as in a packet
}

// errUnfit says that a record cannot be a packet.
var errUnfit = errors.New("it is longer than a RADIUS packet can be")

// delayLen is what Acct-Delay-Time needs, which is added when a record is sent.
const delayLen = 6

func (c *content) append(b []byte) ([]byte, error) {
	if len(c.group) > math.MaxUint8 || len(c.id) > math.MaxUint8 ||
		len(c.attributes) > radius.MaxPacketLength-headerLen-delayLen {
		return nil, errUnfit
	}
	b = append(b, byte(c.kind))
	b = binary.BigEndian.AppendUint64(b, uint64(c.time.UnixNano()))
	b = append(append(b, byte(len(c.group))), c.group...)
	b = append(append(b, byte(len(c.id))), c.id...)
	return append(b, c.attributes...), nil
}

func parseContent(b []byte) (c content, err error) {
	if len(b) < 9 {
		return content{}, errFrame
	}
	c.kind = subscriber.RecordKind(b[0])
	c.time = time.Unix(0, int64(binary.BigEndian.Uint64(b[1:])))
	b = b[9:]
	for _, s := range []*string{&c.group, &c.id} {
		if len(b) == 0 || len(b)-1 < int(b[0]) {
			return content{}, errFrame
		}
		*s, b = string(b[1:1+b[0]]), b[1+b[0]:]
	}
	c.attributes = b
	return c, nil
}

// encodeAttributes makes octets of a packet's attributes, without the
// Acct-Delay-Time.
func encodeAttributes(p *radius.Packet) ([]byte, error) {
	p.Del(rfc2866.AcctDelayTime_Type)
	wire, err := p.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return wire[headerLen:], nil
}

// lifetime says to what a record of a kind belongs, which has the same letter and
// the same Acct-Session-Id, and whether that begins, goes on or ends by it.
type lifetime struct {
	class       byte
	opens, ends bool
	end         subscriber.RecordKind // what ends it
}

func lifetimeOf(k subscriber.RecordKind) lifetime {
	switch k {
	case subscriber.RecordStart, subscriber.RecordInterim:
		return lifetime{class: 's', opens: true, end: subscriber.RecordStop}
	case subscriber.RecordStop:
		return lifetime{class: 's', ends: true}
	case subscriber.RecordTunnelStart:
		return lifetime{class: 't', opens: true, end: subscriber.RecordTunnelStop}
	case subscriber.RecordTunnelStop, subscriber.RecordTunnelReject:
		return lifetime{class: 't', ends: true}
	case subscriber.RecordTunnelLinkUp:
		return lifetime{class: 'l', opens: true, end: subscriber.RecordTunnelLinkEnd}
	case subscriber.RecordTunnelLinkEnd, subscriber.RecordTunnelLinkNo:
		return lifetime{class: 'l', ends: true}
	default:
		return lifetime{class: 'n', ends: true}
	}
}

// lastRites makes the record that ends what was open when the daemon was killed
// of the last that is known of it: with its counters and its time, for what came
// after is not known. RFC 2866 section 5.10: "NAS Reboot: The NAS ended the
// session in order to reboot non-administratively ("crash")."
func lastRites(last content) (content, error) {
	attributes, err := radius.ParseAttributes(last.attributes)
	if err != nil {
		return content{}, errFrame
	}
	p := &radius.Packet{Attributes: attributes}
	last.kind = lifetimeOf(last.kind).end
	p.Set(rfc2866.AcctStatusType_Type, number(uint32(last.kind)))
	p.Set(rfc2866.AcctTerminateCause_Type, number(uint32(subscriber.NASReboot)))
	if last.kind == subscriber.RecordStop && p.Get(rfc2866.AcctSessionTime_Type) == nil {
		p.Set(rfc2866.AcctSessionTime_Type, number(0))
	}
	if s := last.time.Unix(); s > 0 && s <= math.MaxUint32 {
		p.Set(rfc2869.EventTimestamp_Type, number(uint32(s)))
	}
	last.attributes, err = encodeAttributes(p)
	return last, err
}

func number(n uint32) radius.Attribute { return binary.BigEndian.AppendUint32(nil, n) }
