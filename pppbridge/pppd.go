package pppbridge

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/proto/l2tp"
)

// state is where a pppd is in its life.
type state uint8

const (
	stateWaiting  state = iota // for a starting place
	stateStarting              // a worker forks it
	stateRunning
	stateEnded
)

var stateNames = [...]string{"waiting", "starting", "running", "ended"}

// String names the state.
func (s state) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// line is what a bridge does about its pppd's life, in the poller's goroutine.
type line interface {
	// childFiles are the descriptors 0, 1 and from 3 on; 2 is the log.
	childFiles() (stdin, stdout int, extra []int)
	forked()               // the child has its copies now
	settled(now time.Time) // pppd is ready, or had time enough to be
	// ended: pppd is gone. It drains and closes everything, and returns the last
	// of the counters.
	ended(now time.Time) circuit.Stats
}

// pppd is one session's pppd. What is not atomic or under the mutex belongs to
// the poller's goroutine, once Open has returned.
type pppd struct {
	f      *Factory
	spec   Spec
	line   line
	onExit func(circuit.Exit)

	state      state
	settledYet bool
	wantStop   bool
	killing    bool
	reason     string // of Close
	pid        int
	pidfd      int
	logR, logW int
	pidHandle  kernel.Handle
	logHandle  kernel.Handle
	lines      lines
	hints      hints
	networks   *pppdNetworks // nil: nobody is told

	closing  atomic.Bool
	logDrops atomic.Uint64
	mu       sync.Mutex // of info
	info     circuit.Info
}

func newPPPD(f *Factory, spec Spec, l line, onExit func(circuit.Exit)) *pppd {
	p := &pppd{f: f, spec: spec, line: l, onExit: onExit, pidfd: -1, logR: -1, logW: -1}
	if spec.Access != nil {
		p.networks = newPPPDNetworks(p)
	}
	return p
}

// launch queues it for its start. On an error nothing was begun.
func (p *pppd) launch() error {
	if p.networks != nil {
		if _, err := p.f.tun.work.open(); err != nil {
			return err
		}
	}
	if !p.f.starter.reserve() {
		return ErrTooManyStarts
	}
	if !p.f.arrive() {
		p.f.starter.waiting.Add(-1)
		return ErrClosed
	}
	if !p.f.sup.poller.Post(func(time.Time) { p.f.starter.add(p) }) {
		p.f.starter.waiting.Add(-1)
		p.f.gone()
		return ErrClosed
	}
	return nil
}

// start makes the log pipe and has the forker fork.
func (p *pppd) start() {
	p.state = stateStarting
	fds := [2]int{}
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		p.post(func(now time.Time) { p.startFailed(now, fmt.Errorf("make the log pipe of pppd: %w", err), false) })
		return
	}
	p.logR, p.logW = fds[0], fds[1]
	// The writing end is shared with every program that pppd starts, and they
	// do not expect EAGAIN on their standard error. A full pipe makes pppd
	// wait, for we always read it.
	_ = unix.SetNonblock(p.logW, false)
	argv := arguments(p.f.cfg.Path, &p.spec)
	p.spec.Log.WithField("argv", redact(argv)).Debug("starting pppd")
	p.f.forker.jobs <- func() { // there is room for every starting place
		pid, pidfd, err := p.fork(argv)
		p.post(func(now time.Time) { p.started(now, pid, pidfd, err) })
	}
}

// post runs f in the poller. If the poller is gone, so is the daemon.
func (p *pppd) post(f func(now time.Time)) { p.f.sup.poller.Post(f) }

