package pppbridge

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"adit/internal/circuit"
)

func openRelayEnd(t *testing.T, f *Factory, e *circuit.RelayEnd, frames circuit.Frames) (circuit.Bridge, <-chan circuit.Exit) {
	t.Helper()
	return runSpec(t, f, Spec{Kind: circuit.Relay, Relay: e}, frames)
}

// Frames go to the other session, whichever end was opened first; before both
// are there they are dropped and counted, and when one ends so does the other.
func TestRelay(t *testing.T) {
	f := newTestFactory(t, Config{})
	endA, endB := circuit.NewRelayPair()
	outA, outB := &keeper{keep: true}, &keeper{keep: true}
	b, exitB := openRelayEnd(t, f, endB, outB)
	frame := []byte{0xff, 0x03, 0xc0, 0x21, 1, 2, 0, 4}
	b.Deliver(nil, time.Now(), frame)
	if st := b.Stats(); st.DropNotUp != 1 || st.FramesIn != 0 {
		t.Errorf("alone: %+v", st)
	}
	a, exitA := openRelayEnd(t, f, endA, outA)
	if _, err := f.Open(Spec{Kind: circuit.Relay, Relay: endA}, outA, nil); err == nil || !strings.Contains(err.Error(), "open already") {
		t.Errorf("an end opened twice: %v", err)
	}
	a.Deliver(nil, time.Now(), frame)
	b.Deliver(nil, time.Now(), frame[2:])
	a.Deliver(nil, time.Now(), make([]byte, circuit.MaxFrame+1))
	if len(outB.frames) != 1 || !bytes.Equal(outB.frames[0], frame) || len(outA.frames) != 1 || !bytes.Equal(outA.frames[0], frame[2:]) {
		t.Errorf("a sent %x, b sent %x", outA.frames, outB.frames)
	}
	if st := a.Stats(); st != (circuit.Stats{FramesIn: 1, BytesIn: 8, FramesOut: 1, BytesOut: 6, DropTooLong: 1}) {
		t.Errorf("%+v", st)
	}
	a.Close("line down")
	a.Close("twice")
	log := newTestLog()
	if e := waitExit(t, exitA, log); !e.Closed || e.Text != "line down" {
		t.Errorf("%+v", e)
	}
	if e := waitExit(t, exitB, log); e.Closed || !strings.Contains(e.Text, "the other side of the relay ended: line down") || e.Result.Result != 1 {
		t.Errorf("%+v", e)
	}
	before := len(outA.frames) + len(outB.frames)
	a.Deliver(nil, time.Now(), frame)
	b.Deliver(nil, time.Now(), frame)
	if len(outA.frames)+len(outB.frames) != before || a.Stats().DropNotUp != 1 {
		t.Errorf("after the end: %+v", a.Stats())
	}
	if _, err := f.Open(Spec{Kind: circuit.Relay}, outA, nil); err == nil || !strings.Contains(err.Error(), "no end of a pair") {
		t.Errorf("without an end: %v", err)
	}
	// Who comes too late is refused.
	endA, endB = circuit.NewRelayPair()
	a, exitA = openRelayEnd(t, f, endA, outA)
	a.Close("")
	waitExit(t, exitA, log)
	if _, err := f.Open(Spec{Kind: circuit.Relay, Relay: endB}, outB, nil); err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("the other side has ended: %v", err)
	}
}

func TestRelayAllocatesNothing(t *testing.T) {
	f := newTestFactory(t, Config{})
	endA, endB := circuit.NewRelayPair()
	out := &keeper{}
	a, exitA := openRelayEnd(t, f, endA, out)
	_, exitB := openRelayEnd(t, f, endB, out)
	frame := make([]byte, 1404)
	if n := testing.AllocsPerRun(1000, func() { a.Deliver(nil, time.Time{}, frame) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if out.count != 1001 {
		t.Errorf("%d frames", out.count)
	}
	a.Close("")
	waitExit(t, exitA, newTestLog())
	waitExit(t, exitB, newTestLog())
}
