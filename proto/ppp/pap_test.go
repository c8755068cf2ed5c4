package ppp

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// The layout of RFC 1334 section 2.2.1: Code 1, Identifier, Length,
// Peer-ID-Length, Peer-ID, Passwd-Length, Password; a frame with padding.
const papHello = "01 01 000f 05 68656c6c6f 04 70617373 0000"

func TestPAPAuthenticator(t *testing.T) {
	h, a := newTestAuthenticator(MethodPAP, &Config{})
	h.wantSent(t)
	a.receive(authStart, ProtocolPAP, unhex(t, papHello))
	r := h.wantAsked(t, 1).Request
	if r.Method != MethodPAP || r.Name != "hello" || string(r.Password) != "pass" || r.ID != 1 {
		t.Errorf("%+v", r)
	}
	// The peer repeats itself with another Identifier while the verdict is being
	// made: no second request, and the reply bears the last Identifier. Another
	// password meanwhile changes nothing.
	a.receive(authStart, ProtocolPAP, unhex(t, "01 02 000f 05 68656c6c6f 04 70617373"))
	a.receive(authStart, ProtocolPAP, unhex(t, "01 03 000f 05 68656c6c6f 04 70617374"))
	h.wantAsked(t, 1)
	h.wantSent(t)
	decide(h, a, authStart, Verdict{Accept: true, Message: "hi"})
	h.wantSent(t, "02 02 0007 02 6869")
	if len(h.let) != 1 || h.let[0].User != "hello" || h.proto != ProtocolPAP {
		t.Errorf("%+v", h)
	}
	// "the authenticator MUST allow repeated Authenticate-Request packets after
	// completing the Authentication phase. Protocol phase MUST return the same
	// reply Code returned when the Authentication phase completed"
	a.receive(authStart, ProtocolPAP, unhex(t, papHello))
	h.wantSent(t, "02 01 0005 00")
	h.wantAsked(t, 1)
	if !a.deadline().IsZero() {
		t.Errorf("PAP cannot be asked again, but has a deadline %v", a.deadline())
	}
}

// "the authenticator MUST transmit a PAP packet with the Code field set to 3
// (Authenticate-Nak), and SHOULD take action to terminate the link."
func TestPAPRefused(t *testing.T) {
	h, a := newTestAuthenticator(MethodPAP, &Config{})
	a.receive(authStart, ProtocolPAP, unhex(t, papHello))
	decide(h, a, authStart, Verdict{Message: "no"})
	h.wantSent(t, "03 01 0007 02 6e6f")
	h.wantFailed(t, CauseAuthFailed, `the peer failed to authenticate itself as "hello", and was told "no"`)
	a.receive(authStart, ProtocolPAP, unhex(t, papHello))
	h.wantSent(t)
}

func TestPAPAttempts(t *testing.T) {
	h, a := newTestAuthenticator(MethodPAP, &Config{AuthAttempts: 2})
	a.receive(authStart, ProtocolPAP, unhex(t, papHello))
	decide(h, a, authStart, Verdict{Retry: true})
	h.wantSent(t, "03 01 0005 00")
	// A copy of the refused request is answered as before and is no attempt.
	for range 5 {
		a.receive(authStart, ProtocolPAP, unhex(t, papHello))
		h.wantSent(t, "03 01 0005 00")
	}
	h.wantAsked(t, 1)
	a.receive(authStart, ProtocolPAP, unhex(t, "01 02 0008 01 42 01 43"))
	if r := h.wantAsked(t, 2).Request; r.Name != "B" || string(r.Password) != "C" {
		t.Errorf("%+v", r)
	}
	decide(h, a, authStart, Verdict{Retry: true})
	h.wantSent(t, "03 02 0005 00")
	h.wantFailed(t, CauseAuthFailed, `the peer failed to authenticate itself as "B"`)

	// It may also get it right the second time.
	h, a = newTestAuthenticator(MethodPAP, &Config{})
	a.receive(authStart, ProtocolPAP, unhex(t, papHello))
	decide(h, a, authStart, Verdict{Retry: true})
	a.receive(authStart, ProtocolPAP, unhex(t, "01 02 0008 01 42 01 43"))
	decide(h, a, authStart, Verdict{Accept: true, User: "real"})
	if len(h.let) != 1 || h.let[0].User != "real" {
		t.Errorf("%+v", h.let)
	}
}

