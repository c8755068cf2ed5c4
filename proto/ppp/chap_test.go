package ppp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// The first challenge of newTestAuthenticator, whose Name is "lns", and a
// Response to it from "user".
const (
	chapHello  = "01 11 0018 10 1112131415161718191a1b1c1d1e1f20 6c6e73"
	chapAnswer = "02 11 0019 10 000102030405060708090a0b0c0d0e0f 75736572"
)

func TestCHAPAuthenticator(t *testing.T) {
	h, a := newTestAuthenticator(MethodCHAP, &Config{Name: "lns", Rechallenge: time.Minute})
	h.wantSent(t, chapHello)
	a.receive(authStart, ProtocolCHAP, unhex(t, "02 12 0019 10 000102030405060708090a0b0c0d0e0f 75736572"))
	h.wantAsked(t, 0) // another Identifier
	a.receive(authStart, ProtocolCHAP, unhex(t, chapAnswer))
	r := h.wantAsked(t, 1).Request
	if r.Method != MethodCHAP || r.Name != "user" || r.ID != 0x11 ||
		hex.EncodeToString(r.Challenge) != "1112131415161718191a1b1c1d1e1f20" ||
		hex.EncodeToString(r.Response) != "000102030405060708090a0b0c0d0e0f" {
		t.Errorf("%+v", r)
	}
	// While the verdict is being made nothing is asked or sent a second time.
	a.receive(authStart, ProtocolCHAP, unhex(t, chapAnswer))
	a.tick(authStart.Add(10 * time.Second))
	h.wantAsked(t, 1)
	h.wantSent(t)
	now := authStart.Add(12 * time.Second)
	decide(h, a, now, Verdict{Accept: true, Message: "welcome"})
	h.wantSent(t, "03 11 000b 77656c636f6d65")
	// "any Response packets received having the current Challenge Identifier MUST
	// return the same reply Code previously returned for that specific Challenge
	// (the message portion MAY be different)"
	a.receive(now, ProtocolCHAP, unhex(t, "02 11 0019 10 ffffffffffffffffffffffffffffffff 75736572"))
	h.wantSent(t, "03 11 0004")
	h.wantAsked(t, 1)

	if d := a.deadline(); !d.Equal(now.Add(time.Minute)) {
		t.Fatalf("re-challenge at %v", d)
	}
	now = now.Add(time.Minute)
	a.tick(now)
	// "The Identifier field MUST be changed each time a Challenge is sent." "The
	// Challenge Value MUST be changed each time a Challenge is sent."
	h.wantSent(t, "01 12 0018 10 2122232425262728292a2b2c2d2e2f30 6c6e73")
	a.tick(now.Add(3 * time.Second))
	h.wantSent(t, "01 13 0018 10 3132333435363738393a3b3c3d3e3f40 6c6e73")
	a.receive(now, ProtocolCHAP, unhex(t, chapAnswer)) // of the first time
	h.wantSent(t)
	a.receive(now, ProtocolCHAP, unhex(t, "02 13 0019 10 000102030405060708090a0b0c0d0e0f 75736572"))
	h.wantAsked(t, 2)
	decide(h, a, now, Verdict{Accept: true})
	h.wantSent(t, "03 13 0004")
	if len(h.let) != 1 || h.failed != 0 {
		t.Errorf("%+v", h)
	}
}

func TestCHAPRefused(t *testing.T) {
	h, a := newTestAuthenticator(MethodCHAP, &Config{Name: "lns"})
	a.receive(authStart, ProtocolCHAP, unhex(t, chapAnswer))
	h.take()
	decide(h, a, authStart, Verdict{Message: "no"})
	h.wantSent(t, "04 11 0006 6e6f")
	h.wantFailed(t, CauseAuthFailed, `the peer failed to authenticate itself as "user", and was told "no"`)

	// With another try: a Failure, and at once another challenge.
	h, a = newTestAuthenticator(MethodCHAP, &Config{Name: "lns", AuthAttempts: 2})
	a.receive(authStart, ProtocolCHAP, unhex(t, chapAnswer))
	h.take()
	decide(h, a, authStart, Verdict{Retry: true})
	h.wantSent(t, "04 11 0004", "01 12 0018 10 2122232425262728292a2b2c2d2e2f30 6c6e73")
	a.receive(authStart, ProtocolCHAP, unhex(t, chapAnswer))
	h.wantSent(t, "04 11 0004")
	a.receive(authStart, ProtocolCHAP, unhex(t, "02 12 0019 10 000102030405060708090a0b0c0d0e0f 75736572"))
	decide(h, a, authStart, Verdict{Retry: true})
	h.wantSent(t, "04 12 0004")
	h.wantFailed(t, CauseAuthFailed, `the peer failed to authenticate itself as "user"`)

	// A Value that no password can make is refused without a question.
	h, a = newTestAuthenticator(MethodCHAP, &Config{})
	h.take()
	a.receive(authStart, ProtocolCHAP, unhex(t, "02 11 0007 01 00 75"))
	h.wantSent(t, "04 11 0004")
	h.wantAsked(t, 0)
	h.wantFailed(t, CauseAuthFailed, `the peer failed to authenticate itself as "u"`)
}

