package l2tp

const (
	inACK messageSet = 1 << TypeACK

	inCall3 = inICRQ | inICRP | inICCN | inOCRQ | inOCRP | inOCCN
	inSess3 = inCall3 | inCDN | inWEN | inSLI
	inCRQ   = inICRQ | inOCRQ
	inCRP   = inICRP | inOCRP
	inAll3  = inAll | inACK
)

// avpTable3 holds the IETF AVPs of version 3 in the order of their types: those of RFC
// 3931 section 5.4, with the messages of section 6, and of the extensions. Mandatory
// is what section 5.4 says that the M bit SHOULD be.
//
// Those of RFC 2661 in it are for a session of PPP and its telephone call, of which
// RFC 3931 says nothing; M is clear, as a peer need not know them. The rest of RFC 2661
// is recognised and left (see decoder.avp).
var avpTable3 = []avpInfo{
	{AVPMessageType, "Message Type", 3931, true, false, kindUint16, 2, 2, inAll3, inAll3, true},
	{AVPResultCode, "Result Code", 3931, true, false, kindFields, 2, maxValueLen, inStopCCN | inCDN, inStopCCN | inCDN, true},
	{AVPTieBreaker, "Tie Breaker", 3931, true, false, kindUint64, 8, 8, 0, inSCCRQ | inCRQ, true},
	{AVPHostName, "Host Name", 3931, true, false, kindText, 1, maxValueLen, inSCCR, inSCCR, true},
	{AVPVendorName, "Vendor Name", 3931, false, true, kindText, 0, maxValueLen, 0, inSCCR, true},
	{AVPReceiveWindowSize, "Receive Window Size", 3931, true, false, kindUint16, 2, 2, 0, inSCCR, true},
	{AVPQ931CauseCode, "Q.931 Cause Code", 2661, false, false, kindFields, 3, maxValueLen, 0, inCDN, true},
	{AVPCallSerialNumber, "Serial Number", 3931, false, true, kindUint32, 4, 4, inCRQ, inCRQ, true},
	{AVPMinimumBPS, "Minimum BPS", 2661, false, true, kindUint32, 4, 4, 0, inOCRQ, true},
	{AVPMaximumBPS, "Maximum BPS", 2661, false, true, kindUint32, 4, 4, 0, inOCRQ, true},
	{AVPBearerType, "Bearer Type", 2661, false, true, kindUint32, 4, 4, 0, inCRQ, true},
	{AVPFramingType, "Framing Type", 2661, false, true, kindUint32, 4, 4, 0, inICCN | inOCCN | inOCRQ, true},
	{AVPCalledNumber, "Called Number", 2661, false, true, kindText, 0, maxValueLen, 0, inCRQ, true},
	{AVPCallingNumber, "Calling Number", 2661, false, true, kindText, 0, maxValueLen, 0, inICRQ, true},
	{AVPSubAddress, "Sub-Address", 2661, false, true, kindText, 0, maxValueLen, 0, inCRQ, true},
	{AVPPhysicalChannelID, "Physical Channel ID", 3931, false, true, kindUint32, 4, 4, 0, inICRQ | inCRP, true},
	{AVPInitialReceivedConfReq, "Initial Received LCP CONFREQ", 2661, false, true, kindOctets, 0, maxValueLen, 0, inICCN, true},
	{AVPLastSentConfReq, "Last Sent LCP CONFREQ", 2661, false, true, kindOctets, 0, maxValueLen, 0, inICCN, true},
	{AVPLastReceivedConfReq, "Last Received LCP CONFREQ", 2661, false, true, kindOctets, 0, maxValueLen, 0, inICCN, true},
	{AVPProxyAuthenType, "Proxy Authen Type", 2661, false, true, kindUint16, 2, 2, 0, inICCN, true},
	{AVPProxyAuthenName, "Proxy Authen Name", 2661, false, true, kindText, 0, maxValueLen, 0, inICCN, true},
	{AVPProxyAuthenChallenge, "Proxy Authen Challenge", 2661, false, true, kindOctets, 1, maxValueLen, 0, inICCN, true},
	{AVPProxyAuthenID, "Proxy Authen ID", 2661, false, true, kindUint16, 2, 2, 0, inICCN, true},
	{AVPProxyAuthenResponse, "Proxy Authen Response", 2661, false, true, kindOctets, 0, maxValueLen, 0, inICCN, true},
	{AVPCallErrors, "Circuit Errors", 3931, false, true, kindFields, circuitErrorsLen, callErrorsLen, inWEN, inWEN, true},
	{AVPACCM, "ACCM", 2661, false, true, kindFields, 10, 10, 0, inSLI, true},
	{AVPRandomVector, "Random Vector", 3931, true, false, kindOctets, 0, maxValueLen, 0, inAll3, true},
	{AVPPrivateGroupID, "Private Group ID", 2661, false, true, kindOctets, 0, maxValueLen, 0, inICCN, true},
	{AVPPPPDisconnectCause, "PPP Disconnect Cause Code", 3145, false, true, kindFields, 5, maxValueLen, 0, inCDN, true},
	{AVPLCPWantOptions, "LCP Want Options", 3437, false, true, kindOctets, 0, maxValueLen, 0, inICCN | inOCCN, false},
	{AVPLCPAllowOptions, "LCP Allow Options", 3437, false, true, kindOctets, 0, maxValueLen, 0, inICCN | inOCCN, false},
	{AVPLNSLastSentConfReq, "LNS Last Sent LCP CONFREQ", 3437, false, true, kindOctets, 0, maxValueLen, 0, inSLI, false},
	{AVPLNSLastReceivedConfReq, "LNS Last Received LCP CONFREQ", 3437, false, true, kindOctets, 0, maxValueLen, 0, inSLI, false},
	{AVPExtendedVendorID, "Extended Vendor ID", 3931, false, true, kindFields, 6, maxValueLen, 0, inAll3, false},
	{AVPMessageDigest, "Message Digest", 3931, true, false, kindFields, 1, maxValueLen, 0, inAll3, true},
	{AVPRouterID, "Router ID", 3931, true, false, kindUint32, 4, 4, inSCCR, inSCCR, true},
	{AVPAssignedControlConnectionID, "Assigned Control Connection ID", 3931, true, true, kindUint32, 4, 4, inSCCR, inSCCR | inStopCCN, true},
	{AVPPseudowireCapabilities, "Pseudowire Capabilities List", 3931, true, true, kindFields, 2, maxValueLen, inSCCR, inSCCR, true},
	{AVPLocalSessionID, "Local Session ID", 3931, true, true, kindUint32, 4, 4, inSess3, inSess3, true},
	{AVPRemoteSessionID, "Remote Session ID", 3931, true, true, kindUint32, 4, 4, inSess3, inSess3, true},
	{AVPAssignedCookie, "Assigned Cookie", 3931, true, true, kindOctets, 0, 8, 0, inCRQ | inCRP, true},
	{AVPRemoteEndID, "Remote End ID", 3931, true, true, kindOctets, 0, maxValueLen, inCRQ, inCRQ, true},
	{AVPApplicationID, "Application ID", 3931, false, true, kindUint16, 2, 2, 0, inCRQ, true},
	{AVPPseudowireType, "Pseudowire Type", 3931, true, true, kindUint16, 2, 2, inCRQ, inCRQ, true},
	{AVPSublayer, "L2-Specific Sublayer", 3931, true, true, kindUint16, 2, 2, 0, inCall3, true},
	{AVPDataSequencing, "Data Sequencing", 3931, true, true, kindUint16, 2, 2, 0, inCall3, true},
	{AVPCircuitStatus, "Circuit Status", 3931, true, true, kindUint16, 2, 2, inCRQ | inCRP, inCall3 | inSLI, true},
	{AVPPreferredLanguage, "Preferred Language", 3931, false, true, kindText, 0, maxValueLen, 0, inSCCR, true},
	{AVPNonce, "Control Message Authentication Nonce", 3931, true, false, kindOctets, 1, maxValueLen, 0, inSCCR, true},
	{AVPTxConnectSpeed3, "Tx Connect Speed", 3931, false, true, kindUint64, 8, 8, 0, inCall3, true},
	{AVPRxConnectSpeed3, "Rx Connect Speed", 3931, false, true, kindUint64, 8, 8, 0, inCall3, true},
	{AVPFailoverCapability, "Failover Capability", 4951, false, true, kindFields, 6, 6, 0, inSCCR, false},
	{AVPTunnelRecovery, "Tunnel Recovery", 4951, true, false, kindFields, 6, 10, 0, inSCCRQ, false},
	{AVPSuggestedControlSequence, "Suggested Control Sequence", 4951, false, true, kindFields, 6, 10, 0, inSCCRP, false},
	{AVPFailoverSessionState, "Failover Session State", 4951, true, true, kindFields, 6, 10, 0, 0, false},
	{AVPFrameRelayHeaderLength, "Frame Relay Header Length", 4591, false, true, kindUint16, 2, 2, 0, inICRQ | inICRP, false},
	{AVPATMMaxConcatenatedCells, "ATM Maximum Concatenated Cells", 4454, false, true, kindUint16, 2, 2, 0, inICRQ | inICRP | inSLI, false},
	{AVPOAMEmulationRequired, "OAM Emulation Required", 4454, false, true, kindNone, 0, 0, 0, inICRQ | inICRP | inSLI, false},
	{AVPATMAlarmStatus, "ATM Alarm Status", 4454, false, true, kindFields, 4, 4, 0, inSLI, false},
	{AVPInterfaceMTU, "Interface Maximum Transmission Unit", 4667, false, true, kindUint16, 2, 2, 0, inICRQ | inICRP, false},
	{AVPConnectSpeedUpdate, "Connect Speed Update", 5515, false, true, kindFields, 20, 20, 0, 0, false},
	{AVPConnectSpeedUpdateEnable, "Connect Speed Update Enable", 5515, false, true, kindNone, 0, 0, 0, inICRQ, false},
	{AVPECNCapability, "ECN Capability", 9601, false, true, kindNone, 0, 0, 0, inSCCR, false},
}