// fork starts the process in a session and process group of its own, with no
// descriptor but its own: everything of ours is close-on-exec.
func (p *pppd) fork(argv []string) (pid, pidfd int, err error) {
	stdin, stdout, extra := p.line.childFiles()
	files := []uintptr{uintptr(stdin), uintptr(stdout), uintptr(p.logW)}
	for _, fd := range extra {
		files = append(files, uintptr(fd))
	}
	pidfd = -1
	pid, err = syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{
		Dir: "/", Env: environment, Files: files,
		Sys: &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd, Pdeathsig: syscall.SIGTERM},
	})
	if err == nil && pidfd < 0 {
		pidfd, err = unix.PidfdOpen(pid, 0)
		if err != nil {
			// Without its pidfd its end would go unseen.
			_ = unix.Kill(-pid, unix.SIGKILL)
			_, _ = unix.Wait4(pid, nil, 0, nil)
			return 0, -1, fmt.Errorf("watch pppd: %w", err)
		}
	}
	return pid, pidfd, err
}

func (p *pppd) started(now time.Time, pid, pidfd int, err error) {
	_ = unix.Close(p.logW)
	p.logW = -1
	if err != nil {
		p.startFailed(now, startError(p.f.cfg.Path, err), permanent(err))
		return
	}
	p.line.forked()
	p.pid, p.pidfd, p.state = pid, pidfd, stateRunning
	p.setInfo(func(i *circuit.Info) { i.PID = pid })
	p.pidHandle, err = p.f.sup.poller.Add(pidfd, kernel.Readable, pidHandler{p})
	if err == nil {
		p.logHandle, err = p.f.sup.poller.Add(p.logR, kernel.Readable, logHandler{p})
	}
	if err != nil {
		// It cannot be supervised, so it must not run.
		_ = unix.Kill(-pid, unix.SIGKILL)
		_, _ = unix.Wait4(pid, nil, 0, nil)
		p.startFailed(now, fmt.Errorf("supervise pppd: %w", err), false)
		return
	}
	p.f.sup.starting = append(p.f.sup.starting, timedSession{now.Add(settleAfter), p})
	if p.wantStop {
		p.terminate(now)
	}
}

// startError is one clear sentence.
func startError(path string, err error) error {
	switch {
	case path == "" || errors.Is(err, unix.ENOENT):
		return fmt.Errorf("start pppd: there is no %s; install the ppp package, or set pppd.path: %w", quoteOr(path, "pppd"), err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("start pppd: %s may not be executed by this user: %w", path, err)
	case errors.Is(err, unix.ENOEXEC):
		return fmt.Errorf("start pppd: %s is not a program for this machine: %w", path, err)
	}
	return fmt.Errorf("start pppd %s: %w", path, err)
}

func quoteOr(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func permanent(err error) bool {
	return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.ENOMEM) && !errors.Is(err, unix.EMFILE) && !errors.Is(err, unix.ENFILE)
}

func (p *pppd) startFailed(now time.Time, err error, permanent bool) {
	p.finish(now, failedExit(err, permanent))
}

// settle ends the start: pppd has said something on the line, or had the time.
func (p *pppd) settle(now time.Time) {
	if p.settledYet || p.state != stateRunning {
		return
	}
	p.settledYet = true
	p.line.settled(now)
	p.f.starter.done()
}

type logHandler struct{ p *pppd }

func (h logHandler) Ready(now time.Time, _ kernel.Events) { h.p.readLog(now, 4) }

// readLog reads at most n pieces of what pppd logged.
func (p *pppd) readLog(now time.Time, n int) {
	for range n {
		got, err := unix.Read(p.logR, p.f.sup.scratch[:4096])
		if err != nil && errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			return
		}
		if err != nil || got == 0 {
			p.f.sup.poller.Remove(p.logHandle) // all writers are gone
			return
		}
		p.lines.feed(now, p.f.sup.scratch[:got], p.seeLine, p.logLine)
		p.logDrops.Store(p.lines.dropped)
		if p.hints.connected {
			p.settle(now)
		}
	}
}

func (p *pppd) seeLine(s string) {
	if !p.hints.see(s) {
		return
	}
	if p.networks != nil {
		p.networks.tell()
	}
	p.showHints()
}