func TestCHAPMalformed(t *testing.T) {
	whole := unhex(t, chapAnswer)
	for n := packetHeaderLen; n < 21; n++ { // up to the end of the Value: no name is a name too
		h, a := newTestAuthenticator(MethodCHAP, &Config{})
		b := bytes.Clone(whole[:n])
		b[3] = byte(n)
		a.receive(authStart, ProtocolCHAP, b)
		a.receive(authStart, ProtocolCHAP, whole[:n])
		if h.bad != 2 || len(h.requests) != 0 {
			t.Errorf("%d octets: %d malformed, %d requests", n, h.bad, len(h.requests))
		}
		g, w := newTestAnswerer(MethodCHAP, &Config{Secrets: &fakeSecrets{}})
		b[0] = chapChallenge
		w.receive(authStart, ProtocolCHAP, b)
		if g.bad != 1 || len(g.sent) != 0 {
			t.Errorf("%d octets: %d malformed, sent %x", n, g.bad, g.sent)
		}
	}
	for _, c := range []struct{ name, bad int }{{0, 0}, {1, 0}, {maxAuthName, 0}, {maxAuthName + 1, 1}} {
		h, a := newTestAuthenticator(MethodCHAP, &Config{})
		name := bytes.Repeat([]byte("n"), c.name)
		a.receive(authStart, ProtocolCHAP, authPacket(chapResponse, 0x11, []byte{16}, make([]byte, 16), name))
		if h.bad != c.bad || len(h.requests) != 1-c.bad {
			t.Errorf("a name of %d octets: %d malformed, %d requests", c.name, h.bad, len(h.requests))
		}
	}
	h, w := newTestAnswerer(MethodCHAP, &Config{Secrets: &fakeSecrets{}})
	w.receive(authStart, ProtocolCHAP, unhex(t, "01 01 0005 00")) // "one or more octets"
	if h.bad != 1 || len(h.sent) != 0 {
		t.Error("a challenge of no octets was answered")
	}
	h, w = newTestAnswerer(MethodMSCHAPv2, &Config{Secrets: &fakeSecrets{}})
	w.receive(authStart, ProtocolCHAP, authPacket(chapChallenge, 1, []byte{8}, make([]byte, 8)))
	if h.bad != 1 || len(h.sent) != 0 {
		t.Error("a challenge of MS-CHAPv2 that has 8 octets was answered")
	}
}

// RFC 2759 section 9.2: the response of "User", and the authenticator response
// that belongs to it.
const (
	mschapAnswer = "02 11 003a 31 21402324255e262a28295f2b3a337c7e 0000000000000000" +
		"82309ecd8d708b5ea08faa3981cd83544233114a3d85d6df 00 55736572"
	mschapProof = "S=407A5589115FD0D6209F510FE9C04566932CDA56"
)

