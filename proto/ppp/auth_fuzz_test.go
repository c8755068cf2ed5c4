package ppp

import (
	"testing"
	"time"
)

// fuzzEvents reads packets, times and verdicts from octets: one for what it is,
// one for its length, and the rest.
func fuzzEvents(data []byte, packet func([]byte), pass func(time.Duration), verdict func(kind byte, eap []byte)) {
	for n := 0; len(data) >= 2 && n < 200; n++ {
		kind, size := data[0], min(int(data[1]), len(data)-2)
		body := data[2 : 2+size]
		data = data[2+size:]
		switch kind % 4 {
		case 0, 1:
			packet(body)
		case 2:
			pass(time.Duration(kind) * 100 * time.Millisecond)
		case 3:
			verdict(kind/4, body)
		}
	}
}

// Whatever the peer says: no panic, never in without a verdict that lets it in,
// one request at a time, one end.
func FuzzAuthenticator(f *testing.F) {
	for m := MethodPAP; m <= MethodEAP; m++ {
		for _, p := range []string{papHello, chapAnswer, mschapAnswer, eapMe} {
			b := unhex(f, p)
			f.Add(byte(m), append(append([]byte{0, byte(len(b))}, b...), 7, 0))
			f.Add(byte(m), append(append([]byte{0, byte(len(b))}, b...), 3, 0))
		}
	}
	f.Fuzz(func(t *testing.T, method byte, data []byte) {
		m := Method(method%4) + MethodPAP
		h, a := newTestAuthenticator(m, &Config{Name: "lns", Rechallenge: time.Minute})
		now, accepts, judged := authStart, 0, 0
		fuzzEvents(data, func(p []byte) {
			open := len(h.requests) > judged
			before := len(h.requests)
			a.receive(now, m.protocol(), p)
			if open && len(h.requests) != before {
				t.Fatal("a second request before the verdict")
			}
		}, func(d time.Duration) {
			now = now.Add(d)
			a.tick(now)
		}, func(kind byte, eap []byte) {
			open := len(h.requests) > judged && h.failed == 0
			v := Verdict{Accept: kind&1 != 0, Retry: kind&2 != 0, Message: string(eap)}
			if kind&4 != 0 {
				v.EAP = eap
			}
			decide(h, a, now, v)
			judged = len(h.requests)
			if open && v.Accept {
				accepts++
			}
		})
		if len(h.let) > 1 || len(h.let) > accepts || h.failed > 1 || len(h.sent) > 2*200+2 {
			t.Errorf("%d let in of %d accepted, %d failures, %d sent", len(h.let), accepts, h.failed, len(h.sent))
		}
		if d := a.deadline(); h.failed == 0 && len(h.let) == 0 && d.IsZero() {
			t.Error("no deadline before the end")
		}
	})
}

// Whatever the peer says: no panic, one answer at most for each packet, not
// accepted before anything was sent, one end.
func FuzzAnswerer(f *testing.F) {
	for m := MethodPAP; m <= MethodEAP; m++ {
		for _, p := range []string{"02 10 0005 00", chapHello, "03 11 0004", eapWho, eapMD5, "03 12 0004"} {
			b := unhex(f, p)
			f.Add(byte(m), append([]byte{0, byte(len(b))}, b...))
		}
	}
	f.Fuzz(func(t *testing.T, method byte, data []byte) {
		m := Method(method%4) + MethodPAP
		asked := 0
		h, w := newTestAnswerer(m, &Config{Name: "lns", Secrets: md5Secrets(&asked)})
		now := authStart
		fuzzEvents(data, func(p []byte) {
			before := len(h.sent)
			w.receive(now, m.protocol(), p)
			if len(h.sent) > before+1 {
				t.Fatal("two packets for one")
			}
		}, func(d time.Duration) {
			now = now.Add(d)
			w.tick(now)
		}, func(byte, []byte) { w.network(now) })
		if h.accepted > 1 || h.failed > 1 || h.accepted > 0 && len(h.sent) == 0 {
			t.Errorf("%d accepted, %d failures, %d sent", h.accepted, h.failed, len(h.sent))
		}
		if h.failed == 0 && h.accepted == 0 && w.deadline().IsZero() {
			t.Error("no deadline before the end")
		}
	})
}
