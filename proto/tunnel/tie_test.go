package tunnel

import (
	"bytes"
	"encoding/binary"
	"testing"

	"adit/proto/l2tp"
)

// RFC 2661 section 4.4.3: "The lower value "wins", and the "loser" MUST silently
// discard its tunnel. In the case where a tie breaker is present on both sides,
// and the value is equal, both sides MUST discard their tunnels. If a tie breaker
// is received, and an outstanding SCCRQ had no tie breaker value, the initiator
// which included the Tie Breaker AVP "wins". If neither side issues a tie
// breaker, then two separate tunnels are opened."
func TestResolveTie(t *testing.T) {
	low, high := []byte{0, 0, 0, 0, 0, 0, 1, 255}, []byte{0, 0, 0, 0, 0, 0, 2, 0}
	for _, c := range []struct {
		ours, theirs []byte
		want         Winner
	}{
		{nil, nil, Both}, {low, nil, Ours}, {nil, low, Theirs},
		{low, high, Ours}, {high, low, Theirs}, {low, bytes.Clone(low), Neither},
	} {
		if got := ResolveTie(c.ours, c.theirs); got != c.want {
			t.Errorf("ResolveTie(%x, %x) = %v, want %v", c.ours, c.theirs, got, c.want)
		}
	}
}

// tieBytes is the Tie Breaker AVP of an SCCRQ in the form that ResolveTie takes.
func tieBytes(m *l2tp.SCCRQ) []byte {
	if m.TieBreaker == nil {
		return nil
	}
	return binary.BigEndian.AppendUint64(nil, *m.TieBreaker)
}

// Both ends dial at once; the one that loses takes the other's tunnel.
func TestTieBreaker(t *testing.T) {
	cfg := testConfig()
	cfg.TieBreaker = true
	p := dial(t, cfg)
	sccrq, _ := sentOf[*l2tp.SCCRQ](p)
	ours, ok := p.tunnel.TieBreaker()
	if !ok || sccrq.TieBreaker == nil || !bytes.Equal(ours, tieBytes(sccrq)) {
		t.Fatalf("tie breaker %x, in the SCCRQ %x", ours, tieBytes(sccrq))
	}
	theirs := theirSCCRQ()
	if ResolveTie(ours, tieBytes(theirs)) != Ours {
		t.Error("an SCCRQ without a tie breaker does not lose")
	}
	lower := uint64(1)
	theirs.TieBreaker = &lower
	if got := ResolveTie(ours, tieBytes(theirs)); got != Theirs {
		t.Errorf("winner %v", got)
	}
	p.step(Lose{})
	if len(p.sent) != 0 || p.tunnel.State() != Finished || find[TunnelDown](p).Cause.Err != ErrTieLost {
		t.Errorf("state %v, actions %v, sent %v", p.tunnel.State(), p.actions, p.sent)
	}
	if _, ok := p.tunnel.TieBreaker(); ok {
		t.Error("a tunnel that is gone has a tie breaker")
	}
}
