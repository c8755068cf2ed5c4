package ppp

import (
	"bytes"
	"testing"
	"time"
)

// An exchange by MD5-Challenge, RFC 3748 sections 4, 5.1 and 5.4.
const (
	eapWho       = "01 11 0005 01"
	eapMe        = "02 11 0009 01 75736572"
	eapMD5       = "01 12 000a 04 04 deadbeef"
	eapMD5Answer = "02 12 0016 04 10 000102030405060708090a0b0c0d0e0f"
)

func TestEAPAuthenticator(t *testing.T) {
	h, a := newTestAuthenticator(MethodEAP, &Config{Rechallenge: time.Minute})
	h.wantSent(t, eapWho)
	a.tick(authStart.Add(3 * time.Second))
	h.wantSent(t, eapWho) // "Retransmitted Requests MUST be sent with the same Identifier value"
	now := authStart.Add(4 * time.Second)
	a.receive(now, ProtocolEAP, unhex(t, eapMe+"0000")) // with padding
	r := h.wantAsked(t, 1).Request
	if r.Method != MethodEAP || r.Name != "user" || !bytes.Equal(r.EAP, unhex(t, eapMe)) || r.State != nil {
		t.Errorf("%+v", r)
	}
	// "forwards Responses to the backend authentication server, one at a time"
	a.receive(now, ProtocolEAP, unhex(t, eapMe))
	h.wantAsked(t, 1)
	decide(h, a, now, Verdict{EAP: unhex(t, eapMD5), State: "state"})
	h.wantSent(t, eapMD5)
	// "An authenticator receiving a Response whose Identifier value does not match
	// that of the currently outstanding Request MUST silently discard the
	// Response."
	a.receive(now, ProtocolEAP, unhex(t, eapMe))
	h.wantAsked(t, 1)
	if d := a.deadline(); !d.Equal(now.Add(3 * time.Second)) {
		t.Errorf("deadline %v", d)
	}
	a.tick(now.Add(3 * time.Second))
	h.wantSent(t, eapMD5)
	// A Nak and a Notification are for the server.
	a.receive(now, ProtocolEAP, unhex(t, "02 12 0006 03 0d"))
	if r := h.wantAsked(t, 2).Request; r.Name != "user" || r.State != "state" || !bytes.Equal(r.EAP, unhex(t, "02 12 0006 03 0d")) {
		t.Errorf("%+v", r)
	}
	decide(h, a, now, Verdict{EAP: unhex(t, "01 13 0006 02 41"), State: "more"})
	h.wantSent(t, "01 13 0006 02 41")
	a.receive(now, ProtocolEAP, unhex(t, "02 13 0005 02"))
	decide(h, a, now, Verdict{EAP: unhex(t, eapMD5)})
	h.wantSent(t, eapMD5)
	a.receive(now, ProtocolEAP, unhex(t, eapMD5Answer))
	h.wantAsked(t, 4)
	decide(h, a, now, Verdict{Accept: true, EAP: unhex(t, "03 12 0004")})
	h.wantSent(t, "03 12 0004")
	if len(h.let) != 1 || h.let[0].User != "user" {
		t.Errorf("%+v", h.let)
	}
	a.receive(now, ProtocolEAP, unhex(t, eapMD5Answer))
	h.wantSent(t, "03 12 0004")
	h.wantAsked(t, 4)

	a.tick(now.Add(time.Minute))
	h.wantSent(t, "01 13 0005 01")
	if len(h.let) != 1 {
		t.Error("a re-challenge tells of a peer that is in already")
	}
}

