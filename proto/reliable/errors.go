package reliable

import "errors"

// What can be wrong with a message to be sent.
var (
	// ErrQueueFull says that MaxQueue messages are unacknowledged already.
	ErrQueueFull = errors.New("reliable: send queue is full")
	// ErrTooLong says that the message does not fit the 16-bit Length field.
	ErrTooLong = errors.New("reliable: message too long")
	// ErrEmpty says that the message has no payload. A control message without
	// one is a ZLB acknowledgement and has no place in the sequence.
	ErrEmpty = errors.New("reliable: message without payload")
)

// ErrClosed is returned by Send after CloseReceive, and by Receive for a new
// message that came after it. The message is acknowledged and forgotten.
var ErrClosed = errors.New("reliable: channel is closed")

// ErrUnreachable says that the peer did not acknowledge a message through all
// its retransmissions. The channel is dead from then on.
//
// RFC 2661 section 5.8: "If no peer response is detected after several
// retransmissions, [...] the tunnel and all sessions within MUST be cleared."
var ErrUnreachable = errors.New("reliable: peer does not acknowledge")

// DropReason says why Receive did not take a message. It is an error.
type DropReason uint8

// Why a received message is dropped.
const (
	// DropNotControl: the header is not that of a control message, which has
	// the T and S bits set.
	DropNotControl DropReason = iota + 1
	// DropDuplicate: the message was received before. It is acknowledged again
	// and its Nr is taken into account.
	DropDuplicate
	// DropBeyondWindow: the message's Ns lies beyond our receive window. Its Nr
	// is taken into account.
	DropBeyondWindow
	// DropNeverSent: its Nr acknowledges what was never sent. Nothing in the
	// packet is believed.
	DropNeverSent
	// DropNoRoom: the message is early, and too many octets of early messages
	// are kept already. The peer will send it again.
	DropNoRoom
)

// Error is the reason in words.
func (r DropReason) Error() string { return "reliable: " + r.String() }

// String is the reason in a few words, fit for the label of a counter.
func (r DropReason) String() string {
	switch r {
	case DropNotControl:
		return "not a control message"
	case DropDuplicate:
		return "duplicate"
	case DropBeyondWindow:
		return "beyond receive window"
	case DropNeverSent:
		return "acknowledges what was never sent"
	case DropNoRoom:
		return "no room for early message"
	}
	return "unknown reason"
}
