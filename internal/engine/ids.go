package engine

import (
	"encoding/binary"
	"time"

	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// freeID proposes a Tunnel ID: the shard in the low bits, the rest from chance,
// so that an attacker cannot guess it. It is 0 when none was found or chance
// failed. Whether the ID is free is decided by claimID.
//
// One of version 2 has 16 bits, and so has one of a tunnel whose peer is to choose the
// version. Others have more than 16, so that an ID is of one tunnel in any version.
func (s *shard) freeID(wide bool) uint32 {
	shards := uint32(len(s.engine.shards))
	for range 64 {
		id, ok := s.engine.random32()
		if !ok {
			return 0
		}
		if !wide {
			id >>= 16
		}
		id = id&^(shards-1) | uint32(s.index)
		if id != 0 && wide == (id > maxID) && s.engine.table.tunnel(id) == nil && !s.engine.tunnelIDIsForeign(id) {
			return id
		}
	}
	return 0
}

func (e *Engine) random32() (uint32, bool) {
	var b [4]byte
	if _, err := e.opt.Rand.Read(b[:]); err != nil {
		return 0, false
	}
	return binary.BigEndian.Uint32(b[:]), true
}

// claimID enters the tunnel in the table under id, if that is free.
func (t *Tunnel) claimID(id uint32) bool {
	tb := &t.shard.engine.table
	if id <= maxID && !tb.claim(id, t.slot) {
		return false
	}
	if t.is3() && !tb.connections.claim(id, t.slot) {
		tb.release(id)
		return false
	}
	t.id = id
	if t.is3() {
		t.slot.id3.Store(id)
	}
	return true
}

// releaseID undoes claimID.
func (t *Tunnel) releaseID() {
	tb := &t.shard.engine.table
	if t.id <= maxID {
		tb.release(t.id)
	}
	tb.connections.release(t.id, t.slot)
}

// newSessionID is tunnel.Config.NewSessionID. Of version 3, a Session ID is of one
// session among those of all tunnels, so it is reserved in the table; 0: none is free.
func (t *Tunnel) newSessionID() uint32 {
	e := t.shard.engine
	for range 64 {
		id, ok := e.random32()
		if !ok {
			return 0
		}
		if !t.is3() {
			id >>= 16
			if _, used := t.core.Session(id); id != 0 && !used && t.calls[id] == nil {
				return id
			}
			continue
		}
		if e.table.sessions.claim(id, t.slot) {
			t.drawn = append(t.drawn, id)
			return id
		}
	}
	return 0
}

// settleSessionIDs keeps of the Session IDs that a Step has drawn those that became
// sessions. The others were of requests that the state machine refused by itself.
func (t *Tunnel) settleSessionIDs() {
	for _, id := range t.drawn {
		if _, used := t.core.Session(id); used {
			t.reserved[id] = true
		} else {
			t.shard.engine.table.sessions.release(id, t.slot)
		}
	}
	t.drawn = t.drawn[:0]
}

// releaseSessionIDs frees those of a tunnel that ends.
func (t *Tunnel) releaseSessionIDs() {
	for id := range t.reserved {
		t.shard.engine.table.sessions.release(id, t.slot)
	}
	clear(t.reserved)
}

// enter lets data messages of a session in.
func (t *Tunnel) enter(id uint32, d *dataSession) {
	if t.is3() {
		t.shard.engine.table.sessions.set(id, t.slot, d)
		return
	}
	t.slot.set(id, d)
}

// leave lets no more of them in, and frees the ID.
func (t *Tunnel) leave(id uint32) {
	if t.is3() {
		t.shard.engine.table.sessions.release(id, t.slot)
		delete(t.reserved, id)
		return
	}
	t.slot.set(id, nil)
}

// ReserveSessionID takes a Session ID of version 3 that a session outside of the engine
// has, one of the kernel's that is configured at both ends, so that no other gets it.
// The error is ErrSessionID.
func (e *Engine) ReserveSessionID(id uint32) error {
	if !e.table.sessions.claim(id, &e.outside) {
		return ErrSessionID
	}
	return nil
}

// FreeSessionID undoes ReserveSessionID.
func (e *Engine) FreeSessionID(id uint32) { e.table.sessions.release(id, &e.outside) }

// ReserveTunnelID keeps the ID of a tunnel of the kernel's, which is configured at both
// ends, from tunnels that begin later: in the kernel, those of all versions share one
// space of IDs.
func (e *Engine) ReserveTunnelID(id uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.foreign[id] = true
}

// FreeTunnelID undoes ReserveTunnelID.
func (e *Engine) FreeTunnelID(id uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.foreign, id)
}

func (e *Engine) tunnelIDIsForeign(id uint32) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.foreign[id]
}

// config completes the role's configuration of a tunnel.
func (s *shard) config(t *Tunnel) tunnel.Config {
	c := t.spec.Tunnel
	c.LocalID = t.id
	c.Rand = s.engine.opt.Rand
	if c.Version == l2tp.Version3 {
		c.NewSessionID = t.newSessionID
		c.HelloInterval = s.engine.jitter(c.HelloInterval)
	}
	return c
}

// jitter is the HELLO interval of one control connection of version 3: up to an eighth
// less than that of the role, by chance. RFC 3931 section 4.4: "An LCCE sending Hello
// messages across multiple control connections between the same LCCE endpoints MUST
// employ a jittered timer mechanism to prevent grouping of Hello messages."
func (e *Engine) jitter(interval time.Duration) time.Duration {
	if interval == 0 {
		interval = tunnel.DefaultHelloInterval
	}
	chance, ok := e.random32()
	if interval < 0 || !ok {
		return interval
	}
	return interval - interval/8*time.Duration(chance>>16)/(maxID+1)
}
