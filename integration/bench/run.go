package main

import (
	"context"
	"os"
	"strings"

	"adit/integration/scenario"
)

// sizes of the IP packets, in octets.
var sizes = []int{100, 1400}

// The bursts that a generator sends: of one session as much as a datagram of
// 65,535 octets can carry, 64 at most; of many, what each sends at once.
const (
	burstOfMany = 8
	longest     = 64
	longestUDP  = 65_507 // payload of a UDP datagram
)

// loads are what is measured with so many sessions.
func loads(sessions int) (all []load) {
	for _, size := range sizes {
		for _, n := range []int{1, sessions} {
			burst := burstOfMany
			if n == 1 {
				burst = min(longest, longestUDP/(headerLen+size))
			}
			all = append(all, load{false, size, n, burst}, load{true, size, n, burst})
		}
	}
	// What is left when nothing can be merged within a session.
	return append(all, load{false, 1400, sessions, 1}, load{true, 1400, sessions, 1})
}

// run measures everything.
func (o *options) run(ctx context.Context, t scenario.TB) *report {
	b := o.prepare(ctx, t)
	r := &report{sessions: o.sessions}
	if !o.withoutTCP {
		b.tcp(ctx, r, o.rounds)
	}
	if !o.withoutEthernet {
		b.ethernet(ctx, r, o)
	}
	if !o.withoutLogins {
		b.logins(ctx, r, o.rounds)
	}
	t.Logf("bench: a generator on processor %d, servers with %d sessions on processor %d", b.generator, b.sessions, b.measured)
	// Generators and LACs stay away from the measured processor.
	if err := pin(os.Getpid(), b.generator); err != nil {
		t.Fatalf("%v", err)
	}
	servers := b.servers(o.skip)
	for _, s := range servers {
		if ctx.Err() != nil {
			return r
		}
		if err := s.check(); err != nil {
			t.Fatalf("%v", err)
		}
		t.Logf("bench: %s forwards every packet, both ways", s.name)
	}
	for _, l := range loads(o.sessions) {
		if strings.Contains(l.name(), o.only) {
			r.loads = append(r.loads, b.row(ctx, servers, l, o.rounds))
		}
	}
	r.setups = b.setups
	if !o.withoutSessions && ctx.Err() == nil {
		t.Logf("bench: the memory of 100,000 sessions, by the engine's test")
		all, err := processors()
		if err == nil {
			err = pin(os.Getpid(), append(all, b.measured)...)
		}
		if err == nil {
			r.memory, err = memory(ctx)
		}
		if err != nil && ctx.Err() == nil {
			t.Errorf("%v", err)
		}
	}
	return r
}

// servers starts all that are to be measured: adit first, then what it is
// compared with.
func (b *bench) servers(skip string) (all []*server) {
	b.Logf("bench: starting %s", "adit")
	all = append(all, b.startAdit())
	if !strings.Contains(skip, "floor") {
		b.Logf("bench: starting the floor")
		all = append(all, b.startFloor())
	}
	if b.l2tpnsTree != "" {
		b.Logf("bench: starting l2tpns")
		all = append(all, b.startL2TPNS())
	}
	return all
}

// row measures one load at all servers in turn, several times, since the speed
// of a machine drifts.
func (b *bench) row(ctx context.Context, servers []*server, l load, rounds int) row {
	seen := map[string][]sample{}
	for range rounds {
		for _, s := range servers {
			if ctx.Err() != nil {
				return row{load: l}
			}
			m, err := b.measure(s, l)
			if err != nil {
				b.Fatalf("%s, %s: %v", s.name, l, err)
			}
			seen[s.name] = append(seen[s.name], m)
		}
	}
	w := row{load: l, of: map[string]sample{}, ratio: map[string]float64{}}
	line := l.String()
	perCPU := func(name string) (all []float64) {
		for _, m := range seen[name] {
			all = append(all, m.perCPU)
		}
		return all
	}
	for _, s := range servers {
		m := median(seen[s.name])
		w.of[s.name] = m
		w.ratio[s.name] = ratio(perCPU("adit"), perCPU(s.name))
		line += "; " + s.name + " " + m.String()
	}
	b.Logf("bench: %s", line)
	return w
}
