package l2tp

// The messages of a session of version 3 say the same things of it, RFC 3931 sections 6.6
// to 6.11, and version 2 has none of them.

// Request3 is what an ICRQ and an OCRQ of version 3 have in common: which session it is.
type Request3 struct {
	PseudowireType PseudowireType
	RemoteEndID    []byte  // which circuit is meant
	ApplicationID  *uint16 // nil: absent
	SessionTie     *uint64 // Session Tie Breaker; nil: absent
}

// Session3 is what an ICRQ, ICRP, OCRQ and OCRP of version 3 have in common: the
// sender's end of the session.
type Session3 struct {
	Cookie         []byte // what the sender wants in data messages to it: 4 or 8 octets; nil: none
	Sublayer       SublayerType
	Sequencing     SequencingLevel
	CircuitStatus  CircuitStatus
	TxConnectSpeed uint64 // bits per second; 0: absent
	RxConnectSpeed uint64 // bits per second; 0: absent
}

// Update3 is what an ICCN and an OCCN of version 3 have in common: what has changed since
// the request or reply.
type Update3 struct {
	Sublayer      *SublayerType    // nil: absent
	Sequencing    *SequencingLevel // nil: absent
	CircuitStatus *CircuitStatus   // nil: absent
}

func (v *values) request3() Request3 {
	return Request3{
		PseudowireType: PseudowireType(v.uint16(AVPPseudowireType)),
		RemoteEndID:    v.octets(AVPRemoteEndID),
		ApplicationID:  v.uint16Ptr(AVPApplicationID),
		SessionTie:     v.uint64Ptr(AVPTieBreaker),
	}
}

func (e *encoder) request3(r *Request3) {
	e.uint16(AVPPseudowireType, uint16(r.PseudowireType))
	e.put3(AVPRemoteEndID, r.RemoteEndID)
	if r.ApplicationID != nil {
		e.uint16(AVPApplicationID, *r.ApplicationID)
	}
	if r.SessionTie != nil {
		e.uint64(AVPTieBreaker, *r.SessionTie)
	}
}

func (v *values) session3() Session3 {
	s := Session3{
		Cookie:         v.cookie(),
		Sublayer:       SublayerType(v.uint16(AVPSublayer)),
		Sequencing:     SequencingLevel(v.uint16(AVPDataSequencing)),
		TxConnectSpeed: v.uint64(AVPTxConnectSpeed3),
		RxConnectSpeed: v.uint64(AVPRxConnectSpeed3),
	}
	if status := v.circuitStatus(); status != nil {
		s.CircuitStatus = *status
	}
	return s
}

func (e *encoder) session3(s *Session3) {
	e.circuitStatus(&s.CircuitStatus)
	if len(s.Cookie) != 0 {
		e.put3(AVPAssignedCookie, s.Cookie)
	}
	e.optUint16(AVPSublayer, uint16(s.Sublayer))
	e.optUint16(AVPDataSequencing, uint16(s.Sequencing))
	if s.TxConnectSpeed != 0 {
		e.uint64(AVPTxConnectSpeed3, s.TxConnectSpeed)
	}
	if s.RxConnectSpeed != 0 {
		e.uint64(AVPRxConnectSpeed3, s.RxConnectSpeed)
	}
}

func (v *values) update3() Update3 {
	return Update3{Sublayer: v.sublayer(), Sequencing: v.sequencing(), CircuitStatus: v.circuitStatus()}
}

func (e *encoder) update3(u *Update3) {
	if u.Sublayer != nil {
		e.uint16(AVPSublayer, uint16(*u.Sublayer))
	}
	if u.Sequencing != nil {
		e.uint16(AVPDataSequencing, uint16(*u.Sequencing))
	}
	e.circuitStatus(u.CircuitStatus)
}

// circuitStatus writes a status unless it is nil. Reserved bits "MUST be set to 0 upon
// sending".
func (e *encoder) circuitStatus(s *CircuitStatus) {
	if s != nil {
		e.uint16(AVPCircuitStatus, uint16(*s&circuitStatusMask))
	}
}
