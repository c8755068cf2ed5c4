package lcce

import (
	"errors"
	"reflect"
	"slices"
	"time"

	"adit/internal/config"
)

// Change is what a reload did to the static tunnels; names of tunnels, and of sessions
// as "tunnel/session" where the tunnel itself stayed.
type Change struct {
	Added, Removed, Replaced []string
	// Adjusted are tunnels that go on with another keepalive, keep or link_down.
	Adjusted []string
	// Untouched is the number of tunnels that are as they were.
	Untouched int
}

// None says that nothing has changed.
func (c *Change) None() bool {
	return len(c.Added)+len(c.Removed)+len(c.Replaced)+len(c.Adjusted) == 0
}

// Reload makes the static tunnels those of another configuration. Tunnels and sessions
// that are in both alike are not touched. On an error nothing has changed.
func (r *Role) Reload(cfg *config.Config) (Change, error) {
	var change Change
	var err error
	if !r.ask(func() { change, err = r.reload(cfg.L2TPv3.Static) }) {
		return Change{}, errors.New("adit is stopping")
	}
	return change, err
}

func (r *Role) reload(wanted []*config.StaticTunnel) (change Change, err error) {
	old := make(map[string]*static, len(r.tunnels))
	for _, t := range r.tunnels {
		old[t.cfg.Name] = t
	}
	next := make([]*static, 0, len(wanted))
	var fresh []*static
	for _, w := range wanted {
		t, problem := r.newStatic(w)
		if problem != nil {
			err = errors.Join(err, problem)
			continue
		}
		if was := old[w.Name]; was != nil && was.plane == t.plane && sameTunnel(was.cfg, w) {
			next = append(next, was)
			continue
		}
		next, fresh = append(next, t), append(fresh, t)
	}
	if err != nil {
		return Change{}, err
	}
	staying := make(map[*static]bool, len(next))
	for _, t := range next {
		staying[t] = true
	}
	replaced := make(map[string]bool)
	now := time.Now()
	for _, t := range fresh {
		if old[t.cfg.Name] != nil {
			change.Replaced, replaced[t.cfg.Name] = append(change.Replaced, t.cfg.Name), true
		} else {
			change.Added = append(change.Added, t.cfg.Name)
		}
	}
	// What goes makes room for what comes.
	for _, t := range r.tunnels {
		if staying[t] {
			continue
		}
		t.remove()
		if !replaced[t.cfg.Name] {
			change.Removed = append(change.Removed, t.cfg.Name)
		}
	}
	var changed []*static
	for i, t := range next {
		if staying[t] && old[t.cfg.Name] == t && t.become(wanted[i], now, &change) {
			changed = append(changed, t)
		}
	}
	r.tunnels, r.seen = next, nil
	for _, t := range fresh {
		t.begin(now)
	}
	for _, t := range changed {
		t.check(now)
		t.arm()
	}
	return change, nil
}

// sameTunnel says whether two tunnels differ in nothing that the tunnel itself is made
// of.
func sameTunnel(a, b *config.StaticTunnel) bool {
	return a.Encapsulation == b.Encapsulation && a.Local == b.Local && a.Peer == b.Peer &&
		a.ID == b.ID && a.PeerID == b.PeerID && a.Checksum == b.Checksum
}

// become takes what another configuration says of the tunnel that stays, and says
// whether it has to be checked. Sessions that changed are removed here and come back
// with the check.
func (t *static) become(cfg *config.StaticTunnel, now time.Time, change *Change) bool {
	if t.cfg.Equal(cfg) {
		change.Untouched++
		return false
	}
	was := t.cfg
	t.cfg = cfg
	if was.Keepalive != cfg.Keepalive || was.DeadAfter != cfg.DeadAfter || was.LinkDown != cfg.LinkDown || was.Keep != cfg.Keep {
		change.Adjusted = append(change.Adjusted, cfg.Name)
	}
	old := make(map[string]*session, len(t.sessions))
	for _, s := range t.sessions {
		old[s.cfg.Name] = s
	}
	var next []*session
	for _, w := range cfg.Sessions {
		s := old[w.Name]
		switch {
		case s != nil && reflect.DeepEqual(s.cfg, w):
			delete(old, w.Name)
		case s != nil:
			change.Replaced = append(change.Replaced, cfg.Name+"/"+w.Name)
			s = t.newSession(w)
		default:
			change.Added = append(change.Added, cfg.Name+"/"+w.Name)
			s = t.newSession(w)
		}
		next = append(next, s)
	}
	for _, s := range t.sessions {
		if old[s.cfg.Name] != s {
			continue
		}
		if !slices.ContainsFunc(cfg.Sessions, func(w *config.StaticSession) bool { return w.Name == s.cfg.Name }) {
			change.Removed = append(change.Removed, cfg.Name+"/"+s.cfg.Name)
		}
		s.remove()
	}
	t.sessions = next
	if was.Keepalive != cfg.Keepalive {
		t.beginKeepalive(now)
	}
	if was.LinkDown != cfg.LinkDown {
		t.setLinks(now)
	}
	return true
}
