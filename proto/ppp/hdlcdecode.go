package ppp

import "sync/atomic"

// minFrame is the least length of a frame with its FCS. RFC 1662 section 4.3:
// "Frames which are too short (less than 4 octets when using the 16-bit FCS)".
const minFrame = 4

// DefaultMaxFrame is the longest frame that a Decoder takes if not told: the
// default MRU of 1500 octets (RFC 1661 section 2) with its header, and as much
// again for peers that count in another way.
const DefaultMaxFrame = 2 * (1500 + 4)

// Decoder finds the frames in an octet stream that comes in pieces of any size,
// RFC 1662 section 4. One goroutine at a time may use it; Counters is for any.
type Decoder struct {
	buf     []byte // the frame so far, without escapes; capacity is the bound
	clear   uint32 // control characters taken as data: the ACCM inverted
	escaped bool   // the last octet was Control Escape
	toolong bool   // the frame did not fit; wait for the next flag

	count struct {
		frames, badFCS, aborted, short, long atomic.Uint64
	}
}

// DecoderCounters says what a Decoder has met.
type DecoderCounters struct {
	Frames   uint64 // good ones
	BadFCS   uint64 // dropped: the FCS is wrong
	Aborted  uint64 // dropped: Control Escape before the closing flag
	TooShort uint64 // dropped: less than 4 octets with FCS
	TooLong  uint64 // dropped: longer than the decoder's bound
}

// NewDecoder returns a decoder for frames of up to maxFrame octets without FCS;
// maxFrame <= 0 stands for DefaultMaxFrame. Its receiving ACCM is the default.
func NewDecoder(maxFrame int) *Decoder {
	if maxFrame <= 0 {
		maxFrame = DefaultMaxFrame
	}
	return &Decoder{buf: make([]byte, 0, maxFrame+fcsLen)}
}

// SetACCM sets the receiving ACCM: bit n set means that octet n, 0 to 31, is
// ignored. It comes from the Configure-Request that we sent and the peer
// acknowledged. Where nothing on the way can insert control characters, as on a
// PTY, 0 is right whatever was negotiated and when: all octets are data.
func (d *Decoder) SetACCM(accm uint32) { d.clear = ^accm }

// ACCM returns the receiving ACCM.
func (d *Decoder) ACCM() uint32 { return ^d.clear }

// Counters returns what was met so far. Any goroutine may call it.
func (d *Decoder) Counters() DecoderCounters {
	return DecoderCounters{
		Frames:   d.count.frames.Load(),
		BadFCS:   d.count.badFCS.Load(),
		Aborted:  d.count.aborted.Load(),
		TooShort: d.count.short.Load(),
		TooLong:  d.count.long.Load(),
	}
}

// Reset forgets the frame begun, as when the line was hung up. The ACCM and the
// counters stay.
func (d *Decoder) Reset() { d.buf, d.escaped, d.toolong = d.buf[:0], false, false }

// SetBuffer has frames built in buf from now on, so that they need no copy on
// their way. The bound becomes cap(buf), less 2 for the FCS. What has come of a
// frame not yet complete moves along; a frame that Decode returned stays.
func (d *Decoder) SetBuffer(buf []byte) {
	begun := d.buf
	d.buf = buf[:0]
	d.add(begun)
}

// Decode takes octets from input until they complete a good frame, and returns
// that and the rest of the input; or nil and nothing left, with what belongs to
// an unfinished frame kept inside. The frame has no FCS, is never empty, and is
// valid until the next call. So:
//
//	for len(input) > 0 {
//		var frame []byte
//		if frame, input = d.Decode(input); frame != nil {
//			use(frame)
//		}
//	}
func (d *Decoder) Decode(input []byte) (frame, rest []byte) {
	if d.buf == nil {
		d.buf = make([]byte, 0, DefaultMaxFrame+fcsLen)
	}
	ignored := ^d.clear
	for i := 0; i < len(input); {
		if !d.escaped {
			n := plainLen(input[i:], ignored != 0)
			d.add(input[i : i+n])
			if i += n; i == len(input) {
				break
			}
		}
		c := input[i]
		i++
		switch {
		case c == flagSequence:
			if frame = d.end(); frame != nil {
				return frame, input[i:]
			}
		case c < controlChars && ignored&(1<<c) != 0:
			// RFC 1662 section 4.2: "If it is flagged in the receiving ACCM, it
			// is simply removed (it may have been inserted by intervening data
			// communications equipment)." Also between the two octets of an
			// escape, which is why escaped stays as it is.
		case d.escaped:
			// RFC 1662 section 4.2: "Each Control Escape octet is also removed,
			// and the following octet is exclusive-or'd with hexadecimal 0x20,
			// unless it is the Flag Sequence (which aborts a frame)."
			d.escaped = false
			d.addOne(c ^ escapeBit)
		case c == controlEscape:
			d.escaped = true
		default: // a control character that is not in the map
			d.addOne(c)
		}
	}
	return nil, nil
}

// add keeps octets of the frame, if it is not too long.
func (d *Decoder) add(b []byte) {
	if len(b) > cap(d.buf)-len(d.buf) {
		d.overlong()
		return
	}
	if !d.toolong {
		d.buf = append(d.buf, b...)
	}
}

func (d *Decoder) addOne(c byte) {
	if len(d.buf) == cap(d.buf) {
		d.overlong()
		return
	}
	if !d.toolong {
		d.buf = append(d.buf, c)
	}
}

// overlong gives the frame up until the next flag.
func (d *Decoder) overlong() {
	if !d.toolong {
		d.count.long.Add(1)
		d.toolong = true
	}
}

// end takes a flag: it returns the frame before it if that is a good one.
//
// RFC 1662 section 4.3: "Frames which are too short (less than 4 octets when
// using the 16-bit FCS), or which end with a Control Escape octet followed
// immediately by a closing Flag Sequence, [...] are silently discarded, and not
// counted as a FCS error."
func (d *Decoder) end() []byte {
	b, escaped, toolong := d.buf, d.escaped, d.toolong
	d.Reset()
	switch {
	case toolong:
	case escaped:
		d.count.aborted.Add(1)
	case len(b) == 0:
		// Flags one after the other: time fill, or a closing and an opening one.
	case len(b) < minFrame:
		d.count.short.Add(1)
	case updateFCS16(initFCS16, b) != goodFCS16:
		d.count.badFCS.Add(1)
	default:
		d.count.frames.Add(1)
		return b[:len(b)-fcsLen]
	}
	return nil
}
