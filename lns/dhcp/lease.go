package dhcp

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"

	"adit/internal/config"
	"adit/internal/loop"
	"adit/proto/l2tp"
)

// state is a client's state of RFC 2131 figure 5, and what is before and after.
type state uint8

const (
	stateNew state = iota
	stateSelecting
	stateRequesting
	stateBound
	stateRenewing
	stateRebinding
	stateLost // ran out or withdrawn, and not released yet
	stateGone
)

var stateNames = [...]string{"NEW", "SELECTING", "REQUESTING", "BOUND", "RENEWING", "REBINDING", "LOST", "GONE"}

func (s state) String() string { return stateNames[s] }

// lease is one client to the servers. It belongs to the table's goroutine.
type lease struct {
	group  *config.DHCP
	key    string
	wanted netip.Addr
	events Events
	tunnel uint32 // of the log's fields, with session; 0: not told
	sess   uint32
	agent  agent

	identity identity
	state    state
	xid      uint32 // 0: no answer is awaited
	begun    time.Time
	over     int  // how often the acquisition started over
	clashed  bool // all that is left to wait for is an offer that is no conflict

	// The exchange under way.
	sent  time.Time     // when its message was sent for the first time
	secs  uint16        // of its messages
	tries int           // how often it was sent
	wait  time.Duration // until it is sent again, before any jitter

	server  netip.Addr // Server Identifier of whom was selected
	from    sender     // and from where it speaks
	address netip.Addr // offered or held: closed to all other leases
	held    Lease

	deadline loop.Deadline[*lease]
}

func newLease(group *config.DHCP, req Request, events Events) *lease {
	l := &lease{group: group, key: req.Key, wanted: req.Wanted, events: events}
	l.deadline.Owner = l
	if req.Line == nil {
		return l
	}
	l.tunnel, l.sess = req.Line.Tunnel, req.Line.Session
	if group.Mode != config.DHCPRelay || !group.Option82 {
		return l
	}
	l.agent = agent{circuit: []byte(req.Line.CallingNumber), remote: []byte(req.Line.CalledNumber)}
	for _, a := range req.Line.Access {
		switch a.Type {
		case l2tp.AccessAgentCircuitID:
			l.agent.circuit = a.Value
		case l2tp.AccessAgentRemoteID:
			l.agent.remote = a.Value
		default: // of the line, but not its name
		}
	}
	return l
}

// agent is the Relay Agent Information, RFC 3046 section 3. What is empty is not
// sent.
type agent struct{ circuit, remote []byte }

// expires is when the lease ends; the zero time: never.
func (l *lease) expires() time.Time {
	if l.held.Duration == Infinite {
		return time.Time{}
	}
	return l.held.Acquired.Add(l.held.Duration)
}

// identity is what a server knows a client by: both are made from the key, so
// that the same key is the same client also after a restart.
type identity [sha256.Size]byte

// identify makes an identity. slot tells leases of one key apart.
func identify(key string, slot int) identity {
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], uint64(slot))
	return sha256.Sum256(append(append([]byte("adit dhcp client\x00"), number[:]...), key...))
}

// hardware is the hardware address, chaddr: one that is locally administered
// and of one station, as no adapter has it.
func (i *identity) hardware() [6]byte {
	h := [6]byte(i[:6])
	h[0] = h[0]&^1 | 2
	return h
}

// duidUUID is the type of a DUID made of a UUID, RFC 6355 section 4.
const duidUUID = 4

// clientID is the Client Identifier in the form of RFC 4361 section 6.1: the
// type 255, an IAID and a DUID.
func (i *identity) clientID() []byte {
	id := append(make([]byte, 0, 23), 255)
	id = append(id, i[6:10]...)
	id = binary.BigEndian.AppendUint16(id, duidUUID)
	uuid := [16]byte(i[16:])
	uuid[6] = uuid[6]&0x0f | 0x80 // version 8, of one's own making (RFC 9562)
	uuid[8] = uuid[8]&0x3f | 0x80 // and its variant
	return append(id, uuid[:]...)
}
