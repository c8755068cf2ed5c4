package scenario

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestMainJob is the main job: for each of kernel plane, PTY async and PTY sync
// with pppd, and kernel plane and TUN with the built-in endpoint, and for adit
// with itself and with xl2tpd and its pppds in either role, IP comes up through
// the tunnel, packets of all sizes and a bulk transfer pass, and either side may
// end it. The built-in endpoint has xl2tpd's pppd as its peer in TestBuiltinLNS and
// TestBuiltinClient, so here it has itself.
func TestMainJob(t *testing.T) {
	for _, p := range append(slices.Clone(planes), builtinPlanes...) {
		for _, who := range pairings {
			if who != pairings[0] && slices.Contains(builtinPlanes, p) {
				continue
			}
			t.Run(p.name+"/"+who.name, func(t *testing.T) {
				t.Parallel()
				s := start(t, p, who, 1)
				client := s.up(t, 1)[0]
				s.traffic(t, client, 512<<10)
				s.checkTraffic(t, p)
				s.endFromEitherSide(t)
			})
		}
	}
}

// checkTraffic looks at what adit counted of the traffic.
func (s *peers) checkTraffic(t *testing.T, p plane) {
	t.Helper()
	for _, d := range s.adits() {
		v := d.Sessions(t)[0]
		if v.Traffic.RxBytes < 512<<10 || v.Traffic.TxBytes < 512<<10 {
			t.Errorf("%s: %d bytes in and %d out are counted, more than that passed", d.ns.Label, v.Traffic.RxBytes, v.Traffic.TxBytes)
		}
		if v.Interface == "" || (v.PPPDPID != 0) != p.pppd() || !v.LocalAddress.IsValid() || !v.RemoteAddress.IsValid() {
			t.Errorf("%s: the session's facts are not all known: %+v", d.ns.Label, v)
		}
	}
}

// endFromEitherSide ends the session at the LAC and then at the LNS; in between
// and after, the LAC dials again, as both are configured to.
func (s *peers) endFromEitherSide(t *testing.T) {
	t.Helper()
	before := s.sessions(t)
	if s.lac != nil {
		disconnect(t, s.lac)
		s.gone(t, before)
	} else {
		s.otherLAC.HangUp(t)
		down(t, s.net.A)
		down(t, s.net.B)
		s.otherLAC.Dial(t)
	}
	client := s.up(t, 1)[0]
	s.traffic(t, client, 0)
	if s.lns == nil {
		s.otherLNS.Stop(t)
		s.lac.WaitSessions(t, time.Minute, 0)
		down(t, s.net.A)
		return
	}
	before = s.sessions(t)
	disconnect(t, s.lns)
	s.gone(t, before)
	s.up(t, 1)
	// The daemon's own end: everything goes, within a bounded time.
	s.lns.Stop(t)
	down(t, s.net.B)
	down(t, s.net.A)
}

// gone waits until none of these sessions is left: the LAC may have begun the
// next ones already.
func (s *peers) gone(t *testing.T, before map[string]bool) {
	t.Helper()
	WaitFor(t, time.Minute, "the sessions to end", func() bool {
		for key := range s.sessions(t) {
			if before[key] {
				return false
			}
		}
		return true
	})
}

// sessions names the sessions of both ends.
func (s *peers) sessions(t *testing.T) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	for _, d := range s.adits() {
		for _, v := range d.Sessions(t) {
			all[fmt.Sprintf("%s %d/%d", d.ns.Label, v.Tunnel, v.ID)] = true
		}
	}
	return all
}

// TestTwentySessions has twenty sessions come up at once in one tunnel, each
// with an address of its own and with traffic. One after the other: forty pppds
// are work enough for an emulated machine. Who is at the other end makes no
// difference to their number, and the main job has every pairing on every plane: here
// each plane has one of them.
func TestTwentySessions(t *testing.T) {
	for i, p := range planes {
		for j, who := range pairings {
			if j != i%len(pairings) {
				continue
			}
			t.Run(p.name+"/"+who.name, func(t *testing.T) {
				const count = 20
				s := start(t, p, who, count)
				begin := time.Now()
				clients := s.up(t, count)
				t.Logf("%d sessions were up after %.1f s", count, time.Since(begin).Seconds())
				for _, c := range clients {
					_, peer := c.IPv4()
					if out, err := s.net.A.Run("ping", "-n", "-q", "-c", "2", "-i", "0.2", "-W", "5", "-I", c.Name, peer.String()); err != nil {
						t.Errorf("through %s: %v: %s", c.Name, err, out)
					}
				}
				for _, d := range s.adits() {
					d.Stop(t)
				}
				down(t, s.net.A)
				down(t, s.net.B)
			})
		}
	}
}
