package aaa

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/sirupsen/logrus"

	"adit/lns/dhcp"
	"adit/lns/pool"
	"adit/lns/radattr"
	"adit/lns/users"
)

// counters are the layer's own.
type counters struct {
	authAccepted, authRefused                        atomic.Uint64
	unknownUser, wrongPassword, wrongMethod          atomic.Uint64
	callingNumber, overLimit, replaced, otherUser    atomic.Uint64
	unanswered, rejected, unfit                      atomic.Uint64
	exhausted, conflicts, withoutAddress, leasesLost atomic.Uint64
	started, stopped, disconnects, changes           atomic.Uint64
}

// Counts are the counters by name, for people and programs.
func (l *Layer) Counts() map[string]uint64 {
	c := &l.count
	return map[string]uint64{
		"auth_accepted": c.authAccepted.Load(), "auth_refused": c.authRefused.Load(),
		"auth_unknown_user": c.unknownUser.Load(), "auth_wrong_password": c.wrongPassword.Load(),
		"auth_wrong_method": c.wrongMethod.Load(), "auth_calling_number": c.callingNumber.Load(),
		"auth_over_limit": c.overLimit.Load(), "auth_replaced": c.replaced.Load(), "auth_other_user": c.otherUser.Load(),
		"auth_radius_silent": c.unanswered.Load(), "auth_radius_reject": c.rejected.Load(), "auth_radius_unfit": c.unfit.Load(),
		"address_exhausted": c.exhausted.Load(), "address_conflict": c.conflicts.Load(),
		"address_none": c.withoutAddress.Load(), "address_lease_lost": c.leasesLost.Load(),
		"sessions_started": c.started.Load(), "sessions_stopped": c.stopped.Load(),
		"dynamic_disconnects": c.disconnects.Load(), "dynamic_changes": c.changes.Load(),
	}
}

// refused counts why the local users refused a peer.
func (c *counters) refused(err error) {
	switch {
	case errors.Is(err, users.ErrUnknown):
		c.unknownUser.Add(1)
	case errors.Is(err, users.ErrHash):
		c.wrongMethod.Add(1)
	default:
		c.wrongPassword.Add(1)
	}
}

// noAddress counts why a peer got no address.
func (c *counters) noAddress(err error) {
	var taken *takenError
	switch {
	case errors.Is(err, pool.ErrExhausted):
		c.exhausted.Add(1)
	case errors.As(err, &taken), errors.Is(err, dhcp.ErrConflict):
		c.conflicts.Add(1)
	default:
		c.withoutAddress.Add(1)
	}
}

// logRefusal tells the operator what the peer is not told.
func (l *Layer) logRefusal(s *Session, name, why string) {
	log := s.log
	if s.line != nil && s.line.CallingNumber != "" {
		log = log.WithField("calling_number", s.line.CallingNumber)
	}
	l.quiet.Log(log, logrus.InfoLevel, fmt.Sprintf("user %q is refused: %s", name, why))
}

// nas is who we are to RADIUS servers.
func (l *Layer) nas() radattr.NAS {
	return radattr.NAS{Identifier: l.cfg.RADIUS.NASIdentifier, Address: l.cfg.RADIUS.NASAddress}
}
