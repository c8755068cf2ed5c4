package ppp

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"adit/internal/simnet"
)

// fuzzConfig makes a configuration of an octet.
func fuzzConfig(b byte) *Config {
	c := &Config{Name: "lns", IPv4: b&1 == 0, IPv6: b&2 != 0, EchoInterval: time.Minute, EchoFailures: 3,
		RequestDNS: b&4 != 0, Rand: seeded{rand.New(rand.NewPCG(uint64(b), 1))}}
	if b&8 != 0 {
		c.Authenticate = []Method{MethodCHAP, MethodPAP, MethodEAP, MethodMSCHAPv2}
	}
	if b&16 != 0 {
		c.Answer, c.Secrets = []Method{MethodPAP, MethodMSCHAPv2, MethodEAP}, testSecrets{"u", "p"}
	}
	return c
}

// watch checks an endpoint's actions as they come.
type watch struct {
	t        *testing.T
	e        *Endpoint
	cfg      *Config
	now      time.Time
	up       [families]bool
	let      bool
	asked    uint32
	current  uint32 // the same, if LCP's agreement is still the one that asked
	finished bool
	last     []byte // frame sent
}

func (w *watch) step(ev Event) {
	acts := w.e.Step(w.now, ev)
	if len(acts) > 12 {
		w.t.Fatalf("%d actions on %T", len(acts), ev)
	}
	if v, ok := ev.(Authenticated); ok && v.Verdict.Accept && v.Number == w.current && v.Number != 0 {
		w.let = true
	}
	for _, a := range acts {
		if w.finished {
			w.t.Fatalf("%s after Finished", show(a))
		}
		switch a := a.(type) {
		case Send:
			if p, info, err := Split(a.Frame); err != nil {
				w.t.Fatalf("sent %x: %v", a.Frame, err)
			} else if _, err := ParsePacket(info); err != nil {
				w.t.Fatalf("sent %v %x: %v", p, info, err)
			}
			w.last = a.Frame
		case LinkUp:
			w.let, w.current = false, 0
		case Authenticate:
			w.asked, w.current = a.Number, a.Number
		case NetworkUp:
			if w.up[a.Family] || len(w.cfg.Authenticate) > 0 && !w.let {
				w.t.Fatalf("%s", show(a))
			}
			w.up[a.Family] = true
		case NetworkDown:
			if !w.up[a.Family] {
				w.t.Fatalf("%s", show(a))
			}
			w.up[a.Family] = false
		case Finished:
			w.finished = true
		}
	}
	if w.finished && (w.up != [families]bool{} || w.e.Phase() != PhaseDead) {
		w.t.Fatal("finished, and not down")
	}
	for f := range Family(families) {
		if w.e.Up(f) != w.up[f] {
			w.t.Fatalf("Up(%v) is %v", f, w.e.Up(f))
		}
	}
}

// run takes events from octets: what kind, and what for.
func (w *watch) run(data []byte) {
	protocols := []Protocol{ProtocolLCP, ProtocolLCP, ProtocolLCP, ProtocolIPCP, ProtocolIPv6CP, ProtocolCHAP, ProtocolPAP, ProtocolEAP}
	take := func(n int) []byte {
		n = min(n, len(data))
		b := data[:n]
		data = data[n:]
		return b
	}
	for len(data) > 1 {
		kind := take(1)[0]
		switch kind & 15 {
		case 0:
			w.now = w.now.Add(time.Duration(kind>>4) * time.Second)
			w.step(Tick{})
		case 1:
			if at := w.e.Deadline(); !at.IsZero() {
				w.now = at
			}
			w.step(Tick{})
		case 2:
			w.step(Authenticated{Number: w.asked, Verdict: Verdict{Accept: kind&16 != 0, Retry: kind&32 != 0}})
		case 3: // what we sent comes back
			w.step(Receive{Frame: slices.Clone(w.last)})
		case 4, 5: // the peer agrees to our last Configure-Request of a layer
			l := []layer{&w.e.lcp, &w.e.ipcp, &w.e.ipv6cp}[kind>>4%3]
			w.step(Receive{Frame: packetFrame(l.protocol(), ConfigureAck, l.automat().id, l.request(w.e, nil))})
		case 6: // it asks for nothing
			w.step(Receive{Frame: packetFrame(protocols[kind>>4&7], ConfigureRequest, kind, nil)})
		case 7:
			w.step(Receive{Frame: take(int(kind >> 4))})
		case 8:
			if kind>>4 == 15 {
				w.step(Close{Cause: CauseAdministrative})
			}
		default:
			p := protocols[kind>>4&7]
			code := take(1)
			if len(code) == 0 {
				return
			}
			id := w.e.lcp.id
			if p == ProtocolIPCP {
				id = w.e.ipcp.id
			} else if p == ProtocolIPv6CP {
				id = w.e.ipv6cp.id
			}
			w.step(Receive{Frame: packetFrame(p, Code(code[0]&15), id, take(int(code[0]>>4)*2))})
		}
	}
}

