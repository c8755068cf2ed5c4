package companion

import (
	"net"
	"testing"

	"adit/internal/config"
	"adit/proto/ppp"
)

// What is kept for copies of a request that was answered has no password in it.
func TestPasswordsAreForgotten(t *testing.T) {
	r, h := newTestResponder(t)
	r.Words("s1", &config.Profile{})
	p := newPlugin(t, r, r.auth)
	b := p.send(p.request("s1", "joe", "secret"))
	eventually(t, "the question", func() bool { return h.count() == 1 })
	h.question(0).answer(ppp.Verdict{Accept: true}, nil)
	p.receive(b)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.pending.byKey) != 1 {
		t.Fatalf("%d requests are known", len(r.pending.byKey))
	}
	for _, q := range r.pending.byKey {
		if q.what != nil || q.reply == nil {
			t.Errorf("%+v is kept", q)
		}
	}
}

// Another program of this machine that has found the port, and sends what it likes
// there, learns nothing, asks nobody and is not remembered.
func TestStranger(t *testing.T) {
	r, h := newTestResponder(t)
	r.Words("s1", &config.Profile{})
	ours := newPlugin(t, r, r.auth)
	stranger, err := net.DialUDP("udp4", nil, r.auth.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	good := ours.request("s1", "joe", "guess")
	wire, err := good.Encode()
	if err != nil {
		t.Fatal(err)
	}
	const flood = 2000
	for i := range flood {
		b := append([]byte(nil), wire...)
		b[len(b)-1-i%32] ^= byte(1 + i%255) // of the NAS-Identifier, which comes last
		b[1] = byte(i)
		if _, err = stranger.Write(b); err != nil {
			t.Fatal(err)
		}
		// What does not fit into the socket's buffer is not what is tested.
		if i%100 == 99 {
			eventually(t, "the flood to be read", func() bool { return r.Counts()["companion_dropped_foreign"] == uint64(i+1) })
		}
	}
	r.mu.Lock()
	known := len(r.pending.byKey)
	r.mu.Unlock()
	if h.count() != 0 || known != 0 {
		t.Errorf("asked %d times, %d requests are known", h.count(), known)
	}
	b := ours.send(ours.request("s1", "joe", "secret"))
	eventually(t, "our own question", func() bool { return h.count() == 1 })
	h.question(0).answer(ppp.Verdict{Accept: true}, nil)
	ours.receive(b)
}
