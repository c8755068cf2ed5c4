package engine

import "net/netip"

// socketKey names a shared socket: the address asked for and, if that has port 0,
// who asked.
type socketKey struct {
	addr  netip.AddrPort
	owner string
}

// socketFor returns the socket bound to addr, made now if there is none, and held for
// the caller, who releases it. Port 0
// is a port of the kernel's choice, the same one each time for an owner: two
// tunnels of ours to one LNS must not have all addresses and ports in common
// (see pathUse). A socket of the wildcard address has every address at its port.
func (e *Engine) socketFor(addr netip.AddrPort, owner string) (*socket, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if addr.Port() != 0 {
		owner = ""
	}
	key := socketKey{addr, owner}
	if s := e.sockets[key]; s != nil {
		s.users++
		return s, nil
	}
	for _, s := range e.sockets {
		if s.local == addr || s.local == netip.AddrPortFrom(wildcard(addr.Addr()), addr.Port()) {
			s.users++
			return s, nil
		}
	}
	if e.closing.Load() {
		return nil, ErrClosed
	}
	s, err := openSocket(e, e.reader(), addr)
	if err != nil {
		return nil, err
	}
	e.sockets[key], s.forget = s, func() { delete(e.sockets, key) }
	e.open[&s.sharedSocket] = true
	return s, nil
}

// wildcard is the unspecified address of a's family.
func wildcard(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// keep notes a socket that Close has to close if nobody does before.
func (e *Engine) keep(s *sharedSocket) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.open[s] = true
}

// closeSockets closes those that somebody still uses.
func (e *Engine) closeSockets() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.open {
		s.close()
	}
}

// reader returns the next reader in turn.
func (e *Engine) reader() *reader {
	return e.readers[int(e.nextRead.Add(1))%len(e.readers)]
}
