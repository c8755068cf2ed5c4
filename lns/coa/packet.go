package coa

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3576"
)

const (
	headerLen        = 20
	authenticatorLen = 16
)

// open reads a datagram, and says whether its sender knows the secret. The packet
// is nil if the datagram is none that we take.
//
// RFC 5176 section 2.3: "Octets outside the range of the Length field MUST be
// treated as padding and ignored on reception. If the packet is shorter than the
// Length field indicates, it MUST be silently discarded." "Packets received with an
// invalid Code field MUST be silently discarded."
func open(b, secret []byte) (p *radius.Packet, authentic bool) {
	if len(b) < headerLen {
		return nil, false
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	code := radius.Code(b[0])
	if n < headerLen || n > len(b) || code != radius.CodeDisconnectRequest && code != radius.CodeCoARequest {
		return nil, false
	}
	b = b[:n]
	p, err := radius.Parse(b, secret)
	if err != nil {
		return nil, false
	}
	if !radius.IsAuthenticRequest(b, secret) {
		return p, false
	}
	return p, signed(p, secret)
}

// signed checks a Message-Authenticator. A request may be without: its Request
// Authenticator is a digest of the whole packet and the secret.
//
// RFC 5176 section 3.4: "A Dynamic Authorization Server receiving a CoA-Request or
// Disconnect-Request with a Message-Authenticator Attribute present MUST calculate
// the correct value of the Message-Authenticator and silently discard the packet if
// it does not match the value sent." "When the HMAC-MD5 message integrity check is
// calculated the Request Authenticator field and Message-Authenticator Attribute
// MUST each be considered to be sixteen octets of zero."
func signed(p *radius.Packet, secret []byte) bool {
	sent, ok := p.Lookup(rfc2869.MessageAuthenticator_Type)
	if !ok {
		return true
	}
	blank := &radius.Packet{Code: p.Code, Identifier: p.Identifier}
	for _, avp := range p.Attributes {
		v := avp.Attribute
		if avp.Type == rfc2869.MessageAuthenticator_Type {
			v = make([]byte, authenticatorLen)
		}
		blank.Add(avp.Type, v)
	}
	want, err := digest(blank, secret)
	return err == nil && len(sent) == authenticatorLen && hmac.Equal(want, sent)
}

// digest is HMAC-MD5 over a packet.
func digest(p *radius.Packet, secret []byte) ([]byte, error) {
	b, err := p.MarshalBinary()
	if err != nil {
		return nil, err
	}
	mac := hmac.New(md5.New, secret)
	mac.Write(b)
	return mac.Sum(nil), nil
}

// reply makes the ACK of a request, or its NAK with the Error-Cause.
//
// RFC 5176 section 3.1: "If there are any Proxy-State attributes in a
// Disconnect-Request or CoA-Request received from the Dynamic Authorization Client,
// the Dynamic Authorization Server MUST include those Proxy-State attributes in its
// response". Section 3.3 says of State that it "MUST be sent unmodified from the
// NAS to the Dynamic Authorization Client in a subsequent ACK or NAK packet" of a
// CoA-Request.
func reply(request *radius.Packet, cause ErrorCause) []byte {
	p := request.Response(replyCode(request.Code, cause == CauseNone))
	_, sign := request.Lookup(rfc2869.MessageAuthenticator_Type)
	if sign {
		p.Add(rfc2869.MessageAuthenticator_Type, make([]byte, authenticatorLen))
	}
	if cause != CauseNone {
		p.Add(rfc3576.ErrorCause_Type, radius.NewInteger(uint32(cause)))
	}
	for _, avp := range request.Attributes {
		if avp.Type == rfc2865.ProxyState_Type ||
			avp.Type == rfc2865.State_Type && request.Code == radius.CodeCoARequest {
			p.Add(avp.Type, avp.Attribute)
		}
	}
	if sign {
		// It cannot fail: all but the few octets of the causes is in the request.
		mac, err := digest(p, request.Secret)
		if err != nil {
			return nil
		}
		p.Set(rfc2869.MessageAuthenticator_Type, mac)
	}
	b, err := p.Encode()
	if err != nil {
		return nil
	}
	return b
}

func replyCode(request radius.Code, ack bool) radius.Code {
	switch {
	case request == radius.CodeDisconnectRequest && ack:
		return radius.CodeDisconnectACK
	case request == radius.CodeDisconnectRequest:
		return radius.CodeDisconnectNAK
	case ack:
		return radius.CodeCoAACK
	}
	return radius.CodeCoANAK
}

// timestampOf returns the Event-Timestamp, if there is a proper one.
func timestampOf(p *radius.Packet) (time.Time, bool) {
	v, ok := p.Lookup(rfc2869.EventTimestamp_Type)
	if !ok || len(v) != 4 {
		return time.Time{}, false
	}
	return time.Unix(int64(binary.BigEndian.Uint32(v)), 0), true
}
