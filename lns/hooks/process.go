package hooks

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// What every program has in its environment, besides the variables of Environment.
var basics = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}

const (
	// maxOutput is how much of what a program writes goes into the log, in octets.
	maxOutput = 1024
	// outputDelay is how long the output of a program that has ended is waited for,
	// where one that it left in a process group of its own still holds it.
	outputDelay = time.Second
)

// aditEnds is why a program is killed when the time of Close is over.
const aditEnds = "because adit ends and waits no longer"

// process is a program that runs, with all that it has started: its process group.
type process struct {
	pid int

	mu     sync.Mutex
	reaped bool   // the number may be another's now
	killed string // why it was; empty: it was not
}

// kill ends the whole group, and keeps why for the log. Once the program has ended
// it does nothing.
func (p *process) kill(why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		p.killed = why
		_ = unix.Kill(-p.pid, unix.SIGKILL) // there is one at least, which is not reaped
	}
}

// end kills what the program has left in its group, and says why it was killed
// itself. The program has ended and is not reaped, so that its number is its own.
func (p *process) end() (killed string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = unix.Kill(-p.pid, unix.SIGKILL)
	p.reaped = true
	return p.killed
}

// await waits until the program has ended, and leaves it to be reaped.
func (p *process) await() error {
	for {
		err := unix.Waitid(unix.P_PID, p.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// run runs a program to its end.
func (r *Runner) run(j *job, program string, timeout time.Duration) {
	log := r.log.WithFields(logrus.Fields{"session": clean(j.session), "program": program})
	if program == "" { // a reload has taken it away
		return
	}
	var out output
	cmd := exec.Command(program)
	cmd.Args = []string{filepath.Base(program), j.event.String()}
	cmd.Env = append(append([]string{}, basics...), j.env...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = outputDelay
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		r.count(func(c *counts) { c.failed++ })
		r.failures.Log(log, logrus.WarnLevel, fmt.Sprintf("the hook of %v cannot be started: %v; it has to be a program that may be run", j.event, err))
		return
	}
	p := &process{pid: cmd.Process.Pid}
	r.began(p)
	limit := time.AfterFunc(timeout, func() {
		p.kill(fmt.Sprintf("after %v, because it has no more time; make it faster, or raise timeout of [hooks]", timeout))
	})
	err := p.await()
	limit.Stop()
	killed := p.end()
	if waitErr := cmd.Wait(); err == nil && !errors.Is(waitErr, exec.ErrWaitDelay) {
		err = waitErr
	}
	r.ended(p, killed, err)
	r.report(log, j.event, out.String(), killed, err)
}

func (r *Runner) began(p *process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts.started++
	r.running[p] = struct{}{}
	if r.abandoned {
		p.kill(aditEnds)
	}
}

func (r *Runner) ended(p *process, killed string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.running, p)
	switch {
	case killed != "":
		r.counts.killed++
	case err != nil:
		r.counts.failed++
	}
}

func (r *Runner) count(change func(*counts)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.counts)
}

// report logs how a program ended, where that is more than well and in silence.
func (r *Runner) report(log *logrus.Entry, event Event, said string, killed string, err error) {
	if said != "" {
		log = log.WithField("output", said)
	}
	switch {
	case killed != "":
		r.failures.Log(log, logrus.WarnLevel, fmt.Sprintf("the hook of %v was killed %s", event, killed))
	case err != nil:
		r.failures.Log(log, logrus.WarnLevel, fmt.Sprintf("the hook of %v failed: %v", event, err))
	case said != "":
		r.speak.Log(log, logrus.InfoLevel, fmt.Sprintf("the hook of %v has run", event))
	}
}

// output keeps the beginning of what a program writes and takes the rest, so that
// the program does not wait for a reader. One goroutine writes, and another reads
// afterwards.
type output struct {
	kept []byte
	cut  bool
}

func (o *output) Write(p []byte) (int, error) {
	room := maxOutput - len(o.kept)
	if len(p) > room {
		o.kept, o.cut = append(o.kept, p[:room]...), true
	} else {
		o.kept = append(o.kept, p...)
	}
	return len(p), nil
}

// String is the text in one line.
func (o *output) String() string {
	var all []string
	for line := range strings.Lines(string(o.kept)) {
		if line = strings.TrimSpace(clean(line)); line != "" {
			all = append(all, line)
		}
	}
	s := strings.Join(all, "; ")
	if o.cut {
		s += " ..."
	}
	return s
}
