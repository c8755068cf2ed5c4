package lcce

import (
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"adit/internal/config"
	"adit/proto/l2tp"
)

// three are three tunnels with a session each, another time all new.
func three() []*config.StaticTunnel {
	var all []*config.StaticTunnel
	for i, name := range []string{"a", "b", "c"} {
		t := testTunnel()
		t.Name, t.ID = name, uint32(10+i)
		s := t.Sessions[0]
		s.ID, s.Pseudowire.Name, s.Pseudowire.Interface, s.Pseudowire.Addresses = uint32(1+i), name, name+"0", nil
		all = append(all, t)
	}
	return all
}

// A reload replaces what changed, and touches nothing else.
func TestReload(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(all []*config.StaticTunnel) []*config.StaticTunnel
		want Change
		did  string
	}{
		{"nothing", func(all []*config.StaticTunnel) []*config.StaticTunnel { return all }, Change{Untouched: 3}, ""},
		{"order", func(all []*config.StaticTunnel) []*config.StaticTunnel {
			return []*config.StaticTunnel{all[2], all[0], all[1]}
		}, Change{Untouched: 3}, ""},
		{"tunnel", func(all []*config.StaticTunnel) []*config.StaticTunnel { all[1].PeerID = 99; return all },
			Change{Replaced: []string{"b"}, Untouched: 2},
			"delete session 11/2\ndelete tunnel 11\ncreate tunnel 11\ncreate session 11/2 b0\nbridge b0 br0\nup b0 1400"},
		{"cookie", func(all []*config.StaticTunnel) []*config.StaticTunnel {
			all[1].Sessions[0].Cookie = []byte("wxyz")
			return all
		}, Change{Replaced: []string{"b/lan"}, Untouched: 2}, "delete session 11/2\ncreate session 11/2 b0\nbridge b0 br0\nup b0 1400"},
		{"MTU", func(all []*config.StaticTunnel) []*config.StaticTunnel {
			all[2].Sessions[0].Pseudowire.MTU = 1300
			return all
		}, Change{Replaced: []string{"c/lan"}, Untouched: 2}, "delete session 12/3\ncreate session 12/3 c0\nbridge c0 br0\nup c0 1300"},
		{"gone, though kept", func(all []*config.StaticTunnel) []*config.StaticTunnel { return all[1:] },
			Change{Removed: []string{"a"}, Untouched: 2}, "delete session 10/1\ndelete tunnel 10"},
		{"session gone", func(all []*config.StaticTunnel) []*config.StaticTunnel { all[0].Sessions = nil; return all },
			Change{Removed: []string{"a/lan"}, Untouched: 2}, "delete session 10/1"},
		{"renamed", func(all []*config.StaticTunnel) []*config.StaticTunnel { all[0].Name = "z"; return all },
			Change{Added: []string{"z"}, Removed: []string{"a"}, Untouched: 2},
			"delete session 10/1\ndelete tunnel 10\ncreate tunnel 10\ncreate session 10/1 a0\nbridge a0 br0\nup a0 1400"},
		{"keepalive", func(all []*config.StaticTunnel) []*config.StaticTunnel {
			all[0].Keepalive, all[0].DeadAfter = 10*time.Second, 3
			return all
		}, Change{Adjusted: []string{"a"}, Untouched: 2}, ""},
		{"IDs exchanged", func(all []*config.StaticTunnel) []*config.StaticTunnel {
			all[0].ID, all[1].ID = all[1].ID, all[0].ID
			return all
		}, Change{Replaced: []string{"a", "b"}, Untouched: 1},
			"delete session 10/1\ndelete tunnel 10\ndelete session 11/2\ndelete tunnel 11\n" +
				"create tunnel 11\ncreate session 11/1 a0\nbridge a0 br0\nup a0 1400\n" +
				"create tunnel 10\ncreate session 10/2 b0\nbridge b0 br0\nup b0 1400"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				all := three()
				all[0].Keep = true
				b := newBed(t, nil, all...).start()
				b.done()
				next := three()
				next[0].Keep = true
				next = c.edit(next)
				change, err := b.role.Reload(statics(next...))
				if err != nil || !reflect.DeepEqual(change, c.want) {
					t.Errorf("%+v, %v; want %+v", change, err, c.want)
				}
				if got := b.done(); got != c.did {
					t.Errorf("done:\n%s\nwant:\n%s", got, c.did)
				}
				time.Sleep(5 * time.Minute)
				if got := b.done(); got != "" {
					t.Errorf("later: %s", got)
				}
				infos := b.role.Statics()
				if len(infos) != len(next) {
					t.Fatalf("%d tunnels", len(infos))
				}
				for i, info := range infos {
					if info.Name != next[i].Name || info.ID != next[i].ID || info.Repairs != 0 || info.Problem != "" {
						t.Errorf("%d: %+v", i, info)
					}
				}
				b.role.Close()
			})
		})
	}
}

// A reload that cannot be carried out changes nothing.
func TestReloadThatCannotBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, errNoKernel, testTunnel()).start()
		b.done()
		next := testTunnel()
		next.DataPlane = config.DataPlaneKernel
		other := testTunnel()
		other.Name = "new"
		if change, err := b.role.Reload(statics(next, other)); !errors.Is(err, errNoKernel) || !change.None() {
			t.Errorf("%+v, %v", change, err)
		}
		if got := b.done(); got != "" {
			t.Errorf("done: %s", got)
		}
		if i := b.one(t); i.State != Up {
			t.Errorf("%+v", i)
		}
		b.role.Close()
		if _, err := b.role.Reload(statics()); err == nil {
			t.Error("a role that has ended reloads")
		}
	})
}

// Pseudowires that are switched to each other compare without end.
func TestReloadOfASwitchedPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := func() []*config.StaticTunnel {
			all := three()[:2]
			a, b := all[0].Sessions[0].Pseudowire, all[1].Sessions[0].Pseudowire
			*a = config.Pseudowire{Name: "a", Type: l2tp.PseudowireHDLC, Switch: b}
			*b = config.Pseudowire{Name: "b", Type: l2tp.PseudowireHDLC, Switch: a}
			return all
		}
		b := newBed(t, nil, pair()...).start()
		b.done()
		if change, err := b.role.Reload(statics(pair()...)); err != nil || !reflect.DeepEqual(change, Change{Untouched: 2}) {
			t.Errorf("%+v, %v", change, err)
		}
		if got := b.done(); got != "" {
			t.Errorf("done: %s", got)
		}
		b.role.Close()
	})
}