func TestEAPVerdicts(t *testing.T) {
	for _, c := range []struct {
		name string
		v    Verdict
		want string // what is sent
		in   bool
	}{
		{"success", Verdict{Accept: true, EAP: unhex(t, "03 11 0004")}, "03 11 0004", true},
		{"accepted without a packet", Verdict{Accept: true}, "03 11 0004", true},
		{"accepted with a request", Verdict{Accept: true, EAP: unhex(t, eapMD5)}, "03 11 0004", true},
		{"failure", Verdict{EAP: unhex(t, "04 11 0004")}, "04 11 0004", false},
		{"refused without a packet", Verdict{}, "04 11 0004", false},
		{"refused with a success", Verdict{EAP: unhex(t, "03 11 0004")}, "04 11 0004", false},
		{"a request that is cut off", Verdict{EAP: unhex(t, "01 12 000a 04 04")}, "04 11 0004", false},
		{"a request without a type", Verdict{EAP: unhex(t, "01 12 0004")}, "04 11 0004", false},
	} {
		h, a := newTestAuthenticator(MethodEAP, &Config{})
		h.take()
		a.receive(authStart, ProtocolEAP, unhex(t, eapMe))
		decide(h, a, authStart, c.v)
		h.wantSent(t, c.want)
		if (len(h.let) == 1) != c.in || (h.failed == 0) != c.in || !c.in && h.cause != CauseAuthFailed {
			t.Errorf("%s: %+v", c.name, h)
		}
	}
}

func TestEAPMalformed(t *testing.T) {
	for _, in := range []string{
		"02 11 0004",              // no Type
		"02 11 000a 01 75736572",  // longer than what is there
		"02 11 0006 04 00",        // no Identity, where it is asked for
		"02 11 0006 03 04",        // a Nak of the Identity
		"02 11 00", "02", "02 11", // no packet
	} {
		h, a := newTestAuthenticator(MethodEAP, &Config{})
		a.receive(authStart, ProtocolEAP, unhex(t, in))
		if h.bad != 1 || len(h.requests) != 0 {
			t.Errorf("%s: %+v", in, h)
		}
	}
	h, a := newTestAuthenticator(MethodEAP, &Config{})
	a.receive(authStart, ProtocolEAP, authPacket(eapResponse, 0x11, []byte{eapIdentity}, make([]byte, maxAuthName+1)))
	if h.bad != 1 || len(h.requests) != 0 {
		t.Error("an Identity of any length")
	}
	for _, in := range []string{"01 11 0004", "01 11 0006 03 00", "03 11 0005 00", "04 11 0005 00"} {
		h, w := newTestAnswerer(MethodEAP, &Config{Secrets: &fakeSecrets{}})
		w.receive(authStart, ProtocolEAP, unhex(t, in))
		if h.bad != 1 || len(h.sent) != 0 || h.failed+h.accepted != 0 {
			t.Errorf("%s: %+v", in, h)
		}
	}
}

// md5Secrets answers MD5-Challenges and nothing else.
func md5Secrets(asked *int) *fakeSecrets {
	return &fakeSecrets{name: "user", eap: func(q []byte) []byte {
		*asked++
		if q[4] != 4 {
			return nil
		}
		return authPacket(eapResponse, q[1], []byte{4, 1, byte(*asked)})
	}}
}

