package kernel

import (
	"fmt"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// linkSockets are the sockets of tunnels between link-local addresses, by the tunnel's ID.
// Any goroutine.
type linkSockets struct {
	mu     sync.Mutex
	fds    map[uint32]int
	closed bool
}

// put keeps a socket and closes the one that was there: of a tunnel that somebody else
// has ended.
func (s *linkSockets) put(id uint32, fd int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = unix.Close(fd)
		return ErrClosed
	}
	s.drop(id)
	if s.fds == nil {
		s.fds = make(map[uint32]int)
	}
	s.fds[id] = fd
	return nil
}

// drop closes a socket, if there is one. s.mu is held.
func (s *linkSockets) drop(id uint32) {
	if fd, ok := s.fds[id]; ok {
		_ = unix.Close(fd)
		delete(s.fds, id)
	}
}

func (s *linkSockets) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for id := range s.fds {
		s.drop(id)
	}
}

func (k *L2TP) closeLinkSocket(id uint32) {
	k.onLink.mu.Lock()
	defer k.onLink.mu.Unlock()
	k.onLink.drop(id)
}

// createOnLink makes a tunnel between link-local addresses, of a socket that is k's.
func (k *L2TP) createOnLink(op string, t L2TPTunnel) error {
	k.closeLinkSocket(t.ID) // it may have the port
	var err error
	if t.FD, err = k.openOnLink(&t); err != nil {
		return err
	}
	if err = k.createTunnel(op, &t); err != nil {
		_ = unix.Close(t.FD)
		return err
	}
	if err = k.onLink.put(t.ID, t.FD); err != nil {
		return &Error{Op: op, Err: err}
	}
	return nil
}

// openOnLink opens the socket in k's namespace. To enter that takes a right that we may
// not have, so it is not done for the one that the thread is in.
func (k *L2TP) openOnLink(t *L2TPTunnel) (fd int, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if k.ns == nil || inNetNS(k.ns) {
		return socketOnLink(t)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the runtime ends the thread
		if err = unix.Setns(int(k.ns.Fd()), unix.CLONE_NEWNET); err != nil {
			fd, err = -1, plainError(fmt.Sprintf("enter the network namespace of tunnel %d", t.ID), os.NewSyscallError("setns", err))
			return
		}
		fd, err = socketOnLink(t)
	}()
	<-done
	return fd, err
}

// socketOnLink opens a socket as the kernel would for a tunnel, but for the link.
func socketOnLink(t *L2TPTunnel) (int, error) {
	if t.Encap == L2TPEncapIP {
		return L2TPIPSocket(t.Local.Addr(), t.Peer.Addr(), t.ID, t.PeerID)
	}
	fd, err := connectedUDP(t.Local, t.Peer, false)
	if err != nil {
		return -1, err
	}
	for _, o := range []struct {
		name   int
		wanted bool
	}{{unix.UDP_NO_CHECK6_TX, t.ZeroChecksum6Tx}, {unix.UDP_NO_CHECK6_RX, t.ZeroChecksum6Rx}} {
		if o.wanted && err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_UDP, o.name, 1)
		}
	}
	if err == nil {
		err = attachFilter(fd, dropAll)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, plainError(fmt.Sprintf("set up the UDP socket of tunnel %d", t.ID), err)
	}
	return fd, nil
}
