package pool

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"adit/internal/config"
)

const killedDir = "ADIT_TEST_POOL_DIR"

func killedPool() *config.Pool { return four("10.0.0.1", "10.0.19.255") }

// TestMain is also the process that is killed: it takes and gives back addresses
// until then, and says what it was told.
func TestMain(m *testing.M) {
	dir := os.Getenv(killedDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	p := killedPool()
	s, err := Open(dir, only(p), nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for i := 0; ; i++ {
		user := fmt.Sprintf("user%d", i%4000)
		got, err := s.Take(p, user, time.Now())
		if errors.Is(err, ErrExhausted) {
			select {} // it is killed all the same
		}
		fmt.Printf("+ %s %s\n", got, user)
		if i%3 == 0 {
			fmt.Printf("- %s %s\n", got, user)
			s.Give(got, time.Now())
		}
	}
}

// After kill -9 nobody gets an address that was in use, and its holder does. The
// times of the kills are many.
func TestKilled(t *testing.T) {
	for round := range 5 {
		dir := t.TempDir()
		// What was told before the kill; what was about to be given back may be
		// either.
		inUse := runAndKill(t, dir, 200+round*1100)
		p := killedPool()
		s, err := Open(dir, only(p), nil)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		if st := s.Stats()["p"]; st.Quarantined < len(inUse) {
			t.Errorf("round %d: %+v, and %d were in use", round, st, len(inUse))
		}
		for {
			got, err := s.Take(p, "somebody else", now)
			if errors.Is(err, ErrExhausted) {
				break
			}
			if user := inUse[got]; err != nil || user != "" {
				t.Fatalf("round %d: %v of %s is given to somebody else, %v", round, got, user, err)
			}
		}
		for range len(inUse) {
			for prefix, user := range inUse {
				got, err := s.Take(p, user, now)
				if err != nil || inUse[got] != user {
					t.Fatalf("round %d: %s gets %v, %v; had %v", round, user, got, err, prefix)
				}
				delete(inUse, got)
				break
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// runAndKill returns what the process had when it was killed after n lines.
func runAndKill(t *testing.T, dir string, n int) map[netip.Prefix]string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killedDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	inUse := map[netip.Prefix]string{}
	lines := bufio.NewScanner(out)
	for i := 0; lines.Scan(); i++ {
		if i == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
		var kind, prefix, user string
		if c, _ := fmt.Sscan(lines.Text(), &kind, &prefix, &user); c != 3 {
			continue // torn by the kill
		}
		at, err := netip.ParsePrefix(prefix)
		if err != nil {
			t.Fatal(err)
		}
		if kind == "+" {
			inUse[at] = user
		} else {
			delete(inUse, at)
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() || len(inUse) < n/10 {
		t.Fatalf("the process was not killed at work: %v, %d in use", err, len(inUse))
	}
	return inUse
}
