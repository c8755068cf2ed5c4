package pppbridge

import (
	"encoding/binary"
	"sync/atomic"

	"adit/internal/circuit"

	"golang.org/x/sys/unix"
)

// syncCodec puts whole frames into a synchronous terminal, without escapes and
// FCS: less work than RFC 1662, and less safe. A terminal has no frames; the
// kernel (tried with Linux 6.1) takes each piece of its buffer for one, and a
// piece may be several writes that came before it was looked at. So:
//
//   - From pppd: under N_HDLC a read gives one piece, which is parted by the
//     lengths that the packets have inside. Nothing is lost, but what has no
//     length inside must not be there: pppd runs with novj and noccp (so no
//     MPPE and no compression), nopcomp and noaccomp.
//   - To pppd: nothing can part what has run together; the kernel takes the
//     second frame for padding of the first, or drops both for their length.
//     So writes are syncGap apart (at most 4,000 frames a second), which is
//     enough for the kernel to look at each unless the machine is short of
//     processor time. Then frames are lost, as on a bad line, and TCP sends
//     them again: on two emulated processors, some ten times slower than real
//     ones, 2 MiB of TCP took 12 in a hundred frames more with the gap, and 27
//     without.
//   - N_HDLC does not push back: when adit is late by 60 pieces, more are lost.
//     Where the terminal itself was full, the link pauses until it is kicked.
//   - Frames of more than 1,792 octets would be cut in two by the terminal.
//
// The asynchronous terminal has none of these limits and is the default.
type syncCodec struct {
	split, malformed atomic.Uint64
}

// lengthSize is what precedes each frame in our queue, to keep them apart: the
// terminal takes a frame with one write.
const lengthSize = 2

func (c *syncCodec) append(dst, frame []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(frame)))
	return append(dst, frame...)
}

func (c *syncCodec) room(n int) int { return n + lengthSize }

func (c *syncCodec) piece(queue []byte) (skip, n int) {
	return lengthSize, int(binary.BigEndian.Uint16(queue))
}

// maxFrame is what the terminal's buffer keeps in one piece.
func (c *syncCodec) maxFrame() int { return 1792 }
func (c *syncCodec) whole() bool   { return true }

// kickWriter: N_HDLC has a queue of its own in front of the terminal, and goes
// on with it only when the terminal wakes it, which may come too early (see
// retryGap). Stopping and starting output wakes it, too.
func (c *syncCodec) kickWriter(master int) {
	_ = unix.IoctlSetInt(master, unix.TCXONC, tcooff)
	_ = unix.IoctlSetInt(master, unix.TCXONC, tcoon)
}

// kickReader: when the terminal towards us was full, pppd's line discipline
// waits to be woken, and N_HDLC, unlike the ordinary one, never does that: the
// link would stand still for ever. Flushing input wakes it, in Linux by way of
// tty_unthrottle. It is done when the terminal has been quiet for retryGap, so
// that there is nothing to be flushed away.
func (c *syncCodec) kickReader(master int) {
	_ = unix.IoctlSetInt(master, unix.TCFLSH, unix.TCIFLUSH)
}

// The arguments of tcflow(3).
const (
	tcooff = 0
	tcoon  = 1
)

func (c *syncCodec) setACCM(uint32) {}

func (c *syncCodec) stats(s *circuit.Stats) {
	s.SplitMerged, s.DropMalformed = c.split.Load(), c.malformed.Load()
}

// decode takes one read of the master, which under N_HDLC is one piece of the
// terminal's buffer: a frame, or several that were written too fast to be kept
// apart.
func (c *syncCodec) decode(b *ptyBridge, in []byte) {
	for first := true; len(in) > 0; first = false {
		n := frameLength(in)
		if n == 0 || n > MaxFrame {
			// The rest cannot be told apart any more. Behind a good frame it
			// may also be that frame's padding.
			c.malformed.Add(1)
			return
		}
		if !first {
			c.split.Add(1)
		}
		b.emit(in[:n])
		in = in[n:]
	}
}

// frameLength finds the end of the first frame in b by the length that the
// packet inside gives for itself: IP's Total Length, IPv6's Payload Length, the
// Length of every PPP control protocol (RFC 1661 section 5: "Octets outside the
// range of the Length field are treated as padding"). A protocol without a
// length takes all of b. 0: there is no whole frame.
func frameLength(b []byte) int {
	const header = 4 // address, control, protocol: compression is off
	if len(b) < header || b[0] != 0xff || b[1] != 0x03 {
		return 0
	}
	inner, n := b[header:], 0
	switch protocol := binary.BigEndian.Uint16(b[2:]); {
	case protocol == 0x0021 && len(inner) >= 20:
		n = int(binary.BigEndian.Uint16(inner[2:]))
	case protocol == 0x0057 && len(inner) >= 40:
		n = 40 + int(binary.BigEndian.Uint16(inner[4:]))
	case protocol >= 0x8000 && len(inner) >= 4:
		n = int(binary.BigEndian.Uint16(inner[2:]))
	case protocol == 0x0021, protocol == 0x0057, protocol >= 0x8000:
		return 0
	default:
		return len(b)
	}
	if n < 4 || n > len(inner) {
		return 0
	}
	return header + n
}
