package l2tp

// SCCCN is Start-Control-Connection-Connected, RFC 2661 section 6.3: it answers
// an SCCRP and completes the tunnel.
type SCCCN struct {
	ChallengeResponse []byte // 16 octets; nil: the SCCRP had no challenge

	Unparsed
}

// Type implements Message.
func (*SCCCN) Type() MessageType { return TypeSCCCN }

func (m *SCCCN) parse(v *values) error {
	m.ChallengeResponse = v.octets(AVPChallengeResponse)
	return nil
}

func (m *SCCCN) append(e *encoder) {
	e.optOctets(AVPChallengeResponse, m.ChallengeResponse)
}
