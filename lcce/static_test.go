package lcce

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/config"
	"adit/internal/kernel"
	"adit/proto/l2tp"
)

// A static tunnel of the kernel plane is made with what the configuration says, and
// goes with the daemon.
func TestMadeInTheKernel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testTunnel()
		b := newBed(t, nil, cfg).start()
		if got := b.done(); got != made {
			t.Errorf("done:\n%s\nwant:\n%s", got, made)
		}
		tunnel := kernel.L2TPTunnel{ID: 10, PeerID: 20, Version: 3, FD: -1, Local: cfg.Local, Peer: cfg.Peer, Checksum: true}
		if got := b.tunnels[10]; !reflect.DeepEqual(got, tunnel) {
			t.Errorf("tunnel %+v, want %+v", got, tunnel)
		}
		session := kernel.L2TPSession{
			Tunnel: 10, PeerTunnel: 20, ID: 1, PeerID: 2, Type: l2tp.PseudowireEthernet, Cookie: []byte("abcd"), PeerCookie: []byte("efghijkl"),
			SendSequence: true, RequireSequence: true, LNS: true, ReorderTimeout: 20 * time.Millisecond, Interface: "lan0",
		}
		if got := b.sessions[sessionKey{10, 1}]; !reflect.DeepEqual(got, session) {
			t.Errorf("session %+v, want %+v", got, session)
		}
		info := b.one(t)
		if info.State != Up || info.Plane != config.DataPlaneKernel || info.Problem != "" || info.Adopted || info.Repairs != 0 ||
			len(info.Sessions) != 1 || !info.Sessions[0].Up || info.Sessions[0].Interface != "lan0" || info.Sessions[0].Cookie != 4 || info.Sessions[0].PeerCookie != 8 {
			t.Errorf("%+v", info)
		}
		if holder := b.circuits.Holder("east/lan"); !strings.Contains(holder, `session "lan" of static tunnel "east"`) || !b.reserved[1] || !b.tunnelIDs[10] {
			t.Errorf("held by %q, reserved: %v, tunnels %v", holder, b.reserved, b.tunnelIDs)
		}
		b.role.Close()
		b.role.Close()
		if got := b.done(); got != "delete session 10/1\ndelete tunnel 10" {
			t.Errorf("at the end:\n%s", got)
		}
		if b.circuits.Holder("east/lan") != "" || b.reserved[1] || b.tunnelIDs[10] || b.role.Statics() != nil {
			t.Error("something is left")
		}
	})
}

// With keep, the tunnel outlives the daemon, and the next one takes it over without
// touching it.
func TestKeepAndAdopt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testTunnel()
		cfg.Keep = true
		b := newBed(t, nil, cfg).start()
		b.done()
		b.role.Close()
		if got := b.done(); got != "" {
			t.Errorf("at the end: %s", got)
		}
		second := newBed(t, nil, cfg)
		second.tunnels, second.sessions, second.links, second.last = b.tunnels, b.sessions, b.links, b.last
		second.sessions[sessionKey{10, 77}] = kernel.L2TPSession{Tunnel: 10, ID: 77}
		second.start()
		if got := second.done(); got != "" {
			t.Errorf("at the second start: %s", got)
		}
		if i := second.one(t); !i.Adopted || i.State != Up || i.Repairs != 0 {
			t.Errorf("%+v", i)
		}
		for _, want := range []string{"it goes on", "ip l2tp del session tunnel_id 10 session_id 77"} {
			if !strings.Contains(second.log.String(), want) {
				t.Errorf("the log does not say %q:\n%s", want, second.log)
			}
		}
		second.role.Close()
	})
}