func TestMSCHAPv2Authenticator(t *testing.T) {
	h, a := newTestAuthenticator(MethodMSCHAPv2, &Config{Name: "lns"})
	h.wantSent(t, chapHello)
	a.receive(authStart, ProtocolCHAP, unhex(t, mschapAnswer))
	r := h.wantAsked(t, 1).Request
	if r.Method != MethodMSCHAPv2 || r.Name != "User" || len(r.Challenge) != 16 || len(r.Response) != 49 {
		t.Errorf("%+v", r)
	}
	decide(h, a, authStart, Verdict{Accept: true, Message: mschapProof + " M=Welcome"})
	h.wantSent(t, "03 11 0038"+hex.EncodeToString([]byte(mschapProof+" M=Welcome")))
	// The repeated Success has the same proof, without which the peer would hang
	// up.
	a.receive(authStart, ProtocolCHAP, unhex(t, mschapAnswer))
	h.wantSent(t, "03 11 002e"+hex.EncodeToString([]byte(mschapProof)))

	for _, m := range []string{"", "S=", mschapProof[:41], "S=" + strings.Repeat("g", 40), "x" + mschapProof} {
		h, a := newTestAuthenticator(MethodMSCHAPv2, &Config{Name: "lns"})
		a.receive(authStart, ProtocolCHAP, unhex(t, mschapAnswer))
		h.take()
		decide(h, a, authStart, Verdict{Accept: true, Message: m})
		a.receive(authStart, ProtocolCHAP, unhex(t, mschapAnswer))
		if got := h.take(); len(got) != 2 || len(got[1]) != packetHeaderLen {
			t.Errorf("%q: sent %q", m, got)
		}
	}
}

// RFC 2759 sections 6, 9.1.4 and 9.1.5.
func TestMSCHAPv2Retry(t *testing.T) {
	h, a := newTestAuthenticator(MethodMSCHAPv2, &Config{Name: "lns"})
	a.receive(authStart, ProtocolCHAP, unhex(t, mschapAnswer))
	h.take()
	decide(h, a, authStart, Verdict{Retry: true, Message: "E=691 R=1 C=000102030405060708090A0B0C0D0E0F V=3 M=Wrong"})
	failure := "04 11 003c" + hex.EncodeToString([]byte("E=691 R=1 C=000102030405060708090A0B0C0D0E0F V=3 M=Wrong"))
	h.wantSent(t, failure)
	// "When the authenticator sets this flag to '1' it disables short timeouts"
	if d := a.deadline(); !d.Equal(authStart.Add(30 * time.Second)) {
		t.Errorf("deadline %v", d)
	}
	a.receive(authStart, ProtocolCHAP, unhex(t, mschapAnswer)) // a copy of the refused one
	h.wantSent(t, failure)
	again := unhex(t, mschapAnswer)
	again[1]++ // "Response (++ID) to challenge in failure message"
	a.receive(authStart, ProtocolCHAP, again)
	if r := h.wantAsked(t, 2).Request; r.ID != 0x12 || hex.EncodeToString(r.Challenge) != "000102030405060708090a0b0c0d0e0f" {
		t.Errorf("%+v", r)
	}
	// Without a message of the verdict the challenge is ours.
	decide(h, a, authStart, Verdict{Retry: true})
	h.wantSent(t, "04 12 0034"+hex.EncodeToString([]byte("E=691 R=1 C=2122232425262728292A2B2C2D2E2F30 V=3")))
	again[1]++
	a.receive(authStart, ProtocolCHAP, again)
	h.wantAsked(t, 3)
	// The third time is the last, whatever the verdict says.
	decide(h, a, authStart, Verdict{Retry: true, Message: "E=691 R=1 C=00 V=2 M=Wrong"})
	last := "E=691 R=0 C=3132333435363738393A3B3C3D3E3F40 V=3 M=Wrong"
	h.wantSent(t, "04 13 003c"+hex.EncodeToString([]byte(last)))
	h.wantFailed(t, CauseAuthFailed, fmt.Sprintf("the peer failed to authenticate itself as %q, and was told %q", "User", last))
}

func TestMSCHAPFailure(t *testing.T) {
	challenge := unhex(t, "00112233445566778899aabbccddeeff")
	for _, c := range []struct {
		in   string
		want MSCHAPFailure
		ok   bool
	}{
		{"E=691 R=1 C=00112233445566778899AABBCCDDEEFF V=3 M=Access denied",
			MSCHAPFailure{691, true, challenge, 3, "Access denied"}, true},
		{"E=648 R=0 C=00112233445566778899AABBCCDDEEFF V=3", MSCHAPFailure{648, false, challenge, 3, ""}, true},
		{"E=691 R=1", MSCHAPFailure{Error: 691, Retry: true}, true},
		{"E=0000000691 R=1 C=0011 V=x M=E=1 R=0", MSCHAPFailure{Error: 691, Retry: true, Message: "E=1 R=0"}, true},
		{"R=1 C=00112233445566778899AABBCCDDEEFF", MSCHAPFailure{}, false},
		{"E=x R=1", MSCHAPFailure{}, false},
		{"E=-1 R=1", MSCHAPFailure{}, false},
		{"M=E=691", MSCHAPFailure{}, false},
		{"denied", MSCHAPFailure{}, false},
		{"", MSCHAPFailure{}, false},
	} {
		got, ok := ParseMSCHAPFailure(c.in)
		if ok != c.ok || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %+v, %t", c.in, got, ok)
		}
		if ok && got.Challenge != nil && got.String() != c.in {
			t.Errorf("%q becomes %q", c.in, got.String())
		}
	}
}