func TestPAPMalformed(t *testing.T) {
	whole := unhex(t, "01 01 000f 05 68656c6c6f 04 70617373")
	for n := packetHeaderLen; n < len(whole); n++ {
		h, a := newTestAuthenticator(MethodPAP, &Config{})
		b := bytes.Clone(whole[:n])
		b[3] = byte(n)
		a.receive(authStart, ProtocolPAP, b)
		a.receive(authStart, ProtocolPAP, whole[:n])
		if h.bad != 2 || len(h.requests) != 0 {
			t.Errorf("%d octets: %d malformed, %d requests", n, h.bad, len(h.requests))
		}
	}
	for _, in := range []string{"02 10 0006 02 41", "03 10 0005 01"} {
		h, w := newTestAnswerer(MethodPAP, &Config{Secrets: &fakeSecrets{}})
		w.receive(authStart, ProtocolPAP, unhex(t, in))
		if h.bad != 1 || h.accepted+h.failed != 0 {
			t.Errorf("%s: %+v", in, h)
		}
	}
}

// A name and a password of no octets are for the verdict, not for us.
func TestPAPEmpty(t *testing.T) {
	h, a := newTestAuthenticator(MethodPAP, &Config{})
	a.receive(authStart, ProtocolPAP, unhex(t, "01 01 0006 00 00"))
	if r := h.wantAsked(t, 1).Request; r.Name != "" || len(r.Password) != 0 {
		t.Errorf("%+v", r)
	}
}

// "The Authenticate-Request packet MUST be repeated until a valid reply packet is
// received, or an optional retry counter expires." "The Identifier field MUST be
// changed each time an Authenticate-Request packet is issued."
func TestPAPAnswerer(t *testing.T) {
	cfg := &Config{Secrets: &fakeSecrets{name: "hello", password: "pass"}, AuthTimeout: 8 * time.Second}
	h, w := newTestAnswerer(MethodPAP, cfg)
	h.wantSent(t, "01 10 000f 05 68656c6c6f 04 70617373")
	w.tick(authStart.Add(3*time.Second - 1))
	h.wantSent(t)
	w.tick(authStart.Add(3 * time.Second))
	h.wantSent(t, "01 11 000f 05 68656c6c6f 04 70617373")
	w.receive(authStart, ProtocolPAP, unhex(t, "02 12 0005 00")) // to a request that was not
	w.receive(authStart, ProtocolPAP, unhex(t, "02 0f 0005 00"))
	if h.accepted != 0 {
		t.Fatal("a reply to no request of ours")
	}
	w.receive(authStart, ProtocolPAP, unhex(t, "02 10 0005 00")) // late, but right
	w.receive(authStart, ProtocolPAP, unhex(t, "02 11 0005 00"))
	w.receive(authStart, ProtocolPAP, unhex(t, "03 11 0005 00")) // after the Ack: no more
	if h.accepted != 1 || h.failed != 0 || !w.deadline().IsZero() {
		t.Errorf("%+v", h)
	}

	h, w = newTestAnswerer(MethodPAP, cfg)
	w.receive(authStart, ProtocolPAP, unhex(t, "02 10 0004")) // no Msg-Length field
	if h.accepted != 1 {
		t.Error("an Ack without Msg-Length")
	}

	h, w = newTestAnswerer(MethodPAP, cfg)
	w.receive(authStart, ProtocolPAP, unhex(t, "03 10 0009 04 4e6f0a21"))
	h.wantFailed(t, CauseOurAuthFailed, `the peer did not accept our authentication: it said "No\n!"`)

	h, w = newTestAnswerer(MethodPAP, cfg)
	for h.failed == 0 {
		w.tick(w.deadline())
	}
	if len(h.sent) != 3 || !w.deadline().IsZero() {
		t.Errorf("%d packets", len(h.sent))
	}
	h.wantFailed(t, CauseAuthTimeout, "the peer did not say in time whether it accepts our authentication")

	h, _ = newTestAnswerer(MethodPAP, &Config{Secrets: &fakeSecrets{name: strings.Repeat("n", 256)}})
	h.wantSent(t)
	h.wantFailed(t, CauseOurAuthFailed, "our name or password is longer than the 255 octets that PAP can carry")
}
