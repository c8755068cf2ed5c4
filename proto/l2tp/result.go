package l2tp

import (
	"fmt"
	"strings"
)

// The Result Codes of StopCCN, RFC 2661 section 4.4.2. 8 is of RFC 3308.
const (
	StopCCNGeneral            uint16 = 1 // general request to clear the control connection
	StopCCNGeneralError       uint16 = 2 // the Error Code says which
	StopCCNAlreadyExists      uint16 = 3 // control channel already exists
	StopCCNNotAuthorized      uint16 = 4 // requester may not establish a control channel
	StopCCNUnsupportedVersion uint16 = 5 // the Error Code is the highest version supported
	StopCCNShuttingDown       uint16 = 6 // requester is being shut down
	StopCCNFSMError           uint16 = 7 // finite state machine error
	StopCCNDiffserv           uint16 = 8 // the peer's CCDS AVP cannot be accepted
)

// The Result Codes of CDN, RFC 2661 section 4.4.2. 12 is of RFC 3308.
const (
	CDNLossOfCarrier         uint16 = 1
	CDNGeneralError          uint16 = 2 // the Error Code says which
	CDNAdministrative        uint16 = 3
	CDNNoFacilitiesTemporary uint16 = 4
	CDNNoFacilitiesPermanent uint16 = 5
	CDNInvalidDestination    uint16 = 6
	CDNNoCarrier             uint16 = 7
	CDNBusy                  uint16 = 8
	CDNNoDialTone            uint16 = 9
	CDNNotEstablishedInTime  uint16 = 10
	CDNNoAppropriateFraming  uint16 = 11
	CDNDiffserv              uint16 = 12
)

// generalError is the Result Code that means the same in StopCCN and CDN.
const generalError = StopCCNGeneralError

// ErrorCode is the general Error Code of the Result Code AVP.
type ErrorCode uint16

// The Error Codes of RFC 2661 section 4.4.2 and RFC 3931 section 5.4.2.
const (
	ErrorNone                  ErrorCode = 0
	ErrorNoControlConnection   ErrorCode = 1 // no control connection exists yet
	ErrorLength                ErrorCode = 2 // length is wrong
	ErrorValue                 ErrorCode = 3 // out of range, or reserved field not zero
	ErrorInsufficientResources ErrorCode = 4
	ErrorInvalidSession        ErrorCode = 5 // Session ID invalid in this context
	ErrorVendorSpecific        ErrorCode = 6 // the message says more
	ErrorTryAnother            ErrorCode = 7 // try another LNS
	ErrorUnknownMandatoryAVP   ErrorCode = 8
	// ErrorTryAnotherDirected is of RFC 3931 section 5.4.2: "The Error Message MUST
	// contain a comma-separated list of addresses from which the initiator may choose."
	ErrorTryAnotherDirected ErrorCode = 9
)

var errorTexts = [...]string{
	"no general error",
	"no control connection exists yet",
	"length is wrong",
	"field value out of range or reserved field not zero",
	"insufficient resources",
	"Session ID invalid in this context",
	"vendor-specific error",
	"try another",
	"unknown AVP with the M bit set",
	"try another directed",
}

// String is the RFC's text in short.
func (e ErrorCode) String() string {
	if int(e) < len(errorTexts) {
		return errorTexts[e]
	}
	return fmt.Sprintf("error code %d", uint16(e))
}

var stopCCNTexts = [...]string{
	"reserved",
	"general request to clear control connection",
	"general error",
	"control channel already exists",
	"requester is not authorized to establish a control channel",
	"protocol version of the requester is not supported",
	"requester is being shut down",
	"finite state machine error",
	"Diffserv code point not acceptable",
}

var cdnTexts = [...]string{
	"reserved",
	"call disconnected due to loss of carrier",
	"general error",
	"call disconnected for administrative reasons",
	"lack of facilities (temporary)",
	"lack of facilities (permanent)",
	"invalid destination",
	"no carrier detected",
	"busy signal detected",
	"no dial tone",
	"call not established within the time allotted by the LAC",
	"call connected but no appropriate framing detected",
	"Diffserv code point not acceptable",
}

// ResultCode is the value of the Result Code AVP, RFC 2661 section 4.4.2: why a
// tunnel (StopCCN) or a session (CDN) ends. The zero value says nothing.
type ResultCode struct {
	Result  uint16    // of StopCCN or CDN: the same number means different things
	Error   ErrorCode // optional
	Message string    // optional, UTF-8, for a human
}

// text is the result in the words of version 2; empty: there are none.
func (r ResultCode) text(t MessageType) string {
	switch {
	case t == TypeCDN && int(r.Result) < len(cdnTexts):
		return cdnTexts[r.Result]
	case t == TypeStopCCN && int(r.Result) < len(stopCCNTexts):
		return stopCCNTexts[r.Result]
	}
	return ""
}

