package pppbridge

import (
	"encoding/binary"
)

// syncCodec puts whole frames into a synchronous terminal.
type syncCodec struct{}

// lengthSize is what precedes each frame in the queue, which has to keep frames
// apart where the terminal takes them one write at a time.
const lengthSize = 2

func (c *syncCodec) append(dst, frame []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(frame)))
	return append(dst, frame...)
}
func (c *syncCodec) room(n int) int         { return n + lengthSize }
func (c *syncCodec) piece(queue []byte) int { return len(queue) }
func (c *syncCodec) setACCM(uint32)         {}
func (c *syncCodec) stats(*Stats)           {}
func (c *syncCodec) decode(b *ptyBridge, in []byte) {
	n := copy(b.out[Headroom:], in)
	b.emit(n)
}
