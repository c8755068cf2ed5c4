package l2tp

// session3 is what an ICRQ, ICRP, OCRQ and OCRP of version 3 have in common.
type session3 struct {
	cookie     []byte
	sublayer   SublayerType
	sequencing SequencingLevel
	status     CircuitStatus
	tx, rx     uint64
}

// session3 reads the wishes for the session in an ICRQ, ICRP, OCRQ or OCRP.
func (v *values) session3() session3 {
	s := session3{
		cookie:     v.cookie(),
		sublayer:   SublayerType(v.uint16(AVPSublayer)),
		sequencing: SequencingLevel(v.uint16(AVPDataSequencing)),
		tx:         v.uint64(AVPTxConnectSpeed3),
		rx:         v.uint64(AVPRxConnectSpeed3),
	}
	if status := v.circuitStatus(); status != nil {
		s.status = *status
	}
	return s
}

// request3 is what an ICRQ and an OCRQ of version 3 have in common.
type request3 struct {
	pseudowire  PseudowireType
	remoteEndID []byte
	application *uint16
	tie         *uint64
}

func (v *values) request3() request3 {
	return request3{
		pseudowire:  PseudowireType(v.uint16(AVPPseudowireType)),
		remoteEndID: v.octets(AVPRemoteEndID),
		application: v.uint16Ptr(AVPApplicationID),
		tie:         v.uint64Ptr(AVPTieBreaker),
	}
}

func (m *ICRQ) request3() request3 {
	return request3{m.PseudowireType, m.RemoteEndID, m.ApplicationID, m.SessionTie}
}

func (m *ICRQ) setRequest3(r request3) {
	m.PseudowireType, m.RemoteEndID, m.ApplicationID, m.SessionTie = r.pseudowire, r.remoteEndID, r.application, r.tie
}

func (m *OCRQ) request3() request3 {
	return request3{m.PseudowireType, m.RemoteEndID, m.ApplicationID, m.SessionTie}
}

func (m *OCRQ) setRequest3(r request3) {
	m.PseudowireType, m.RemoteEndID, m.ApplicationID, m.SessionTie = r.pseudowire, r.remoteEndID, r.application, r.tie
}

func (m *ICRQ) session3() session3 {
	return session3{m.Cookie, m.Sublayer, m.Sequencing, m.CircuitStatus, m.TxConnectSpeed, m.RxConnectSpeed}
}

func (m *ICRQ) setSession3(s session3) {
	m.Cookie, m.Sublayer, m.Sequencing = s.cookie, s.sublayer, s.sequencing
	m.CircuitStatus, m.TxConnectSpeed, m.RxConnectSpeed = s.status, s.tx, s.rx
}

func (m *ICRP) session3() session3 {
	return session3{m.Cookie, m.Sublayer, m.Sequencing, m.CircuitStatus, m.TxConnectSpeed, m.RxConnectSpeed}
}

func (m *ICRP) setSession3(s session3) {
	m.Cookie, m.Sublayer, m.Sequencing = s.cookie, s.sublayer, s.sequencing
	m.CircuitStatus, m.TxConnectSpeed, m.RxConnectSpeed = s.status, s.tx, s.rx
}

func (m *OCRQ) session3() session3 {
	return session3{m.Cookie, m.Sublayer, m.Sequencing, m.CircuitStatus, m.TxConnectSpeed, m.RxConnectSpeed}
}

func (m *OCRQ) setSession3(s session3) {
	m.Cookie, m.Sublayer, m.Sequencing = s.cookie, s.sublayer, s.sequencing
	m.CircuitStatus, m.TxConnectSpeed, m.RxConnectSpeed = s.status, s.tx, s.rx
}

func (m *OCRP) session3() session3 {
	return session3{m.Cookie, m.Sublayer, m.Sequencing, m.CircuitStatus, m.TxConnectSpeed, m.RxConnectSpeed}
}

func (m *OCRP) setSession3(s session3) {
	m.Cookie, m.Sublayer, m.Sequencing = s.cookie, s.sublayer, s.sequencing
	m.CircuitStatus, m.TxConnectSpeed, m.RxConnectSpeed = s.status, s.tx, s.rx
}
