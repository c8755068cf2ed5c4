package pppbridge

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/circuit"
	"adit/proto/ppp"
)

// Frames go through the terminal to a program that sends them back: every octet
// value, every length, in order.
func TestAsyncRoundTrip(t *testing.T) {
	f := fakeFactory(t, Config{})
	log, s := newTestLog(), &sink{}
	b, c := run(t, f, log, s, "do=echo")
	// These come before pppd listens, and are held for it.
	var want [][]byte
	send := func(frame []byte) {
		want = append(want, frame)
		b.Deliver(nil, time.Now(), frame)
	}
	for i := range 4 {
		send(append([]byte{0xff, 0x03, 0xc0, 0x21, byte(i)}, bytes.Repeat([]byte{byte(i)}, 20)...))
	}
	arrived := func() bool { got, _ := s.got(); return len(got) == len(want) }
	waitFor(t, 10*time.Second, "the held frames", arrived, log)
	all := make([]byte, 1500)
	for i := range all {
		all[i] = byte(i)
	}
	for _, n := range []int{4, 5, 64, 256, 999, 1500} {
		send(all[:n])
		waitFor(t, 10*time.Second, "a frame", arrived, log)
	}
	got, flushes := s.got()
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("frame %d: got %x, want %x", i, got[i], want[i])
		}
	}
	if flushes == 0 {
		t.Error("no Flush")
	}
	st := b.Stats()
	if st.FramesIn != uint64(len(want)) || st.FramesOut != st.FramesIn || st.BytesIn != st.BytesOut || st.DropBadFCS+st.DropQueueFull != 0 {
		t.Errorf("%+v", st)
	}
	b.Close("over")
	waitExit(t, c, log)
	b.Deliver(nil, time.Now(), all[:100])
	if st := b.Stats(); st.DropClosed != 1 {
		t.Errorf("after the end: %+v", st)
	}
}

// A terminal that nobody reads fills up; then frames are dropped and counted,
// nothing blocks, and memory is bounded.
func TestAsyncQueueIsBounded(t *testing.T) {
	f := fakeFactory(t, Config{})
	log := newTestLog()
	b, c := run(t, f, log, &sink{}, "do=say:Connect: x", "do=wait")
	waitFor(t, 10*time.Second, "pppd", func() bool { return strings.Contains(log.String(), "waiting") }, log)
	frame := bytes.Repeat([]byte{0x7e}, 1400) // doubled by the escapes
	start := time.Now()
	for range 1000 {
		b.Deliver(nil, start, frame)
	}
	st := b.Stats()
	if st.FramesIn+st.DropQueueFull != 1000 || st.FramesIn > (queueSize+64<<10)/2800 || st.FramesIn < 5 {
		t.Errorf("%+v", st)
	}
	b.Close("")
	waitExit(t, c, log)
}

// A terminal that was full and is emptied later gets all that was queued, with
// no event but the terminal's own room.
func TestFullTerminalGoesOn(t *testing.T) {
	for _, kind := range []circuit.Kind{circuit.PPPDAsync, circuit.PPPDSync} {
		t.Run(kind.String(), func(t *testing.T) {
			open := syncAlone
			if kind == circuit.PPPDAsync {
				open = func(t *testing.T) (*ptyBridge, int) { return ptyAlone(t, circuit.PPPDAsync) }
			}
			b, slave := open(t)
			frame := ipFrame(1400)
			for range 100 {
				b.Deliver(nil, time.Now(), frame)
			}
			waitFor(t, 10*time.Second, "a full terminal", func() bool {
				b.mu.Lock()
				defer b.mu.Unlock()
				return b.armed
			})
			go drain(slave)
			waitFor(t, 10*time.Second, "an empty queue", func() bool {
				b.mu.Lock()
				defer b.mu.Unlock()
				return len(b.queue) == 0 && !b.armed
			})
		})
	}
}

func TestAsyncRefusesNonsense(t *testing.T) {
	f := fakeFactory(t, Config{})
	log := newTestLog()
	b, c := run(t, f, log, &sink{}, "do=wait")
	b.Deliver(nil, time.Now(), nil)
	b.Deliver(nil, time.Now(), make([]byte, MaxFrame+1))
	if st := b.Stats(); st.DropTooLong != 2 || st.FramesIn != 0 {
		t.Errorf("%+v", st)
	}
	b.Close("")
	waitExit(t, c, log)
}

