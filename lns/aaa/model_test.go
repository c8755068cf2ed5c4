package aaa

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/lns/coa"
	"adit/lns/dhcp"
	"adit/lns/subscriber"
	"adit/pppbridge"
	"adit/proto/ppp"
	"adit/proto/tunnel"
)

// modelSeeds is how many sequences of events there are, and modelEvents how long
// each is.
const (
	modelSeeds  = 2000
	modelEvents = 60
)

// Whatever comes in whatever order, nothing is left in the end; nobody has what is
// another's, and no user more sessions than he may have; every Start has its Stop,
// and every question one answer.
func TestModel(t *testing.T) {
	seeds := modelSeeds / modelSlowdown
	if testing.Short() {
		seeds /= 10
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			m := newModel(t, uint64(seed))
			m.run()
			if t.Failed() {
				t.Fatalf("seed %d: %v", seed, m.events)
			}
		})
	}
}

// chance is random numbers for many goroutines.
type chance struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (c *chance) n(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.r.IntN(n)
}

// model drives a layer by chance.
type model struct {
	*rig
	chance *chance
	most   map[string]int // sessions of each user
	leases modelLeases
	calls  []*modelCall
	events []string
	tunnel uint32
}

// modelCall is the other side of a session: call, PPP and bridge.
type modelCall struct {
	model    *model
	session  *Session
	told     bool // Established
	ended    bool
	asked    []*int // how often each question was answered
	closable chan struct{}
	hurry    sync.Once
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{chance: &chance{r: rand.New(rand.NewPCG(seed, 4))}, most: map[string]int{"one": 1, "two": 2, "remote": 1}}
	m.leases = modelLeases{chance: m.chance, active: map[netip.Addr]bool{}}
	m.rig = newRig(t, func(c *config.Config, p *config.Profile) {
		leased := *p
		leased.Name, leased.Pool, leased.AAA.DHCP = "leased", nil, &config.DHCP{Name: "d", OnLoss: config.DHCPLoss(seed % 2)}
		c.Profiles["leased"] = &leased
		for _, profile := range []*config.Profile{p, &leased} {
			profile.AAA.Sources = []string{config.Local, "isp"}
			profile.AAA.FailureDelay = time.Duration(seed%3) * time.Second
			profile.AAA.SecondLogin = config.SecondLogin(seed / 3 % 2)
		}
		c.RADIUS.TunnelAccounting = true
		c.Users = []*config.User{
			{Name: "fixed", Password: config.Secret("right"), Address: addr("10.9.9.1"), Delegated: prefix("2001:db8:9::/56")},
			{Name: "one", Password: config.Secret("right"), MaxSessions: 1, SessionTimeout: 5 * time.Minute},
			{Name: "two", Password: config.Secret("right"), MaxSessions: 2},
			{Name: "leased", Password: config.Secret("right"), Profile: &leased},
		}
	})
	m.layer.acquire = m.leases.acquire
	m.radius.delay = func() time.Duration { return time.Duration(m.chance.n(50)*m.chance.n(50)) * 40 * time.Millisecond }
	m.radius.answer = m.judge
	return m
}

// judge is the RADIUS server.
func (m *model) judge(p *radius.Packet) (*radius.Packet, error) {
	switch m.chance.n(6) {
	case 0:
		return nil, errors.New("nobody is there")
	case 1:
		return p.Response(radius.CodeAccessReject), nil
	case 2:
		return p.Response(radius.CodeAccessChallenge), nil
	}
	a := p.Response(radius.CodeAccessAccept)
	_ = rfc2865.PortLimit_Set(a, 1)
	_ = rfc2865.FramedIPAddress_Set(a, []byte{10, 9, 9, byte(m.chance.n(3))})
	_ = rfc2865.Class_Set(a, []byte{byte(m.chance.n(3)) + 1})
	return a, nil
}

func (m *model) run() {
	for range modelEvents {
		m.event()
		synctest.Wait()
		m.check()
	}
	// What was asked and not given up has its answer in time.
	time.Sleep(3 * time.Minute)
	synctest.Wait()
	over := map[*modelCall]bool{}
	m.layer.ask(m.t.Context(), func() {
		for _, c := range m.calls {
			over[c] = c.session.ended
		}
	})
	for i, c := range m.calls {
		for j, n := range c.asked {
			last := j == len(c.asked)-1
			if *n > 1 || last && *n != 1 && !over[c] {
				m.t.Errorf("question %d of call %d has %d answers", j, i, *n)
			}
		}
		c.end(tunnel.Cause{})
	}
	for id := range m.tunnel {
		m.layer.TunnelDown(id+1, tunnel.Cause{})
	}
	time.Sleep(15 * time.Minute) // also for answers to what has ended
	m.nothingLeft()
	m.leases.check(m.t)
	m.checkRecords()
}

