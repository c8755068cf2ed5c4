// Package aaa decides who may come in and with what address, and has written
// down what became of it: one layer for pppd's sessions and for those of our own
// PPP endpoint, so that a profile means the same whatever speaks PPP.
//
// One goroutine owns the state of all sessions. Shards, pollers, RADIUS and DHCP
// post to it and never wait for it; it posts to them. What it does for a session
// is a few microseconds, so that one is enough for tens of thousands of logins a
// second.
package aaa

import (
	"container/list"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/config"
	"adit/internal/loop"
	"adit/internal/sparing"
	"adit/lns/dhcp"
	"adit/lns/hooks"
	"adit/lns/pool"
	"adit/lns/users"
)

// Layer is the AAA layer. Its methods may be called from any goroutine.
type Layer struct {
	cfg   *config.Config
	parts Parts
	log   *logrus.Entry
	count counters
	inbox *loop.Mailbox
	stop  chan struct{}
	done  chan struct{}

	boot string // what the IDs of this run's sessions begin with
	// acquire is DHCP's, or a test's; nil: there is none.
	acquire func(group *config.DHCP, req dhcp.Request, events dhcp.Events) lease
	last    atomic.Uint64
	// leaving: the daemon ends, and so all sessions do.
	leaving atomic.Bool
	quiet   sparing.Lines // refusals: a peer that tries passwords must not fill the log

	// What only the loop may touch.
	sessions map[string]*Session       // of calls that are up, by ID
	byUser   map[string]*list.List     // of *Session, that were let in, the oldest first
	holders  map[netip.Prefix]*Session // who has an address or a prefix
	queue    loop.Deadlines[*Session]
	tunnels  map[uint32]*tunnelAccount
}

// Parts are what the layer decides with. Users, Pools and Hooks are required.
type Parts struct {
	Users    *users.Set
	Pools    *pool.Set
	Hooks    *hooks.Runner
	RADIUS   RADIUS       // nil: no profile names a group
	DHCP     *dhcp.Client // nil: no profile takes addresses from a DHCP server
	Autoconf Autoconf     // nil: subscribers are told nothing beyond PPP
}

// New makes the layer and starts its loop. The configuration was validated.
// A nil log is none.
func New(cfg *config.Config, parts Parts, log *logrus.Entry) *Layer {
	if log == nil {
		quiet := logrus.New()
		quiet.SetOutput(io.Discard)
		log = logrus.NewEntry(quiet)
	}
	l := &Layer{
		cfg: cfg, parts: parts, log: log, inbox: loop.NewMailbox(), stop: make(chan struct{}), done: make(chan struct{}),
		boot:     bootName(time.Now()),
		sessions: make(map[string]*Session), byUser: make(map[string]*list.List), holders: make(map[netip.Prefix]*Session),
		tunnels: make(map[uint32]*tunnelAccount),
	}
	if c := parts.DHCP; c != nil {
		l.acquire = func(group *config.DHCP, req dhcp.Request, events dhcp.Events) lease {
			return c.Acquire(group, req, events)
		}
	}
	go l.run()
	return l
}

// bootName is what no other run has: its time, and a number by chance for a machine
// whose clock begins at the same time after each boot.
func bootName(now time.Time) string {
	var random [3]byte
	_, _ = rand.Read(random[:]) // it never fails
	return strconv.FormatInt(now.UnixMilli(), 36) + hex.EncodeToString(random[:])
}

// newID makes an Acct-Session-Id.
//
// RFC 2866 section 5.5: "This attribute is a unique Accounting ID to make it easy
// to match start and stop records in a log file."
func (l *Layer) newID() string {
	return fmt.Sprintf("%s-%06d", l.boot, l.last.Add(1))
}

// run is the loop.
func (l *Layer) run() {
	defer close(l.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := time.Hour
		if next := l.queue.Next(); !next.IsZero() {
			wait = time.Until(next)
		}
		timer.Reset(wait)
		select {
		case <-l.inbox.Ready():
			l.inbox.Run()
		case <-timer.C:
		case <-l.stop:
			l.inbox.Close()
			return
		}
		l.expire(time.Now())
	}
}

// slice bounds how many deadlines are served before the inbox has its turn.
const slice = 256

func (l *Layer) expire(now time.Time) {
	for range slice {
		s, ok := l.queue.Due(now)
		if !ok {
			return
		}
		s.expire(now)
		s.rearm()
	}
}

// post has f run in the loop. False: the layer has ended.
func (l *Layer) post(f func()) bool { return l.inbox.Put(f) }

// ask has f run in the loop and waits for it. False: the layer has ended, or ctx.
func (l *Layer) ask(ctx context.Context, f func()) bool {
	ran := make(chan struct{})
	if !l.post(func() { f(); close(ran) }) {
		return false
	}
	select {
	case <-ran:
		return true
	case <-ctx.Done():
	case <-l.done:
	}
	return false
}

// Leave says that the daemon ends: sessions end for no other reason from now on.
func (l *Layer) Leave() { l.leaving.Store(true) }

// ErrSessionsLeft says that sessions had not ended when the layer was closed.
var ErrSessionsLeft = errors.New("sessions were left when the AAA layer ended; their accounting is closed at the next start")

// Close ends the loop. The sessions have ended before, or keep their place on
// disk: the next start closes their accounting. The parts are their owner's to
// close.
func (l *Layer) Close(ctx context.Context) error {
	var left int
	l.ask(ctx, func() { left = len(l.sessions) })
	close(l.stop)
	<-l.done
	if left > 0 {
		return fmt.Errorf("%d %w", left, ErrSessionsLeft)
	}
	return nil
}
