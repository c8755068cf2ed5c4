// Package companion lets pppd ask adit's AAA layer. pppd ships a plugin,
// radius.so, that asks a RADIUS server who a peer is and what it gets. The
// companion is such a server, on the loopback, for the pppds of this daemon
// alone: it writes the configuration that the plugin reads into its run
// directory, with a secret made for this run, and takes each question to an Ask.
//
// Goroutines: two, one for each socket, however many sessions there are. An Ask
// answers on whatever goroutine it likes.
//
// What does not pass through radius.so: EAP; IPv6 addresses and interface
// identifiers; the order in which authentication protocols are tried, which is
// pppd's own; and another try after a refusal.
package companion

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/sparing"
	"adit/lns/subscriber"
	"adit/proto/ppp"
)

// Ask is who knows the answers: the AAA layer. Its methods are called on the
// companion's goroutines and must not block.
type Ask interface {
	// Authenticate judges what a peer said to the pppd of the session that token
	// names. user is the name as the peer wrote it. answer is to be called at most
	// once, at once or later, from any goroutine; after Patience it does nothing.
	// A Service goes with a Verdict that accepts; nil is one with nothing in it.
	// pppd asks again with each re-challenge (CHAP), and whenever LCP is
	// negotiated anew.
	Authenticate(token, user string, req ppp.AuthRequest, answer func(ppp.Verdict, *subscriber.Service))
	// Account tells what pppd counted: RecordStart with no counters, RecordInterim
	// or RecordStop. It is for information; the record of a session is the layer's.
	Account(token string, kind subscriber.RecordKind, c subscriber.Counters)
}

// How long a pppd waits for an answer. radius.so sends its question every
// retryAfter, tries times, and then refuses the peer: 40 seconds, longer than an
// upstream server may take, and short enough that nobody hangs on a daemon that
// is dead. All that time pppd does nothing else.
const (
	retryAfter = 5 * time.Second
	tries      = 8

	// Patience is how long an answer is waited for.
	Patience = retryAfter * tries
)

// Responder is the companion. Its methods may be called from any goroutine.
type Responder struct {
	dir    string
	ask    Ask
	log    *logrus.Entry
	secret []byte
	// nasID is in every request of our pppds and known to nobody else: the plugin's
	// Access-Request has no signature, and any user of this machine may send one.
	nasID string
	auth  *net.UDPConn
	acct  *net.UDPConn
	done  sync.WaitGroup
	lines sparing.Lines

	mu      sync.Mutex
	closed  bool
	tokens  map[string]struct{}
	pending pending

	count counts
}

type counts struct {
	access, accept, reject, accounting    atomic.Uint64
	foreign, malformed, unknown, overload atomic.Uint64
	duplicates, late, unsent              atomic.Uint64
}

// Start writes the files that pppd's plugin needs into dir and answers from then
// on. dir is the companion's own: it is made with mode 0700 if it is not there,
// and what an earlier run left there is replaced. log may be nil.
func Start(dir string, ask Ask, log *logrus.Entry) (*Responder, error) {
	if log == nil {
		l := logrus.New()
		l.SetOutput(io.Discard)
		log = logrus.NewEntry(l)
	}
	r := &Responder{dir: dir, ask: ask, log: log, tokens: make(map[string]struct{})}
	r.pending.init()
	random := make([]byte, 32) // crypto/rand does not fail
	_, _ = rand.Read(random)
	// The plugin's secrets have 48 octets at most, and are words.
	r.secret, r.nasID = []byte(hex.EncodeToString(random[:16])), hex.EncodeToString(random[16:])
	var err error
	if r.auth, err = listen(); err == nil {
		r.acct, err = listen()
	}
	if err == nil {
		err = r.writeFiles()
	}
	if err != nil {
		r.closeSockets()
		return nil, fmt.Errorf("start the RADIUS responder for pppd: %w", err)
	}
	r.done.Add(2)
	go r.serve(r.auth, r.access)
	go r.serve(r.acct, r.accounting)
	return r, nil
}

func listen() (*net.UDPConn, error) {
	return net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
}

func (r *Responder) closeSockets() {
	for _, c := range [...]*net.UDPConn{r.auth, r.acct} {
		if c != nil {
			_ = c.Close()
		}
	}
}

// Close ends the responder and removes its files. Ask is not called any more
// after it, and answers that are still to come do nothing. Closing twice does
// nothing.
func (r *Responder) Close() {
	r.mu.Lock()
	was := r.closed
	r.closed = true
	r.mu.Unlock()
	if was {
		return
	}
	r.closeSockets()
	r.done.Wait()
	r.removeFiles()
}

// Forget says that the session of the token has ended. What its pppd still says
// is for nobody.
func (r *Responder) Forget(token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.tokens, token)
}

func (r *Responder) knows(token string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.tokens[token]
	return ok
}

// Counts are the counters, by name.
func (r *Responder) Counts() map[string]uint64 {
	c := &r.count
	return map[string]uint64{
		"companion_access_requests":     c.access.Load(),
		"companion_access_accepts":      c.accept.Load(),
		"companion_access_rejects":      c.reject.Load(),
		"companion_accounting_requests": c.accounting.Load(),
		"companion_dropped_foreign":     c.foreign.Load(),
		"companion_dropped_malformed":   c.malformed.Load(),
		"companion_dropped_overload":    c.overload.Load(),
		"companion_unknown_tokens":      c.unknown.Load(),
		"companion_duplicates":          c.duplicates.Load(),
		"companion_late_answers":        c.late.Load(),
		"companion_send_errors":         c.unsent.Load(),
	}
}

// errOwner says that the run directory is somebody else's.
var errOwner = errors.New("it belongs to another user: remove it, or choose another run directory")
