package lcce

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"adit/internal/config"
)

// withKeepalive is testTunnel with a request every 10 s, and a peer that is dead after
// three.
func withKeepalive() *config.StaticTunnel {
	t := testTunnel()
	t.Keepalive, t.DeadAfter = 10*time.Second, 3
	return t
}

// A peer that answers nothing is dead after dead_after intervals, and lives with its
// first answer.
func TestPeerDiesAndLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil, withKeepalive()).start()
		time.Sleep(30*time.Second - time.Millisecond)
		synctest.Wait()
		if i := b.one(t); i.State != Up || i.Probes != 3 {
			t.Errorf("%+v", i)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		i := b.one(t)
		if i.State != Dead || !i.Since.Equal(b.begun.Add(30*time.Second)) || b.role.Counts()["static_peers_dead"] != 1 {
			t.Errorf("%+v", i)
		}
		if !strings.Contains(b.log.String(), "nothing is heard of the static tunnel's peer") || !strings.Contains(b.log.String(), "silence=30s") {
			t.Errorf("log: %s", b.log)
		}
		b.change(func() { b.echoes = true })
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		if i := b.one(t); i.State != Up || i.Answers != 1 || !i.LastHeard.Equal(b.begun.Add(40*time.Second+time.Millisecond)) {
			t.Errorf("%+v", i)
		}
		time.Sleep(time.Hour)
		b.change(func() {
			for n, at := range b.probes {
				if want := time.Duration(n) * 10 * time.Second; at.Sub(b.begun) != want {
					t.Fatalf("request %d after %v, want %v", n, at.Sub(b.begun), want)
				}
			}
		})
		if n := b.role.Counts()["static_peers_dead"]; n != 1 {
			t.Errorf("died %d times", n)
		}
		b.role.Close()
	})
}

// Two silent intervals are not three, and each answer begins the count anew.
func TestNotDeadYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil, withKeepalive()).start()
		for range 20 {
			time.Sleep(25 * time.Second)
			b.role.answered(netip.MustParseAddr("::ffff:192.0.2.2"), b.role.tunnels[0].token)
		}
		synctest.Wait()
		if n := b.role.Counts()["static_peers_dead"]; n != 0 || b.one(t).State != Up {
			t.Errorf("died %d times", n)
		}
		b.role.Close()
	})
}

// An answer from elsewhere, or to another request, is none.
func TestForeignAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil, withKeepalive()).start()
		for range 20 {
			b.role.answered(netip.MustParseAddr("192.0.2.9"), b.role.tunnels[0].token)
			b.role.answered(netip.MustParseAddr("192.0.2.2"), b.role.tunnels[0].token+1)
			time.Sleep(5 * time.Second)
		}
		synctest.Wait()
		if i := b.one(t); i.State != Dead || i.Answers != 0 {
			t.Errorf("%+v", i)
		}
		b.role.Close()
	})
}

// Data from the peer is as good as an answer, on both planes.
func TestDataKeepsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil, withKeepalive()).start()
		for range 30 {
			time.Sleep(10 * time.Second)
			b.change(func() {
				s := b.sessions[sessionKey{10, 1}]
				s.Stats.RxPackets++
				b.sessions[sessionKey{10, 1}] = s
			})
		}
		if i := b.one(t); i.State != Up || b.role.Counts()["static_peers_dead"] != 0 {
			t.Errorf("kernel plane: %+v", i)
		}
		time.Sleep(41 * time.Second)
		if i := b.one(t); i.State != Dead {
			t.Errorf("kernel plane, silent: %+v", i)
		}
		b.role.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, errNoKernel, withKeepalive()).start()
		for range 30 {
			time.Sleep(10 * time.Second)
			b.change(func() { b.open[0].info.LastHeard = time.Now() })
		}
		if i := b.one(t); i.State != Up || b.role.Counts()["static_peers_dead"] != 0 {
			t.Errorf("userspace: %+v", i)
		}
		time.Sleep(41 * time.Second)
		if i := b.one(t); i.State != Dead {
			t.Errorf("userspace, silent: %+v", i)
		}
		b.role.Close()
	})
}

// With link_down the devices have no link while the peer is dead, and that is nobody
// else's doing.
func TestLinkDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := withKeepalive()
		cfg.LinkDown = true
		b := newBed(t, nil, cfg).start()
		b.done()
		time.Sleep(30 * time.Second)
		if got := b.done(); got != "down lan0" {
			t.Errorf("dead: %s", got)
		}
		time.Sleep(5 * time.Minute)
		if got := b.done(); got != "" {
			t.Errorf("still dead: %s", got)
		}
		// The kernel takes IPv6 addresses away with the link.
		b.change(func() { clear(b.device("lan0").addresses); b.echoes = true })
		time.Sleep(10*time.Second + time.Millisecond)
		if got := b.done(); got != "up lan0 1400\naddress lan0 10.0.0.1/24" {
			t.Errorf("alive: %s", got)
		}
		if i := b.one(t); i.Repairs != 0 || i.State != Up {
			t.Errorf("%+v", i)
		}
		b.role.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		cfg := withKeepalive()
		cfg.LinkDown = true
		b := newBed(t, errNoKernel, cfg).start()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		b.change(func() { b.echoes = true })
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		if s := b.lastOpen(t); !reflect.DeepEqual(s.active, []bool{false, true}) {
			t.Errorf("carrier: %v", s.active)
		}
		b.role.Close()
	})
}

// A reload begins and ends the keepalive.
func TestKeepaliveByReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil, testTunnel()).start()
		time.Sleep(time.Minute)
		b.change(func() {
			if len(b.probes) != 0 {
				t.Errorf("%d requests without a keepalive", len(b.probes))
			}
		})
		if _, err := b.role.Reload(statics(withKeepalive())); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if i := b.one(t); i.State != Dead || i.Probes != 4 {
			t.Errorf("%+v", i)
		}
		if _, err := b.role.Reload(statics(testTunnel())); err != nil {
			t.Fatal(err)
		}
		if i := b.one(t); i.State != Up {
			t.Errorf("%+v", i)
		}
		time.Sleep(time.Minute)
		if i := b.one(t); i.Probes != 4 {
			t.Errorf("%+v", i)
		}
		b.role.Close()
	})
}