// String is the result in words as far as they are the same for StopCCN and
// CDN. DescribeVersion says more.
func (r ResultCode) String() string {
	if r.Result == generalError {
		return r.format("general error")
	}
	return r.format("")
}

func (r ResultCode) format(text string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "result %d", r.Result)
	if text != "" {
		fmt.Fprintf(&b, " (%s)", text)
	}
	if r.Error != 0 {
		fmt.Fprintf(&b, ", error %d", uint16(r.Error))
		if int(r.Error) < len(errorTexts) {
			fmt.Fprintf(&b, " (%s)", r.Error)
		}
	}
	if r.Message != "" {
		// The peer wrote it: quoted, so that it cannot forge a line of the log.
		fmt.Fprintf(&b, ": %q", r.Message)
	}
	return b.String()
}

// Q931Cause is the value of the Q.931 Cause Code AVP, RFC 2661 section 4.4.4.
type Q931Cause struct {
	Cause    uint16 // in its native ITU encoding
	Message  uint8  // the Q.931 message code, such as DISCONNECT
	Advisory string // optional ASCII text
}

// String is the cause for the log.
func (q Q931Cause) String() string {
	s := fmt.Sprintf("Q.931 cause %d, message %d", q.Cause, q.Message)
	if q.Advisory != "" {
		s += fmt.Sprintf(": %q", q.Advisory)
	}
	return s
}

// PPPDisconnect is the value of the PPP Disconnect Cause Code AVP, RFC 3145.
type PPPDisconnect struct {
	Code      uint16 // Disconnect Code, section 3
	Protocol  uint16 // PPP number of the control protocol that failed; 0: none
	Direction uint8  // DirectionGlobal, DirectionPeer or DirectionLocal
	Message   string // optional, UTF-8
}

// The directions of a PPPDisconnect, RFC 3145 section 2.
const (
	DirectionGlobal uint8 = 0
	DirectionPeer   uint8 = 1
	DirectionLocal  uint8 = 2
)

// The Disconnect Codes of RFC 3145 section 3.
const (
	DisconnectNoInformation          uint16 = 0
	DisconnectAdministrative         uint16 = 1
	DisconnectRenegotiationDisabled  uint16 = 2
	DisconnectNormal                 uint16 = 3
	DisconnectEncryptionRefused      uint16 = 4
	DisconnectLCPTimeout             uint16 = 5
	DisconnectLCPNoPackets           uint16 = 6
	DisconnectLCPLoopback            uint16 = 7
	DisconnectLCPEchoTimeout         uint16 = 8
	DisconnectMPEndpoint             uint16 = 9
	DisconnectMPMRRU                 uint16 = 10
	DisconnectMPShortSequence        uint16 = 11
	DisconnectCallbackRefused        uint16 = 12
	DisconnectAuthTimeout            uint16 = 13
	DisconnectMPAuthName             uint16 = 14
	DisconnectAuthProtocol           uint16 = 15
	DisconnectAuthFailed             uint16 = 16
	DisconnectNCPTimeout             uint16 = 17
	DisconnectNoNCP                  uint16 = 18
	DisconnectAddressesNotConverging uint16 = 19
	DisconnectAddressNotPermitted    uint16 = 20
)

var disconnectTexts = [...]string{
	"no information available",
	"administrative disconnect",
	"LCP renegotiation at the LNS is disabled and no proxy LCP was sent",
	"normal disconnection, LCP Terminate-Request sent",
	"compulsory encryption was refused",
	"LCP timeout",
	"no recognizable LCP packets received",
	"LCP magic number error, link possibly looped back",
	"LCP echo request timeout",
	"unexpected Endpoint-Discriminator for the multilink bundle",
	"unexpected MRRU for the multilink bundle",
	"unexpected Short-Sequence-Number option for the multilink bundle",
	"compulsory call-back was refused",
	"authentication timeout",
	"unexpected authenticated name for the multilink bundle",
	"authentication protocol unacceptable",
	"authentication failed",
	"network control protocol timeout",
	"no network control protocol available",
	"failed to converge on acceptable addresses",
	"user not permitted to use any addresses",
}

// String is the cause for the log.
func (p PPPDisconnect) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "PPP disconnect code %d", p.Code)
	if int(p.Code) < len(disconnectTexts) {
		fmt.Fprintf(&b, " (%s)", disconnectTexts[p.Code])
	}
	if p.Protocol != 0 {
		fmt.Fprintf(&b, ", protocol %#04x", p.Protocol)
	}
	switch p.Direction {
	case DirectionGlobal:
	case DirectionPeer:
		b.WriteString(", at peer")
	case DirectionLocal:
		b.WriteString(", at local")
	default:
		fmt.Fprintf(&b, ", direction %d", p.Direction)
	}
	if p.Message != "" {
		fmt.Fprintf(&b, ": %q", p.Message)
	}
	return b.String()
}