// "The peer SHOULD expect Challenge packets during the Authentication phase and
// the Network-Layer Protocol phase. Whenever a Challenge packet is received, the
// peer MUST transmit a CHAP packet with the Code field set to 2 (Response)."
func TestCHAPAnswerer(t *testing.T) {
	secrets := &fakeSecrets{name: "user"}
	h, w := newTestAnswerer(MethodCHAP, &Config{Secrets: secrets, AuthTimeout: 8 * time.Second})
	h.wantSent(t)
	w.receive(authStart, ProtocolCHAP, unhex(t, "03 00 0004")) // Success to no response
	w.receive(authStart, ProtocolCHAP, unhex(t, "04 00 0004"))
	if h.accepted+h.failed != 0 {
		t.Fatal("an outcome before any response")
	}
	challenge := unhex(t, "01 05 000b 04 deadbeef 6c6e")
	response := "02 05 0019 10 05050505050505050505050505050505 75736572"
	w.receive(authStart, ProtocolCHAP, challenge)
	h.wantSent(t, response)
	w.receive(authStart, ProtocolCHAP, challenge) // a copy: the same response
	h.wantSent(t, response)
	w.tick(authStart.Add(2999 * time.Millisecond))
	h.wantSent(t)
	w.tick(authStart.Add(3 * time.Second)) // no word of the peer
	h.wantSent(t, response)
	w.receive(authStart, ProtocolCHAP, unhex(t, "03 04 0004")) // to another
	w.receive(authStart, ProtocolCHAP, unhex(t, "03 05 0004"))
	w.receive(authStart, ProtocolCHAP, unhex(t, "04 05 0004")) // too late
	if h.accepted != 1 || h.failed != 0 || secrets.responses != 1 || !w.deadline().IsZero() {
		t.Fatalf("%+v", h)
	}
	w.receive(authStart, ProtocolCHAP, challenge) // an old copy
	h.wantSent(t)

	// A re-challenge: the word that we are accepted again may be lost.
	now := authStart.Add(time.Hour)
	w.receive(now, ProtocolCHAP, unhex(t, "01 06 000b 04 deadbef0 6c6e"))
	h.wantSent(t, "02 06 0019 10 06060606060606060606060606060606 75736572")
	for !w.deadline().IsZero() {
		w.tick(w.deadline())
	}
	if h.failed != 0 || h.accepted != 1 || len(h.take()) != 2 {
		t.Errorf("%+v", h)
	}
	w.receive(now, ProtocolCHAP, unhex(t, "01 07 000b 04 deadbef1 6c6e"))
	w.receive(now, ProtocolCHAP, unhex(t, "04 07 0007 627965"))
	h.wantFailed(t, CauseOurAuthFailed, `the peer did not accept our authentication: it said "bye"`)
}

func TestCHAPAnswererFails(t *testing.T) {
	h, w := newTestAnswerer(MethodCHAP, &Config{Secrets: &fakeSecrets{}})
	w.tick(w.deadline())
	h.wantFailed(t, CauseAuthTimeout, "the peer demanded that we authenticate ourselves, and did not ask")

	h, w = newTestAnswerer(MethodCHAP, &Config{Secrets: &fakeSecrets{err: errors.New("no password for it")}})
	w.receive(authStart, ProtocolCHAP, unhex(t, "01 05 000b 04 deadbeef 6c6e"))
	h.wantFailed(t, CauseOurAuthFailed, "no response to the peer's challenge: no password for it")
	w.receive(authStart, ProtocolCHAP, unhex(t, "01 06 000b 04 deadbeef 6c6e"))
	if h.failed != 1 || !w.deadline().IsZero() {
		t.Error("something after the end")
	}
}