// end closes the link and sees that it comes to an end.
func (w *watch) end() {
	w.step(Close{Cause: CauseAdministrative})
	for i := 0; !w.finished; i++ {
		at := w.e.Deadline()
		if i > 10 || at.IsZero() {
			w.t.Fatalf("it does not end: deadline %v", at)
		}
		w.now = at
		w.step(Tick{})
	}
}

func newWatch(t *testing.T, config byte) *watch {
	cfg := fuzzConfig(config)
	w := &watch{t: t, cfg: cfg, now: linkStart, e: New(cfg, Grant{Local: lnsAddr, Peer: clientAddr, DNS: [2]netip.Addr{dnsAddr}})}
	w.step(Start{})
	return w
}

func FuzzEndpoint(f *testing.F) {
	f.Add(byte(0), []byte{0x04, 0x06, 0x14, 0x36, 1, 1, 1})
	f.Add(byte(9), []byte{0x04, 0x06, 0x12, 0x14, 0x36, 0xff, 0x01})
	f.Add(byte(27), []byte{0x09, 0x51, 3, 4, 0xc0, 0x23, 0x04, 0x06, 0x59, 0x23, 1, 2, 3, 4, 3, 3, 3, 1, 1, 0xf8})
	f.Fuzz(func(t *testing.T, config byte, data []byte) {
		w := newWatch(t, config)
		w.run(data)
		if !w.finished {
			w.end()
		}
	})
}

// The same by chance, so that it is tested also where nobody fuzzes: long runs,
// in which links do come up.
func TestEndpointRandomEvents(t *testing.T) {
	ups := 0
	for seed := range uint64(simnet.Rounds(3000)) {
		r := rand.New(rand.NewPCG(seed, 5))
		data := make([]byte, 400)
		seeded{r}.Read(data)
		for i := range data { // most are events that lead on
			if r.IntN(3) == 0 {
				data[i] = []byte{0x04, 0x14, 0x24, 0x06, 0x36, 0x46, 0x12, 0x01}[r.IntN(8)]
			}
		}
		w := newWatch(t, byte(r.Uint32()))
		for len(data) > 0 && !w.finished {
			w.run(data[:20])
			data = data[20:]
			if w.up != [families]bool{} {
				ups++
			}
		}
		if !w.finished {
			w.end()
		}
	}
	if ups < simnet.Rounds(60) {
		t.Errorf("a network was up %d times: too few to tell", ups)
	}
}

// Each frame of an exchange, cut short everywhere and with each octet changed,
// does no harm: no panic, nothing up without authentication, an end.
func TestEndpointDamagedFrames(t *testing.T) {
	frames := []string{
		lcpHead + "01 03 0014 0206 00000000 0506 2b3aeb57 0702 0802",
		lcpHead + "02 01 001d 0104 0578 0206 00000000 0305 c22305 0506 01020304 0702 0802",
		lcpHead + "03 01 0009 0305 c22381",
		lcpHead + "04 01 000a 0506 01020304",
		chapHead + "02 06 0019 10 00112233445566778899aabbccddeeff 75736572",
		ipcpHead + "01 01 0016 0306 0a000002 8106 00000000 8306 00000000",
		ipcpHead + "02 01 000a 0306 0a000001",
		ipcpHead + "05 01 0004",
		ipv6cpHead + "01 01 000e 010a 1122334455667788",
		lcpHead + "08 01 000a 8057 01 01 0004",
		lcpHead + "07 01 0008 0c 01 0004",
		lcpHead + "09 01 0008 2b3aeb57",
		lcpHead + "0a 01 0008 2b3aeb57",
		lcpHead + "0c 01 000a 2b3aeb57 6869",
		lcpHead + "05 01 0008 62796521",
	}
	try := func(n int, damaged []byte) {
		w := newWatch(t, 10)
		for i, f := range frames {
			raw := octetsOf(t, f)
			if i == n {
				raw = damaged
			}
			w.step(Receive{Frame: raw})
		}
		if len(w.cfg.Authenticate) > 0 && w.e.phase == PhaseNetwork {
			t.Fatalf("frame %d as %x: the network phase without authentication", n, damaged)
		}
		if !w.finished {
			w.end()
		}
	}
	for n, f := range frames {
		raw := octetsOf(t, f)
		for i := range raw {
			try(n, raw[:i])
			for _, bit := range []byte{0x01, 0x80, 0xff} {
				bad := slices.Clone(raw)
				bad[i] ^= bit
				try(n, bad)
			}
		}
	}
}
