package l2tp

// ICCN is Incoming-Call-Connected, RFC 2661 section 6.8: the LAC answers an
// ICRP, and the session is established.
type ICCN struct {
	AssignedSessionID uint32 // version 3: the sender's; not 0

	TxConnectSpeed uint64 // bits per second, from the LAC to the remote system
	FramingType    FramingType

	// ProxyLCP and ProxyAuth are nil if the LAC left LCP or authentication to
	// the LNS. ProxyAuth may lack parts: see its Complete.
	ProxyLCP           *ProxyLCP
	ProxyAuth          *ProxyAuth
	PrivateGroupID     []byte // nil: absent
	RxConnectSpeed     uint64 // bits per second; 0: absent, as TxConnectSpeed
	SequencingRequired bool   // data messages must have sequence numbers

	// Version 3.
	RemoteSessionID uint32 // the receiver's; not 0
	Update3

	Unparsed
}

// Type implements Message.
func (*ICCN) Type() MessageType { return TypeICCN }

func (m *ICCN) parse(v *values) (err error) {
	m.TxConnectSpeed = v.speed(AVPTxConnectSpeed, AVPTxConnectSpeed3)
	m.FramingType = FramingType(v.uint32(AVPFramingType))
	m.ProxyLCP = v.proxyLCP()
	m.ProxyAuth = v.proxyAuth()
	m.PrivateGroupID = v.octets(AVPPrivateGroupID)
	m.RxConnectSpeed = v.speed(AVPRxConnectSpeed, AVPRxConnectSpeed3)
	m.SequencingRequired = v.has(AVPSequencingRequired)
	if v.version != Version3 {
		return nil
	}
	m.RemoteSessionID = v.uint32(AVPRemoteSessionID)
	m.Update3 = v.update3()
	m.AssignedSessionID, err = v.nonzeroID(AVPAssignedSessionID)
	return err
}

func (m *ICCN) append(e *encoder) {
	if e.v3() {
		e.sessionIDs(m.AssignedSessionID, m.RemoteSessionID)
		e.update3(&m.Update3)
	}
	e.speed(AVPTxConnectSpeed, AVPTxConnectSpeed3, m.TxConnectSpeed)
	e.callUint32(AVPFramingType, uint32(m.FramingType))
	e.proxyLCP(m.ProxyLCP)
	e.proxyAuth(m.ProxyAuth)
	e.optOctets(AVPPrivateGroupID, m.PrivateGroupID)
	e.connectOptions(m.RxConnectSpeed, m.SequencingRequired)
}

// connectOptions writes what ICCN and OCCN have in common at their ends.
func (e *encoder) connectOptions(rxSpeed uint64, sequencing bool) {
	if rxSpeed != 0 {
		e.speed(AVPRxConnectSpeed, AVPRxConnectSpeed3, rxSpeed)
	}
	if sequencing {
		e.put(AVPSequencingRequired, nil)
	}
}

func (v *values) proxyLCP() *ProxyLCP {
	p := ProxyLCP{
		InitialReceived: v.octets(AVPInitialReceivedConfReq),
		LastSent:        v.octets(AVPLastSentConfReq),
		LastReceived:    v.octets(AVPLastReceivedConfReq),
	}
	if p.InitialReceived == nil && p.LastSent == nil && p.LastReceived == nil {
		return nil
	}
	return &p
}

func (e *encoder) proxyLCP(p *ProxyLCP) {
	if p == nil {
		return
	}
	e.optOctets(AVPInitialReceivedConfReq, p.InitialReceived)
	e.optOctets(AVPLastSentConfReq, p.LastSent)
	e.optOctets(AVPLastReceivedConfReq, p.LastReceived)
}

// proxyAuth reads the Proxy Authen AVPs. Of Proxy Authen Type RFC 2661 section
// 4.4.5 says: "This AVP MUST be present if proxy authentication is to be
// utilized." Without it the others mean nothing.
func (v *values) proxyAuth() *ProxyAuth {
	if !v.has(AVPProxyAuthenType) {
		return nil
	}
	return &ProxyAuth{
		Type:      ProxyAuthType(v.uint16(AVPProxyAuthenType)),
		Name:      v.text(AVPProxyAuthenName),
		Challenge: v.octets(AVPProxyAuthenChallenge),
		// "ID is a 2 octet unsigned integer, the most significant octet MUST be 0."
		ID:       uint8(v.uint16(AVPProxyAuthenID)),
		Response: v.octets(AVPProxyAuthenResponse),
	}
}

func (e *encoder) proxyAuth(p *ProxyAuth) {
	if p == nil {
		return
	}
	e.uint16(AVPProxyAuthenType, uint16(p.Type))
	if p.Name != "" || p.Type.usesName() {
		e.put(AVPProxyAuthenName, []byte(p.Name))
	}
	e.optOctets(AVPProxyAuthenChallenge, p.Challenge)
	if p.ID != 0 || p.Type.usesID() {
		e.uint16(AVPProxyAuthenID, uint16(p.ID))
	}
	e.optOctets(AVPProxyAuthenResponse, p.Response)
}
