package lcce

import (
	"fmt"
	"net/netip"
	"time"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/proto/l2tp"
)

// State is how a static tunnel is.
type State uint8

// The states of a static tunnel.
const (
	// Down: it is not as the configuration says; Problem says why.
	Down State = iota
	// Up: tunnel and sessions are there.
	Up
	// Dead: it is there, but nothing is heard of the peer.
	Dead
)

// String is the state's name for people.
func (s State) String() string {
	switch s {
	case Down:
		return "down"
	case Up:
		return "up"
	case Dead:
		return "dead"
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// StaticInfo is a static tunnel at one instant.
type StaticInfo struct {
	Name          string
	Plane         config.DataPlane // kernel or userspace
	Encapsulation config.Encapsulation
	Local, Peer   netip.AddrPort
	ID, PeerID    uint32
	State         State
	Since         time.Time // in State
	Problem       string    // why it is not up; empty: nothing is wrong
	Adopted       bool      // it was in the kernel when adit started
	Repairs       uint64    // what somebody undid and adit did again
	Probes        uint64    // echo requests sent
	Answers       uint64    // and answered
	LastHeard     time.Time // answer or data, as far as the keepalive has looked; zero: never
	Sessions      []StaticSessionInfo
}

// StaticSessionInfo is a session of a static tunnel at one instant.
type StaticSessionInfo struct {
	Name         string
	Pseudowire   string
	Type         l2tp.PseudowireType
	ID, PeerID   uint32
	Cookie       int // octets; the cookies themselves are secrets
	PeerCookie   int
	Up           bool
	Problem      string // empty: nothing is wrong
	Kind         circuit.Kind
	Interface    string // empty: none, or not known yet
	Sublayer     l2tp.SublayerType
	Sequencing   l2tp.SequencingLevel
	RxPackets    uint64 // data messages from the peer
	RxBytes      uint64
	TxPackets    uint64 // data messages to the peer
	TxBytes      uint64
	RxDropped    uint64 // for numbers or form; on the kernel plane for cookies, too
	RxOutOfOrder uint64
	TxDropped    uint64 // of the device, for its length, or because a route leads messages into it
}