// Lengths of the Circuit Errors AVP, octets. RFC 3931 section 5.4.5 shows four counters
// in a figure of 18 octets, and says below it that "the Length (before hiding) of this
// AVP is 32", that is 26 octets with the six counters of RFC 2661. Both are read; the
// longer one, which a reader of either kind knows from RFC 2661, is written.
const (
	circuitErrorsLen = 18
	callErrorsLen    = 26
)

// avpIndex3 finds a type's place in avpTable3; -1: not there.
var avpIndex3 = indexAVPs(avpTable3)

// lookupAVP3 is the entry for t in the table of version 3; nil if it has none.
func lookupAVP3(t AVPType) *avpInfo { return lookupIn(avpTable3, &avpIndex3, t) }

// lookupVersion is the entry for t in the table of a version.
func lookupVersion(version uint8, t AVPType) *avpInfo {
	if version == Version3 {
		return lookupAVP3(t)
	}
	return lookupAVP(t)
}

// tableOf is the table of a version.
func tableOf(version uint8) []avpInfo {
	if version == Version3 {
		return avpTable3
	}
	return avpTable
}

// offered says whether an SCCRQ of version 2 carries the AVP to offer version 3. RFC 3931
// section 4.7.3: "any L2TPv3-specific AVPs (i.e., AVPs present within this document and
// not defined within RFC 2661) in the message are sent with each M bit set to 0".
func (a *avpInfo) offered() bool {
	return a.RFC == 3931 && a.Supported && a.Type >= AVPMessageDigest && a.Allowed.Has(TypeSCCRQ)
}
