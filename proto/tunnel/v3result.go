package tunnel

// The Result Codes of CDN that only version 3 has, RFC 3931 section 5.4.2.
const (
	cdnTieLost              uint16 = 13 // "Session not established due to losing tie breaker."
	cdnUnsupportedPW        uint16 = 14 // "Session not established due to unsupported PW type."
	cdnSequencingNoSublayer uint16 = 15 // "sequencing required without valid L2-Specific Sublayer."
	cdnFSMError             uint16 = 16 // "Finite state machine error or timeout."
)
