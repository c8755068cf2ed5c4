package tunnel

import (
	"bytes"
	"math"

	"adit/proto/l2tp"
)

// cloneCall copies what a Call points to, so that neither the owner's memory nor
// ours can change under the other.
func cloneCall(c Call) Call {
	if c.PhysicalChannelID != nil {
		id := *c.PhysicalChannelID
		c.PhysicalChannelID = &id
	}
	c.PrivateGroupID = bytes.Clone(c.PrivateGroupID)
	c.RemoteEndID = bytes.Clone(c.RemoteEndID)
	if c.ApplicationID != nil {
		id := *c.ApplicationID
		c.ApplicationID = &id
	}
	c.Local.Cookie = bytes.Clone(c.Local.Cookie)
	c.Peer.Cookie = bytes.Clone(c.Peer.Cookie)
	c.Access = l2tp.CloneAccess(c.Access)
	if c.ProxyLCP != nil {
		c.ProxyLCP = &l2tp.ProxyLCP{
			InitialReceived: bytes.Clone(c.ProxyLCP.InitialReceived),
			LastSent:        bytes.Clone(c.ProxyLCP.LastSent),
			LastReceived:    bytes.Clone(c.ProxyLCP.LastReceived),
		}
	}
	if c.ProxyAuth != nil {
		p := *c.ProxyAuth
		p.Challenge = bytes.Clone(p.Challenge)
		p.Response = bytes.Clone(p.Response)
		c.ProxyAuth = &p
	}
	return c
}

// callOfICRQ is the call that an ICRQ asks for.
func callOfICRQ(m *l2tp.ICRQ) Call {
	c := Call{
		Direction:         Incoming,
		CallSerial:        m.CallSerialNumber,
		BearerType:        m.BearerType,
		PhysicalChannelID: m.PhysicalChannelID,
		CallingNumber:     m.CallingNumber,
		CalledNumber:      m.CalledNumber,
		SubAddress:        m.SubAddress,
		Access:            m.AccessLine,
	}
	c.addRequest3(&m.Request3, &m.Session3)
	return c
}

func icrqOf(id uint32, c *Call) *l2tp.ICRQ {
	return &l2tp.ICRQ{
		AssignedSessionID: id,
		CallSerialNumber:  c.CallSerial,
		BearerType:        c.BearerType,
		PhysicalChannelID: c.PhysicalChannelID,
		CallingNumber:     c.CallingNumber,
		CalledNumber:      c.CalledNumber,
		SubAddress:        c.SubAddress,
		AccessLine:        c.Access,
	}
}

// addICCN adds what an ICCN says.
func (c *Call) addICCN(m *l2tp.ICCN) {
	c.addSpeeds(m.TxConnectSpeed, m.RxConnectSpeed)
	c.FramingType = m.FramingType
	c.SequencingRequired = m.SequencingRequired
	c.PrivateGroupID = m.PrivateGroupID
	c.ProxyLCP = m.ProxyLCP
	c.ProxyAuth = m.ProxyAuth
}

func iccnOf(c *Call) *l2tp.ICCN {
	return &l2tp.ICCN{
		TxConnectSpeed:     uint64(c.TxConnectSpeed),
		RxConnectSpeed:     uint64(c.RxConnectSpeed),
		FramingType:        c.FramingType,
		SequencingRequired: c.SequencingRequired,
		PrivateGroupID:     c.PrivateGroupID,
		ProxyLCP:           c.ProxyLCP,
		ProxyAuth:          c.ProxyAuth,
	}
}

// callOfOCRQ is the call that an OCRQ asks for.
func callOfOCRQ(m *l2tp.OCRQ) Call {
	c := Call{
		Direction:    Outgoing,
		CallSerial:   m.CallSerialNumber,
		MinimumBPS:   m.MinimumBPS,
		MaximumBPS:   m.MaximumBPS,
		BearerType:   m.BearerType,
		FramingType:  m.FramingType,
		CalledNumber: m.CalledNumber,
		SubAddress:   m.SubAddress,
	}
	c.addRequest3(&m.Request3, &m.Session3)
	return c
}

func ocrqOf(id uint32, c *Call) *l2tp.OCRQ {
	return &l2tp.OCRQ{
		AssignedSessionID: id,
		CallSerialNumber:  c.CallSerial,
		MinimumBPS:        c.MinimumBPS,
		MaximumBPS:        c.MaximumBPS,
		BearerType:        c.BearerType,
		FramingType:       c.FramingType,
		CalledNumber:      c.CalledNumber,
		SubAddress:        c.SubAddress,
	}
}

// addOCCN adds what an OCCN says.
func (c *Call) addOCCN(m *l2tp.OCCN) {
	c.addSpeeds(m.TxConnectSpeed, m.RxConnectSpeed)
	c.FramingType = m.FramingType
	c.SequencingRequired = m.SequencingRequired
}

func occnOf(c *Call) *l2tp.OCCN {
	return &l2tp.OCCN{
		TxConnectSpeed:     uint64(c.TxConnectSpeed),
		RxConnectSpeed:     uint64(c.RxConnectSpeed),
		FramingType:        c.FramingType,
		SequencingRequired: c.SequencingRequired,
	}
}

// addLine adds what the owner, as the LAC of an outgoing call, says about the
// line with AcceptCall or ConnectCall. What it leaves out stays.
func (c *Call) addLine(line Call) {
	if line.PhysicalChannelID != nil {
		c.PhysicalChannelID = line.PhysicalChannelID
	}
	if line.TxConnectSpeed != 0 {
		c.TxConnectSpeed, c.RxConnectSpeed = line.TxConnectSpeed, line.RxConnectSpeed
	}
	if line.FramingType != 0 {
		c.FramingType = line.FramingType
	}
	c.SequencingRequired = c.SequencingRequired || line.SequencingRequired
}

// oneFraming picks one kind of framing out of several: synchronous, which is
// what frames in packets are, if it is among them.
func oneFraming(f l2tp.FramingType) l2tp.FramingType {
	switch {
	case f&l2tp.FramingSync != 0:
		return l2tp.FramingSync
	case f&l2tp.FramingAsync != 0:
		return l2tp.FramingAsync
	}
	return f
}

// addSpeeds takes connect speeds, in bits per second; 0: the message has none. In version
// 3 each message of the set-up may have them, and what it leaves out stays as it was; but
// with a Tx Connect Speed alone, the line is as fast both ways.
func (c *Call) addSpeeds(tx, rx uint64) {
	if tx != 0 {
		c.TxConnectSpeed, c.RxConnectSpeed = speed32(tx), 0
	}
	if rx != 0 {
		c.RxConnectSpeed = speed32(rx)
	}
}

// speed32 is a speed as a Call has it: of what does not fit, the highest.
func speed32(bps uint64) uint32 { return uint32(min(bps, math.MaxUint32)) }
