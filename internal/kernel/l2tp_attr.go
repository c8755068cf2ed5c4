package kernel

import (
	"net/netip"
	"time"

	"github.com/mdlayher/netlink"

	"adit/proto/l2tp"
)

// l2tpGenlVersion is L2TP_GENL_VERSION of <linux/l2tp.h>.
const l2tpGenlVersion = 1

// The commands, L2TP_CMD_ of <linux/l2tp.h>.
const (
	l2tpCmdTunnelCreate uint8 = iota + 1
	l2tpCmdTunnelDelete
	l2tpCmdTunnelModify
	l2tpCmdTunnelGet
	l2tpCmdSessionCreate
	l2tpCmdSessionDelete
	l2tpCmdSessionModify
	l2tpCmdSessionGet
)

// The attributes, L2TP_ATTR_ of <linux/l2tp.h>, that some kernel heeds. Not among them
// are OFFSET (Linux until 4.15), DATA_SEQ, VLAN_ID, MRU, MTU and DEBUG, which kernels
// since 4.19 to 5.12 take and forget: the MTU of an Ethernet is its interface's.
const (
	l2tpAttrPwType      = 1  // u16
	l2tpAttrEncapType   = 2  // u16
	l2tpAttrL2SpecType  = 5  // u8
	l2tpAttrL2SpecLen   = 6  // u8, Linux until 4.15
	l2tpAttrVersion     = 7  // u8
	l2tpAttrIfname      = 8  // string
	l2tpAttrConnID      = 9  // u32
	l2tpAttrPeerConnID  = 10 // u32
	l2tpAttrSessionID   = 11 // u32
	l2tpAttrPeerSession = 12 // u32
	l2tpAttrUDPChecksum = 13 // u8; its presence turns checksums on
	// The kernel sends its "cookie" and expects its "peer cookie". Ours are named as RFC
	// 3931 section 5.4.4 does, by who assigns them, and so the other way round.
	l2tpAttrSentCookie     = 15 // 0, 4 or 8 octets
	l2tpAttrExpectedCookie = 16 // 0, 4 or 8 octets
	l2tpAttrRecvSeq        = 18 // u8
	l2tpAttrSendSeq        = 19 // u8
	l2tpAttrLNSMode        = 20 // u8
	l2tpAttrUsingIPsec     = 21 // u8
	l2tpAttrRecvTimeout    = 22 // u64, milliseconds
	l2tpAttrFD             = 23 // u32
	l2tpAttrIPSource       = 24 // in_addr
	l2tpAttrIPDest         = 25 // in_addr
	l2tpAttrUDPSource      = 26 // u16, in the host's order
	l2tpAttrUDPDest        = 27 // u16
	l2tpAttrStats          = 30 // nested
	l2tpAttrIP6Source      = 31 // in6_addr
	l2tpAttrIP6Dest        = 32 // in6_addr
	l2tpAttrZeroCsum6Tx    = 33 // flag
	l2tpAttrZeroCsum6Rx    = 34 // flag
)

// The attributes nested in l2tpAttrStats, each a u64.
const (
	l2tpStatTxPackets       = 1
	l2tpStatTxBytes         = 2
	l2tpStatTxErrors        = 3
	l2tpStatRxPackets       = 4
	l2tpStatRxBytes         = 5
	l2tpStatRxSeqDiscards   = 6
	l2tpStatRxOOSPackets    = 7
	l2tpStatRxErrors        = 8
	l2tpStatCookieDiscarded = 10 // since Linux 5.14
	l2tpStatRxInvalid       = 11
)

