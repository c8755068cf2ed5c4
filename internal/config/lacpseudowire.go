package config

import "adit/proto/l2tp"

// pseudowireSession reads what is left of a session that is no PPP call.
func (c *checker) pseudowireSession(at string, raw rawSession, s *Session, t *Tunnel) {
	key := func(k string) string { return joinKey(at, k) }
	if !t.V3.Has(l2tp.Version3) {
		c.add(key("pseudowire"), "needs version 3; write versions = [3] in the tunnel, or [2, 3]")
	}
	if raw.Count != nil && *raw.Count > 1 {
		c.add(key("count"), "is %d, and only one session can have the pseudowire; take it away, and write a session with a pseudowire for each", *raw.Count)
	}
	for _, k := range pppKeys(raw) {
		c.add(key(k), "belongs to a PPP call, and the session has a pseudowire; take it away")
	}
	// RFC 3931 section 6.6: an ICRQ may have "Tx Connect Speed" and "Rx Connect Speed";
	// what it need not say is not made up.
	s.TxSpeed = c.speed(key("tx_speed"), raw.TxSpeed, 0)
	s.RxSpeed = c.speed(key("rx_speed"), raw.RxSpeed, 0)
	if w := c.wireNamed(key("pseudowire"), *raw.Pseudowire); w != nil {
		c.claim(key("pseudowire"), at, w, false)
		s.Pseudowire = w.Pseudowire
		if (raw.Name == nil || *raw.Name == "") && w.usedBy == at {
			s.Name = w.Name
		}
	}
}

// pppKeys lists the keys of a session that only a PPP call has. RFC 3931 sections 6.6
// and 6.9 have no number in ICRQ and OCRQ; the circuit is told by its Remote End ID.
func pppKeys(raw rawSession) []string {
	raw.Name, raw.Count, raw.Direction, raw.Pseudowire, raw.TxSpeed, raw.RxSpeed = nil, nil, nil, nil, nil, nil
	return givenKeys(raw)
}