// What a program writes that is no frame, or a damaged one, is dropped.
func TestAsyncDropsBadFrames(t *testing.T) {
	f := fakeFactory(t, Config{})
	log, s := newTestLog(), &sink{}
	b, c := run(t, f, log, s, "do=echo")
	pb := b.(*ptyBridge)
	var enc ppp.Encoder
	good := []byte{0xff, 3, 0xc0, 0x21, 1, 2, 0, 4}
	var raw []byte
	raw = append(raw, "garbage\x7e"...)
	damaged := enc.AppendFrame(nil, good)
	damaged[3] ^= 1
	raw = append(raw, damaged...)
	raw = enc.AppendFrame(raw, make([]byte, MaxFrame+200))
	raw = enc.AppendFrame(raw, good)
	waitFor(t, 10*time.Second, "pppd", func() bool { return strings.Contains(log.String(), "Connect") }, log)
	for len(raw) > 0 { // in pieces, straight into the terminal
		n, err := unix.Write(pb.pty.Master, raw[:min(100, len(raw))])
		if err != nil && err != unix.EAGAIN {
			t.Fatal(err)
		}
		raw = raw[max(n, 0):]
	}
	waitFor(t, 10*time.Second, "the good frame", func() bool { got, _ := s.got(); return len(got) == 1 }, log)
	if got, _ := s.got(); !bytes.Equal(got[0], good) {
		t.Errorf("got %x", got[0])
	}
	if st := b.Stats(); st.DropBadFCS < 2 || st.DropTooLong != 1 {
		t.Errorf("%+v", st)
	}
	b.Close("")
	waitExit(t, c, log)
}

// SLI changes what is escaped; RFC 2661 section 4.4.6: "The ACCM AVP is used by
// the LNS to inform LAC of the ACCM negotiated with the PPP peer by the LNS."
func TestSetACCM(t *testing.T) {
	c := newAsyncCodec(make([]byte, 100))
	frame := []byte{0xff, 0x03, 0x00, 0x21, 0x11, 0x13}
	before := c.append(nil, frame)
	c.setACCM(0)
	after := c.append(nil, frame)
	if len(before) <= len(after) || !bytes.Contains(after, []byte{0x11, 0x13}) || bytes.Contains(before, []byte{0x11, 0x13}) {
		t.Errorf("before %x, after %x", before, after)
	}
}

// drain reads a terminal's slave until it is closed, as fast as it can.
func drain(fd int) {
	buf := make([]byte, 64<<10)
	for {
		if n, err := unix.Read(fd, buf); n <= 0 && err != unix.EINTR {
			return
		}
	}
}

// ptyAlone is a bridge whose slave the test holds, running since ever.
func ptyAlone(t *testing.T, kind circuit.Kind) (*ptyBridge, int) {
	t.Helper()
	f := fakeFactory(t, Config{})
	b, c := runSpec(t, f, Spec{Kind: kind, Options: []string{"do=say:Connect: x", "do=wait"}}, &countingSink{})
	pb := b.(*ptyBridge)
	waitFor(t, 10*time.Second, "pppd", func() bool { pb.mu.Lock(); defer pb.mu.Unlock(); return !pb.holding })
	slave, err := unix.Open(pb.pty.Name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Close("")
		<-c
		_ = unix.Close(slave)
	})
	return pb, slave
}

type countingSink struct {
	frames, octets int
	room           [MaxFrame]byte
}

// Room is Frames'.
func (s *countingSink) Room(_ *circuit.Burst, n int) []byte {
	s.frames++
	s.octets += n
	return s.room[:n]
}

