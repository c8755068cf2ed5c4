package engine

import (
	"bytes"
	"net/netip"
	"sync"
	"testing"
	"time"

	"adit/internal/circuit"
	"adit/proto/l2tp"
)

// network joins ports without a socket: a packet that is sent is dispatched at
// its destination at once, and logged with its time.
type network struct {
	mu    sync.Mutex
	ports map[netip.AddrPort]*port
	// lost decides about each packet; nil: none is.
	lost func(from, to netip.AddrPort, packet []byte) bool
	// wire is what was sent, with what was lost; kept if keep says so.
	wire []sent
	keep bool
}

type sent struct {
	at       time.Time
	from, to netip.AddrPort
	packet   []byte
}

// lose sets what is lost from now on.
func (n *network) lose(f func(from, to netip.AddrPort, packet []byte) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost = f
}

// cut loses all that an address sends and is sent, as if its power had failed.
func (n *network) cut(addr netip.AddrPort) {
	n.lose(func(from, to netip.AddrPort, _ []byte) bool { return from == addr || to == addr })
}

func newNetwork() *network { return &network{ports: make(map[netip.AddrPort]*port), keep: true} }

func (n *network) send(from, to netip.AddrPort, packet []byte) error {
	n.mu.Lock()
	if n.keep {
		n.wire = append(n.wire, sent{time.Now(), from, to, bytes.Clone(packet)})
	}
	p := n.ports[to]
	if n.lost != nil && n.lost(from, to, packet) {
		p = nil
	}
	n.mu.Unlock()
	switch {
	case p == nil:
	case to.Port() == 0: // directly over IP
		p.dispatchIP(time.Now(), l2tp.AppendIPControl(nil, packet), from.Addr(), to.Addr())
	default:
		p.dispatch(time.Now(), packet, from, to.Addr())
	}
	return nil
}

// sentBy returns the messages of a kind that an address sent, with their times.
// Kind 0 stands for ZLBs.
func (n *network) sentBy(from netip.AddrPort, kind l2tp.MessageType) []sent {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []sent
	for _, s := range n.wire {
		if s.from == from && kindOf(s.packet) == kind {
			all = append(all, s)
		}
	}
	return all
}

func kindOf(packet []byte) l2tp.MessageType {
	h, payload, err := l2tp.ParseHeader(packet)
	if err != nil || !h.Control {
		return 0xffff
	}
	kind, _ := l2tp.PeekMessageType(payload)
	return kind
}

// message parses what was sent.
func (s sent) message(t testing.TB) l2tp.Message {
	t.Helper()
	h, payload, err := l2tp.ParseHeader(s.packet)
	if err != nil {
		t.Fatal(err)
	}
	m, err := l2tp.ParseMessage(h.Version, payload, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// times puts the times of messages in seconds after start.
func times(start time.Time, all []sent) []float64 {
	var out []float64
	for _, s := range all {
		out = append(out, s.at.Sub(start).Seconds())
	}
	return out
}

// wire is the transport of one port of a network.
type wire struct {
	net   *network
	local netip.AddrPort
	mu    sync.Mutex
	data  [][]byte
	users int
}

func (w *wire) send(packet []byte, path *Path) error { return w.net.send(w.local, path.Peer, packet) }
func (w *wire) prepare(*Path)                        {}

func (w *wire) hold()    { w.use(1) }
func (w *wire) release() { w.use(-1) }

func (w *wire) use(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.users += n; w.users < 0 {
		panic("a socket is released by more than have held it")
	}
}

func (w *wire) room(_ *circuit.Burst, _ *Path, n int) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	packet := make([]byte, n)
	w.data = append(w.data, packet)
	return packet
}
