package hooks

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/config"
	"adit/internal/sparing"
)

// Event is what a program is run for.
type Event uint8

// The events.
const (
	SessionUp Event = iota
	SessionDown
)

var eventNames = [...]string{"session-up", "session-down"}

// String is the value of ADIT_EVENT.
func (e Event) String() string {
	if int(e) < len(eventNames) {
		return eventNames[e]
	}
	return fmt.Sprintf("event %d", uint8(e))
}

// Runner runs programs, so many at one time. Where none runs it has no goroutine:
// each that runs has two, and
// a thread. Any goroutine may use it.
type Runner struct {
	log                   *logrus.Entry
	failures, left, speak sparing.Lines // programs fail, are left out, and say something

	mu        sync.Mutex
	cfg       config.Hooks
	closed    bool              // Close was called
	abandoned bool              // and its time is over
	ready     []*job            // in the order of Run
	sessions  map[string]*chain // those with a job that waits or runs
	jobs      int               // that wait, ready or behind another of their session, or run
	busy      int               // that run
	workers   int
	running   map[*process]struct{}
	idle      chan struct{} // closed when the last worker ends after Close; nil before
	counts    counts
}

type counts struct{ started, failed, killed, dropped uint64 }

// job is a program to be run.
type job struct {
	event   Event
	session string
	env     []string
}

// chain is the further jobs of a session, behind the one that is ready or runs.
type chain struct{ later []*job }

// New makes a Runner. log nil: nothing is logged.
func New(cfg config.Hooks, log *logrus.Entry) *Runner {
	if log == nil {
		l := logrus.New()
		l.SetOutput(io.Discard)
		log = logrus.NewEntry(l)
	}
	r := &Runner{log: log, sessions: map[string]*chain{}, running: map[*process]struct{}{}}
	r.Replace(cfg)
	return r
}

// Replace sets the programs, bounds and the time of a new configuration. They count
// for what begins from now on.
func (r *Runner) Replace(cfg config.Hooks) {
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	cfg.Concurrency = max(cfg.Concurrency, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cfg = cfg
}

// defaultTimeout is for a configuration that did not go through config.Load.
const defaultTimeout = 10 * time.Second

// Wants says whether there is a program for an event: where there is none, nobody
// has to gather what it would be told.
func (r *Runner) Wants(event Event) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.program(event) != ""
}

func (r *Runner) program(event Event) string {
	if event == SessionDown {
		return r.cfg.Down
	}
	return r.cfg.Up
}

// Run has the program of an event run with these variables, of Environment, and
// returns at once. The programs of a session run one after another in the order of
// Run. Where too many wait already, it is left out and counted.
func (r *Runner) Run(event Event, session string, env []string) {
	if r.add(&job{event: event, session: session, env: env}) {
		return
	}
	r.left.Log(r.log.WithField("session", session), logrus.WarnLevel,
		fmt.Sprintf("the hook of %v is left out: too many wait; make the program faster, or raise concurrency or max_waiting of [hooks]", event))
}

// add says whether the job was taken, or is none.
func (r *Runner) add(j *job) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.program(j.event) == "" {
		return true
	}
	if r.closed || r.jobs >= r.cfg.MaxWaiting+r.cfg.Concurrency {
		r.counts.dropped++
		return false
	}
	r.jobs++
	if c := r.sessions[j.session]; c != nil {
		c.later = append(c.later, j)
		return true
	}
	r.sessions[j.session] = &chain{}
	r.ready = append(r.ready, j)
	if r.workers < r.cfg.Concurrency {
		r.workers++
		go r.work()
	}
	return true
}

// work runs jobs as long as there is one that may run.
func (r *Runner) work() {
	for {
		j, program, timeout := r.next()
		if j == nil {
			return
		}
		r.run(j, program, timeout)
		r.finished(j)
	}
}

// next takes a job; nil: there is none, and the worker has ended.
func (r *Runner) next() (j *job, program string, timeout time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ready) == 0 || r.workers > r.cfg.Concurrency {
		r.workers--
		if r.workers == 0 && r.idle != nil {
			close(r.idle)
		}
		return nil, "", 0
	}
	j = r.ready[0]
	r.ready[0] = nil
	r.ready = r.ready[1:]
	r.busy++
	return j, r.program(j.event), r.cfg.Timeout
}

// finished makes the next job of the session ready.
func (r *Runner) finished(j *job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.jobs--
	r.busy--
	c := r.sessions[j.session]
	if len(c.later) == 0 {
		delete(r.sessions, j.session)
		return
	}
	r.ready = append(r.ready, c.later[0])
	c.later = c.later[1:]
}

// Close waits for the programs that run and that wait; from now on none is added.
// When ctx ends, what runs is killed and what waits is left out and counted, and
// the error is that of ctx.
func (r *Runner) Close(ctx context.Context) error {
	idle := r.close()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
	}
	r.abandon()
	last := time.NewTimer(2 * outputDelay)
	defer last.Stop()
	select {
	case <-idle:
	case <-last.C: // the kernel holds a program that was killed
	}
	return fmt.Errorf("hooks: programs were still running: %w", ctx.Err())
}

func (r *Runner) close() (idle chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.idle == nil {
		r.idle = make(chan struct{})
		if r.workers == 0 {
			close(r.idle)
		}
	}
	return r.idle
}

// abandon kills what runs and forgets what waits.
func (r *Runner) abandon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.abandoned = true
	r.counts.dropped += uint64(r.jobs - r.busy)
	r.ready, r.jobs = nil, r.busy
	for _, c := range r.sessions {
		c.later = nil
	}
	for p := range r.running {
		p.kill(aditEnds)
	}
}

// Counts are the counters, by the names that they have in metrics: hooks_running
// and hooks_waiting are how many there are now.
func (r *Runner) Counts() map[string]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return map[string]uint64{
		"hooks_started": r.counts.started, "hooks_failed": r.counts.failed, "hooks_killed": r.counts.killed,
		"hooks_dropped": r.counts.dropped, "hooks_running": uint64(r.busy), "hooks_waiting": uint64(r.jobs - r.busy),
	}
}