// event has something happen.
func (m *model) event() {
	var c *modelCall
	if len(m.calls) > 0 {
		c = m.calls[m.chance.n(len(m.calls))]
	}
	what := m.chance.n(20)
	if c == nil {
		what = 0
	}
	m.events = append(m.events, fmt.Sprint(what))
	switch what {
	case 0, 1:
		m.begin()
	case 2, 3:
		c.establish()
	case 4, 5, 6, 7, 8:
		c.ask()
	case 9, 10, 11:
		c.up(ppp.Family(m.chance.n(2)))
	case 12:
		c.session.NetworkDown(ppp.Family(m.chance.n(2)))
	case 13, 14:
		c.end(tunnel.Cause{Remote: m.chance.n(2) == 0})
	case 15, 16:
		time.Sleep(time.Duration(m.chance.n(3000)) * time.Millisecond)
	case 17:
		time.Sleep(time.Duration(m.chance.n(20)) * time.Minute)
	case 18:
		m.authorize(c)
	case 19:
		m.tunnel++
		m.layer.TunnelUp(subscriber.Line{Tunnel: m.tunnel}, m.profile)
	}
}

// begin makes a call, which some have that nobody is asked about.
func (m *model) begin() {
	c := &modelCall{model: m, session: m.layer.NewSession(m.profile), closable: make(chan struct{})}
	if m.chance.n(6) == 0 {
		if _, err := c.session.Anonymous(); err != nil {
			c.session.Ended(tunnel.Cause{}, nil)
			return
		}
	}
	m.calls = append(m.calls, c)
	if m.chance.n(8) > 0 {
		c.establish()
	}
}

// authorize is a RADIUS server that changes its mind.
func (m *model) authorize(c *modelCall) {
	sel := coa.Selector{SessionID: c.session.ID()}
	switch m.chance.n(3) {
	case 0:
		sel = coa.Selector{User: "two"}
	case 1:
		sel = coa.Selector{Address: addr("10.9.9.1")}
	}
	if m.chance.n(2) == 0 {
		m.layer.Disconnect(sel, [][]byte{{9}}, func(coa.Result) {})
		return
	}
	d := time.Duration(m.chance.n(4)) * time.Minute
	m.layer.Change(sel, coa.Change{SessionTimeout: &d, InterimInterval: &d}, func(coa.Result) {})
}

func (c *modelCall) establish() {
	if c.told {
		return // once at most, but also after the end
	}
	c.told = true
	c.session.Established(&subscriber.Line{CallingNumber: "1", Tunnel: 1}, c, nil)
}

// Close is Call's. The call ends at once, or after some time, or when it is made to.
func (c *modelCall) Close(string) {
	after := time.Duration(c.model.chance.n(12)) * 2 * time.Second
	c.hurry.Do(func() {
		go func() {
			select {
			case <-time.After(after):
			case <-c.closable:
			}
			c.session.Ended(tunnel.Cause{}, &circuit.Exit{})
		}()
	})
}

func (c *modelCall) Stats() circuit.Stats { return circuit.Stats{BytesIn: 1} }

func (c *modelCall) ask() {
	names := []string{"fixed", "one", "two", "leased", "remote", "remote"}
	req := ppp.AuthRequest{Method: ppp.MethodPAP, Name: names[c.model.chance.n(len(names))], Password: []byte("right")}
	if c.model.chance.n(8) == 0 {
		req.Password = nil
	}
	n := new(int)
	c.asked = append(c.asked, n)
	var mu sync.Mutex
	c.session.Authenticate(req, func(ppp.Verdict) {
		mu.Lock()
		defer mu.Unlock()
		*n++
	})
}

// up comes also where nobody was let in: a pppd's lines may be late.
func (c *modelCall) up(f ppp.Family) {
	c.session.NetworkUp(f, ppp.Network{LocalIPv4: addr("10.0.0.1"), PeerIPv4: addr("10.255.0.1"), LocalID: 1, PeerID: 2},
		pppbridge.Attachment{Interface: "adit0", Send: func([]byte) {}})
}

func (c *modelCall) end(cause tunnel.Cause) {
	if !c.ended {
		c.ended = true
		close(c.closable)
		c.session.Ended(cause, &circuit.Exit{})
	}
}