// What the kernel has under our ID and is another's is left alone, and we say what to
// do. When it is gone, ours is made.
func TestConflicts(t *testing.T) {
	for _, c := range []struct {
		name string
		put  func(w *fakeWorld)
		says []string
		free func(w *fakeWorld)
	}{
		{"tunnel", func(w *fakeWorld) {
			w.tunnels[10] = kernel.L2TPTunnel{ID: 10, PeerID: 99, Version: 3, FD: -1, Encap: kernel.L2TPEncapIP}
		}, []string{"a tunnel 10", "peer_tunnel_id 99 instead of 20", "encapsulation ip instead of udp", "ip l2tp del tunnel tunnel_id 10"},
			func(w *fakeWorld) { w.dropTunnel(10) }},
		{"checksums", func(w *fakeWorld) {
			cfg := testTunnel()
			w.tunnels[10] = kernel.L2TPTunnel{ID: 10, PeerID: 20, Version: 3, FD: -1, Local: cfg.Local, Peer: cfg.Peer}
		}, []string{"udp_checksum false instead of true", "ip l2tp del tunnel tunnel_id 10"},
			func(w *fakeWorld) { w.dropTunnel(10) }},
		{"session", func(w *fakeWorld) {
			cfg := testTunnel()
			w.tunnels[10] = kernel.L2TPTunnel{ID: 10, PeerID: 20, Version: 3, FD: -1, Local: cfg.Local, Peer: cfg.Peer, Checksum: true}
			w.sessions[sessionKey{10, 1}] = kernel.L2TPSession{Tunnel: 10, ID: 1, PeerID: 3, Type: l2tp.PseudowireEthernet, Interface: "other"}
		}, []string{"a session 1 in tunnel 10", "another peer_session_id and another cookie", "ip l2tp del session tunnel_id 10 session_id 1"},
			func(w *fakeWorld) { w.dropSession(sessionKey{10, 1}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, nil, testTunnel())
				c.put(b.fakeWorld)
				b.start()
				if got := b.done(); got != "" {
					t.Errorf("done: %s", got)
				}
				i := b.one(t)
				for _, want := range c.says {
					if !strings.Contains(i.Problem, want) {
						t.Errorf("problem %q lacks %q", i.Problem, want)
					}
				}
				if i.State != Down || b.role.Counts()["static_conflicts"] == 0 {
					t.Errorf("%+v, %v", i, b.role.Counts())
				}
				time.Sleep(10 * time.Minute)
				if n := strings.Count(b.log.String(), "del "+c.name); n > 1 {
					t.Errorf("%d complaints", n)
				}
				b.change(func() { c.free(b.fakeWorld) })
				time.Sleep(checkInterval)
				if got := b.done(); !strings.HasSuffix(got, "create session 10/1 lan0\nbridge lan0 br0\nup lan0 1400\naddress lan0 10.0.0.1/24") {
					t.Errorf("after it was removed:\n%s", got)
				}
				if i := b.one(t); i.State != Up || i.Problem != "" || i.Repairs != 0 {
					t.Errorf("%+v", i)
				}
				b.role.Close()
			})
		})
	}
}

// What somebody undoes is done again: at once where the kernel tells, at the next check
// where it does not, and it counts once.
func TestRepairs(t *testing.T) {
	deleted := func(b *bed) {
		b.role.kernelEvent(kernel.L2TPEvent{Kind: kernel.L2TPTunnelDeleted, Tunnel: kernel.L2TPTunnel{ID: 10}})
	}
	changed := func(b *bed) { b.role.linkEvent(b.role.tunnels[0].sessions[0].index) }
	for _, c := range []struct {
		name    string
		do      func(w *fakeWorld)
		event   func(b *bed)
		want    string
		repairs uint64
	}{
		{"tunnel", func(w *fakeWorld) { w.dropTunnel(10) }, deleted, made, 2}, // and its session
		{"session", func(w *fakeWorld) { w.dropSession(sessionKey{10, 1}) }, func(b *bed) {
			b.role.kernelEvent(kernel.L2TPEvent{Kind: kernel.L2TPSessionDeleted, Session: kernel.L2TPSession{Tunnel: 10, ID: 1}})
		}, strings.TrimPrefix(made, "create tunnel 10\n"), 1},
		{"device", func(w *fakeWorld) { w.drop("lan0") }, changed, strings.TrimPrefix(made, "create tunnel 10\n"), 1},
		{"bridge", func(w *fakeWorld) { w.device("lan0").Master = 0 }, changed, "bridge lan0 br0", 1},
		{"another bridge", func(w *fakeWorld) { w.add("br1"); w.device("lan0").Master = w.last }, changed, "bridge lan0 br0", 1},
		{"MTU", func(w *fakeWorld) { w.device("lan0").MTU = 1200 }, changed, "up lan0 1400", 1},
		{"down", func(w *fakeWorld) { w.device("lan0").Up = false }, changed, "up lan0 1400", 1},
		{"address", func(w *fakeWorld) { clear(w.device("lan0").addresses) }, changed, "address lan0 10.0.0.1/24", 1},
		{"all events lost", func(w *fakeWorld) { w.dropSession(sessionKey{10, 1}) }, func(b *bed) {
			b.role.kernelEvent(kernel.L2TPEvent{Kind: kernel.L2TPEventsLost})
		}, strings.TrimPrefix(made, "create tunnel 10\n"), 1},
	} {
		for _, told := range []bool{true, false} {
			name := c.name
			if !told {
				name += ", untold"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBed(t, nil, testTunnel()).start()
					b.done()
					time.Sleep(10 * time.Second)
					mac := b.device("lan0").MAC.String()
					b.change(func() { c.do(b.fakeWorld) })
					wait := checkInterval - 10*time.Second
					if told {
						b.change(func() {})
						c.event(b)
						wait = eventPause
					}
					time.Sleep(wait - time.Millisecond)
					if got := b.done(); got != "" {
						t.Errorf("too early: %s", got)
					}
					time.Sleep(time.Millisecond)
					if got := b.done(); got != c.want {
						t.Errorf("done:\n%s\nwant:\n%s", got, c.want)
					}
					time.Sleep(5 * time.Minute)
					if got := b.done(); got != "" {
						t.Errorf("again: %s", got)
					}
					if i := b.one(t); i.Repairs != c.repairs || i.State != Up || b.role.Counts()["static_repairs"] != c.repairs {
						t.Errorf("%d repairs, want %d; %+v", i.Repairs, c.repairs, i)
					}
					// To its neighbours it is the device that it was.
					if got := b.device("lan0").MAC.String(); got != mac {
						t.Errorf("the address is %s, and was %s", got, mac)
					}
					if !strings.Contains(b.log.String(), "somebody else had changed it") {
						t.Errorf("log: %s", b.log)
					}
					b.role.Close()
				})
			})
		}
	}
}

