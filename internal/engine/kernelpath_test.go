package engine

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"adit/internal/circuit"
	"adit/pppbridge"
)

// pathTunnel is a tunnel with no more than takePath and its kin look at.
func pathTunnel(peer string, sessions ...uint32) *Tunnel {
	t := &Tunnel{slot: &tunnelSlot{}, path: &Path{
		Local: netip.MustParseAddrPort("192.0.2.1:1701"), Peer: netip.MustParseAddrPort(peer)}}
	for _, id := range sessions {
		t.slot.set(id, &dataSession{})
	}
	return t
}

func TestOneTunnelOfAPathHasTheKernel(t *testing.T) {
	e, err := newEngine(Options{})
	if err != nil {
		t.Fatal(err)
	}
	first, second := pathTunnel("192.0.2.2:1701"), pathTunnel("192.0.2.2:1701")
	elsewhere := pathTunnel("192.0.2.2:1702")
	for _, tunnel := range []*Tunnel{first, first, elsewhere} {
		if err := e.takePath(tunnel); err != nil {
			t.Errorf("a path that nobody else has: %v", err)
		}
	}
	if err := e.takePath(second); !errors.Is(err, errPathTaken) {
		t.Errorf("the second tunnel of a path: %v", err)
	}
	e.sharePath(second)
	e.leavePath(first)
	if err := e.takePath(second); err != nil {
		t.Errorf("after the first tunnel is down: %v", err)
	}
	e.yieldPath(second)
	e.yieldPath(second)
	if err := e.takePath(first); err != nil {
		t.Errorf("after the kernel did not take the second tunnel: %v", err)
	}
	e.leavePath(first)
	e.leavePath(second)
	e.leavePath(elsewhere)
	if len(e.paths) != 0 {
		t.Errorf("%d paths are remembered without a tunnel", len(e.paths))
	}
}

// TestUserspaceStandsIn: where the kernel does not take a tunnel, its calls go
// by userspace if the profile leaves the choice, and are refused if not. These
// tunnels have no socket that the kernel could take.
func TestUserspaceStandsIn(t *testing.T) {
	discard := circuit.Discard
	for _, userspace := range []*circuit.Kind{&discard, nil} {
		synctest.Test(t, func(t *testing.T) {
			_, lac, lns := pair(t)
			lns.role.callSpec = func() *CallSpec {
				return &CallSpec{Bridge: pppbridge.Spec{Kind: circuit.PPPDKernel}, Userspace: userspace}
			}
			lac.dial(t, lnsAddr, nil)
			lac.role.tunnel(0).PlaceCall(incoming(), lac.role.newCallSpec())
			time.Sleep(time.Second)
			synctest.Wait()
			opened := lns.bridges.list()
			if userspace == nil {
				if len(opened) != 0 || lac.role.got().callsDown != 1 || lns.counter(BridgeFailed) != 1 {
					t.Errorf("%d bridges, %+v", len(opened), lac.role.got())
				}
			} else if len(opened) != 1 || opened[0].kind != discard || lac.role.got().callsDown != 0 {
				t.Errorf("%d bridges, %+v", len(opened), lac.role.got())
			}
			closePair(lac, lns)
		})
	}
}

func TestSessionIDsAreUniqueOnAPath(t *testing.T) {
	e, err := newEngine(Options{})
	if err != nil {
		t.Fatal(err)
	}
	owner, other := pathTunnel("192.0.2.2:1701", 7), pathTunnel("192.0.2.2:1701", 8)
	stranger := pathTunnel("192.0.2.3:1701")
	e.sharePath(other)
	if err := e.uniqueOnPath(other, 7); err != nil {
		t.Errorf("without the kernel plane there is nothing to confuse: %v", err)
	}
	if err := e.takePath(owner); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		tunnel *Tunnel
		id     uint32
		want   error
	}{
		{"a session of the kernel's tunnel has the ID", other, 7, errIDTaken},
		{"a session beside the kernel's tunnel has the ID", owner, 8, errIDTaken},
		{"nobody has the ID, beside", other, 9, nil},
		{"nobody has the ID, in the kernel", owner, 9, nil},
		{"another path", stranger, 7, nil},
	} {
		if err := e.uniqueOnPath(test.tunnel, test.id); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