func TestEAPAnswerer(t *testing.T) {
	asked := 0
	h, w := newTestAnswerer(MethodEAP, &Config{Secrets: md5Secrets(&asked)})
	// "By default, an EAP peer MUST silently discard a "canned" Success packet"
	for _, s := range []string{"03 00 0004", "04 00 0004", "03 11 0004"} {
		w.receive(authStart, ProtocolEAP, unhex(t, s))
	}
	w.network(authStart)
	w.receive(authStart, ProtocolEAP, unhex(t, eapWho))
	h.wantSent(t, eapMe)
	w.receive(authStart, ProtocolEAP, unhex(t, "03 11 0004")) // after the Identity only
	w.network(authStart)
	if h.accepted+h.failed != 0 {
		t.Fatalf("%+v", h)
	}
	w.receive(authStart, ProtocolEAP, unhex(t, "01 12 0006 02 41"))
	h.wantSent(t, "02 12 0005 02")
	// A method that we lack, as the first: a Nak. Expanded types as well, by the
	// legacy Nak.
	w.receive(authStart, ProtocolEAP, unhex(t, "01 13 0006 0d 20"))
	h.wantSent(t, "02 13 0006 03 00")
	w.receive(authStart, ProtocolEAP, unhex(t, "03 13 0004"))
	w.receive(authStart, ProtocolEAP, unhex(t, "01 14 000c fe 000000 00000007"))
	h.wantSent(t, "02 14 0006 03 00")
	w.receive(authStart, ProtocolEAP, unhex(t, "01 15 0007 04 01 aa"))
	h.wantSent(t, "02 15 0007 04 01 03")
	// "it MUST resend its original Response without reprocessing the Request"
	w.receive(authStart, ProtocolEAP, unhex(t, "01 15 0007 04 01 aa"))
	h.wantSent(t, "02 15 0007 04 01 03")
	// "Responses MUST ... never be retransmitted on a timer."
	w.tick(authStart.Add(29 * time.Second))
	h.wantSent(t)
	// "A peer MUST NOT send a Nak (legacy or expanded) in response to a Request,
	// after an initial non-Nak Response has been sent."
	w.receive(authStart, ProtocolEAP, unhex(t, "01 16 0006 0d 20"))
	h.wantSent(t)
	w.receive(authStart, ProtocolEAP, unhex(t, "03 14 0004")) // to an older one
	if h.accepted != 0 {
		t.Fatal("a Success to an older response")
	}
	w.receive(authStart, ProtocolEAP, unhex(t, "03 15 0004"))
	w.receive(authStart, ProtocolEAP, unhex(t, "04 15 0004"))
	if h.accepted != 1 || h.failed != 0 || !w.deadline().IsZero() {
		t.Errorf("%+v", h)
	}
	// Another exchange later, without an end.
	w.receive(authStart, ProtocolEAP, unhex(t, eapWho))
	h.wantSent(t, eapMe)
	w.tick(w.deadline())
	if h.failed != 0 || !w.deadline().IsZero() {
		t.Errorf("%+v", h)
	}
	w.receive(authStart, ProtocolEAP, unhex(t, eapMD5))
	w.receive(authStart, ProtocolEAP, unhex(t, "04 13 0004")) // of a server that counts on
	h.wantFailed(t, CauseOurAuthFailed, "the peer did not accept our authentication")
}

func TestEAPAnswererEnds(t *testing.T) {
	asked := 0
	h, w := newTestAnswerer(MethodEAP, &Config{Secrets: md5Secrets(&asked)})
	w.receive(authStart, ProtocolEAP, unhex(t, eapWho))
	w.receive(authStart, ProtocolEAP, unhex(t, "04 11 0004")) // unknown here
	h.wantFailed(t, CauseOurAuthFailed, "the peer did not accept our authentication")

	h, w = newTestAnswerer(MethodEAP, &Config{Secrets: md5Secrets(&asked)})
	w.receive(authStart, ProtocolEAP, unhex(t, eapMD5))
	w.network(authStart) // the Success was lost
	w.network(authStart)
	if h.accepted != 1 {
		t.Error("not accepted by the peer's going on")
	}

	h, w = newTestAnswerer(MethodEAP, &Config{Secrets: md5Secrets(&asked)})
	w.receive(authStart, ProtocolEAP, unhex(t, eapMD5))
	w.tick(authStart.Add(30 * time.Second))
	h.wantFailed(t, CauseAuthTimeout, "the peer did not say in time whether it accepts our authentication")

	// What Secrets makes is looked at before it is sent.
	for _, r := range []string{"", "02 12 0004", "02 13 0005 04", "01 12 0005 04", "02 12 0006 04"} {
		h, w := newTestAnswerer(MethodEAP, &Config{Secrets: &fakeSecrets{eap: func([]byte) []byte { return unhex(t, r) }}})
		w.receive(authStart, ProtocolEAP, unhex(t, eapMD5))
		h.wantSent(t, "02 12 0006 03 00")
		if w.x.method {
			t.Errorf("%q counts as a response", r)
		}
	}
	h, w = newTestAnswerer(MethodEAP, &Config{Secrets: &fakeSecrets{eap: func(q []byte) []byte {
		return authPacket(eapResponse, q[1], []byte{254, 0, 0, 0, 0, 0, 0, 3})
	}}})
	w.receive(authStart, ProtocolEAP, unhex(t, eapMD5))
	if len(h.sent) != 1 || w.x.method {
		t.Error("an Expanded Nak counts as a response")
	}
}