// encodeL2TPTunnel is what TUNNEL_CREATE takes.
func encodeL2TPTunnel(t *L2TPTunnel) ([]byte, error) {
	e := netlink.NewAttributeEncoder()
	e.Uint32(l2tpAttrConnID, t.ID)
	e.Uint32(l2tpAttrPeerConnID, t.PeerID)
	e.Uint8(l2tpAttrVersion, t.Version)
	e.Uint16(l2tpAttrEncapType, uint16(t.Encap))
	if t.FD >= 0 {
		e.Uint32(l2tpAttrFD, uint32(t.FD))
		return e.Encode()
	}
	local, peer := t.Local.Addr().Unmap(), t.Peer.Addr().Unmap()
	if peer.Is4() {
		e.Bytes(l2tpAttrIPSource, local.AsSlice())
		e.Bytes(l2tpAttrIPDest, peer.AsSlice())
	} else {
		e.Bytes(l2tpAttrIP6Source, local.AsSlice())
		e.Bytes(l2tpAttrIP6Dest, peer.AsSlice())
	}
	if t.Encap == L2TPEncapUDP {
		e.Uint16(l2tpAttrUDPSource, t.Local.Port())
		e.Uint16(l2tpAttrUDPDest, t.Peer.Port())
		if t.Checksum {
			e.Uint8(l2tpAttrUDPChecksum, 1)
		}
		e.Flag(l2tpAttrZeroCsum6Tx, t.ZeroChecksum6Tx)
		e.Flag(l2tpAttrZeroCsum6Rx, t.ZeroChecksum6Rx)
	}
	return e.Encode()
}

// decodeL2TPTunnel reads what TUNNEL_GET and the events tell.
func decodeL2TPTunnel(b []byte) (L2TPTunnel, error) {
	t := L2TPTunnel{FD: -1}
	d, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return t, err
	}
	var local, peer netip.Addr
	var localPort, peerPort uint16
	for d.Next() {
		switch d.Type() {
		case l2tpAttrConnID:
			t.ID = d.Uint32()
		case l2tpAttrPeerConnID:
			t.PeerID = d.Uint32()
		case l2tpAttrVersion:
			t.Version = d.Uint8()
		case l2tpAttrEncapType:
			t.Encap = L2TPEncap(d.Uint16())
		case l2tpAttrIPSource, l2tpAttrIP6Source:
			local, _ = netip.AddrFromSlice(d.Bytes())
		case l2tpAttrIPDest, l2tpAttrIP6Dest:
			peer, _ = netip.AddrFromSlice(d.Bytes())
		case l2tpAttrUDPSource:
			localPort = d.Uint16()
		case l2tpAttrUDPDest:
			peerPort = d.Uint16()
		case l2tpAttrUDPChecksum:
			t.Checksum = d.Uint8() != 0
		case l2tpAttrZeroCsum6Tx:
			t.ZeroChecksum6Tx = true
		case l2tpAttrZeroCsum6Rx:
			t.ZeroChecksum6Rx = true
		case l2tpAttrUsingIPsec:
			t.UsingIPsec = d.Uint8() != 0
		case l2tpAttrStats:
			d.Nested(t.Stats.decode)
		}
	}
	t.Local, t.Peer = netip.AddrPortFrom(local, localPort), netip.AddrPortFrom(peer, peerPort)
	return t, d.Err()
}

// encodeL2TPSession is what SESSION_CREATE takes.
func encodeL2TPSession(s *L2TPSession) ([]byte, error) {
	e := netlink.NewAttributeEncoder()
	e.Uint32(l2tpAttrConnID, s.Tunnel)
	if s.PeerTunnel != 0 {
		e.Uint32(l2tpAttrPeerConnID, s.PeerTunnel)
	}
	e.Uint32(l2tpAttrSessionID, s.ID)
	e.Uint32(l2tpAttrPeerSession, s.PeerID)
	e.Uint16(l2tpAttrPwType, uint16(s.Type))
	// Left out, the type would be the default one.
	e.Uint8(l2tpAttrL2SpecType, uint8(s.Sublayer))
	e.Uint8(l2tpAttrL2SpecLen, uint8(sublayerLen(s.Sublayer)))
	if len(s.PeerCookie) > 0 {
		e.Bytes(l2tpAttrSentCookie, s.PeerCookie)
	}
	if len(s.Cookie) > 0 {
		e.Bytes(l2tpAttrExpectedCookie, s.Cookie)
	}
	if s.Interface != "" {
		e.String(l2tpAttrIfname, s.Interface)
	}
	encodeL2TPSequencing(e, s)
	return e.Encode()
}

