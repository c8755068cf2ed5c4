package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"adit/internal/control"
	"adit/internal/kernel"
	"adit/internal/need"
	"adit/proto/l2tp"
)

// cannedKernel has a tunnel that is static, one of a control connection of version 2,
// one of somebody else's, and a session whose tunnel has just gone.
func cannedKernel() *kernelView {
	end := netip.MustParseAddrPort
	return &kernelView{
		tunnels: []kernel.L2TPTunnel{
			{ID: 4711, PeerID: 1, Version: 2, FD: -1, Local: end("192.0.2.9:1701"), Peer: end("192.0.2.1:1701"), Checksum: true, Stats: kernel.L2TPCounters{RxPackets: 7}},
			{ID: 1, PeerID: 1<<32 - 1, Version: 3, FD: -1, Local: end("192.0.2.1:5000"), Peer: end("198.51.100.7:5001"),
				Stats: kernel.L2TPCounters{RxPackets: 1, RxBytes: 2048, TxPackets: 3, TxBytes: 4, TxErrors: 5, RxErrors: 6, RxSeqDiscards: 7, RxOOSPackets: 8, RxCookieDiscards: 9, RxInvalid: 10}},
			{ID: 12, PeerID: 60000, Version: 3, Encap: kernel.L2TPEncapIP, FD: -1, Local: end("[2001:db8::9]:0"), Peer: end("[2001:db8::1]:0"), ZeroChecksum6Tx: true, UsingIPsec: true},
		},
		sessions: []kernel.L2TPSession{
			{Tunnel: 4711, PeerTunnel: 1, ID: 1, PeerID: 99, Type: l2tp.PseudowirePPP, LNS: true, SendSequence: true, RequireSequence: true, ReorderTimeout: 20 * time.Millisecond},
			{Tunnel: 1, PeerTunnel: 1<<32 - 1, ID: 11, PeerID: 12, Type: l2tp.PseudowireEthernet, Cookie: make([]byte, 8), PeerCookie: make([]byte, 4), Interface: "branch0",
				Stats: kernel.L2TPCounters{RxPackets: 1, RxBytes: 60, RxCookieDiscards: 2}},
			{Tunnel: 12, PeerTunnel: 60000, ID: 3, PeerID: 4, Type: l2tp.PseudowireEthernet, Interface: "l2tpeth0", UsingIPsec: true},
			{Tunnel: 99, PeerTunnel: 98, ID: 97, PeerID: 96, Type: l2tp.PseudowirePPP},
		},
	}
}

