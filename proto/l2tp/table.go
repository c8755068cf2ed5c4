package l2tp

import "fmt"

// kind is the form of an AVP's value.
type kind uint8

// The kinds of value.
const (
	kindNone   kind = iota // no value
	kindUint16             // 2 octets
	kindUint32             // 4 octets
	kindUint64             // 8 octets
	kindText               // characters for a human or a directory
	kindOctets             // octets of arbitrary content
	kindFields             // several fields
)

// String names the kind.
func (k kind) String() string {
	switch k {
	case kindNone:
		return "none"
	case kindUint16:
		return "uint16"
	case kindUint32:
		return "uint32"
	case kindUint64:
		return "uint64"
	case kindText:
		return "text"
	case kindOctets:
		return "octets"
	case kindFields:
		return "fields"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// messageSet is a set of message types: bit n stands for type n.
type messageSet uint32

// Has says whether t is in the set.
func (s messageSet) Has(t MessageType) bool { return t < 32 && s&(1<<t) != 0 }

const (
	inSCCRQ   messageSet = 1 << TypeSCCRQ
	inSCCRP   messageSet = 1 << TypeSCCRP
	inSCCCN   messageSet = 1 << TypeSCCCN
	inStopCCN messageSet = 1 << TypeStopCCN
	inHELLO   messageSet = 1 << TypeHELLO
	inOCRQ    messageSet = 1 << TypeOCRQ
	inOCRP    messageSet = 1 << TypeOCRP
	inOCCN    messageSet = 1 << TypeOCCN
	inICRQ    messageSet = 1 << TypeICRQ
	inICRP    messageSet = 1 << TypeICRP
	inICCN    messageSet = 1 << TypeICCN
	inCDN     messageSet = 1 << TypeCDN
	inWEN     messageSet = 1 << TypeWEN
	inSLI     messageSet = 1 << TypeSLI

	inSCCR = inSCCRQ | inSCCRP
	inAll  = inSCCR | inSCCCN | inStopCCN | inHELLO | inOCRQ | inOCRP | inOCCN |
		inICRQ | inICRP | inICCN | inCDN | inWEN | inSLI
)

// avpInfo is what the RFCs rule about an IETF AVP.
type avpInfo struct {
	Type AVPType
	Name string
	RFC  int
	// Mandatory is the M bit that must be sent. On receipt the M bit is taken
	// as it comes.
	Mandatory bool
	// MayHide says that the value may be hidden. Otherwise it must not be sent
	// so; on receipt only Message Type and Random Vector insist on that.
	MayHide bool
	Kind    kind
	// Min and Max are the limits of the value's length before hiding, octets.
	Min, Max int
	// Required are the messages that must carry it, Allowed those that may.
	Required, Allowed messageSet
	// Supported says that a message has a field for it. An AVP that is not
	// supported is unrecognised in the sense of RFC 2661 section 4.1: with the
	// M bit it ends the tunnel or session, without it is left in Unparsed.
	Supported bool
}

// avpTable holds the IETF AVPs in the order of their types. An extension is
// taken into use by giving its message a field and setting Supported here.
var avpTable = []avpInfo{
	{AVPMessageType, "Message Type", 2661, true, false, kindUint16, 2, 2, inAll, inAll, true},
	{AVPResultCode, "Result Code", 2661, true, false, kindFields, 2, maxValueLen, inStopCCN | inCDN, inStopCCN | inCDN, true},
	{AVPProtocolVersion, "Protocol Version", 2661, true, false, kindUint16, 2, 2, inSCCR, inSCCR, true},
	{AVPFramingCapabilities, "Framing Capabilities", 2661, true, true, kindUint32, 4, 4, inSCCR, inSCCR, true},
	{AVPBearerCapabilities, "Bearer Capabilities", 2661, true, true, kindUint32, 4, 4, 0, inSCCR, true},
	{AVPTieBreaker, "Tie Breaker", 2661, false, false, kindUint64, 8, 8, 0, inSCCRQ, true},
	{AVPFirmwareRevision, "Firmware Revision", 2661, false, true, kindUint16, 2, 2, 0, inSCCR, true},
	{AVPHostName, "Host Name", 2661, true, false, kindText, 1, maxValueLen, inSCCR, inSCCR, true},
	{AVPVendorName, "Vendor Name", 2661, false, true, kindText, 0, maxValueLen, 0, inSCCR, true},
	{AVPAssignedTunnelID, "Assigned Tunnel ID", 2661, true, true, kindUint16, 2, 2, inSCCR | inStopCCN, inSCCR | inStopCCN, true},
	{AVPReceiveWindowSize, "Receive Window Size", 2661, true, false, kindUint16, 2, 2, 0, inSCCR, true},
	{AVPChallenge, "Challenge", 2661, true, true, kindOctets, 1, maxValueLen, 0, inSCCR, true},
	{AVPQ931CauseCode, "Q.931 Cause Code", 2661, true, false, kindFields, 3, maxValueLen, 0, inCDN, true},
	{AVPChallengeResponse, "Challenge Response", 2661, true, true, kindOctets, 16, 16, 0, inSCCRP | inSCCCN, true},
	{AVPAssignedSessionID, "Assigned Session ID", 2661, true, true, kindUint16, 2, 2, inCDN | inICRP | inICRQ | inOCRP | inOCRQ, inCDN | inICRP | inICRQ | inOCRP | inOCRQ, true},
	{AVPCallSerialNumber, "Call Serial Number", 2661, true, true, kindUint32, 4, 4, inICRQ | inOCRQ, inICRQ | inOCRQ, true},
	{AVPMinimumBPS, "Minimum BPS", 2661, true, true, kindUint32, 4, 4, inOCRQ, inOCRQ, true},
	{AVPMaximumBPS, "Maximum BPS", 2661, true, true, kindUint32, 4, 4, inOCRQ, inOCRQ, true},
	{AVPBearerType, "Bearer Type", 2661, true, true, kindUint32, 4, 4, inOCRQ, inICRQ | inOCRQ, true},
	{AVPFramingType, "Framing Type", 2661, true, true, kindUint32, 4, 4, inICCN | inOCCN | inOCRQ, inICCN | inOCCN | inOCRQ, true},
	{AVPCalledNumber, "Called Number", 2661, true, true, kindText, 0, maxValueLen, inOCRQ, inICRQ | inOCRQ, true},
	{AVPCallingNumber, "Calling Number", 2661, true, true, kindText, 0, maxValueLen, 0, inICRQ, true},
	{AVPSubAddress, "Sub-Address", 2661, true, true, kindText, 0, maxValueLen, 0, inICRQ | inOCRQ, true},
	{AVPTxConnectSpeed, "(Tx) Connect Speed", 2661, true, true, kindUint32, 4, 4, inICCN | inOCCN, inICCN | inOCCN, true},
	{AVPPhysicalChannelID, "Physical Channel ID", 2661, false, true, kindUint32, 4, 4, 0, inICRQ | inOCRP, true},
	{AVPInitialReceivedConfReq, "Initial Received LCP CONFREQ", 2661, false, true, kindOctets, 0, maxValueLen, 0, inICCN, true},
	{AVPLastSentConfReq, "Last Sent LCP CONFREQ", 2661, false, true, kindOctets, 0, maxValueLen, 0, inICCN, true},
	{AVPLastReceivedConfReq, "Last Received LCP CONFREQ", 2661, false, true, kindOctets, 0, maxValueLen, 0, inICCN, true},
	{AVPProxyAuthenType, "Proxy Authen Type", 2661, false, true, kindUint16, 2, 2, 0, inICCN, true},
	{AVPProxyAuthenName, "Proxy Authen Name", 2661, false, true, kindText, 0, maxValueLen, 0, inICCN, true},
	{AVPProxyAuthenChallenge, "Proxy Authen Challenge", 2661, false, true, kindOctets, 1, maxValueLen, 0, inICCN, true},
	{AVPProxyAuthenID, "Proxy Authen ID", 2661, false, true, kindUint16, 2, 2, 0, inICCN, true},
	{AVPProxyAuthenResponse, "Proxy Authen Response", 2661, false, true, kindOctets, 0, maxValueLen, 0, inICCN, true},
	{AVPCallErrors, "Call Errors", 2661, true, true, kindFields, 26, 26, inWEN, inWEN, true},
	{AVPACCM, "ACCM", 2661, true, true, kindFields, 10, 10, inSLI, inSLI, true},
	{AVPRandomVector, "Random Vector", 2661, true, false, kindOctets, 0, maxValueLen, 0, inAll, true},
	{AVPPrivateGroupID, "Private Group ID", 2661, false, true, kindOctets, 0, maxValueLen, 0, inICCN, true},
	{AVPRxConnectSpeed, "Rx Connect Speed", 2661, false, true, kindUint32, 4, 4, 0, inICCN | inOCCN, true},
	{AVPSequencingRequired, "Sequencing Required", 2661, true, false, kindNone, 0, 0, 0, inICCN | inOCCN, true},
	{AVPPPPDisconnectCause, "PPP Disconnect Cause Code", 3145, false, true, kindFields, 5, maxValueLen, 0, inCDN, true},

	{AVPControlConnectionDS, "Control Connection DS", 3308, false, true, kindUint16, 2, 2, 0, inSCCR, false},
	{AVPSessionDS, "Session DS", 3308, false, true, kindUint16, 2, 2, 0, inICRQ | inICRP | inOCRQ | inOCRP, false},
	{AVPLCPWantOptions, "LCP Want Options", 3437, false, true, kindOctets, 0, maxValueLen, 0, inICCN | inOCCN, false},
	{AVPLCPAllowOptions, "LCP Allow Options", 3437, false, true, kindOctets, 0, maxValueLen, 0, inICCN | inOCCN, false},
	{AVPLNSLastSentConfReq, "LNS Last Sent LCP CONFREQ", 3437, false, true, kindOctets, 0, maxValueLen, 0, inSLI, false},
	{AVPLNSLastReceivedConfReq, "LNS Last Received LCP CONFREQ", 3437, false, true, kindOctets, 0, maxValueLen, 0, inSLI, false},
	{AVPFailoverCapability, "Failover Capability", 4951, false, true, kindFields, 6, 6, 0, inSCCR, false},
	{AVPTunnelRecovery, "Tunnel Recovery", 4951, true, false, kindFields, 6, 10, 0, inSCCRQ, false},
	{AVPSuggestedControlSequence, "Suggested Control Sequence", 4951, false, true, kindFields, 6, 10, 0, inSCCRP, false},
	{AVPFailoverSessionState, "Failover Session State", 4951, true, true, kindFields, 6, 10, 0, 0, false},
	{AVPConnectSpeedUpdate, "Connect Speed Update", 5515, false, true, kindFields, 12, 12, 0, 0, false},
	{AVPConnectSpeedUpdateEnable, "Connect Speed Update Enable", 5515, false, true, kindNone, 0, 0, 0, inICRQ, false},
	{AVPECNCapability, "ECN Capability", 9601, false, true, kindNone, 0, 0, 0, inSCCR, false},
}

// avpIndex finds a type's place in avpTable; -1: not there.
var avpIndex = indexAVPs(avpTable)

// avpIndexes are the places of types in a table.
type avpIndexes [AVPECNCapability + 1]int8

func indexAVPs(table []avpInfo) (index avpIndexes) {
	for i := range index {
		index[i] = -1
	}
	for i, info := range table {
		index[info.Type] = int8(i)
	}
	return index
}

// lookupAVP is the entry for t in the table of version 2; nil if it has none.
func lookupAVP(t AVPType) *avpInfo { return lookupIn(avpTable, &avpIndex, t) }

func lookupIn(table []avpInfo, index *avpIndexes, t AVPType) *avpInfo {
	if int(t) >= len(index) || index[t] < 0 {
		return nil
	}
	return &table[index[t]]
}

// lengthOK says whether a value of n octets can be this AVP's.
func (a *avpInfo) lengthOK(n int) bool {
	if n < a.Min || n > a.Max {
		return false
	}
	switch a.Type {
	case AVPResultCode:
		// "The Length is 8 if there is no Error Code or Message, 10 if there is an
		// Error Code": half an Error Code is nothing.
		return n != 3
	case AVPPseudowireCapabilities:
		// "The Length (before hiding) of this AVP is 8 octets with one PW type
		// specified, plus 2 octets for each additional PW type."
		return n%2 == 0
	case AVPAssignedCookie:
		// "The Length (before hiding) of this AVP may be 6, 10, or 14 octets."
		return CookieLengthOK(n)
	case AVPCallErrors:
		return n == circuitErrorsLen || n == callErrorsLen
	default:
		return true
	}
}
