package radattr

import (
	"strings"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"adit/proto/ppp"
)

// proofLen is the length of the authenticator response of MS-CHAPv2 in words, RFC
// 2759 section 5: "S=" and 40 digits.
const proofLen = 42

// Reject reads an Access-Reject: what the peer is told, and whether it may try
// again, which MS-CHAPv2 knows alone. The message is made for ppp.Verdict: with
// MS-CHAPv2 it is the whole of "E=... R=... C=... V=3 M=...". Nothing in it can
// make a refusal anything else, so that there is no error.
func Reject(p *radius.Packet) (message string, retry bool, eap []byte) {
	message, eap = replyMessage(p), eapMessage(p)
	if text, ok := mschapError(p); ok {
		f, _ := ppp.ParseMSCHAPFailure(text)
		return withReply(text, message), f.Retry, eap
	}
	return message, false, eap
}

// mschapError returns the text of MS-CHAP-Error, RFC 2548 section 2.1.5. Its Ident
// comes first, and not from every server.
func mschapError(p *radius.Packet) (string, bool) {
	v, ok := microsoftValue(p, msCHAPError)
	if !ok || len(v) < 2 {
		return "", false
	}
	for _, text := range []string{string(v[1:]), string(v)} {
		text = strings.TrimRight(text, "\x00")
		if _, ok = ppp.ParseMSCHAPFailure(text); ok {
			return text, true
		}
	}
	return "", false
}

// withReply puts the text for the user behind what MS-CHAPv2 has to say, if that
// has none: RFC 2759 sections 5 and 6 have the form "S=... M=..." and "E=... M=...".
func withReply(mschap, reply string) string {
	switch {
	case mschap == "":
		return reply
	case reply == "" || strings.Contains(mschap, " M="):
		return mschap
	}
	return mschap + " M=" + reply
}

// Challenge reads an Access-Challenge: the EAP request to pass on, the State for
// the next Access-Request, and the text for the user. Without an EAP packet there
// is nothing that PPP could ask by.
//
// RFC 2865 section 4.4: "If the NAS does not support challenge/response, it MUST
// treat an Access-Challenge as though it had received an Access-Reject instead."
func Challenge(p *radius.Packet) (eap, state []byte, message string) {
	if s, ok := p.Lookup(rfc2865.State_Type); ok {
		state = append([]byte{}, s...)
	}
	return eapMessage(p), state, replyMessage(p)
}

// microsoftValue returns the value of the first of Microsoft's attributes of this
// type.
func microsoftValue(p *radius.Packet, t uint8) ([]byte, bool) {
	for _, avp := range p.Attributes {
		if avp.Type != rfc2865.VendorSpecific_Type {
			continue
		}
		id, v, err := radius.VendorSpecific(avp.Attribute)
		if err != nil || id != vendorMicrosoft {
			continue
		}
		for len(v) >= 2 && v[1] >= 2 && int(v[1]) <= len(v) {
			if v[0] == t {
				return v[2:v[1]], true
			}
			v = v[v[1]:]
		}
	}
	return nil, false
}