// showHints makes known what the lines have told.
func (p *pppd) showHints() {
	p.setInfo(func(i *circuit.Info) {
		pid := i.PID
		*i = p.hints.info
		i.PID = pid
	})
}

func (p *pppd) logLine(s string) {
	if isDebugLine(s) {
		p.spec.Log.Debug("pppd: " + s)
		return
	}
	p.spec.Log.Info("pppd: " + s)
}

type pidHandler struct{ p *pppd }

// Ready says that the process has ended; it is reaped here, so that it does not
// stay a zombie.
func (h pidHandler) Ready(now time.Time, _ kernel.Events) {
	p := h.p
	// It is a zombie now, so its number is still its own: what it left behind
	// in its process group (a pty or connect command) ends with it.
	_ = unix.Kill(-p.pid, unix.SIGTERM)
	var ws unix.WaitStatus
	got, err := unix.Wait4(p.pid, &ws, unix.WNOHANG, nil)
	if errors.Is(err, unix.EINTR) || err == nil && got == 0 {
		return // not yet; the descriptor stays readable
	}
	// What it said last is often the reason.
	p.readLog(now, 64)
	p.lines.end(now, p.seeLine, p.logLine)
	if err != nil {
		p.finish(now, failedExit(fmt.Errorf("wait for pppd: %w", err), false))
		return
	}
	e := exitOf(ws, p.hints)
	if p.killing && p.reason != "" {
		e.Text += "; it did not end in time"
	}
	p.finish(now, e)
}

// terminate asks pppd to end, and sets the time when it has to.
func (p *pppd) terminate(now time.Time) {
	_ = unix.Kill(p.pid, unix.SIGTERM)
	p.expectEnd(now)
}

// expectEnd has it killed if it still runs after StopTimeout.
func (p *pppd) expectEnd(now time.Time) {
	s := p.f.sup
	s.stopping = append(s.stopping, timedSession{now.Add(s.stopTimeout), p})
}

// kill kills the whole process group. The process is not reaped before its end
// was seen in this goroutine, so the number cannot have a new owner.
func (p *pppd) kill() {
	if p.state == stateRunning {
		p.killing = true
		_ = unix.Kill(-p.pid, unix.SIGKILL)
	}
}

func (p *pppd) stop(reason string) {
	if p.closing.Swap(true) {
		return
	}
	p.post(func(now time.Time) {
		p.reason, p.wantStop = reason, true
		switch p.state {
		case stateWaiting:
			p.finish(now, circuit.Exit{Code: -1, Text: reason, Result: l2tp.ResultCode{Result: l2tp.CDNAdministrative},
				PPP: cause(l2tp.DisconnectAdministrative, 0, 0)})
		case stateRunning:
			p.terminate(now)
		case stateStarting, stateEnded:
			// started does it; or it is over.
		}
	})
}

// finish is the end of the bridge, once.
func (p *pppd) finish(now time.Time, e circuit.Exit) {
	if p.state == stateEnded {
		return
	}
	had := p.state
	p.state = stateEnded
	sup := p.f.sup
	sup.poller.Remove(p.pidHandle)
	sup.poller.Remove(p.logHandle)
	for _, fd := range [...]*int{&p.pidfd, &p.logR, &p.logW} {
		if *fd >= 0 {
			_ = unix.Close(*fd)
			*fd = -1
		}
	}
	if p.networks != nil {
		p.networks.end()
	}
	e.Stats = p.line.ended(now)
	p.setInfo(func(i *circuit.Info) { i.PID = 0 })
	if had != stateWaiting && !p.settledYet {
		p.f.starter.done()
	}
	e.Closed = p.wantStop
	p.f.gone()
	p.onExit(e)
}

func (p *pppd) setInfo(f func(*circuit.Info)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.info)
}

func (p *pppd) getInfo() circuit.Info {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.info
}
