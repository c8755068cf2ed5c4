package lns

import (
	"fmt"
	"net/netip"
	"sync/atomic"

	"github.com/sirupsen/logrus"

	"adit/internal/config"
	"adit/internal/engine"
	"adit/internal/sparing"
	"adit/pppbridge"
	"adit/proto/ppp"
	"adit/proto/tunnel"
)

// access decides which peers of the built-in endpoint may come in: the users of
// the configuration. It answers at once, and is safe for use by every shard.
type access struct {
	users             *users
	accepted, refused atomic.Uint64 // peers that showed who they are, or did not
	refusals          sparing.Lines // a peer that tries passwords must not fill the log
}

// session is the access of one call, and what it gives back.
type session struct {
	access *access
	log    *logrus.Entry
	back   func() // nil: nothing
}

var _ pppbridge.Access = (*session)(nil)

func (s *session) Authenticate(req ppp.AuthRequest, answer func(ppp.Verdict)) {
	s.access.Authenticate(&pppbridge.Spec{Log: s.log}, req, answer)
}

// Routes and the others are pppbridge.Access's.
func (s *session) Routes() []netip.Prefix                                  { return nil }
func (s *session) NetworkUp(ppp.Family, ppp.Network, pppbridge.Attachment) {}
func (s *session) NetworkDown(ppp.Family)                                  {}
func (s *session) Packet([]byte)                                           {}

// Established is engine.Session's.
func (s *session) Established(c *engine.Call) { s.log = c.Log() }

// Ended is engine.Session's.
func (s *session) Ended(tunnel.Cause, *pppbridge.Exit) {
	if s.back != nil {
		s.back()
	}
}

// newAccess makes the access of a validated configuration.
func newAccess(cfg *config.Config) *access { return &access{users: newUsers(cfg.Users)} }

// Authenticate judges what a peer said to show who it is. The user's own address
// and routes come with the verdict; where there are none, those of the session
// hold.
func (a *access) Authenticate(spec *pppbridge.Spec, req ppp.AuthRequest, answer func(ppp.Verdict)) {
	user, v := a.users.judge(req)
	switch {
	case v.Accept:
		a.accepted.Add(1)
	case v.State != nil: // EAP goes on
	default:
		a.refused.Add(1)
		a.logRefusal(spec, req, user != nil)
	}
	answer(v)
}

// logRefusal tells the operator what the peer is not told.
func (a *access) logRefusal(spec *pppbridge.Spec, req ppp.AuthRequest, known bool) {
	if spec == nil || spec.Log == nil {
		return
	}
	why := "no [[users]] block has this name"
	if known {
		why = "what it showed does not fit the password"
	}
	a.refusals.Log(spec.Log, logrus.InfoLevel, fmt.Sprintf("user %q is refused: %s", req.Name, why))
}
