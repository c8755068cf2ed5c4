package pppbridge

// RelayEnd is one end of a pair of sessions that pass frames to each other.
type RelayEnd struct{ other *RelayEnd }

// NewRelayPair makes the two ends of a relay.
func NewRelayPair() (a, b *RelayEnd) {
	a, b = &RelayEnd{}, &RelayEnd{}
	a.other, b.other = b, a
	return a, b
}
