package hooks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"adit/internal/config"
)

// orderScript writes when it begins and when it ends.
const orderScript = `
echo "begin $ADIT_SESSION $1" >>"$DIR/order"
sleep 0.0$ADIT_NAP
echo "end $ADIT_SESSION $1" >>"$DIR/order"`

// The programs of a session run one after another in the order of Run, those of
// different sessions beside each other, and never more than Concurrency.
func TestOrder(t *testing.T) {
	check := leaks(t)
	const sessions, concurrency = 30, 5
	r := newRig(t, config.Hooks{Concurrency: concurrency}, orderScript)
	var all sync.WaitGroup
	for i := range sessions {
		all.Go(func() {
			id := fmt.Sprint(i)
			for j, e := range []Event{SessionUp, SessionDown, SessionUp, SessionDown} {
				// The earlier takes the longer: what is not held back would be first.
				r.Run(e, id, []string{"ADIT_SESSION=" + id, fmt.Sprintf("ADIT_NAP=%d", 4-j)})
			}
		})
	}
	all.Wait()
	r.wait()
	running, most, got := 0, 0, map[string]string{}
	for line := range strings.Lines(r.read("order")) {
		words := strings.Fields(line)
		if running++; words[0] == "end" {
			running -= 2
		}
		most = max(most, running)
		got[words[1]] += words[0] + " " + words[2] + "\n"
	}
	const once = "begin session-up\nend session-up\nbegin session-down\nend session-down\n"
	if len(got) != sessions {
		t.Errorf("%d sessions", len(got))
	}
	for id, order := range got {
		if order != once+once {
			t.Errorf("session %s: %s", id, order)
		}
	}
	if most > concurrency || most < 2 {
		t.Errorf("%d at one time", most)
	}
	r.wantCounts(map[string]uint64{"hooks_started": 4 * sessions})
	check()
}

// gateScript waits for the file "gate".
const gateScript = `until [ -e "$DIR/gate" ]; do sleep 0.01; done; echo >>"$DIR/ran"`

// A flood of sessions is bounded, nobody waits for it, and it does not fill the log.
func TestFlood(t *testing.T) {
	for name, session := range map[string]func(int) string{
		"many sessions": func(i int) string { return fmt.Sprint(i) },
		"one session":   func(int) string { return "same" },
	} {
		t.Run(name, func(t *testing.T) {
			check := leaks(t)
			r := newRig(t, config.Hooks{Concurrency: 3, MaxWaiting: 10}, gateScript)
			begin := time.Now()
			for i := range 20000 {
				r.Run(SessionUp, session(i), nil)
			}
			if d := time.Since(begin); d > 5*time.Second {
				t.Errorf("20,000 calls of Run took %v", d)
			}
			running := uint64(3)
			if name == "one session" {
				running = 1
			}
			eventually(t, "they run", func() bool { return r.Counts()["hooks_started"] == running })
			r.wantCounts(map[string]uint64{"hooks_started": running, "hooks_running": running,
				"hooks_waiting": 13 - running, "hooks_dropped": 20000 - 13})
			r.create("gate")
			r.wait()
			r.wantCounts(map[string]uint64{"hooks_started": 13, "hooks_dropped": 20000 - 13})
			if got := len(r.read("ran")); got != 13 {
				t.Errorf("%d have run", got)
			}
			lines := strings.Count(r.log.String(), "\n")
			if lines < 1 || lines > 30 || !strings.Contains(r.log.String(),
				"the hook of session-up is left out: too many wait; make the program faster, or raise concurrency or max_waiting of [hooks]") {
				t.Errorf("%d lines: %.300s", lines, r.log)
			}
			check()
			if len(r.sessions) != 0 || r.jobs != 0 || r.busy != 0 || r.workers != 0 || len(r.ready) != 0 || len(r.running) != 0 {
				t.Errorf("left: %d sessions, %d jobs, %d busy, %d workers", len(r.sessions), r.jobs, r.busy, r.workers)
			}
		})
	}
}

