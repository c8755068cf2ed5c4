package radattr

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"net/netip"
	"strings"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"adit/lns/subscriber"
	"adit/proto/ppp"
)

// Answer fills the answer to an Access-Request of pppd's radius.so, and gives it
// its Code. p is made by the Response of that request, so that it has the secret
// and the authenticator with which keys are hidden. req is what ParseAccess
// returned. s is nil where the peer is refused; what v grants counts first.
//
// radius.so knows no IPv6, no routes and no pools, so they are not said: who leads
// packets to the peer is not pppd. Of the times, it is told the Idle-Timeout: pppd
// is who sees the packets. The error says that the keys cannot be told.
func Answer(p *radius.Packet, req ppp.AuthRequest, v ppp.Verdict, s *subscriber.Service) error {
	w := newWriter(p)
	if !v.Accept {
		p.Code = radius.CodeAccessReject
		w.refusal(req, v)
		return nil
	}
	p.Code = radius.CodeAccessAccept
	if s == nil {
		s = new(subscriber.Service)
	}
	w.number(rfc2865.ServiceType_Type, uint32(rfc2865.ServiceType_Value_FramedUser))
	w.number(rfc2865.FramedProtocol_Type, uint32(rfc2865.FramedProtocol_Value_PPP))
	if a := either(v.Grant.Peer, s.Address).Unmap(); a.Is4() {
		w.add(rfc2865.FramedIPAddress_Type, a.AsSlice())
	}
	w.vendorAddr(vendorMicrosoft, msPrimaryDNSServer, either(v.Grant.DNS[0], s.DNS[0]))
	w.vendorAddr(vendorMicrosoft, msSecondaryDNSServer, either(v.Grant.DNS[1], s.DNS[1]))
	w.vendorAddr(vendorMicrosoft, msPrimaryNBNSServer, either(v.Grant.WINS[0], s.WINS[0]))
	w.vendorAddr(vendorMicrosoft, msSecondaryNBNSServer, either(v.Grant.WINS[1], s.WINS[1]))
	if d := cmp.Or(v.Grant.IdleTimeout, s.IdleTimeout); d > 0 {
		w.number(rfc2865.IdleTimeout_Type, max(wholeSeconds(d), 1))
	}
	if req.Method == ppp.MethodMSCHAPv2 && strings.HasPrefix(v.Message, "S=") && len(v.Message) >= proofLen {
		proof, text := v.Message[:proofLen], strings.TrimPrefix(v.Message[proofLen:], " M=")
		w.vendor(vendorMicrosoft, msCHAP2Success, append([]byte{req.ID}, proof...))
		w.text(rfc2865.ReplyMessage_Type, text)
	} else {
		w.text(rfc2865.ReplyMessage_Type, v.Message)
	}
	return w.mppe(s.MPPE)
}

// refusal says why a peer stays out.
func (w *writer) refusal(req ppp.AuthRequest, v ppp.Verdict) {
	if f, ok := ppp.ParseMSCHAPFailure(v.Message); ok && req.Method == ppp.MethodMSCHAPv2 {
		text := v.Message[:min(len(v.Message), maxVendorValue-1)]
		w.vendor(vendorMicrosoft, msCHAPError, append([]byte{req.ID}, text...))
		w.text(rfc2865.ReplyMessage_Type, f.Message)
		return
	}
	w.text(rfc2865.ReplyMessage_Type, v.Message)
}

// mppe says the keys, hidden.
//
// RFC 2548 section 2.4.2: "The most significant bit (leftmost) of the Salt field
// MUST be set (1). The contents of each Salt field in a given Access-Accept packet
// MUST be unique."
func (w *writer) mppe(m *subscriber.MPPE) error {
	if m == nil {
		return nil
	}
	if m.Policy != 0 {
		w.vendor(vendorMicrosoft, msMPPEEncryptionPolicy, radius.NewInteger(m.Policy))
	}
	if m.Types != 0 {
		w.vendor(vendorMicrosoft, msMPPEEncryptionTypes, radius.NewInteger(m.Types))
	}
	var salt [2]byte
	_, _ = rand.Read(salt[:]) // never fails, says its documentation
	salt[0] |= 0x80
	for _, k := range []struct {
		t   uint8
		key []byte
	}{{msMPPESendKey, m.Send}, {msMPPERecvKey, m.Recv}} {
		if len(k.key) == 0 {
			continue
		}
		hidden, err := radius.NewTunnelPassword(k.key, salt[:], w.p.Secret, w.p.Authenticator[:])
		if err != nil {
			return fmt.Errorf("radattr: a key of MPPE cannot be told to pppd: %w", err)
		}
		w.vendor(vendorMicrosoft, k.t, hidden)
		salt[1]++
	}
	return nil
}

// either returns the first that there is.
func either(a, b netip.Addr) netip.Addr {
	if a.IsValid() && !a.IsUnspecified() {
		return a
	}
	return b
}
