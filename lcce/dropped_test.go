package lcce

import (
	"testing"
	"testing/synctest"

	"adit/internal/circuit"
	"adit/proto/sequence"
)

// What a session on the userspace plane drops is told as what one on the kernel plane
// drops is.
func TestDroppedInUserspace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, errNoKernel, testTunnel()).start()
		s := b.lastOpen(t)
		b.change(func() {
			s.info.Sequence = sequence.Counters{Late: 1, Duplicate: 2, MissingNs: 4, Lost: 1000, Reordered: 1000}
			s.info.Stats = circuit.Stats{DropVLAN: 8, DropMalformed: 16, DropTooBig: 1000, DropLoop: 32, DropTooLong: 64}
		})
		if i := b.one(t).Sessions[0]; i.RxDropped != 31 || i.RxOutOfOrder != 1 || i.TxDropped != 96 {
			t.Errorf("%d dropped, %d out of order; %d to the peer dropped", i.RxDropped, i.RxOutOfOrder, i.TxDropped)
		}
		b.role.Close()
	})
}
