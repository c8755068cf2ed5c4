package aaa

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/vendors/microsoft"

	"adit/internal/circuit"
	"adit/lns/coa"
	"adit/lns/subscriber"
	"adit/pppbridge"
	"adit/proto/l2tp"
	"adit/proto/ppp"
	"adit/proto/tunnel"
)

func selectUser(name string) coa.Selector { return coa.Selector{User: name} }

// done wants a result of so many sessions.
func done(t *testing.T, sessions int) func(coa.Result) {
	return func(r coa.Result) {
		if r.Sessions != sessions || r.Cause != coa.CauseNone {
			t.Errorf("%+v, want %d sessions", r, sessions)
		}
	}
}

// RFC 2548 section 2.3.3: "This string MUST be included in the Message field of the
// MS-CHAP-V2 Success packet sent from the NAS to the peer." A server that has none
// has not judged MS-CHAPv2.
func TestAcceptWithoutMSCHAP2Success(t *testing.T) {
	bubble(t, byRADIUS, func(t *testing.T, r *rig) {
		with := false
		r.radius.answer = func(p *radius.Packet) (*radius.Packet, error) {
			a := p.Response(radius.CodeAccessAccept)
			if with {
				_ = microsoft.MSCHAP2Success_SetString(a, "\x05S="+strings.Repeat("0A", 20))
			}
			return a, nil
		}
		s, _ := r.call("")
		v := r.show(s, response(t, ppp.MethodMSCHAPv2, "carol", "x"))
		f, ok := ppp.ParseMSCHAPFailure(v.Message)
		if v.Accept || !ok || f.Error != ppp.MSCHAPNoDialinPermission || f.Retry || r.layer.Counts()["auth_radius_unfit"] != 1 {
			t.Errorf("%+v", v)
		}
		with = true
		if v = r.show(s, response(t, ppp.MethodMSCHAPv2, "carol", "x")); !v.Accept || v.Message != "S="+strings.Repeat("0A", 20) {
			t.Errorf("%+v", v)
		}
	})
}

// RFC 2759 section 6: "The Message field format is: "E=eeeeeeeeee R=r
// C=cccccccccccccccccccccccccccccccc V=vvvvvvvvvv M=<msg>"", also where a server
// says no more than that it rejects, or we refuse for reasons of ours. RFC 3748
// section 4.2: "The Identifier field MUST match the Identifier field of the Response
// packet that it is sent in response to."
func TestWordsOfRefusals(t *testing.T) {
	bubble(t, byRADIUS, func(t *testing.T, r *rig) {
		for _, code := range []int{ppp.MSCHAPNoDialinPermission, ppp.MSCHAPAuthenticationFailure} {
			if code == ppp.MSCHAPAuthenticationFailure {
				r.radius.answer = func(p *radius.Packet) (*radius.Packet, error) {
					a := p.Response(radius.CodeAccessReject)
					_ = rfc2865.ReplyMessage_SetString(a, "go away")
					return a, nil
				}
			}
			s, _ := r.call("")
			for _, m := range []ppp.Method{ppp.MethodPAP, ppp.MethodCHAP, ppp.MethodMSCHAPv2, ppp.MethodEAP} {
				req := ppp.AuthRequest{Method: m, Name: "carol", EAP: []byte{2, 77, 0, 10, 1, 'c', 'a', 'r', 'o', 'l'}}
				if m == ppp.MethodCHAP || m == ppp.MethodMSCHAPv2 {
					req = response(t, m, "carol", "x")
				}
				v := r.show(s, req)
				f, isFailure := ppp.ParseMSCHAPFailure(v.Message)
				switch {
				case v.Accept || v.Message == "" || isFailure != (m == ppp.MethodMSCHAPv2):
					t.Errorf("method %d: %+v", m, v)
				case isFailure && (f.Error != code || f.Retry || len(f.Challenge) != 16 || f.Version != 3 || f.Message == ""):
					t.Errorf("%+v", f)
				case m == ppp.MethodEAP && code == ppp.MSCHAPNoDialinPermission && !slices.Equal(v.EAP, []byte{4, 77, 0, 4}):
					t.Errorf("EAP %v", v.EAP)
				}
			}
		}
	})
}

// RFC 5176 section 2.1: "The NAS responds to a Disconnect-Request packet sent by a
// Dynamic Authorization Client with a Disconnect-ACK if all associated session
// context is discarded and the user session(s) are no longer connected".
func TestDisconnectIsDoneAtTheEnd(t *testing.T) {
	bubble(t, nil, func(t *testing.T, r *rig) {
		var all []*Session
		for range 2 {
			s, call := r.call("")
			call.hangs = true
			r.up(s, r.login(s, "bob", "right"))
			all = append(all, s)
		}
		told := 0
		for range 2 { // it is sent again, and counts again
			r.layer.Disconnect(selectUser("bob"), [][]byte{{7}}, func(res coa.Result) {
				told++
				done(t, 2)(res)
			})
		}
		r.layer.Change(selectUser("bob"), coa.Change{}, done(t, 0)) // what ends has no terms
		all[0].Ended(tunnel.Cause{}, &circuit.Exit{})
		r.settle()
		if told != 0 {
			t.Error("done before the end of both")
		}
		all[1].Ended(tunnel.Cause{}, &circuit.Exit{})
		r.settle()
		if stop := r.radius.last(); told != 2 || stop.Kind != subscriber.RecordStop || stop.Session.Cause != subscriber.AdminReset ||
			stop.Session.Service.Class[0][0] != 7 || r.layer.Counts()["dynamic_disconnects"] != 2 {
			t.Errorf("done %d times; %+v", told, stop)
		}
	})
}