// check looks whether anybody has too much.
func (m *model) check() {
	m.layer.ask(m.t.Context(), func() {
		for user, all := range m.layer.byUser {
			if most := m.most[user]; most > 0 && all.Len() > most {
				m.t.Errorf("user %q has %d of %d sessions", user, all.Len(), most)
			}
		}
		had := map[netip.Prefix]*Session{}
		for _, s := range m.layer.sessions {
			if s.grant == nil {
				continue
			}
			a := &s.grant.addresses
			if s.grant.accepted && !a.IPv4.IsValid() {
				m.t.Errorf("%s was let in without an address", s.id)
			}
			all := slices.Concat(a.Prefixes, a.Delegated)
			if a.IPv4.IsValid() && !s.grant.own {
				all = append(all, netip.PrefixFrom(a.IPv4, 32))
			}
			for _, p := range all {
				if other := had[p]; other != nil {
					m.t.Errorf("%v is that of %s and %s", p, other.id, s.id)
				}
				had[p] = s
				if m.layer.holders[p] != s {
					m.t.Errorf("%v is not known as that of %s", p, s.id)
				}
			}
		}
	})
}

// checkRecords: Start, interim records, Stop, of each session; and of each link and
// tunnel its begin and its end.
func (m *model) checkRecords() {
	ends := map[subscriber.RecordKind]subscriber.RecordKind{
		subscriber.RecordStop: subscriber.RecordStart, subscriber.RecordTunnelLinkEnd: subscriber.RecordTunnelLinkUp,
		subscriber.RecordTunnelStop: subscriber.RecordTunnelStart,
	}
	type thing struct {
		id   string
		kind subscriber.RecordKind
	}
	open, was := map[thing]time.Time{}, map[thing]bool{}
	for _, r := range m.radius.records {
		id, begins, ended := r.Session.Line.ID, ends[r.Kind], false
		if begins != 0 {
			ended = true
		} else if begins = r.Kind; r.Kind == subscriber.RecordInterim {
			begins = subscriber.RecordStart
		}
		key := thing{id, begins}
		since, isOpen := open[key]
		switch {
		case ended && isOpen:
			delete(open, key)
			if r.Session.Duration != r.Time.Sub(since) || r.Session.Cause == 0 {
				m.t.Errorf("%s lasted %v until %v, cause %v", id, since, r.Time, r.Session.Cause)
			}
		case ended, r.Kind == subscriber.RecordInterim && !isOpen, r.Kind == begins && was[key]:
			m.t.Errorf("record %d of %s is out of place", r.Kind, id)
		case r.Kind == begins:
			open[key], was[key] = r.Time, true
		}
	}
	if len(open) > 0 {
		m.t.Errorf("without an end: %v", open)
	}
}

// modelLeases is DHCP servers, as lns/dhcp speaks for them.
type modelLeases struct {
	chance *chance
	mu     sync.Mutex
	active map[netip.Addr]bool
	held   int
	wrong  []string
}

type modelLease struct {
	of       *modelLeases
	address  netip.Addr
	events   dhcp.Events
	released bool
}

func (m *modelLeases) acquire(_ *config.DHCP, _ dhcp.Request, events dhcp.Events) lease {
	l := &modelLease{of: m, events: events}
	m.mu.Lock()
	m.held++
	m.mu.Unlock()
	after, lost := time.Duration(m.chance.n(200))*100*time.Millisecond, time.Duration(m.chance.n(600))*time.Second
	go func() {
		time.Sleep(after)
		if l.bind() {
			time.Sleep(lost)
			m.mu.Lock()
			gone := l.released
			m.mu.Unlock()
			if !gone {
				events.Lost(dhcp.ErrExpired)
			}
		}
	}()
	return l
}

// bind gives the address, if one is free: of four, of which one is a user's own.
func (l *modelLease) bind() bool {
	m := l.of
	m.mu.Lock()
	err := error(dhcp.ErrReleased)
	if !l.released {
		err = dhcp.ErrTimeout
		if a := netip.AddrFrom4([4]byte{10, 9, 9, byte(m.chance.n(4))}); !m.active[a] {
			l.address, m.active[a], err = a, true, nil
		}
	}
	m.mu.Unlock()
	l.events.Acquired(dhcp.Lease{Address: l.address, Server: addr("10.0.0.2")}, err)
	return err == nil
}

func (l *modelLease) Decline() { l.Release() }

func (l *modelLease) Release() {
	m := l.of
	m.mu.Lock()
	defer m.mu.Unlock()
	if l.released {
		m.wrong = append(m.wrong, fmt.Sprintf("%v is released twice", l.address))
		return
	}
	l.released = true
	m.held--
	delete(m.active, l.address)
}

func (m *modelLeases) check(t *testing.T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held != 0 || len(m.active) != 0 || len(m.wrong) != 0 {
		t.Errorf("%d leases are held, %v; %v", m.held, m.active, m.wrong)
	}
}