// A device that was renamed is none of ours any more: the session is made anew.
func TestRenamedDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil, testTunnel()).start()
		b.done()
		b.change(func() { b.device("lan0").Name = "mine" })
		time.Sleep(checkInterval + retryMin)
		if got := b.done(); !strings.HasPrefix(got, "delete session 10/1\ncreate session 10/1 lan0\n") {
			t.Errorf("done:\n%s", got)
		}
		if i := b.one(t); i.State != Up || i.Problem != "" {
			t.Errorf("%+v", i)
		}
		b.role.Close()
	})
}

// The name of a device that was renamed may be another's by then, which is none of our
// business.
func TestRenamedDeviceWhoseNameIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil, testTunnel()).start()
		b.done()
		b.change(func() {
			b.device("lan0").Name = "mine"
			b.add("lan0")
		})
		time.Sleep(checkInterval + retryMin)
		b.change(func() {
			if d := b.device("lan0"); d.Up || d.Master != 0 || len(d.addresses) != 0 {
				t.Errorf("the stranger's device became %+v", d)
			}
		})
		if got := b.done(); !strings.HasPrefix(got, "delete session 10/1\ncreate session 10/1 lan0") {
			t.Errorf("done:\n%s", got)
		}
		if i := b.one(t); i.Problem == "" {
			t.Errorf("%+v", i)
		}
		b.change(func() {
			b.device("lan0").Name = "theirs"
		})
		time.Sleep(checkInterval + retryMin)
		if i := b.one(t); i.State != Up || i.Problem != "" {
			t.Errorf("%+v", i)
		}
		b.role.Close()
	})
}

// Somebody who undoes our work over and over does not keep us busy.
func TestRudeNeighbour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil, testTunnel()).start()
		end := time.Now().Add(time.Minute)
		for time.Now().Before(end) {
			b.change(func() { b.dropTunnel(10) })
			b.role.kernelEvent(kernel.L2TPEvent{Kind: kernel.L2TPTunnelDeleted, Tunnel: kernel.L2TPTunnel{ID: 10}})
			time.Sleep(100 * time.Millisecond)
		}
		if n := strings.Count(b.done(), "create tunnel"); n < 20 || n > 70 {
			t.Errorf("%d times in a minute", n)
		}
		b.role.Close()
	})
}

