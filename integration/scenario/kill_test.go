package scenario

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"
)

// TestKills has every process die without a word, for each plane and pairing: a
// pppd of adit's, adit itself, and adit's peer. What is left ends by itself, and
// where adit is to keep a session up, it comes back.
func TestKills(t *testing.T) {
	for _, p := range planes {
		for _, who := range pairings {
			t.Run(p.name+"/"+who.name, func(t *testing.T) {
				t.Parallel()
				s := start(t, p, who, 1)
				s.up(t, 1)
				for _, d := range s.adits() {
					s.killPPPD(t, d)
				}
				s.killAdit(t)
				s.killPeer(t)
			})
		}
	}
}

// killPPPD kills a pppd of adit's: its session ends at both ends, and the LAC
// calls again.
func (s *peers) killPPPD(t *testing.T, d *AditDaemon) {
	t.Helper()
	v := d.Sessions(t)[0]
	if err := syscall.Kill(v.PPPDPID, syscall.SIGKILL); err != nil {
		t.Fatalf("kill pppd %d: %v", v.PPPDPID, err)
	}
	WaitFor(t, time.Minute, "the session of the killed pppd to end", func() bool {
		for _, now := range d.Sessions(t) {
			if now.ID == v.ID && now.Tunnel == v.Tunnel {
				return false
			}
		}
		return true
	})
	client := s.up(t, 1)[0]
	s.traffic(t, client, 0)
}

// killAdit kills an adit: its pppds see their line hang up and end, although
// nobody tells them to. Started again, it serves as before.
func (s *peers) killAdit(t *testing.T) {
	t.Helper()
	d := s.lns
	if d == nil {
		d = s.lac
	}
	d.KillHard()
	down(t, d.ns)
	if s.lac == nil {
		// xl2tpd would take minutes to notice; its own end is the next test's.
		return
	}
	d.Restart(t)
	if s.lns == nil {
		// xl2tpd keeps its end of the dead session for a minute or two, so its
		// side is not counted.
		s.lac.WaitSessions(t, time.Minute, 1)
		s.traffic(t, s.net.A.PPP(t, time.Minute, 1)[0], 0)
		return
	}
	client := s.up(t, 1)[0]
	s.traffic(t, client, 0)
}

// killPeer kills adit's peer: adit notices by the unanswered HELLO, ends the
// sessions, and nothing of them is left.
func (s *peers) killPeer(t *testing.T) {
	t.Helper()
	d := s.lns
	switch {
	case s.otherLNS != nil:
		s.otherLNS.KillHard()
		d = s.lac
	case s.otherLAC != nil:
		// adit was killed before: begin again.
		s.otherLAC.KillHard()
		d.Restart(t)
		s.otherLAC = XL2TPD(t, s.net.A, LAC, XL2TPDOptions{Secret: "s3cret", Userspace: s.expectBridge != planeKernel.bridge})
		d.WaitSessions(t, time.Minute, 1)
		s.otherLAC.KillHard()
	default:
		s.lac.KillHard()
	}
	d.WaitSessions(t, 2*time.Minute, 0)
	down(t, d.ns)
}

// TestNothingLeaks counts adit's descriptors and children after sessions have
// come and gone, and again after more of them have.
func TestNothingLeaks(t *testing.T) {
	for _, p := range planes {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			n := NewNet(t)
			lns := Adit(t, n.B, aditLNS(p, n.AddrB(), ""))
			before := 0
			for round := range 4 {
				lac := Adit(t, n.A, aditLAC(p, n.AddrB(), 5, ""))
				n.B.PPP(t, 2*time.Minute, 5)
				lac.Stop(t)
				down(t, n.A)
				lns.WaitSessions(t, time.Minute, 0)
				down(t, n.B)
				if round == 0 {
					// What the first session makes for all of them, such as a
					// timer, is there now.
					before = descriptors(t, lns.Pid())
				}
			}
			// The control command that asked last may have its socket open yet.
			if !Eventually(10*time.Second, func() bool { return descriptors(t, lns.Pid()) <= before }) {
				t.Errorf("adit had %d descriptors before, and has %d after", before, descriptors(t, lns.Pid()))
			}
			if zombies := children(t, lns.Pid()); zombies != "" {
				t.Errorf("children of adit are left: %s", zombies)
			}
		})
	}
}

func descriptors(t *testing.T, pid int) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// children lists the processes, zombies too, that a process has not waited for.
func children(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
