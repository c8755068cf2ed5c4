package l2tp

import "fmt"

// AVPType is the Attribute Type of an AVP, of the IETF (Vendor ID 0) unless said
// otherwise.
type AVPType uint16

// The AVPs of RFC 2661 section 4.4 and RFC 3145.
const (
	AVPMessageType            AVPType = 0
	AVPResultCode             AVPType = 1
	AVPProtocolVersion        AVPType = 2
	AVPFramingCapabilities    AVPType = 3
	AVPBearerCapabilities     AVPType = 4
	AVPTieBreaker             AVPType = 5
	AVPFirmwareRevision       AVPType = 6
	AVPHostName               AVPType = 7
	AVPVendorName             AVPType = 8
	AVPAssignedTunnelID       AVPType = 9
	AVPReceiveWindowSize      AVPType = 10
	AVPChallenge              AVPType = 11
	AVPQ931CauseCode          AVPType = 12
	AVPChallengeResponse      AVPType = 13
	AVPAssignedSessionID      AVPType = 14
	AVPCallSerialNumber       AVPType = 15
	AVPMinimumBPS             AVPType = 16
	AVPMaximumBPS             AVPType = 17
	AVPBearerType             AVPType = 18
	AVPFramingType            AVPType = 19
	AVPCalledNumber           AVPType = 21
	AVPCallingNumber          AVPType = 22
	AVPSubAddress             AVPType = 23
	AVPTxConnectSpeed         AVPType = 24
	AVPPhysicalChannelID      AVPType = 25
	AVPInitialReceivedConfReq AVPType = 26
	AVPLastSentConfReq        AVPType = 27
	AVPLastReceivedConfReq    AVPType = 28
	AVPProxyAuthenType        AVPType = 29
	AVPProxyAuthenName        AVPType = 30
	AVPProxyAuthenChallenge   AVPType = 31
	AVPProxyAuthenID          AVPType = 32
	AVPProxyAuthenResponse    AVPType = 33
	AVPCallErrors             AVPType = 34
	AVPACCM                   AVPType = 35
	AVPRandomVector           AVPType = 36
	AVPPrivateGroupID         AVPType = 37
	AVPRxConnectSpeed         AVPType = 38
	AVPSequencingRequired     AVPType = 39
	AVPPPPDisconnectCause     AVPType = 46
)

// The AVPs of RFC 3931 that version 2 does not have, section 5.4. Others of version 3
// have the numbers of version 2, some by a new name.
const (
	AVPExtendedVendorID            AVPType = 58
	AVPMessageDigest               AVPType = 59
	AVPRouterID                    AVPType = 60
	AVPAssignedControlConnectionID AVPType = 61
	AVPPseudowireCapabilities      AVPType = 62
	AVPLocalSessionID              AVPType = 63
	AVPRemoteSessionID             AVPType = 64
	AVPAssignedCookie              AVPType = 65
	AVPRemoteEndID                 AVPType = 66
	AVPApplicationID               AVPType = 67 // Application Code in the registry; no RFC defines it
	AVPPseudowireType              AVPType = 68
	AVPSublayer                    AVPType = 69
	AVPDataSequencing              AVPType = 70
	AVPCircuitStatus               AVPType = 71
	AVPPreferredLanguage           AVPType = 72
	AVPNonce                       AVPType = 73
	AVPTxConnectSpeed3             AVPType = 74
	AVPRxConnectSpeed3             AVPType = 75
)

// The AVPs of the extensions, which the table knows by name and length only.
const (
	AVPControlConnectionDS      AVPType = 47  // RFC 3308
	AVPSessionDS                AVPType = 48  // RFC 3308
	AVPLCPWantOptions           AVPType = 49  // RFC 3437
	AVPLCPAllowOptions          AVPType = 50  // RFC 3437
	AVPLNSLastSentConfReq       AVPType = 51  // RFC 3437
	AVPLNSLastReceivedConfReq   AVPType = 52  // RFC 3437
	AVPFailoverCapability       AVPType = 76  // RFC 4951
	AVPTunnelRecovery           AVPType = 77  // RFC 4951
	AVPSuggestedControlSequence AVPType = 78  // RFC 4951
	AVPFailoverSessionState     AVPType = 79  // RFC 4951
	AVPFrameRelayHeaderLength   AVPType = 85  // RFC 4591
	AVPATMMaxConcatenatedCells  AVPType = 86  // RFC 4454
	AVPOAMEmulationRequired     AVPType = 87  // RFC 4454
	AVPATMAlarmStatus           AVPType = 88  // RFC 4454
	AVPInterfaceMTU             AVPType = 91  // RFC 4667
	AVPConnectSpeedUpdate       AVPType = 97  // RFC 5515
	AVPConnectSpeedUpdateEnable AVPType = 98  // RFC 5515
	AVPECNCapability            AVPType = 103 // RFC 9601
)

// vendor3Com marks the draft form of the PPP Disconnect Cause Code AVP.
const vendor3Com uint16 = 43

// String is the RFC's name and the number: the name of version 2 if both have one.
func (t AVPType) String() string {
	for _, info := range []*avpInfo{lookupAVP(t), lookupAVP3(t)} {
		if info != nil {
			return fmt.Sprintf("%s (%d)", info.Name, uint16(t))
		}
	}
	return fmt.Sprintf("AVP %d", uint16(t))
}

// avpName is the name of an AVP of any vendor.
func avpName(vendor uint16, t AVPType) string {
	if vendor == 0 {
		return t.String()
	}
	if info := lookupAccess(t); info != nil && vendor == VendorADSLForum {
		return fmt.Sprintf("%s (%d of vendor %d)", info.Name, uint16(t), vendor)
	}
	return fmt.Sprintf("AVP %d of vendor %d", uint16(t), vendor)
}