func TestAsyncDeliverAllocatesNothing(t *testing.T) {
	b, slave := ptyAlone(t, circuit.PPPDAsync)
	go drain(slave)
	frame := bytes.Repeat([]byte{0x55, 0x11}, 700)
	now := time.Now()
	if n := testing.AllocsPerRun(500, func() { b.Deliver(nil, now, frame) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if b.Stats().FramesIn == 0 {
		t.Error("nothing went through")
	}
}

// syncAlone is a bridge with the synchronous codec on a terminal without N_HDLC:
// the writing side is the same, and runs on any kernel.
func syncAlone(t *testing.T) (*ptyBridge, int) {
	t.Helper()
	b, slave := ptyAlone(t, circuit.PPPDAsync)
	b.mu.Lock()
	b.codec = &syncCodec{}
	b.mu.Unlock()
	return b, slave
}

// A burst of frames goes out one by one, in order, with the gap between: who
// reads at once never sees two in one piece.
func TestSyncWritesAreSpaced(t *testing.T) {
	b, slave := syncAlone(t)
	const burst = 12
	start := time.Now()
	for i := range burst {
		b.Deliver(nil, start, append(ipFrame(40), byte(i)))
	}
	var got []byte
	buf := make([]byte, 4096)
	for len(got) < burst*45 {
		n, err := unix.Read(slave, buf)
		if err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
		got = append(got, buf[:max(n, 0)]...)
	}
	if d := time.Since(start); d < (burst-1)*syncGap {
		t.Errorf("%d frames in %v, the gap is %v", burst, d, syncGap)
	}
	for i := range burst {
		if got[i*45+44] != byte(i) {
			t.Fatalf("frame %d: %x", i, got[i*45:(i+1)*45])
		}
	}
}

func TestSyncDeliverAllocatesNothing(t *testing.T) {
	b, slave := syncAlone(t)
	go drain(slave)
	frame, now := ipFrame(1400), time.Now()
	if n := testing.AllocsPerRun(500, func() { b.Deliver(nil, now, frame) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if st := b.Stats(); st.FramesIn+st.DropQueueFull != 501 || st.FramesIn < 15 {
		t.Errorf("%+v", st)
	}
}

// The read path: from the octets of one read to the room for its frames.
func TestReadPathAllocatesNothing(t *testing.T) {
	for _, kind := range []circuit.Kind{circuit.PPPDAsync, circuit.PPPDSync} {
		s := &countingSink{}
		b := &ptyBridge{frames: s, out: make([]byte, MaxFrame+2)}
		b.codec = newAsyncCodec(b.out)
		var in []byte
		frame := ipFrame(1400)
		if kind == circuit.PPPDSync {
			b.codec = &syncCodec{}
			in = append(append(in, frame...), frame...)
		} else {
			var enc ppp.Encoder
			in = enc.AppendFrame(enc.AppendFrame(nil, frame), frame)
		}
		if n := testing.AllocsPerRun(200, func() { b.codec.decode(b, in) }); n != 0 {
			t.Errorf("%v: %v allocations", kind, n)
		}
		if s.frames != 2*201 || s.octets != s.frames*len(frame) {
			t.Errorf("%v: %d frames, %d octets", kind, s.frames, s.octets)
		}
	}
}

// The whole read path with its system calls, in the test's goroutine.
func TestReadFromPTYAllocatesNothing(t *testing.T) {
	f := fakeFactory(t, Config{})
	log := newTestLog()
	s := &countingSink{}
	_, c := run(t, f, log, s, "do=exit:0")
	waitExit(t, c, log)
	b, slave := ptyAlone(t, circuit.PPPDAsync)
	var enc ppp.Encoder
	in := enc.AppendFrame(nil, ipFrame(1000))
	done := make(chan float64)
	f2 := b.f.sup.poller
	f2.Post(func(time.Time) {
		f2.Remove(b.handle) // nobody else reads meanwhile
		done <- testing.AllocsPerRun(100, func() {
			if n, err := unix.Write(slave, in); n != len(in) || err != nil {
				t.Error(n, err)
			}
			b.read(readsPerEvent)
		})
	})
	if n := <-done; n != 0 {
		t.Errorf("%v allocations", n)
	}
	if b.Stats().FramesOut < 90 {
		t.Errorf("%+v", b.Stats())
	}
}

// ipFrame is a PPP frame with an IPv4 packet of n octets.
func ipFrame(n int) []byte {
	frame := append([]byte{0xff, 0x03, 0x00, 0x21, 0x45, 0, byte(n >> 8), byte(n)}, make([]byte, n-4)...)
	for i := 24; i < len(frame); i++ {
		frame[i] = byte(i)
	}
	return frame
}

// RFC 1661 section 5: "The Length field is two octets, and indicates the length
// of the packet including the Code, Identifier, Length and Data fields."
func TestFrameLength(t *testing.T) {
	ip6 := append([]byte{0xff, 3, 0, 0x57, 0x60, 0, 0, 0, 0, 8, 17, 64}, make([]byte, 32+8)...)
	for _, c := range []struct {
		name string
		in   []byte
		want int
	}{
		{"LCP", unhex("ff03c021 01010004"), 8},
		{"LCP and padding", unhex("ff03c021 01010004 000000"), 8},
		{"LCP and LCP", unhex("ff03c021 01010004 ff03c021 01020004"), 8},
		{"LCP cut", unhex("ff03c021 01010008 0102"), 0},
		{"LCP with a length below its header", unhex("ff03c021 01010003"), 0},
		{"IPv4", ipFrame(60), 64},
		{"IPv4 twice", append(ipFrame(60), ipFrame(20)...), 64},
		{"IPv4 cut", ipFrame(60)[:63], 0},
		{"IPv4 without a header", unhex("ff030021 4500"), 0},
		{"IPv6", ip6, 52},
		{"IPv6 cut", ip6[:51], 0},
		{"CCP data", unhex("ff0300fd 01020304"), 8},
		{"no address and control", unhex("c02101010004"), 0},
		{"three octets", unhex("ff03c0"), 0},
		{"nothing", nil, 0},
	} {
		if got := frameLength(c.in); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func FuzzSyncDecode(f *testing.F) {
	f.Add(append(ipFrame(60), ipFrame(20)...))
	f.Add(unhex("ff03c021 01010004 ff03c021 01020004"))
	f.Fuzz(func(t *testing.T, in []byte) {
		s := &countingSink{}
		b := &ptyBridge{frames: s, out: make([]byte, MaxFrame+2), codec: &syncCodec{}}
		b.codec.decode(b, in)
		if s.octets > len(in) {
			t.Errorf("%d octets out of %d", s.octets, len(in))
		}
	})
}

func FuzzLogLines(f *testing.F) {
	f.Add([]byte("Using interface ppp0\nlocal  IP address 10.0.0.1\nremote IP address x\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var l lines
		var h hints
		n := 0
		l.feed(time.Unix(0, 0), in, func(s string) { h.see(s) }, func(s string) {
			n++
			if len(s) > 3*maxLine+4 || strings.ContainsAny(s, "\x00\x1b\n") {
				t.Errorf("line %q", s)
			}
		})
		if n > logBurst || len(l.buf) > maxLine {
			t.Errorf("%d lines, %d octets kept", n, len(l.buf))
		}
	})
}

func TestFindPlugin(t *testing.T) {
	dir := t.TempDir()
	pppd := filepath.Join(dir, "pppd")
	if err := os.WriteFile(pppd, []byte("#!/bin/sh\necho pppd version 2.9.9\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if v := pppdVersion(pppd); v != "2.9.9" {
		t.Fatalf("version %q", v)
	}
	dirs := []string{filepath.Join(dir, "lib", "*")}
	if err := findPlugin(pppd, "pppol2tp.so", kernelPlaneNeeds, dirs); err == nil || !strings.Contains(err.Error(), "no plugin pppol2tp.so") {
		t.Errorf("no plugin at all: %v", err)
	}
	put := func(version string) {
		d := filepath.Join(dir, "lib", version)
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d, "pppol2tp.so"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("2.1.1")
	if err := findPlugin(pppd, "pppol2tp.so", kernelPlaneNeeds, dirs); err == nil || !strings.Contains(err.Error(), "only version 2.1.1") {
		t.Errorf("another version's plugin: %v", err)
	}
	put("2.9.9")
	if err := findPlugin(pppd, "pppol2tp.so", kernelPlaneNeeds, dirs); err != nil {
		t.Errorf("the right one: %v", err)
	}
}

func TestCheckPPPD(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "install the ppp package",
		dir:                        "is a directory",
		plain:                      "may not be executed",
	} {
		for _, kind := range []circuit.Kind{circuit.PPPDAsync, circuit.PPPDSync, circuit.PPPDKernel} {
			if err := CheckPPPD(path, kind); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s, %v: %v", path, kind, err)
			}
		}
	}
	// Whatever this machine has, the answer is one sentence, and in the lab yes.
	for _, kind := range []circuit.Kind{circuit.PPPDAsync, circuit.PPPDSync, circuit.PPPDKernel} {
		err := CheckPPPD("", kind)
		switch {
		case err == nil:
		case inLab():
			t.Errorf("%v in the lab: %v", kind, err)
		case strings.Contains(err.Error(), "\n") || len(err.Error()) < 30:
			t.Errorf("%v: %v", kind, err)
		}
	}
}
