package radattr

import (
	"testing"

	"layeh.com/radius"
)

// FuzzPacket: no packet makes any of the readers panic, and who is refused has
// nothing.
func FuzzPacket(f *testing.F) {
	for _, p := range []*radius.Packet{
		with(avp(8, "\x0a\x00\x00\x07"), avp(9, "\xff\xff\xff\x00"), avp(22, "10.0.0.0/8 0.0.0.0 1"), vsa(311, 28, "\x0a\x00\x00\x01")),
		with(avp(97, "\x00\x40\x20\x01\x0d\xb8\x00\x01\x00\x02"), avp(99, "2001:db8::/32 :: 1"), vsa(311, 16, string(make([]byte, 34)))),
		with(vsa(311, 2, "\x07E=691 R=1 V=3"), avp(18, "no"), avp(79, "\x04\x01\x00\x04")),
		with(avp(1, "u"), avp(3, "00123456789abcdef"), avp(60, "x"), vsa(311, 25, string(make([]byte, 50)))),
	} {
		b, err := p.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := radius.Parse(b, []byte("secret"))
		if err != nil {
			return
		}
		s, _, _, err := Accept(p, p.Authenticator)
		for _, r := range s.Routes {
			if err != nil || !r.IsValid() || r != r.Masked() {
				t.Errorf("route %v, %v", r, err)
			}
		}
		if err == nil && s.MPPE != nil && (s.MPPE.Send != nil && len(s.MPPE.Send) != 16 || s.MPPE.Recv != nil && len(s.MPPE.Recv) != 16) {
			t.Errorf("keys %x, %x", s.MPPE.Send, s.MPPE.Recv)
		}
		Ignored(p)
		Reject(p)
		Challenge(p)
		user, req, err := ParseAccess(p)
		if err != nil {
			return
		}
		// What was read can be written again, if it is not of another length than PPP
		// has.
		q := radius.New(radius.CodeAccessRequest, []byte("secret"))
		if err = AccessRequest(q, ourNAS, aLine(), user, req, nil); err != nil {
			t.Errorf("%q, method %d: %v", user, req.Method, err)
		}
		if _, err = q.Encode(); err != nil {
			t.Error(err)
		}
	})
}
