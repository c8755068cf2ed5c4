package engine

import (
	"errors"
	"testing"

	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// What the kernel has one switch for, both ends have to want alike, or the session goes
// by userspace.
func TestWhatTheKernelCanCarry(t *testing.T) {
	wire := func(s l2tp.SublayerType, q l2tp.SequencingLevel) tunnel.Wire {
		return tunnel.Wire{Sublayer: s, Sequencing: q}
	}
	const none, def, atm = l2tp.SublayerNone, l2tp.SublayerDefault, l2tp.SublayerATM
	for _, c := range []struct {
		us, peer tunnel.Wire
		want     error
	}{
		{wire(none, l2tp.SequencingNone), wire(none, l2tp.SequencingNone), nil},
		{wire(def, l2tp.SequencingNone), wire(def, l2tp.SequencingNone), nil},
		{wire(def, l2tp.SequencingAll), wire(def, l2tp.SequencingAll), nil},
		{wire(def, l2tp.SequencingNone), wire(none, l2tp.SequencingNone), errSublayers},
		{wire(atm, l2tp.SequencingNone), wire(atm, l2tp.SequencingNone), errSublayers},
		{wire(def, l2tp.SequencingAll), wire(def, l2tp.SequencingNone), errSequencing},
		{wire(def, l2tp.SequencingNone), wire(def, l2tp.SequencingAll), errSequencing},
		{wire(def, l2tp.SequencingAll), wire(def, l2tp.SequencingNonIP), errSequencing},
		{wire(def, l2tp.SequencingNonIP), wire(def, l2tp.SequencingNonIP), errSequencing},
	} {
		if got := kernelCanCarry(&c.us, &c.peer); !errors.Is(got, c.want) {
			t.Errorf("%+v and %+v: %v, want %v", c.us, c.peer, got, c.want)
		}
	}
}
