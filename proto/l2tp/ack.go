package l2tp

// ACK is Explicit-Acknowledgement, RFC 3931 section 6.15; version 3 only: "used only
// to acknowledge receipt of a message or messages on the control connection (e.g.,
// for purposes of updating Ns and Nr values)." It takes the place of the ZLB, which
// has no Message Digest.
type ACK struct {
	Unparsed
}

// Type implements Message.
func (*ACK) Type() MessageType { return TypeACK }

func (m *ACK) parse(*values) error { return nil }

func (m *ACK) append(*encoder) {}
