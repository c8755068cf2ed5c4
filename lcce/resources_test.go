package lcce

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"adit/internal/config"
	"adit/proto/l2tp"
)

// passing is a static tunnel of a number: with a name, IDs, a pseudowire and a keepalive of
// its own.
func passing(n int) *config.StaticTunnel {
	t := testTunnel()
	t.Name, t.ID, t.PeerID = fmt.Sprint("tunnel ", n), uint32(100+n), uint32(100+n)
	t.Keepalive, t.DeadAfter = 10*time.Second, 3
	s := t.Sessions[0]
	s.ID, s.PeerID = uint32(1000+n), uint32(1000+n)
	s.Pseudowire.Name, s.Pseudowire.Interface, s.Pseudowire.Addresses = fmt.Sprint("line ", n), fmt.Sprint("l", n), nil
	return t
}

// switched makes the pseudowires of two tunnels the two sides of a relay.
func switched(a, b *config.StaticTunnel) []*config.StaticTunnel {
	for _, t := range []*config.StaticTunnel{a, b} {
		p := t.Sessions[0].Pseudowire
		t.Sessions[0].Pseudowire = &config.Pseudowire{Name: p.Name, Type: l2tp.PseudowireHDLC}
	}
	p, q := a.Sessions[0].Pseudowire, b.Sessions[0].Pseudowire
	p.Switch, q.Switch = q, p
	return []*config.StaticTunnel{a, b}
}

// TestNothingIsLeftOfStaticTunnels has 500 tunnels come and go by reloads in random order,
// on both planes. What the role, the pseudowires and the engine had for them is free again.
func TestNothingIsLeftOfStaticTunnels(t *testing.T) {
	for _, noKernel := range []error{nil, errNoKernel} {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t, noKernel, passing(0)).start()
			random := rand.New(rand.NewPCG(3, 4))
			here := b.role.tunnelsNow()
			for n := 1; n < 500; n += 2 {
				one, two := passing(n), passing(n+1)
				if n%3 == 0 || n%5 == 0 && noKernel != nil {
					here = append(here, switched(one, two)...)
				} else {
					here = append(here, one, two)
				}
				for len(here) > 12 {
					i := 1 + random.IntN(len(here)-1)
					here = append(here[:i:i], here[i+1:]...)
				}
				if _, err := b.role.Reload(statics(here...)); err != nil {
					t.Fatal(err)
				}
				if n%7 == 0 {
					time.Sleep(time.Duration(random.IntN(40)) * time.Second)
				}
				b.done()
			}
			if _, err := b.role.Reload(statics(here[:1]...)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			b.done()
			r := b.role
			r.ask(func() {
				if len(r.byToken) != 1 || r.deadlines.Len() != 1 || r.closing != 0 {
					t.Errorf("%d keepalives, %d deadlines, %d sessions that end", len(r.byToken), r.deadlines.Len(), r.closing)
				}
			})
			b.circuits.mu.Lock()
			if len(b.circuits.held) != 1 || len(b.circuits.pairs) != 0 {
				t.Errorf("held are %v, switched %v", b.circuits.held, b.circuits.pairs)
			}
			b.circuits.mu.Unlock()
			b.mu.Lock()
			open := 0
			for _, s := range b.open {
				if !s.ended {
					open++
				}
			}
			if kernels := len(b.tunnels) + len(b.sessions); noKernel == nil && (kernels != 2 || len(b.reserved) != 1 || len(b.tunnelIDs) != 1 || open != 0) ||
				noKernel != nil && (kernels+len(b.reserved)+len(b.tunnelIDs) != 0 || open != 1) {
				t.Errorf("%d in the kernel, %d and %d IDs, %d open sessions", kernels, len(b.reserved), len(b.tunnelIDs), open)
			}
			b.mu.Unlock()
			r.Close()
		})
	}
}

// tunnelsNow are the configurations of the tunnels that there are.
func (r *Role) tunnelsNow() (all []*config.StaticTunnel) {
	r.ask(func() {
		for _, t := range r.tunnels {
			all = append(all, t.cfg)
		}
	})
	return all
}
