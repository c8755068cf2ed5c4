package aaa

import (
	"container/list"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/internal/loop"
	"adit/lns/subscriber"
	"adit/pppbridge"
	"adit/proto/ppp"
	"adit/proto/tunnel"
)

// Call is a session's L2TP call, as the layer sees it. Its methods may be called
// from any goroutine and do not block, but for Stats, which may be a system call.
type Call interface {
	// Close ends the call; message goes to the peer.
	Close(message string)
	Stats() circuit.Stats
}

// Session is the layer's side of one call. It is made before the call is
// accepted, and exported methods may be called from any goroutine.
type Session struct {
	layer   *Layer
	id      string
	profile *config.Profile
	routes  atomic.Pointer[[]netip.Prefix]
	view    atomic.Pointer[View]

	// Only the loop touches what follows, once the call is up.
	log     *logrus.Entry
	line    *subscriber.Line // nil before the call is up
	call    Call
	attempt *attempt // under way; nil: none
	grant   *grant   // nil: not let in
	network network
	due     due
	place   loop.Deadline[*Session]
	link    linkAccount
	reason  *reason       // of our own for its end; nil: we have none
	member  *list.Element // of its user's sessions; nil: it is in no such list
	queued  *list.Element // of those who wait for the end of another; nil: it does not
	behind  *Session      // which one that is
	waiting list.List     // of *Session: those who wait for the end of this one
	gone    []func()      // to be called after the end
	penalty time.Time     // nothing is judged before: the last refusal waits until then
	ended   bool
}

// network is what PPP has brought up.
type network struct {
	up         [2]bool // by ppp.Family
	agreed     ppp.Network
	attachment pppbridge.Attachment
	attached   bool      // autoconf knows it
	started    time.Time // with the first family; zero: not as yet
}

// reason is why we end a session.
type reason struct {
	cause subscriber.TerminateCause
	text  string
}

// linkAccount is the record of RFC 2867 of the begin of a link.
type linkAccount struct {
	group *config.RADIUSGroup // that has it; nil: none has
	since time.Time
}

// NewSession makes the session of a call with this profile.
func (l *Layer) NewSession(profile *config.Profile) *Session {
	s := &Session{layer: l, id: l.newID(), profile: profile, log: l.log}
	s.place.Owner = s
	return s
}

// ID is the Acct-Session-Id.
func (s *Session) ID() string { return s.id }

// due is when a session wants attention, by what for; zero: not at all.
type due struct {
	begin   time.Time // an attempt that came too early is to be judged
	refusal time.Time // a refusal that was held back is to be said
	room    time.Time // an older session of the user had to end until now
	session time.Time // the session's time is over
	interim time.Time // the next interim record
}

// next is the earliest.
func (d *due) next() time.Time {
	var first time.Time
	for _, t := range [...]time.Time{d.begin, d.refusal, d.room, d.session, d.interim} {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// take reports whether the time has come, and if so, clears it.
func take(t *time.Time, now time.Time) bool {
	if t.IsZero() || t.After(now) {
		return false
	}
	*t = time.Time{}
	return true
}

func (s *Session) rearm() { s.layer.queue.Set(&s.place, s.due.next()) }

// expire does what is due.
func (s *Session) expire(now time.Time) {
	if take(&s.due.begin, now) {
		s.attempt.begin(now)
	}
	if take(&s.due.refusal, now) {
		s.attempt.sayHeld()
	}
	if take(&s.due.room, now) {
		s.noRoom()
	}
	if take(&s.due.session, now) {
		s.end(subscriber.SessionTimeout, "the session's time is over")
	}
	if take(&s.due.interim, now) {
		s.interim(now)
	}
}

// post runs f in the loop, and looks at the session's deadline after it. What
// comes after the end of the session comes to nothing.
func (s *Session) post(f func()) {
	s.layer.post(func() {
		if !s.ended {
			f()
			s.rearm()
		}
	})
}

// Established says that the call is up, before the peer has said anything. The
// line has everything but its ID.
func (s *Session) Established(line *subscriber.Line, call Call, log *logrus.Entry) {
	line.ID = s.id
	s.post(func() {
		s.line, s.call = line, call
		if log != nil {
			s.log = log
		}
		s.layer.sessions[s.id] = s
		s.hold() // what it was given before its call
		s.linkUp(time.Now())
	})
}

// Authenticate is pppbridge.Access's.
func (s *Session) Authenticate(req ppp.AuthRequest, answer func(ppp.Verdict)) {
	s.Judge(req, func(v ppp.Verdict, _ *subscriber.Service) { answer(v) })
}

// Judge is Authenticate that tells also what the peer is given beyond what our
// own endpoint can use: MPPE's keys, for a pppd. The Service is nil in a refusal.
func (s *Session) Judge(req ppp.AuthRequest, answer func(ppp.Verdict, *subscriber.Service)) {
	s.post(func() { s.authenticate(req, answer) })
}

// Routes is pppbridge.Access's.
func (s *Session) Routes() []netip.Prefix {
	if r := s.routes.Load(); r != nil {
		return *r
	}
	return nil
}

// NetworkUp is pppbridge.Access's.
func (s *Session) NetworkUp(f ppp.Family, n ppp.Network, a pppbridge.Attachment) {
	s.post(func() { s.networkUp(f, n, a) })
}

// NetworkDown is pppbridge.Access's.
func (s *Session) NetworkDown(f ppp.Family) { s.post(func() { s.networkDown(f) }) }

// Packet is pppbridge.Access's.
func (s *Session) Packet(packet []byte) {
	if a := s.layer.parts.Autoconf; a != nil {
		a.Packet(s.id, packet)
	}
}

// Ended says that nothing of the call is left; exit is nil if it never had a
// bridge. After the end of the layer it comes to nothing: what the session has is
// on disk as in use, and the next start looks after it.
func (s *Session) Ended(cause tunnel.Cause, exit *circuit.Exit) {
	s.layer.post(func() { s.finish(cause, exit) })
}

// end has the call ended, for a reason of ours. Only the first counts.
func (s *Session) end(cause subscriber.TerminateCause, text string) {
	if s.reason != nil || s.call == nil {
		return
	}
	s.reason = &reason{cause, text}
	s.log.Info("session is ended: " + text)
	s.call.Close(text)
}
