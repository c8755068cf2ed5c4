package circuit

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/kernel"
	"adit/internal/need"
)

func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	for k := Discard; k <= IPTUN; k++ {
		if s := k.String(); s == "" || seen[s] {
			t.Errorf("kind %d is called %q", uint8(k), s)
		} else {
			seen[s] = true
		}
	}
	if s := (IPTUN + 1).String(); s != "kind(10)" {
		t.Errorf("a kind that does not exist is called %q", s)
	}
	for k, want := range map[Kind][2]bool{
		EthernetKernel: {true, false}, BuiltinKernel: {true, false}, PPPDKernel: {true, true},
		EthernetTAP: {}, IPTUN: {}, Relay: {}, PPPDAsync: {false, true}, PPPDSync: {false, true},
	} {
		if got := [2]bool{k.KernelPlane(), k.PPPD()}; got != want {
			t.Errorf("%v: of the kernel plane and with a pppd %v, want %v", k, got, want)
		}
	}
}

// What is counted for one session is never another's, and all of it is there after Flush.
func TestCount(t *testing.T) {
	b := NewBurst(new(kernel.SendCounts))
	flushes := 0
	b.OnFlush(func() { flushes++ })
	var all [3]Traffic
	var want [3]uint64
	for i := range 1000 {
		at := i * i % 7 % 3
		b.Count(&all[at], i)
		want[at] += uint64(i)
	}
	b.Flush()
	frames := uint64(0)
	for i := range all {
		frames += all[i].Frames.Load()
		if got := all[i].Octets.Load(); got != want[i] {
			t.Errorf("session %d: %d octets, want %d", i, got, want[i])
		}
	}
	if b.Flush(); frames != 1000 || flushes != 2 {
		t.Errorf("%d frames, %d flushes", frames, flushes)
	}
}

// Nobody holds a device that is closed, and it is closed with its last holder.
func TestDevice(t *testing.T) {
	var opened error
	var tun *kernel.TUN
	if tun, opened = kernel.OpenTUN(kernel.TUNOptions{Name: "circuit%d"}); opened != nil {
		need.Lack(t, "needs a TUN: %v", opened)
	}
	d := NewDevice(tun)
	var holders sync.WaitGroup
	var p Packets
	packet := append([]byte{0x45}, make([]byte, 19)...)
	for range 4 {
		holders.Go(func() {
			for range 1000 {
				if d.Hold() {
					d.Release()
				}
			}
		})
	}
	if !d.Hold() {
		t.Fatal("an open device")
	}
	d.Release()
	holders.Wait()
	if err := p.WriteOne(d, packet); !errors.Is(err, unix.EIO) { // it is down
		t.Errorf("written to a device that is down: %v", err)
	}
	d.Release()
	if d.Hold() {
		t.Error("a closed device is held")
	}
	if err := p.WriteOne(d, packet); !errors.Is(err, unix.EIO) {
		t.Errorf("written to a closed device: %v", err)
	}
	in := NewInlet(nil)
	if p.Add(&in, d, packet, 0, nil) {
		t.Error("a frame was taken for a closed device")
	}
}

// space is Frames that keep what is written.
type space struct {
	mu   sync.Mutex
	last []byte
}

func (s *space) Room(_ *Burst, n int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = make([]byte, n)
	return s.last
}

// Both ends of a relay end once, whoever closes first and whatever flows, and nothing
// goes to a session that has ended.
func TestRelayEndsOnce(t *testing.T) {
	poller, err := kernel.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- poller.Run() }()
	defer func() {
		poller.Stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		poller.Close()
	}()
	for range 200 {
		var exits [2]atomic.Int32
		var ended sync.WaitGroup
		ended.Add(2)
		var ends [2]Bridge
		var spaces [2]space
		a, b := NewRelayPair()
		for i, e := range []*RelayEnd{a, b} {
			ends[i], err = OpenRelay(e, RelayOptions{Frames: &spaces[i], Poller: poller, OnExit: func(Exit) {
				if exits[i].Add(1) == 1 {
					ended.Done()
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
		}
		if _, err := OpenRelay(a, RelayOptions{Poller: poller}); !errors.Is(err, ErrRelayTaken) {
			t.Errorf("an end that is open: %v", err)
		}
		var flow sync.WaitGroup
		for i := range ends {
			flow.Go(func() {
				for range 20 {
					ends[i].Deliver(nil, time.Time{}, []byte{1})
				}
				ends[i].Close("enough")
				ends[i].Close("again")
			})
		}
		flow.Wait()
		ended.Wait()
		before := ends[0].Stats()
		ends[0].Deliver(nil, time.Time{}, []byte{1})
		if s := ends[0].Stats(); s.FramesIn != before.FramesIn || s.DropNotUp != before.DropNotUp+1 || s.FramesIn+s.DropNotUp != 21 {
			t.Errorf("before %+v, then %+v", before, s)
		}
		if n, m := exits[0].Load(), exits[1].Load(); n != 1 || m != 1 {
			t.Errorf("told of %d and %d ends", n, m)
		}
		if _, err := OpenRelay(b, RelayOptions{Poller: poller}); !errors.Is(err, ErrRelayClosed) {
			t.Errorf("an end of a closed pair: %v", err)
		}
	}
}
