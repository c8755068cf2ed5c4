package aaa

import (
	"crypto/rand"

	"adit/proto/ppp"
)

// refusalOf is a refusal of ours that no judge has worded, in the words of the
// method. MS-CHAPv2's is ERROR_NO_DIALIN_PERMISSION of RFC 2759 section 6, since
// the password was not the matter.
//
// RFC 3748 section 4.2: "If the authenticator cannot authenticate the peer
// (unacceptable Responses to one or more Requests), then after unsuccessful
// completion of the EAP method in progress, the implementation MUST transmit an EAP
// packet with the Code field set to 4 (Failure)." "The Identifier field MUST match the
// Identifier field of the Response packet that it is sent in response to."
func refusalOf(req ppp.AuthRequest, message string) ppp.Verdict {
	v := ppp.Verdict{Message: message}
	switch req.Method {
	case ppp.MethodMSCHAPv2:
		v.Message = failureOf(ppp.MSCHAPNoDialinPermission, message)
	case ppp.MethodEAP:
		const failure = 4
		if len(req.EAP) > 1 {
			v.EAP = []byte{failure, req.EAP[1], 0, 4}
		}
	case ppp.MethodPAP, ppp.MethodCHAP:
	}
	return v
}

// rejection is a RADIUS server's refusal, in the words of the method also where the
// server does not know them.
func rejection(req ppp.AuthRequest, message string, retry bool, eap []byte) ppp.Verdict {
	if req.Method == ppp.MethodMSCHAPv2 {
		if _, worded := ppp.ParseMSCHAPFailure(message); !worded {
			message, retry = failureOf(ppp.MSCHAPAuthenticationFailure, message), false
		}
	}
	return ppp.Verdict{Message: message, Retry: retry, EAP: eap}
}

// failureOf is the Message of a Failure of MS-CHAPv2 after which the peer may not
// try again. All fields are there: some peers cannot read it otherwise.
//
// RFC 2759 section 6: "The Message field format is: "E=eeeeeeeeee R=r
// C=cccccccccccccccccccccccccccccccc V=vvvvvvvvvv M=<msg>"".
func failureOf(code int, message string) string {
	challenge := make([]byte, 16)
	_, _ = rand.Read(challenge) // it never fails
	return ppp.MSCHAPFailure{Error: code, Challenge: challenge, Version: 3, Message: message}.String()
}
