package main

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"adit/internal/control"
	"adit/internal/kernel"
	"adit/proto/l2tp"
)

// shown is what adit show tells; the names in its JSON are stable.
type shown struct {
	// KernelProblem says why the kernel's L2TP is not among it.
	KernelProblem string         `json:"kernel_problem,omitempty"`
	Tunnels       []shownTunnel  `json:"tunnels,omitzero"`
	Sessions      []shownSession `json:"sessions,omitzero"`
}

// shownTunnel is a tunnel of the kernel's, or one that only the daemon has.
type shownTunnel struct {
	ID     uint32 `json:"id"`
	PeerID uint32 `json:"peer_id"`
	// Of the daemon: the block that it belongs to, whether it is static, and its state.
	Name   string `json:"name,omitempty"`
	Static bool   `json:"static,omitempty"`
	State  string `json:"state,omitempty"`

	DataPlane     string         `json:"dataplane"`
	Version       int            `json:"version"`
	Encapsulation string         `json:"encapsulation"`
	LocalAddress  netip.AddrPort `json:"local_address"`
	PeerAddress   netip.AddrPort `json:"peer_address"`
	Sessions      int            `json:"sessions"` // that are shown

	Kernel *shownSocket `json:"kernel,omitempty"` // what the kernel alone tells
}

// shownSocket is what the kernel tells of a tunnel's socket.
type shownSocket struct {
	Checksum        bool          `json:"udp_checksum"`      // over IPv4
	ZeroChecksum6Tx bool          `json:"udp_zero_csum6_tx"` // RFC 6935, sent
	ZeroChecksum6Rx bool          `json:"udp_zero_csum6_rx"` // and taken
	UsingIPsec      bool          `json:"using_ipsec"`
	Stats           shownCounters `json:"stats"`
}

// shownSession is a session of the kernel's, or one that only the daemon has.
type shownSession struct {
	Tunnel     uint32 `json:"tunnel"`
	PeerTunnel uint32 `json:"peer_tunnel"`
	ID         uint32 `json:"id"`
	PeerID     uint32 `json:"peer_id"`
	Name       string `json:"name,omitempty"` // of the daemon, with that of its tunnel
	Static     bool   `json:"static,omitempty"`
	State      string `json:"state,omitempty"`

	DataPlane        string `json:"dataplane"`
	Version          int    `json:"version"`
	Pseudowire       string `json:"pseudowire"` // its type
	Interface        string `json:"interface,omitempty"`
	CookieLength     int    `json:"cookie_length"`
	PeerCookieLength int    `json:"peer_cookie_length"`
	// Sublayer is known of the daemon's sessions only: the kernel does not tell it.
	Sublayer        string        `json:"sublayer,omitempty"`
	SendSequence    bool          `json:"send_sequence"`
	RequireSequence bool          `json:"require_sequence"`
	LNS             bool          `json:"lns"`             // sequencing is ours to decide
	ReorderTimeout  float64       `json:"reorder_timeout"` // of the kernel's, in seconds
	UsingIPsec      bool          `json:"using_ipsec"`
	Stats           shownCounters `json:"stats"`
}

// shownCounters are statistics; rx is from the peer.
type shownCounters struct {
	RxPackets        uint64 `json:"rx_packets"`
	RxBytes          uint64 `json:"rx_bytes"`
	RxErrors         uint64 `json:"rx_errors"`
	TxPackets        uint64 `json:"tx_packets"`
	TxBytes          uint64 `json:"tx_bytes"`
	TxErrors         uint64 `json:"tx_errors"`
	RxSeqDiscards    uint64 `json:"rx_seq_discards"`    // dropped for their number
	RxOOSPackets     uint64 `json:"rx_oos_packets"`     // out of sequence
	RxCookieDiscards uint64 `json:"rx_cookie_discards"` // dropped for their cookie
	RxInvalid        uint64 `json:"rx_invalid"`         // dropped for their form
}

func kernelCounters(c kernel.L2TPCounters) shownCounters {
	return shownCounters{
		RxPackets: c.RxPackets, RxBytes: c.RxBytes, RxErrors: c.RxErrors, TxPackets: c.TxPackets, TxBytes: c.TxBytes, TxErrors: c.TxErrors,
		RxSeqDiscards: c.RxSeqDiscards, RxOOSPackets: c.RxOOSPackets, RxCookieDiscards: c.RxCookieDiscards, RxInvalid: c.RxInvalid,
	}
}