// encodeL2TPSequencing is what can change during the life of a session.
func encodeL2TPSequencing(e *netlink.AttributeEncoder, s *L2TPSession) {
	e.Uint8(l2tpAttrSendSeq, uint8(boolInt(s.SendSequence)))
	e.Uint8(l2tpAttrRecvSeq, uint8(boolInt(s.RequireSequence)))
	e.Uint8(l2tpAttrLNSMode, uint8(boolInt(s.LNS)))
	e.Uint64(l2tpAttrRecvTimeout, uint64(max(s.ReorderTimeout, 0)/time.Millisecond))
}

// sublayerLen is how many octets a sublayer takes, RFC 3931 section 4.6.
func sublayerLen(s l2tp.SublayerType) int {
	if s == l2tp.SublayerNone {
		return 0
	}
	return 4
}

// decodeL2TPSession reads what SESSION_GET and the events tell.
func decodeL2TPSession(b []byte) (L2TPSession, error) {
	var s L2TPSession
	d, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return s, err
	}
	for d.Next() {
		switch d.Type() {
		case l2tpAttrConnID:
			s.Tunnel = d.Uint32()
		case l2tpAttrPeerConnID:
			s.PeerTunnel = d.Uint32()
		case l2tpAttrSessionID:
			s.ID = d.Uint32()
		case l2tpAttrPeerSession:
			s.PeerID = d.Uint32()
		case l2tpAttrPwType:
			s.Type = l2tp.PseudowireType(d.Uint16())
		case l2tpAttrL2SpecType:
			s.Sublayer = l2tp.SublayerType(d.Uint8())
		case l2tpAttrExpectedCookie:
			s.Cookie = d.Bytes()
		case l2tpAttrSentCookie:
			s.PeerCookie = d.Bytes()
		case l2tpAttrIfname:
			s.Interface = d.String()
		case l2tpAttrSendSeq:
			s.SendSequence = d.Uint8() != 0
		case l2tpAttrRecvSeq:
			s.RequireSequence = d.Uint8() != 0
		case l2tpAttrLNSMode:
			s.LNS = d.Uint8() != 0
		case l2tpAttrUsingIPsec:
			s.UsingIPsec = d.Uint8() != 0
		case l2tpAttrRecvTimeout:
			s.ReorderTimeout = time.Duration(d.Uint64()) * time.Millisecond
		case l2tpAttrStats:
			d.Nested(s.Stats.decode)
		}
	}
	return s, d.Err()
}

// decode reads the attributes nested in l2tpAttrStats.
func (c *L2TPCounters) decode(d *netlink.AttributeDecoder) error {
	for d.Next() {
		switch d.Type() {
		case l2tpStatTxPackets:
			c.TxPackets = d.Uint64()
		case l2tpStatTxBytes:
			c.TxBytes = d.Uint64()
		case l2tpStatTxErrors:
			c.TxErrors = d.Uint64()
		case l2tpStatRxPackets:
			c.RxPackets = d.Uint64()
		case l2tpStatRxBytes:
			c.RxBytes = d.Uint64()
		case l2tpStatRxSeqDiscards:
			c.RxSeqDiscards = d.Uint64()
		case l2tpStatRxOOSPackets:
			c.RxOOSPackets = d.Uint64()
		case l2tpStatRxErrors:
			c.RxErrors = d.Uint64()
		case l2tpStatCookieDiscarded:
			c.RxCookieDiscards = d.Uint64()
		case l2tpStatRxInvalid:
			c.RxInvalid = d.Uint64()
		}
	}
	return d.Err()
}
