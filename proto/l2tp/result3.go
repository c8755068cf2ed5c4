package l2tp

// The Result Codes of CDN that version 3 has besides those below 6, RFC 3931 section
// 5.4.2, and of its pseudowires.
const (
	CDNTieLost              uint16 = 13 // losing tie breaker
	CDNUnsupportedPW        uint16 = 14 // unsupported PW type
	CDNSequencingNoSublayer uint16 = 15 // sequencing required without valid L2-Specific Sublayer
	CDNFSMError             uint16 = 16 // finite state machine error or timeout
	CDNFRDeleted            uint16 = 17 // RFC 4591
	CDNFRInactive           uint16 = 18 // RFC 4591
	CDNFRHeaderLength       uint16 = 19 // RFC 4591
	CDNHDLCDeleted          uint16 = 20 // RFC 4349
	CDNHDLCInactive         uint16 = 21 // RFC 4349
	CDNNoOAMEmulation       uint16 = 22 // RFC 4454
)

// stopCCNTexts3 are the texts of version 3 that are not those of version 2.
var stopCCNTexts3 = map[uint16]string{
	StopCCNAlreadyExists: "control connection already exists",
	StopCCNNotAuthorized: "requester is not authorized to establish a control connection",
	StopCCNFSMError:      "finite state machine error or timeout",
}

// cdnTexts3 are the same for CDN.
var cdnTexts3 = map[uint16]string{
	CDNLossOfCarrier:         "session disconnected due to loss of carrier or circuit disconnect",
	CDNAdministrative:        "session disconnected for administrative reasons",
	CDNNoFacilitiesTemporary: "session establishment failed due to lack of facilities (temporary)",
	CDNNoFacilitiesPermanent: "session establishment failed due to lack of facilities (permanent)",
	CDNTieLost:               "session not established due to losing tie breaker",
	CDNUnsupportedPW:         "session not established due to unsupported pseudowire type",
	CDNSequencingNoSublayer:  "session not established, sequencing required without valid L2-Specific Sublayer",
	CDNFSMError:              "finite state machine error or timeout",
	CDNFRDeleted:             "Frame Relay PVC deleted permanently",
	CDNFRInactive:            "Frame Relay PVC inactive for an extended period of time",
	CDNFRHeaderLength:        "mismatched Frame Relay header length",
	CDNHDLCDeleted:           "HDLC link deleted permanently",
	CDNHDLCInactive:          "HDLC link inactive for an extended period of time",
	CDNNoOAMEmulation:        "session not established, OAM cell emulation not supported",
}

// DescribeVersion is the result in words, for a tunnel of a version and the message type
// that carries it: TypeCDN or TypeStopCCN. The same number means more things in version 3,
// which a session needs no telephone call for.
func (r ResultCode) DescribeVersion(version uint8, t MessageType) string {
	if version == Version3 {
		texts := stopCCNTexts3
		if t == TypeCDN {
			texts = cdnTexts3
		}
		if text, ok := texts[r.Result]; ok {
			return r.format(text)
		}
	}
	return r.format(r.text(t))
}