// "This allows an attacker to replay the peer's challenge, accept the computed
// response, and use that response to authenticate."
func TestCHAPReflection(t *testing.T) {
	const text = "the peer's challenge is our own, or bears our own name: it is not answered"
	both := &Config{Name: "lns", Authenticate: []Method{MethodCHAP}, Secrets: &fakeSecrets{}}
	h, w := newTestAnswerer(MethodCHAP, both)
	h.ours = unhex(t, "deadbeef")
	w.receive(authStart, ProtocolCHAP, unhex(t, "01 05 000b 04 deadbeef 7878"))
	h.wantSent(t)
	h.wantFailed(t, CauseOurAuthRefused, text)

	h, w = newTestAnswerer(MethodCHAP, both)
	w.receive(authStart, ProtocolCHAP, unhex(t, "01 05 000c 04 deadbeef 6c6e73"))
	h.wantSent(t)
	h.wantFailed(t, CauseOurAuthRefused, text)

	// Where only the peer asks, two hosts may be called alike.
	h, w = newTestAnswerer(MethodCHAP, &Config{Name: "lns", Secrets: &fakeSecrets{}})
	w.receive(authStart, ProtocolCHAP, unhex(t, "01 05 000c 04 deadbeef 6c6e73"))
	if len(h.sent) != 1 || h.failed != 0 {
		t.Errorf("%+v", h)
	}
}

// RFC 2759 section 5: "If the authenticator response is either missing or
// incorrect, the peer MUST end the session."
func TestMSCHAPv2Answerer(t *testing.T) {
	challenge := authPacket(chapChallenge, 5, []byte{16}, make([]byte, 16))
	for _, m := range []string{"", "S=", fakeProof(2), fakeProof(1) + "x"} {
		h, w := newTestAnswerer(MethodMSCHAPv2, &Config{Secrets: &fakeSecrets{}})
		w.receive(authStart, ProtocolCHAP, challenge)
		w.receive(authStart, ProtocolCHAP, authPacket(chapSuccess, 5, []byte(m)))
		h.wantFailed(t, CauseOurAuthFailed, "the peer does not know the password: wrong authenticator response")
		if h.accepted != 0 {
			t.Error("accepted by a peer that does not know the password")
		}
	}
	h, w := newTestAnswerer(MethodMSCHAPv2, &Config{Secrets: &fakeSecrets{}})
	w.receive(authStart, ProtocolCHAP, challenge)
	w.receive(authStart, ProtocolCHAP, challenge)
	w.network(authStart) // no proof: not good enough
	if h.accepted != 0 {
		t.Error("accepted without a proof")
	}
	w.receive(authStart, ProtocolCHAP, authPacket(chapSuccess, 5, []byte(fakeProof(1))))
	if got := h.take(); len(got) != 2 || !bytes.Equal(got[0], got[1]) || h.accepted != 1 || h.failed != 0 {
		t.Errorf("%+v, sent %x", h, got)
	}

	h, w = newTestAnswerer(MethodMSCHAPv2, &Config{Secrets: &fakeSecrets{}})
	w.receive(authStart, ProtocolCHAP, challenge)
	w.receive(authStart, ProtocolCHAP, authPacket(chapFailure, 5, []byte("E=691 R=1 M=Access denied")))
	h.wantFailed(t, CauseOurAuthFailed, `the peer did not accept our authentication: it said "E=691 R=1 M=Access denied"`)
}

// An endpoint knows its own challenge while it waits for the response, and no
// longer.
func TestEndpointOutstanding(t *testing.T) {
	host := endpointHost{&Endpoint{}}
	challenge := unhex(t, "1112131415161718191a1b1c1d1e1f20")
	if host.outstanding(challenge) || host.outstanding(nil) {
		t.Error("a challenge of an endpoint that does not ask")
	}
	h, a := newTestAuthenticator(MethodCHAP, &Config{Name: "lns"})
	host.auth = a
	if !host.outstanding(challenge) || host.outstanding(challenge[1:]) {
		t.Error("the outstanding challenge is not known")
	}
	a.receive(authStart, ProtocolCHAP, unhex(t, chapAnswer))
	decide(h, a, authStart, Verdict{Accept: true})
	if host.outstanding(challenge) {
		t.Error("a challenge that was answered")
	}
}