// RFC 2866 section 5.10: "This attribute indicates how the session was terminated".
func TestTerminateCauses(t *testing.T) {
	normal := func(direction uint8) *l2tp.PPPDisconnect {
		return &l2tp.PPPDisconnect{Code: l2tp.DisconnectNormal, Direction: direction}
	}
	cdn := func(result uint16) tunnel.Cause {
		return tunnel.Cause{Remote: true, Result: l2tp.ResultCode{Result: result}}
	}
	closed := &circuit.Exit{Closed: true, PPP: normal(0)}
	for name, c := range map[string]struct {
		cause tunnel.Cause
		exit  *circuit.Exit
		want  subscriber.TerminateCause
	}{
		"the peer hung up":        {tunnel.Cause{}, &circuit.Exit{PPP: normal(l2tp.DirectionPeer)}, subscriber.UserRequest},
		"idle":                    {tunnel.Cause{}, &circuit.Exit{PPP: normal(l2tp.DirectionLocal)}, subscriber.IdleTimeout},
		"pppd's time":             {tunnel.Cause{}, &circuit.Exit{Code: 13, PPP: normal(l2tp.DirectionLocal)}, subscriber.SessionTimeout},
		"no answer to echoes":     {tunnel.Cause{}, &circuit.Exit{PPP: &l2tp.PPPDisconnect{Code: l2tp.DisconnectLCPEchoTimeout}}, subscriber.LostCarrier},
		"authentication":          {tunnel.Cause{}, &circuit.Exit{PPP: &l2tp.PPPDisconnect{Code: l2tp.DisconnectAuthFailed}}, subscriber.UserError},
		"the LAC lost the line":   {cdn(l2tp.CDNLossOfCarrier), closed, subscriber.LostCarrier},
		"the LAC cleared it":      {cdn(l2tp.CDNAdministrative), closed, subscriber.UserRequest},
		"the LAC met an error":    {cdn(l2tp.CDNGeneralError), closed, subscriber.PortError},
		"the tunnel's peer died":  {tunnel.Cause{Err: tunnel.ErrUnreachable}, closed, subscriber.LostCarrier},
		"an operator closed it":   {tunnel.Cause{}, closed, subscriber.AdminReset},
		"the bridge never worked": {tunnel.Cause{}, &circuit.Exit{Closed: true, Err: pppbridge.ErrAddressTaken}, subscriber.NASError},
	} {
		s := &Session{layer: &Layer{}}
		if got := s.terminateCause(c.cause, c.exit); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		s.layer.leaving.Store(true)
		if got := s.terminateCause(c.cause, c.exit); got != subscriber.AdminReboot {
			t.Errorf("%s, and the daemon ends: %v", name, got)
		}
	}
}

// An EAP exchange goes on with the server that has its State, also where the group
// has gone meanwhile, and ends with one verdict.
func TestEAPExchange(t *testing.T) {
	bubble(t, byRADIUS, func(t *testing.T, r *rig) {
		r.radius.answer = func(p *radius.Packet) (*radius.Packet, error) {
			if string(rfc2865.State_Get(p)) == "half" {
				return p.Response(radius.CodeAccessAccept), nil // without EAP-Message
			}
			a := p.Response(radius.CodeAccessChallenge)
			_ = rfc2865.State_SetString(a, "half")
			a.Add(79, []byte{1, 78, 0, 6, 4, 0})
			return a, nil
		}
		s, _ := r.call("")
		req := ppp.AuthRequest{Method: ppp.MethodEAP, Name: "carol", EAP: []byte{2, 77, 0, 6, 1, 'c'}}
		v := r.show(s, req)
		if v.Accept || v.State == nil || len(v.EAP) != 6 {
			t.Fatalf("%+v", v)
		}
		req.State, req.EAP = v.State, []byte{2, 78, 0, 6, 4, 0}
		// RFC 3579 section 2.6.3: "The NAS MUST make its access control decision based
		// solely on the RADIUS Packet Type (Access-Accept/Access-Reject)."
		if v = r.show(s, req); !v.Accept || v.User != "carol" {
			t.Errorf("%+v", v)
		}
		delete(r.cfg.RADIUS.Groups, "isp")
		if v = r.show(s, req); v.Accept || r.layer.Counts()["auth_radius_silent"] != 1 {
			t.Errorf("without its group: %+v", v)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
	})
}
