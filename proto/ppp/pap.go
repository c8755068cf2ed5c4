package ppp

import (
	"bytes"
	"cmp"
	"time"
)

// The codes of PAP, RFC 1334 section 2.2.
const (
	papRequest = 1 // Authenticate-Request
	papAck     = 2 // Authenticate-Ack
	papNak     = 3 // Authenticate-Nak
)

// receivePAP takes an Authenticate-Request.
//
// RFC 1334 section 2.2.1: "Because the Authenticate-Ack might be lost, the
// authenticator MUST allow repeated Authenticate-Request packets after
// completing the Authentication phase. Protocol phase MUST return the same reply
// Code returned when the Authentication phase completed".
func (a *authenticator) receivePAP(p Packet) {
	name, rest, ok1 := counted(p.Data)
	password, _, ok2 := counted(rest)
	if !ok1 || !ok2 {
		a.host.malformed()
		return
	}
	switch a.state {
	case authOpen:
		a.host.send(ProtocolPAP, papReply(papAck, p.Identifier, ""))
	case authJudging:
		// The peer repeats itself under a new Identifier; the reply bears that
		// of the last request. What differs is not what is being judged.
		if string(name) == a.x.name && bytes.Equal(password, a.x.password) {
			a.id = p.Identifier
		}
	case authWaiting:
		if r := a.x.refusal; r != nil && r[1] == p.Identifier {
			a.host.send(ProtocolPAP, r)
			return
		}
		a.id = p.Identifier
		a.x.name, a.x.password = string(name), bytes.Clone(password)
		a.judge(AuthRequest{Name: a.x.name, Password: a.x.password, ID: a.id})
	case authIdle, authEnded:
	}
}

// judgedPAP sends the reply.
//
// RFC 1334 section 2.2.2: "If the Peer-ID/Password pair received in a
// Authenticate-Request is not recognizable or acceptable, then the authenticator
// MUST transmit a PAP packet with the Code field set to 3 (Authenticate-Nak),
// and SHOULD take action to terminate the link."
func (a *authenticator) judgedPAP(now time.Time, v Verdict) {
	if v.Accept {
		a.host.send(ProtocolPAP, papReply(papAck, a.id, v.Message))
		a.accept(now, v)
		return
	}
	nak := papReply(papNak, a.id, v.Message)
	a.host.send(ProtocolPAP, nak)
	if !a.another(v.Retry) {
		a.refuse(now, v.Message)
		return
	}
	a.state, a.x.refusal, a.x.password = authWaiting, nak, nil
}

// papReply makes an Authenticate-Ack or -Nak.
func papReply(code, id uint8, message string) []byte {
	message = cut(message, maxAuthMessage)
	return authPacket(code, id, []byte{byte(len(message))}, []byte(message))
}

// sendPAP sends an Authenticate-Request.
//
// RFC 1334 section 2.2.1: "The Authenticate-Request packet MUST be repeated until
// a valid reply packet is received, or an optional retry counter expires." "The
// Identifier field MUST be changed each time an Authenticate-Request packet is
// issued."
func (w *answerer) sendPAP(now time.Time) {
	if w.x.packet != nil {
		w.id++
	}
	name, password := w.cfg.Secrets.Password()
	if len(name) > 255 || len(password) > 255 {
		w.fail(now, CauseOurAuthFailed, "our name or password is longer than the 255 octets that PAP can carry")
		return
	}
	w.x.packet = authPacket(papRequest, w.id,
		[]byte{byte(len(name))}, []byte(name), []byte{byte(len(password))}, password)
	w.due = now.Add(cmp.Or(w.cfg.RestartTimer, authRestartTimer))
	w.host.send(ProtocolPAP, w.x.packet)
}

// receivePAP takes the reply. One to any of our requests will do, however late:
// all say the same. Some peers leave the Msg-Length field out.
func (w *answerer) receivePAP(now time.Time, p Packet) {
	var message []byte
	if len(p.Data) > 0 {
		var ok bool
		if message, _, ok = counted(p.Data); !ok {
			w.host.malformed()
			return
		}
	}
	if w.x == nil || p.Identifier-w.x.first > w.id-w.x.first {
		return
	}
	if uint8(p.Code) == papAck {
		w.accepted(now)
		return
	}
	w.refused(now, string(message))
}
