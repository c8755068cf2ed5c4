package l2tp

// HELLO is Hello, RFC 2661 section 6.5: a keepalive for the tunnel. "The
// Session ID in a HELLO message MUST be 0."
type HELLO struct {
	Unparsed
}

// Type implements Message.
func (*HELLO) Type() MessageType { return TypeHELLO }

func (m *HELLO) parse(*values) error { return nil }

func (m *HELLO) append(*encoder) {}
