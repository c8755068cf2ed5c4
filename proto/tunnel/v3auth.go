package tunnel

import "adit/proto/l2tp"

// nonceLen is how long our nonces are. RFC 3931 section 5.4.1: "The Nonce is of
// arbitrary length, though at least 16 octets is recommended."
const nonceLen = 16

// authentication is the Control Message Authentication of a control connection of
// version 3, RFC 3931 section 4.3.
type authentication struct {
	// required: there is a shared secret, so every message has to prove that its
	// sender knows it. Otherwise a digest is an integrity check.
	required bool
	// digests are those of the messages that we send; none: they have none.
	digests []l2tp.DigestType
	// secrets are those that count, and keys what is derived from them; without a
	// secret there is the key of the empty one.
	secrets [][]byte
	keys    [][]byte
	// chosen says which of them is the peer's, by its last message.
	chosen int
	known  bool
	// local is our nonce once the peer was told, remote the peer's. RFC 3931 section
	// 5.4.1: "The local_nonce and remote_nonce are advertised via the Control Message
	// Authentication Nonce AVP".
	local, remote []byte
}

func newAuthentication(cfg *Config) authentication {
	a := authentication{digests: cfg.Digests}
	for _, secret := range [][]byte{cfg.Secret, cfg.OtherSecret} {
		if len(secret) > 0 {
			a.secrets = append(a.secrets, secret)
			a.keys = append(a.keys, l2tp.SharedKey(secret))
		}
	}
	if a.required = len(a.keys) > 0; a.required {
		if len(a.digests) == 0 {
			// "Digest Type 0 (HMAC-MD5) MUST be supported".
			a.digests = []l2tp.DigestType{l2tp.DigestMD5}
		}
		return a
	}
	// "The integrity check is calculated as in Section 5.4.3, with an empty
	// zero-length shared secret, local nonce, and remote nonce."
	a.secrets, a.keys = [][]byte{nil}, [][]byte{l2tp.SharedKey(nil)}
	return a
}

// secret is the one to hide AVPs with, and to find what is hidden.
func (a *authentication) secret() []byte { return a.secrets[a.chosen] }

// messageDigests are the digests of the next message: as long as it is not known
// which of two secrets the peer has, one by each.
//
// RFC 3931 section 5.4.1: "To allow for graceful switchover to a new shared secret
// or hash algorithm, two Message Digest AVPs MAY be present in a control message".
func (a *authentication) messageDigests() []l2tp.DigestType {
	if len(a.digests) > 0 && a.bothKeys() {
		return []l2tp.DigestType{a.digests[0], a.digests[0]}
	}
	return a.digests
}

func (a *authentication) bothKeys() bool { return len(a.keys) > 1 && !a.known }

// seal fills in the digests of a packet of ours. It is called as the packet leaves,
// so it takes the nonces that are known by then. The SCCRQ, which is signed without
// nonces, is the message that may have a digest by each of two secrets.
func (a *authentication) seal(packet []byte) {
	keys := a.keys[a.chosen : a.chosen+1]
	if m, ok := l2tp.PeekMessageType(packet[l2tp.ControlHeaderLen:]); ok && m == l2tp.TypeSCCRQ && a.bothKeys() {
		keys = a.keys
	}
	// It could fail for a packet without digest AVPs; ours have them.
	_ = l2tp.Sign(packet, keys, a.local, a.remote)
}

// verify says whether a packet is what its sender, who knows a secret, has sent.
//
// RFC 3931 section 5.4.1: "If two shared secrets are configured, each (separately)
// MUST be used for calculating a digest to be compared to the Message Digest(s)
// received."
func (a *authentication) verify(packet, local, remote []byte) bool {
	for i := range a.keys {
		if l2tp.Verify(packet, a.keys[i:i+1], local, remote) == nil {
			a.chosen, a.known = i, true
			return true
		}
	}
	return false
}

// verifySCCRQ checks the SCCRQ that may begin a tunnel; one without a nonce is left
// for a StopCCN to answer.
func (a *authentication) verifySCCRQ(ev Receive) bool {
	nonce, has := l2tp.FindNonce(ev.Payload)
	if has != a.required {
		return true
	}
	a.remote = nonce
	return a.genuine(ev, nil, nil)
}

