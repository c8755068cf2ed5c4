package ppp

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"
)

// mschapChallenge is the peer's nth challenge.
func mschapChallenge(n byte) []byte {
	return authPacket(chapChallenge, n, []byte{16}, bytes.Repeat([]byte{n}, 16), []byte("ln"))
}

// The network delays a challenge until after the next. RFC 1994 section 4.1:
// "Whenever a Challenge packet is received, the peer MUST transmit a CHAP packet
// with the Code field set to 2 (Response)." The peer waits for the response to
// its latest, which is not the one that came last.
func TestLateChallenge(t *testing.T) {
	secrets := &fakeSecrets{name: "user"}
	h, w := newTestAnswerer(MethodMSCHAPv2, &Config{Secrets: secrets})
	w.receive(authStart, ProtocolCHAP, mschapChallenge(6))
	w.receive(authStart, ProtocolCHAP, mschapChallenge(5))
	first := h.take()
	if len(first) != 2 || first[0][1] != 6 || first[1][1] != 5 {
		t.Fatalf("sent %x", first)
	}
	// A copy of either gets the response that it got before: the peer's proof is
	// made for that.
	w.receive(authStart, ProtocolCHAP, mschapChallenge(6))
	if got := h.take(); len(got) != 1 || !bytes.Equal(got[0], first[0]) || secrets.responses != 2 {
		t.Fatalf("sent %x, %d made", got, secrets.responses)
	}
	// The one that the peer waits for may have been lost.
	w.tick(authStart.Add(authRestartTimer))
	if got := h.take(); len(got) != 2 || !bytes.Equal(got[0], first[0]) || !bytes.Equal(got[1], first[1]) {
		t.Fatalf("repeated %x", got)
	}
	w.receive(authStart, ProtocolCHAP, authPacket(chapSuccess, 7, []byte(fakeProof(1)))) // to none of ours
	if h.accepted != 0 || h.failed != 0 {
		t.Fatal("accepted by a word to another")
	}
	w.receive(authStart, ProtocolCHAP, authPacket(chapSuccess, 6, []byte(fakeProof(1))))
	if h.accepted != 1 || h.failed != 0 || !w.deadline().IsZero() {
		t.Errorf("%+v", h)
	}

	// A proof that belongs to the other response is none.
	h, w = newTestAnswerer(MethodMSCHAPv2, &Config{Secrets: &fakeSecrets{name: "user"}})
	w.receive(authStart, ProtocolCHAP, mschapChallenge(6))
	w.receive(authStart, ProtocolCHAP, mschapChallenge(5))
	w.receive(authStart, ProtocolCHAP, authPacket(chapSuccess, 6, []byte(fakeProof(2))))
	if h.accepted != 0 || h.cause != CauseOurAuthFailed {
		t.Errorf("%+v", h)
	}

	// A peer that asks without end does not fill our memory.
	h, w = newTestAnswerer(MethodCHAP, &Config{Secrets: &fakeSecrets{name: "user"}})
	for n := range 200 {
		w.receive(authStart, ProtocolCHAP, mschapChallenge(byte(n)))
	}
	if len(h.take()) != 200 || len(w.x.chap) != maxReplies || cap(w.x.chap) > 2*maxReplies {
		t.Errorf("%d responses are kept, room for %d", len(w.x.chap), cap(w.x.chap))
	}
	w.receive(authStart, ProtocolCHAP, authPacket(chapSuccess, 198))
	if h.accepted != 1 {
		t.Error("the last but one does not count")
	}
}

// Two ends on a line where every packet may take longer than the Restart timer,
// so that challenges overtake each other.
func TestCHAPOverSlowLine(t *testing.T) {
	for m := MethodCHAP; m <= MethodMSCHAPv2; m++ {
		late := 0
		for seed := range uint64(300) {
			l := newAuthLink(m, float64(seed%2)*0.1)
			l.rand = rand.New(rand.NewPCG(seed, uint64(m)))
			l.slow = 5 * time.Second
			l.auth.cfg.AuthTimeout, l.answer.cfg.AuthTimeout = time.Hour, time.Hour
			l.run(t)
			if l.hosts[0].failed+l.hosts[1].failed != 0 {
				t.Fatalf("method %d, seed %d: %q %q", m, seed, l.hosts[0].text, l.hosts[1].text)
			}
			late += l.overtaken
		}
		if late < 100 {
			t.Errorf("method %d: %d challenges were overtaken: too few to tell", m, late)
		}
	}
}
