package engine

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"adit/internal/circuit"
	"adit/proto/tunnel"
)

// role is a Handler and an Acceptor that notes what it is told and does what
// its functions say. By default it lets everybody in and accepts every call.
type role struct {
	t    testing.TB
	mu   sync.Mutex
	log  []string
	when []time.Time

	tunnels []*Tunnel
	calls   []*Call

	tunnelSpec *TunnelSpec // for accepted tunnels
	refusal    *Refusal
	callSpec   func() *CallSpec
	onAccept   func(*TunnelRequest)
	onUp       func(*Tunnel)
	onTunnel   func(*Tunnel, tunnel.Cause) // TunnelDown
	onCall     func(*Call)                 // CallRequested
	onCallUp   func(*Call)
	onCallDown func(*Call, tunnel.Cause)
	quiet      bool

	tally
	cause map[*Call]tunnel.Cause
	ends  []tunnel.Cause
}

// tally is how often a role was told what, and the calls' specs given and
// released.
type tally struct{ up, down, callsUp, callsDown, released, given int }

// got returns the tally up to now.
func (r *role) got() tally {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tally
}

// tunnel returns the nth tunnel that came up.
func (r *role) tunnel(n int) *Tunnel {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tunnels[n]
}

// at returns when the role was first told something.
func (r *role) at(event string) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.log, event)
	if i < 0 {
		return time.Time{}
	}
	return r.when[i]
}

// causes returns why the calls ended.
func (r *role) causes() []tunnel.Cause {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.cause))
}

func newRole(t testing.TB) *role { return &role{t: t, cause: make(map[*Call]tunnel.Cause)} }

func (r *role) note(format string, args ...any) {
	if !r.quiet {
		r.log = append(r.log, fmt.Sprintf(format, args...))
		r.when = append(r.when, time.Now())
	}
}

// newCallSpec is a CallSpec that counts its release.
func (r *role) newCallSpec() *CallSpec {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.given++
	return &CallSpec{Name: "call", Profile: "test", Session: (*countingSession)(r)}
}

// countingSession counts the ends of a role's calls.
type countingSession role

func (*countingSession) Established(*Call) {}

func (s *countingSession) Ended(tunnel.Cause, *circuit.Exit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.released++
}

func (r *role) AcceptTunnel(q *TunnelRequest) (*TunnelSpec, *Refusal) {
	if r.onAccept != nil {
		r.onAccept(q)
	}
	if r.refusal != nil {
		return nil, r.refusal
	}
	spec := *r.tunnelSpec
	return &spec, nil
}

func (r *role) TunnelUp(t *Tunnel) {
	r.mu.Lock()
	r.up++
	r.tunnels = append(r.tunnels, t)
	r.note("tunnel up")
	r.mu.Unlock()
	if r.onUp != nil {
		r.onUp(t)
	}
}

func (r *role) TunnelDown(t *Tunnel, cause tunnel.Cause) {
	r.mu.Lock()
	r.down++
	r.ends = append(r.ends, cause)
	r.note("tunnel down")
	r.mu.Unlock()
	if r.onTunnel != nil {
		r.onTunnel(t, cause)
	}
}

// serve sets what calls are accepted with from now on.
func (r *role) serve(callSpec func() *CallSpec) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.callSpec = callSpec
}

func (r *role) CallRequested(c *Call) {
	r.mu.Lock()
	r.calls = append(r.calls, c)
	r.note("call requested")
	callSpec := r.callSpec
	r.mu.Unlock()
	switch {
	case r.onCall != nil:
		r.onCall(c)
	case callSpec != nil:
		c.Accept(callSpec())
	default:
		c.Accept(r.newCallSpec())
	}
}

func (r *role) CallUp(c *Call) {
	r.mu.Lock()
	r.callsUp++
	r.note("call up")
	r.mu.Unlock()
	if r.onCallUp != nil {
		r.onCallUp(c)
	}
}

func (r *role) CallDown(c *Call, cause tunnel.Cause) {
	r.mu.Lock()
	if _, twice := r.cause[c]; twice {
		r.t.Errorf("CallDown twice for call %d", c.ID)
	}
	r.cause[c] = cause
	r.callsDown++
	r.note("call down")
	r.mu.Unlock()
	if r.onCallDown != nil {
		r.onCallDown(c, cause)
	}
}

// ended returns why the tunnels ended.
func (r *role) ended() []tunnel.Cause {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ends)
}

// last is why the last tunnel ended.
func (r *role) last() tunnel.Cause {
	all := r.ended()
	if len(all) == 0 {
		return tunnel.Cause{}
	}
	return all[len(all)-1]
}