// What cannot be made is tried again after pauses that double, and is said once.
func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil, testTunnel())
		b.refuse["create tunnel"] = &kernel.Error{Op: "create tunnel 10", Kind: kernel.ErrNoAddress, Err: unix.EADDRNOTAVAIL, Advice: "this machine does not have the local address"}
		b.start()
		last := time.Now()
		for _, pause := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			if got := b.done(); got != "create tunnel 10" {
				t.Fatalf("after %v: %q", time.Since(last), got)
			}
			time.Sleep(pause*time.Second - time.Millisecond)
			if got := b.done(); got != "" {
				t.Fatalf("too early: %q", got)
			}
			time.Sleep(time.Millisecond)
		}
		if n := strings.Count(b.log.String(), "does not have the local address"); n != 1 {
			t.Errorf("said %d times:\n%s", n, b.log)
		}
		if i := b.one(t); i.State != Down || !strings.Contains(i.Problem, "local address") {
			t.Errorf("%+v", i)
		}
		b.done()
		b.change(func() { clear(b.refuse) })
		time.Sleep(checkInterval)
		if got := b.done(); got != made {
			t.Errorf("done: %s", got)
		}
		b.role.Close()
	})
}

// A session that cannot be made does not keep the others of its tunnel down.
func TestOneBadSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testTunnel()
		second := *cfg.Sessions[0]
		wire := *second.Pseudowire
		wire.Name, wire.Interface, wire.Bridge = "east/two", "lan1", "nobridge"
		second.Name, second.ID, second.Pseudowire = "two", 5, &wire
		cfg.Sessions = append(cfg.Sessions, &second)
		b := newBed(t, nil, cfg).start()
		i := b.one(t)
		if i.State != Up || !i.Sessions[0].Up || i.Sessions[0].Problem != "" || !strings.Contains(i.Sessions[1].Problem, "make it first") ||
			!strings.Contains(i.Problem, `session "two"`) {
			t.Errorf("%+v", i)
		}
		b.role.Close()
	})
}

// An Ethernet VLAN of the kernel plane is a VLAN device above the kernel's.
func TestVLANOnTheKernelPlane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testTunnel()
		p := cfg.Sessions[0].Pseudowire
		p.Type, p.VLAN, p.Addresses = l2tp.PseudowireEthernetVLAN, 7, nil
		b := newBed(t, nil, cfg).start()
		want := "create tunnel 10\ncreate session 10/1 \nup l2tpeth0 1404\nvlan lan0 7 on l2tpeth0\nbridge lan0 br0\nup lan0 1400"
		if got := b.done(); got != want {
			t.Errorf("done:\n%s\nwant:\n%s", got, want)
		}
		if s := b.sessions[sessionKey{10, 1}]; s.Type != l2tp.PseudowireEthernet {
			t.Errorf("the kernel is asked for %v", s.Type)
		}
		b.change(func() { b.drop("lan0") })
		b.role.linkEvent(b.role.tunnels[0].sessions[0].index)
		time.Sleep(eventPause)
		if got := b.done(); got != "vlan lan0 7 on l2tpeth0\nbridge lan0 br0\nup lan0 1400" {
			t.Errorf("done: %s", got)
		}
		if i := b.one(t); i.Repairs != 1 || i.Sessions[0].Interface != "lan0" {
			t.Errorf("%+v", i)
		}
		b.role.Close()
	})
}

// The data plane "auto" is the kernel's where it has L2TP, which the log says once; one
// that is demanded and not there is an error.
func TestChoiceOfThePlane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		none := errors.New("load the module l2tp_eth")
		second := testTunnel()
		second.Name, second.ID, second.Sessions = "west", 11, nil
		b := newBed(t, none, testTunnel(), second)
		if n := strings.Count(b.log.String(), "load the module l2tp_eth"); n != 1 || b.role.tunnels[0].plane != config.DataPlaneUserspace {
			t.Errorf("%d lines:\n%s", n, b.log)
		}
		cfg := testTunnel()
		cfg.DataPlane = config.DataPlaneKernel
		if err := b.role.take([]*config.StaticTunnel{cfg}); !errors.Is(err, none) || !strings.Contains(err.Error(), `static tunnel "east"`) {
			t.Errorf("%v", err)
		}
		withKernel := newBed(t, nil)
		cfg.Sessions[0].Pseudowire.Type = l2tp.PseudowireIP // which the kernel has not
		if err := withKernel.role.take([]*config.StaticTunnel{cfg}); err == nil || !strings.Contains(err.Error(), "all sessions of a tunnel are on one plane") {
			t.Errorf("%v", err)
		}
		cfg.DataPlane = config.DataPlaneAuto
		if got, err := withKernel.role.newStatic(cfg); err != nil || got.plane != config.DataPlaneUserspace {
			t.Errorf("%v, %v", got, err)
		}
	})
}