// After the flood there is room again, and idle means no goroutine.
func TestRoomAgain(t *testing.T) {
	check := leaks(t)
	r := newRig(t, config.Hooks{Concurrency: 2, MaxWaiting: 1}, gateScript)
	for i := range 4 {
		r.Run(SessionUp, fmt.Sprint(i), nil)
	}
	r.create("gate")
	eventually(t, "three have run", func() bool {
		c := r.Counts()
		return c["hooks_started"] == 3 && c["hooks_running"] == 0 && c["hooks_waiting"] == 0
	})
	check()
	r.Run(SessionDown, "3", nil)
	r.wait()
	r.wantCounts(map[string]uint64{"hooks_started": 4, "hooks_dropped": 1})
}

// Close waits; when its time is over, it kills what runs and leaves out what waits.
func TestCloseInTime(t *testing.T) {
	check := leaks(t)
	r := newRig(t, config.Hooks{Concurrency: 2}, `sleep 1000 & echo $! >>"$DIR/pids"; echo $$ >>"$DIR/pids"; wait`)
	for i := range 5 {
		r.Run(SessionUp, fmt.Sprint(i), nil)
	}
	r.Run(SessionDown, "0", nil)
	pids := r.numbers("pids", 4)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := r.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	for _, pid := range pids {
		eventually(t, fmt.Sprintf("process %d has ended", pid), func() bool { return !alive(pid) })
	}
	r.wantCounts(map[string]uint64{"hooks_started": 2, "hooks_killed": 2, "hooks_dropped": 4})
	if got := r.log.String(); strings.Count(got, "the hook of session-up was killed because adit ends and waits no longer") != 2 {
		t.Errorf("log %s", got)
	}
	r.Run(SessionUp, "9", nil) // too late
	r.wantCounts(map[string]uint64{"hooks_started": 2, "hooks_killed": 2, "hooks_dropped": 5})
	r.wait() // again
	check()
}

func TestCloseIdle(t *testing.T) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	r := New(config.Hooks{Up: "/bin/true", MaxWaiting: 1}, nil)
	_ = r.Close(over) // either of two reasons
	if err := r.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// Where there is no program for an event, nothing is run, kept or counted.
func TestWants(t *testing.T) {
	r := newRig(t, config.Hooks{}, `echo "$1" >>"$DIR/ran"`)
	if !r.Wants(SessionUp) || !r.Wants(SessionDown) {
		t.Error("no program")
	}
	r.Replace(config.Hooks{Down: r.script, MaxWaiting: 5})
	if r.Wants(SessionUp) || !r.Wants(SessionDown) {
		t.Error("the program of the configuration before")
	}
	r.Run(SessionUp, "1", nil)
	r.wantCounts(nil)
	r.Run(SessionDown, "1", nil)
	r.wait()
	if got := r.read("ran"); got != "session-down\n" {
		t.Errorf("ran %q", got)
	}
	r.wantCounts(map[string]uint64{"hooks_started": 1})
}

// A reload counts for what begins after it: another program, and more at one time.
func TestReplace(t *testing.T) {
	check := leaks(t)
	r := newRig(t, config.Hooks{Concurrency: 1}, gateScript)
	for i := range 3 {
		r.Run(SessionUp, fmt.Sprint(i), nil)
	}
	eventually(t, "one runs", func() bool { return r.Counts()["hooks_started"] == 1 })
	r.Replace(config.Hooks{Up: r.script, Concurrency: 3, MaxWaiting: 10, Timeout: patience})
	r.Run(SessionUp, "3", nil)
	eventually(t, "more run", func() bool { return r.Counts()["hooks_running"] >= 2 })
	r.Replace(config.Hooks{Concurrency: 1, MaxWaiting: 10}) // no program at all
	r.create("gate")
	r.wait()
	n := r.Counts()["hooks_started"]
	if n < 2 || n > 3 {
		t.Errorf("%d have run", n)
	}
	if got := uint64(strings.Count(r.read("ran"), "\n")); got != n {
		t.Errorf("%d of %d have run", got, n)
	}
	check()
}

func TestEventString(t *testing.T) {
	for e, want := range map[Event]string{SessionUp: "session-up", SessionDown: "session-down", 7: "event 7"} {
		if e.String() != want {
			t.Errorf("%d is %q", e, e)
		}
	}
}
