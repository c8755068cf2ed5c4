package pppbridge

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/kernel"
	"adit/proto/ppp"
)

// The channel and the unit of a kernelLink as handlers of the poller.
type (
	channelHandler kernelLink
	unitHandler    kernelLink
)

const (
	handleChannel = iota // index into kernelLink.handles
	handleUnit

	// framesPerEvent bounds what one session may have read before it is the
	// others' turn. The kernel keeps 32 frames of each descriptor.
	framesPerEvent = 64
)

func (h *channelHandler) Ready(_ time.Time, _ kernel.Events) {
	l := (*kernelLink)(h)
	l.readFrames(l.channel, handleChannel)
}

func (h *unitHandler) Ready(_ time.Time, _ kernel.Events) {
	l := (*kernelLink)(h)
	l.mu.Lock()
	u := l.unit
	l.mu.Unlock()
	l.readFrames(u, handleUnit)
}

// readFrames hands what came to the owner, in the poller's goroutine.
func (l *kernelLink) readFrames(from pppFrames, handle int) {
	buf := l.plane.buf[:]
	for range framesPerEvent {
		n, err := from.Read(buf)
		switch {
		case err == nil && n == 0:
			return
		case err == nil:
			l.deliver(buf[:n])
		case errors.Is(err, unix.EOVERFLOW):
			l.tooLong.Add(1)
		default:
			// Without this a descriptor at its end would be ready for ever.
			l.mu.Lock()
			l.plane.poller.Remove(l.handles[handle])
			l.handles[handle] = kernel.Handle{}
			l.mu.Unlock()
			l.fail(err)
			return
		}
	}
}

// deliver hands a frame to the owner, unless it is a packet: those come here only
// before there is an interface for them. Any goroutine.
//
// RFC 1661 section 3.6: "Any supported network-layer protocol packets received
// when the corresponding NCP is not in the Opened state MUST be silently
// discarded."
func (l *kernelLink) deliver(frame []byte) {
	if p, _ := ppp.FrameProtocol(frame); p == ppp.ProtocolIPv4 || p == ppp.ProtocolIPv6 {
		l.notUp.Add(1)
		return
	}
	l.owner.Control(frame)
}