// intact checks the digest of a message where there is no secret.
//
// RFC 3931 section 4.3: "If an invalid Message Digest is received, it should be
// assumed that the message has been corrupted in transit and the message dropped
// accordingly."
func (a *authentication) intact(ev Receive) bool {
	return !l2tp.HasDigest(ev.Packet) || a.verify(ev.Packet, nil, nil)
}

// genuine is verify where there is a secret, and intact where there is none.
func (a *authentication) genuine(ev Receive, local, remote []byte) bool {
	if a.required {
		return a.verify(ev.Packet, local, remote)
	}
	return a.intact(ev)
}

// believed says whether a message is to be looked at.
//
// RFC 3931 section 5.4.1: "This message authenticity and integrity checking MUST be
// performed before utilizing any information contained within the control message.
// If the calculation fails, the message MUST be dropped."
func (t *Tunnel) believed(ev Receive) bool {
	a := &t.auth
	m, _ := l2tp.PeekMessageType(ev.Payload)
	local, remote := a.local, a.remote
	switch {
	case m == l2tp.TypeSCCRQ:
		return a.genuine(ev, nil, nil) || t.forged()
	case m == l2tp.TypeSCCRP && t.state == WaitCtlReply && ev.Header.Ns == 0:
		nonce, has := l2tp.FindNonce(ev.Payload)
		if has && !a.required {
			// Its digest is by a secret that we do not have: see nonceMissing.
			return true
		}
		// One without a nonce and without a digest by it is believed as little as any
		// other such message, or whoever knows our ID could end the set-up.
		remote = nonce
	case m == l2tp.TypeStopCCN && ev.Header.TunnelID == 0 && !t.initiator:
		// A peer that gives up before it has our SCCRP does not know our nonce, so
		// it could not verify our acknowledgement by it either.
		local = nil
	}
	if !a.genuine(ev, local, remote) {
		return t.forged()
	}
	a.local, a.remote = local, remote
	return true
}

// forged drops a message whose digest is wrong or missing; it returns false.
func (t *Tunnel) forged() bool {
	t.stats.AuthFailures++
	t.drop(ErrDigest)
	return false
}

// newNonce makes the nonce that our SCCRQ or SCCRP carries; nil if there is no
// secret. RFC 3931 section 4.3: "Presence of the Control Message Authentication
// Nonce AVP in an SCCRQ or SCCRP message serves as indication to a peer that Control
// Message Authentication is enabled." Error: ErrRandom.
func (t *Tunnel) newNonce() ([]byte, error) {
	if !t.auth.required {
		return nil, nil
	}
	nonce, err := t.random(nonceLen)
	t.auth.local = nonce
	return nonce, err
}

// nonceMissing says what is wrong if one end has Control Message Authentication and
// the other has not. RFC 3931 section 4.3: it "is always bidirectional; either both
// sides participate in authentication, or neither does."
func (t *Tunnel) nonceMissing(m l2tp.MessageType, nonce []byte) (l2tp.ResultCode, error) {
	if t.auth.required == (nonce != nil) {
		return l2tp.ResultCode{}, nil
	}
	t.stats.AuthFailures++
	required := t.auth.required
	if !required || m != l2tp.TypeSCCRP {
		t.withoutDigests() // an SCCRP has come this far because its digest is right
	}
	if required {
		return notAuthorized("no Control Message Authentication Nonce in " + m.String() +
			": the peer has to authenticate itself; set the same secret at both ends"), ErrAuthentication
	}
	return notAuthorized("the peer wants Control Message Authentication, but no secret is configured here " +
		"for it: set the same secret at both ends"), ErrAuthentication
}

// withoutDigests ends authentication, for the StopCCN to a peer that could not
// verify it: a digest by a secret that it has not would have it drop the message.
func (t *Tunnel) withoutDigests() {
	t.auth = newAuthentication(&Config{})
	t.setVersion(t.version)
}

// suspicion adds to the text about a set-up that failed what an operator should look
// at if messages came that were not believed.
func (t *Tunnel) suspicion() string {
	if t.version != l2tp.Version3 || t.stats.AuthFailures == 0 || t.state == Established {
		return ""
	}
	return ", and what came had a wrong Message Digest or none: set the same secret at both ends"
}

// sealer is seal, or nil if our messages have no digests.
func (a *authentication) sealer() func(packet []byte) {
	if len(a.digests) == 0 {
		return nil
	}
	return a.seal
}
