package lcce

import (
	"errors"
	"strings"
	"testing"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

func wire(name string, kind l2tp.PseudowireType) *config.Pseudowire {
	return &config.Pseudowire{Name: name, RemoteEndID: []byte(name), Type: kind}
}

// Which bridge a pseudowire gets, by its type, the wish, and what the kernel can.
func TestKinds(t *testing.T) {
	tap := circuit.EthernetTAP
	for _, c := range []struct {
		name      string
		kind      l2tp.PseudowireType
		plane     config.DataPlane
		kernel    error
		switched  bool
		want      circuit.Kind
		userspace *circuit.Kind
		err       string
	}{
		{"auto", l2tp.PseudowireEthernet, config.DataPlaneAuto, nil, false, circuit.EthernetKernel, &tap, ""},
		{"VLAN", l2tp.PseudowireEthernetVLAN, config.DataPlaneAuto, nil, false, circuit.EthernetKernel, &tap, ""},
		{"auto, no kernel", l2tp.PseudowireEthernet, config.DataPlaneAuto, errNoKernel, false, circuit.EthernetTAP, nil, ""},
		{"userspace", l2tp.PseudowireEthernet, config.DataPlaneUserspace, nil, false, circuit.EthernetTAP, nil, ""},
		{"kernel", l2tp.PseudowireEthernet, config.DataPlaneKernel, nil, false, circuit.EthernetKernel, nil, ""},
		{"kernel, none", l2tp.PseudowireEthernet, config.DataPlaneKernel, errNoKernel, false, 0, nil, "cannot be used: this kernel has no L2TP"},
		{"IP", l2tp.PseudowireIP, config.DataPlaneAuto, nil, false, circuit.IPTUN, nil, ""},
		{"switched", l2tp.PseudowireEthernet, config.DataPlaneAuto, nil, true, circuit.Relay, nil, ""},
		{"HDLC", l2tp.PseudowireHDLC, config.DataPlaneAuto, nil, true, circuit.Relay, nil, ""},
		{"HDLC to nowhere", l2tp.PseudowireHDLC, config.DataPlaneAuto, nil, false, 0, nil, "name the other pseudowire with switch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := wire("p", c.kind)
			p.DataPlane = c.plane
			if c.switched {
				p.Switch = wire("q", c.kind)
			}
			circuits := NewCircuits(c.kernel)
			got, err := circuits.Take(p, "a test")
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("%v", err)
				}
				if circuits.Holder("p") != "" {
					t.Error("it is held")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Spec.Kind != c.want || (got.Userspace == nil) != (c.userspace == nil) || got.Userspace != nil && *got.Userspace != *c.userspace ||
				(got.Spec.Relay != nil) != c.switched || circuits.KernelPlane(p) != (c.want == circuit.EthernetKernel) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// A pseudowire carries one session at a time.
func TestOneSessionAtATime(t *testing.T) {
	c := NewCircuits(nil)
	p := wire("lan", l2tp.PseudowireEthernet)
	first, err := c.Take(p, "session 7 of tunnel 3")
	if err != nil {
		t.Fatal(err)
	}
	var busy *BusyError
	if _, err = c.Take(wire("lan", l2tp.PseudowireEthernet), "another"); !errors.As(err, &busy) || busy.Holder != "session 7 of tunnel 3" {
		t.Errorf("%v", err)
	}
	first.Release(true)
	second, err := c.Take(p, "another")
	if err != nil {
		t.Fatal(err)
	}
	first.Release(true) // twice; it is the second's now
	if got := c.Holder("lan"); got != "another" {
		t.Errorf("held by %q", got)
	}
	second.Release(false)
}

// Both sides of a switched pair get ends of one relay, whoever comes first and however
// often one of them failed before it was up. When a relay has ended, both get ends of a
// new one.
func TestSwitchedPair(t *testing.T) {
	c := NewCircuits(nil)
	a, b := wire("a", l2tp.PseudowireHDLC), wire("b", l2tp.PseudowireHDLC)
	a.Switch, b.Switch = b, a
	take := func(p *config.Pseudowire) *Circuit {
		t.Helper()
		got, err := c.Take(p, "test")
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	one, other := take(a), take(b)
	if one.pair != other.pair || one.Spec.Relay == other.Spec.Relay {
		t.Error("they are not the two ends of one relay")
	}
	other.Release(false) // it did not come so far as to have a bridge
	again := take(b)
	if again.pair != one.pair || again.Spec.Relay != other.Spec.Relay {
		t.Error("the waiting side was left alone")
	}
	// A relay ends at both ends; they come back in either order.
	first, second := one, again
	for range 4 {
		first.Release(true)
		x := take(map[string]*config.Pseudowire{"a": a, "b": b}[first.name])
		if x.pair == first.pair {
			t.Error("a relay that has ended is used again")
		}
		second.Release(true)
		y := take(map[string]*config.Pseudowire{"a": a, "b": b}[second.name])
		if x.pair != y.pair || x.Spec.Relay == y.Spec.Relay {
			t.Error("the two sides are not the ends of one relay")
		}
		first, second = y, x
	}
}

// What a peer that asks for a session is told.
func TestAnswers(t *testing.T) {
	lan, far := wire("lan", l2tp.PseudowireEthernet), wire("far", l2tp.PseudowireHDLC)
	lan.CookieLength, lan.Sublayer, lan.Sequencing = 8, l2tp.SublayerDefault, l2tp.SequencingAll
	c := NewCircuits(errNoKernel)
	among := []*config.Pseudowire{lan, far}
	ask := func(kind l2tp.PseudowireType, end string) *tunnel.Call {
		return &tunnel.Call{Pseudowire: kind, RemoteEndID: []byte(end)}
	}
	for _, r := range []struct {
		call   *tunnel.Call
		result uint16
		why    string
	}{
		{ask(l2tp.PseudowireEthernet, "wan"), l2tp.CDNNoFacilitiesPermanent, `Remote End ID "wan"`},
		{ask(l2tp.PseudowireEthernet, ""), l2tp.CDNNoFacilitiesPermanent, `Remote End ID ""`},
		{ask(l2tp.PseudowireHDLC, "lan"), 14, `pseudowire "lan" as type hdlc, but it is of type ethernet`},
		{ask(l2tp.PseudowireHDLC, "far"), l2tp.CDNNoFacilitiesPermanent, "only switched"},
	} {
		if spec, no := c.Answer(among, r.call, "x"); no == nil || spec != nil || no.Cause.Result.Result != r.result || !strings.Contains(no.Why, r.why) || no.Cause.Result.Message == "" {
			t.Errorf("%+v: %+v", r.call, no)
		}
	}
	spec, no := c.Answer(among, ask(l2tp.PseudowireEthernet, "lan"), "the first")
	if no != nil {
		t.Fatal(no.Why)
	}
	if spec.Pseudowire == nil || spec.Pseudowire.Kind != circuit.EthernetTAP || spec.Name != "lan" ||
		spec.Wire.CookieLength != 8 || spec.Wire.Sublayer != l2tp.SublayerDefault || spec.Wire.Sequencing != l2tp.SequencingAll {
		t.Errorf("%+v", spec)
	}
	if _, no = c.Answer(among, ask(l2tp.PseudowireEthernet, "lan"), "the second"); no == nil || no.Cause.Result.Result != l2tp.CDNNoFacilitiesTemporary || !strings.Contains(no.Why, "for the first") {
		t.Errorf("%+v", no)
	}
	spec.Session.Ended(tunnel.Cause{}, &circuit.Exit{})
	if c.Holder("lan") != "" {
		t.Error("it is still held")
	}
	if spec, no = c.Answer(among, ask(l2tp.PseudowireEthernet, "lan"), "the second"); no != nil || spec == nil {
		t.Errorf("%+v", no)
	}
}

// Circuits of one Remote End ID are told apart by the Application ID. RFC 3931 section
// 5.4.4: "Other AVPs MAY be used for LCCE or circuit identification".
func TestAnswersByApplicationID(t *testing.T) {
	one, zero, any, lone := wire("one", l2tp.PseudowireEthernet), wire("zero", l2tp.PseudowireEthernet), wire("any", l2tp.PseudowireEthernet), wire("lone", l2tp.PseudowireEthernet)
	for _, p := range []*config.Pseudowire{one, zero, any} {
		p.RemoteEndID = []byte("site")
	}
	one.ApplicationID, zero.ApplicationID, lone.ApplicationID = new(uint16(1)), new(uint16(0)), new(uint16(65535))
	strict, lax := []*config.Pseudowire{one, zero, lone}, []*config.Pseudowire{any, zero, one}
	for _, r := range []struct {
		among []*config.Pseudowire
		end   string
		id    *uint16
		want  string // a pseudowire; or, with a space in it, why not
	}{
		{strict, "site", new(uint16(1)), "one"},
		{strict, "site", new(uint16(0)), "zero"},
		{strict, "site", new(uint16(2)), `"site" (hex 73697465) and the Application ID 2, and here "one" wants 1, "zero" wants 0: make application_id`},
		{strict, "site", nil, `and no Application ID, and here "one" wants 1, "zero" wants 0: make application_id`},
		{strict, "lone", new(uint16(65535)), "lone"},
		{strict, "lone", new(uint16(0)), `"lone" wants 65535`},
		{strict, "nobody", new(uint16(1)), "name the pseudowire in the peer's block here"},
		{lax, "site", new(uint16(1)), "one"},
		{lax, "site", new(uint16(0)), "zero"},
		{lax, "site", new(uint16(2)), "any"},
		{lax, "site", nil, "any"},
	} {
		c := NewCircuits(errNoKernel)
		call := &tunnel.Call{Pseudowire: l2tp.PseudowireEthernet, RemoteEndID: []byte(r.end), ApplicationID: r.id}
		spec, no := c.Answer(r.among, call, "x")
		switch refused := strings.Contains(r.want, " "); {
		case refused && (no == nil || spec != nil || no.Cause.Result.Result != l2tp.CDNNoFacilitiesPermanent || !strings.Contains(no.Why, r.want)):
			t.Errorf("%q: %+v, want %q", r.end, no, r.want)
		case !refused && (no != nil || spec == nil || spec.Name != r.want || c.Holder(r.want) != "x"):
			t.Errorf("%q: %+v %+v, want %q", r.end, spec, no, r.want)
		}
	}
	for _, p := range lax {
		if call := Call(p, tunnel.Outgoing); call.ApplicationID != p.ApplicationID || string(call.RemoteEndID) != "site" || call.Direction != tunnel.Outgoing {
			t.Errorf("%s is asked for by %+v", p.Name, call)
		}
	}
}

// A Pseudowire Capabilities List has each type once.
func TestCapabilities(t *testing.T) {
	got := Capabilities([]*config.Pseudowire{wire("a", l2tp.PseudowireEthernet), wire("b", l2tp.PseudowireHDLC), wire("c", l2tp.PseudowireEthernet)}, true)
	want := []l2tp.PseudowireType{l2tp.PseudowireEthernet, l2tp.PseudowireHDLC, l2tp.PseudowirePPP}
	if len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("%v", got)
	}
}