func cannedView(t *testing.T) *daemonView {
	t.Helper()
	client := control.NewClient(serve(t, showDaemon{}))
	defer client.Close()
	v := &daemonView{}
	if err := v.ask(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	return v
}

// showDaemon is a cannedDaemon whose tunnels have versions.
type showDaemon struct{ cannedDaemon }

func (d showDaemon) Tunnels(ctx context.Context) ([]control.Tunnel, error) {
	all, err := d.cannedDaemon.Tunnels(ctx)
	for i := range all {
		all[i].Version, all[i].Encapsulation, all[i].LocalAddress = 2, "udp", netip.MustParseAddrPort("192.0.2.9:1701")
	}
	all[1].DataPlane = "kernel" // its ID is that of another's tunnel of version 3
	return append(all, control.Tunnel{ID: 4000000000, PeerID: 5, Peer: "pop", PeerAddress: netip.MustParseAddrPort("192.0.2.2:0"),
		State: "established", DataPlane: "userspace", Version: 3, Encapsulation: "ip"}), err
}

func (d showDaemon) Sessions(ctx context.Context) ([]control.Session, error) {
	all, err := d.cannedDaemon.Sessions(ctx)
	for i := range all {
		all[i].Version = 2
	}
	// The last one's tunnel came when the tunnels had been asked for.
	return append(append(all, version3Sessions()...), control.Session{ID: 1, Tunnel: 77, Version: 2}), err
}

func TestShowTables(t *testing.T) {
	var out strings.Builder
	part := func(title string, s *shown) {
		fmt.Fprintf(&out, "--- %s\n", title)
		if err := s.write(&out); err != nil {
			t.Fatal(err)
		}
	}
	part("both", merge(cannedKernel(), cannedView(t)))
	part("no daemon", merge(cannedKernel(), &daemonView{}))
	part("no kernel", merge(&kernelView{}, cannedView(t)))
	part("nothing", merge(&kernelView{}, &daemonView{}))
	for _, only := range []string{showTunnelsOnly, showSessionsOnly} {
		few := cannedKernel()
		few.tunnels, few.sessions = few.tunnels[:1], few.sessions[:1]
		all := merge(few, &daemonView{})
		all.restrict(only)
		part("only "+only, all)
		none := merge(&kernelView{}, &daemonView{})
		none.restrict(only)
		part("no "+only, none)
	}
	golden(t, "show.txt", out.String())
}

func TestShowJSON(t *testing.T) {
	var out bytes.Buffer
	if err := writeJSON(&out, merge(cannedKernel(), cannedView(t))); err != nil {
		t.Fatal(err)
	}
	golden(t, "show.json", out.String())
	out.Reset()
	none := merge(&kernelView{}, &daemonView{})
	none.restrict(showSessionsOnly)
	if err := writeJSON(&out, none); err != nil || out.String() != "{\n  \"sessions\": []\n}\n" {
		t.Errorf("no sessions are %q, %v", out.String(), err)
	}
}

// TestShowAlone: without a kernel that has L2TP or may be asked, and without a daemon,
// the sentence says what to do; what the daemon has is shown in any case.
func TestShowAlone(t *testing.T) {
	k, problem := readKernel()
	if problem == nil && len(k.tunnels) > 0 {
		need.Lack(t, "a kernel without L2TP tunnels: `ip l2tp show tunnel` says whose they are")
	}
	status, stdout, stderr := adit(t, "show", "--socket", "/no/such/socket")
	switch {
	case problem == nil:
		if status != exitOK || stdout != "There are no tunnels.\n" || stderr != "" {
			t.Errorf("%d %q %q", status, stdout, stderr)
		}
	case status != exitFailed || stdout != "" || stderr != "adit: "+problem.Error()+"\n":
		t.Errorf("%d %q %q, and the kernel says %v", status, stdout, stderr, problem)
	case errors.Is(problem, kernel.ErrNotSupported) && !strings.Contains(stderr, "modprobe l2tp_netlink"):
		t.Errorf("it does not say what to do: %q", stderr)
	}
	if problem == nil {
		return
	}
	want := exitFailed
	if errors.Is(problem, kernel.ErrNotSupported) {
		want = exitOK
	}
	socket := serve(t, showDaemon{})
	status, stdout, stderr = adit(t, "show", "--socket", socket)
	if status != want || !strings.Contains(stdout, "by-hand") || !strings.Contains(stderr, "the kernel's L2TP is not shown: "+problem.Error()) {
		t.Errorf("%d, want %d: %q %q", status, want, stdout, stderr)
	}
	var all shown
	if _, stdout, _ = adit(t, "show", "tunnels", "--json", "--socket", socket); json.Unmarshal([]byte(stdout), &all) != nil || all.KernelProblem == "" || len(all.Tunnels) < 3 || all.Sessions != nil {
		t.Errorf("%q", stdout)
	}
	if status, _, stderr = adit(t, "show", "--watch", "--socket", socket); status != exitFailed || stderr != "adit: "+problem.Error()+"\n" {
		t.Errorf("watch: %d %q", status, stderr)
	}
}

// fakeWatch tells its events to who listens.
type fakeWatch struct {
	events []kernel.L2TPEvent
	closed bool
}

func (w *fakeWatch) Close() error { w.closed = true; return nil }

func (w *fakeWatch) listen(handle func(kernel.L2TPEvent)) (io.Closer, error) {
	go func() {
		for _, e := range w.events {
			handle(e)
		}
	}()
	return w, nil
}

func TestShowWatch(t *testing.T) {
	k := cannedKernel()
	gone := errors.New("the socket is gone")
	events := []kernel.L2TPEvent{
		{Kind: kernel.L2TPTunnelCreated, Tunnel: k.tunnels[1]},
		{Kind: kernel.L2TPSessionCreated, Session: k.sessions[1]},
		{Kind: kernel.L2TPEventsLost},
		{Kind: kernel.L2TPSessionDeleted, Session: k.sessions[3]},
		{Kind: kernel.L2TPTunnelDeleted, Tunnel: k.tunnels[2]},
		{Kind: kernel.L2TPWatchEnded, Err: gone},
	}
	var all strings.Builder
	for _, only := range []string{"", showTunnelsOnly, showSessionsOnly} {
		for _, asJSON := range []bool{false, true} {
			fmt.Fprintf(&all, "--- %q %v\n", only, asJSON)
			w := &fakeWatch{events: events}
			err := watchL2TP(t.Context(), &all, asJSON, only, func() time.Time { return now }, w.listen)
			if !errors.Is(err, gone) || !w.closed {
				t.Errorf("it ends with %v, closed %v", err, w.closed)
			}
		}
	}
	golden(t, "watch.txt", all.String())
}

// TestShowWatchEnds: an interrupt is no error, and a pipe that nobody reads ends it; a
// kernel that goes on telling is let go of in both cases.
func TestShowWatchEnds(t *testing.T) {
	many := make([]kernel.L2TPEvent, 3*maxWaitingEvents)
	for i := range many {
		many[i] = kernel.L2TPEvent{Kind: kernel.L2TPTunnelCreated, Tunnel: kernel.L2TPTunnel{ID: uint32(i + 1), FD: -1}}
	}
	told := make(chan struct{})
	listen := func(handle func(kernel.L2TPEvent)) (io.Closer, error) {
		go func() {
			defer close(told)
			for _, e := range many {
				handle(e)
			}
		}()
		return waiting(told), nil
	}
	read, write := io.Pipe()
	read.Close()
	if err := watchL2TP(t.Context(), write, false, "", time.Now, listen); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("nobody reads: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := watchL2TP(ctx, io.Discard, false, "", time.Now, (&fakeWatch{}).listen); err != nil {
		t.Errorf("interrupted: %v", err)
	}
	refused := errors.New("no")
	if err := watchL2TP(ctx, io.Discard, false, "", time.Now, func(func(kernel.L2TPEvent)) (io.Closer, error) { return nil, refused }); !errors.Is(err, refused) {
		t.Errorf("refused: %v", err)
	}
}

// waiting closes as kernel.L2TPWatch does: after the last call of its function.
type waiting chan struct{}

func (w waiting) Close() error { <-w; return nil }

// TestMergeByAddress: an ID alone does not make a tunnel of the kernel's the daemon's.
func TestMergeByAddress(t *testing.T) {
	k := &kernelView{tunnels: []kernel.L2TPTunnel{{ID: 1, PeerID: 2, Version: 3, FD: -1, Peer: netip.MustParseAddrPort("[2001:db8::1]:5000")}}}
	static := control.Static{Name: "mine", ID: 1, PeerID: 2, DataPlane: "kernel", Encapsulation: "udp", PeerAddress: netip.MustParseAddrPort("[2001:db8::1]:5000"), State: "up"}
	for _, c := range []struct {
		change func(*control.Static)
		want   []string // names of the tunnels
	}{
		{func(*control.Static) {}, []string{"mine"}},
		{func(s *control.Static) { s.PeerAddress = netip.MustParseAddrPort("[2001:db8::2]:5000") }, []string{"", "mine"}},
		{func(s *control.Static) { s.DataPlane = "userspace" }, []string{"", "mine"}},
		{func(s *control.Static) { s.ID = 3 }, []string{"", "mine"}},
	} {
		s := static
		c.change(&s)
		var names []string
		for _, tunnel := range merge(k, &daemonView{static: []control.Static{s}}).Tunnels {
			names = append(names, tunnel.Name)
		}
		if diff := cmp.Diff(c.want, names); diff != "" {
			t.Error(diff)
		}
	}
}