func daemonCounters(t control.Traffic) shownCounters {
	return shownCounters{RxPackets: t.RxPackets, RxBytes: t.RxBytes, RxErrors: t.RxErrors, TxPackets: t.TxPackets, TxBytes: t.TxBytes, TxErrors: t.TxErrors}
}

// merge names what the kernel has by what the daemon says, and adds what the daemon has
// beside it. The daemon may be in another network namespace than we are, so an ID alone
// says nothing: the version and the peer's address have to be the same.
func merge(k *kernelView, d *daemonView) *shown {
	m := merger{shown: shown{Tunnels: []shownTunnel{}, Sessions: []shownSession{}}, byID: make(map[uint32]int), bySession: make(map[sessionID]int)}
	for i := range k.tunnels {
		m.kernelTunnel(&k.tunnels[i])
	}
	for i := range k.sessions {
		m.kernelSession(&k.sessions[i])
	}
	for i := range d.static {
		m.static(&d.static[i])
	}
	mine := make(map[uint32]int, len(d.tunnels))
	for i := range d.tunnels {
		mine[d.tunnels[i].ID] = m.tunnel(&d.tunnels[i])
	}
	for i := range d.sessions {
		m.session(&d.sessions[i], mine)
	}
	m.count()
	slices.SortStableFunc(m.shown.Tunnels, func(a, b shownTunnel) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortStableFunc(m.shown.Sessions, func(a, b shownSession) int {
		return cmp.Or(cmp.Compare(a.Tunnel, b.Tunnel), cmp.Compare(a.ID, b.ID))
	})
	return &m.shown
}

// merger puts a shown together.
type merger struct {
	shown     shown
	byID      map[uint32]int    // index of the kernel's tunnel
	bySession map[sessionID]int // index of the kernel's session
	sessions  []int             // index of each session's tunnel; -1: it is not there (any more)
}

type sessionID struct{ tunnel, id uint32 }

func (m *merger) kernelTunnel(t *kernel.L2TPTunnel) {
	m.byID[t.ID] = len(m.shown.Tunnels)
	m.shown.Tunnels = append(m.shown.Tunnels, shownTunnel{
		ID: t.ID, PeerID: t.PeerID, DataPlane: "kernel", Version: int(t.Version), Encapsulation: t.Encap.String(),
		LocalAddress: t.Local, PeerAddress: t.Peer,
		Kernel: &shownSocket{t.Checksum, t.ZeroChecksum6Tx, t.ZeroChecksum6Rx, t.UsingIPsec, kernelCounters(t.Stats)},
	})
}

func (m *merger) kernelSession(s *kernel.L2TPSession) {
	m.bySession[sessionID{s.Tunnel, s.ID}] = len(m.shown.Sessions)
	v := shownSession{
		Tunnel: s.Tunnel, PeerTunnel: s.PeerTunnel, ID: s.ID, PeerID: s.PeerID, DataPlane: "kernel",
		Pseudowire: s.Type.String(), Interface: s.Interface, CookieLength: len(s.Cookie), PeerCookieLength: len(s.PeerCookie),
		SendSequence: s.SendSequence, RequireSequence: s.RequireSequence, LNS: s.LNS, ReorderTimeout: s.ReorderTimeout.Seconds(),
		UsingIPsec: s.UsingIPsec, Stats: kernelCounters(s.Stats),
	}
	tunnel, ok := m.byID[s.Tunnel]
	if !ok {
		tunnel = -1
	} else {
		v.Version = m.shown.Tunnels[tunnel].Version
	}
	m.add(v, tunnel)
}

func (m *merger) add(v shownSession, tunnel int) {
	m.shown.Sessions, m.sessions = append(m.shown.Sessions, v), append(m.sessions, tunnel)
}

// known is the index of the kernel's tunnel that is meant; -1: it has none.
func (m *merger) known(id uint32, version int, peer netip.AddrPort) int {
	i, ok := m.byID[id]
	if !ok {
		return -1
	}
	if t := m.shown.Tunnels[i]; t.Version != version || t.PeerAddress.Addr().Unmap() != peer.Addr().Unmap().WithZone("") {
		return -1
	}
	return i
}

// place is the tunnel's index: of that of the kernel, or of v, which is added.
func (m *merger) place(v shownTunnel) int {
	i := -1
	if v.DataPlane == "kernel" {
		i = m.known(v.ID, v.Version, v.PeerAddress)
	}
	if i < 0 {
		m.shown.Tunnels = append(m.shown.Tunnels, v)
		return len(m.shown.Tunnels) - 1
	}
	t := &m.shown.Tunnels[i]
	t.Name, t.Static, t.State = v.Name, v.Static, v.State
	return i
}

func (m *merger) static(t *control.Static) {
	i := m.place(shownTunnel{
		ID: t.ID, PeerID: t.PeerID, Name: t.Name, Static: true, State: t.State, DataPlane: t.DataPlane, Version: l2tp.Version3,
		Encapsulation: t.Encapsulation, LocalAddress: t.LocalAddress, PeerAddress: t.PeerAddress,
	})
	for _, s := range t.Sessions {
		m.placeSession(i, shownSession{
			Tunnel: t.ID, PeerTunnel: t.PeerID, ID: s.ID, PeerID: s.PeerID, Name: t.Name + "/" + s.Name, Static: true, State: upOrDown(s.Up),
			DataPlane: t.DataPlane, Version: l2tp.Version3, Pseudowire: s.Type, Interface: s.Interface,
			CookieLength: s.CookieLength, PeerCookieLength: s.PeerCookieLength, Sublayer: s.Sublayer,
			SendSequence: s.Sequencing != l2tp.SequencingNone.String(), RequireSequence: s.Sequencing == l2tp.SequencingAll.String(),
			Stats: daemonCounters(s.Traffic),
		})
	}
}

func (m *merger) tunnel(t *control.Tunnel) int {
	return m.place(shownTunnel{
		ID: t.ID, PeerID: t.PeerID, Name: t.Peer, State: t.State, DataPlane: t.DataPlane, Version: t.Version,
		Encapsulation: t.Encapsulation, LocalAddress: t.LocalAddress, PeerAddress: t.PeerAddress,
	})
}

// session adds one of a control connection; mine are the indices of the daemon's tunnels.
func (m *merger) session(s *control.Session, mine map[uint32]int) {
	tunnel, ok := mine[s.Tunnel]
	if !ok {
		return // it came when the tunnels had been asked for
	}
	t := &m.shown.Tunnels[tunnel]
	v := shownSession{
		Tunnel: s.Tunnel, PeerTunnel: t.PeerID, ID: s.ID, PeerID: s.PeerID, Name: s.TunnelPeer, State: s.State,
		DataPlane: "userspace", Version: s.Version, Pseudowire: s.Pseudowire, Interface: s.Interface,
		CookieLength: s.CookieLength, PeerCookieLength: s.PeerCookieLength, Sublayer: s.Sublayer,
		SendSequence: s.Sequencing.Send, RequireSequence: s.Sequencing.Required, LNS: s.Role == "lns", Stats: daemonCounters(s.Traffic),
	}
	if v.Pseudowire == "" {
		v.Pseudowire = l2tp.PseudowirePPP.String()
	}
	if s.Name != "" {
		v.Name += "/" + s.Name
	}
	if strings.HasSuffix(s.Bridge, "/kernel") {
		v.DataPlane = "kernel"
	}
	m.placeSession(tunnel, v)
}

// placeSession names the kernel's session that is meant, or adds v.
func (m *merger) placeSession(tunnel int, v shownSession) {
	i, ok := m.bySession[sessionID{v.Tunnel, v.ID}]
	if !ok || m.sessions[i] != tunnel {
		m.add(v, tunnel)
		return
	}
	s := &m.shown.Sessions[i]
	s.Name, s.Static, s.State, s.Sublayer = v.Name, v.Static, v.State, v.Sublayer
	if s.Interface == "" {
		s.Interface = v.Interface // of a PPP session pppd tells it
	}
}

// count counts the sessions of each tunnel.
func (m *merger) count() {
	for _, tunnel := range m.sessions {
		if tunnel >= 0 {
			m.shown.Tunnels[tunnel].Sessions++
		}
	}
}

// restrict takes away what was not asked for; empty: all was.
func (s *shown) restrict(only string) {
	switch only {
	case showTunnelsOnly:
		s.Sessions = nil
	case showSessionsOnly:
		s.Tunnels = nil
	}
}

// seconds is a reorder time-out for people.
func seconds(s float64) string {
	if s == 0 {
		return "-"
	}
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond).String()
}
