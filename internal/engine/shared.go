package engine

import (
	"adit/internal/circuit"
	"adit/internal/kernel"
)

// sharedSocket is a socket as long as somebody uses it: a listener of the configuration,
// which does for ever, a tunnel until it is forgotten, a static session until its bridge
// has ended. The last one who lets go closes it, at once: the port is free when release
// returns, for whoever wants it next. What others have of the socket by then, the path of
// a message on its way to a shard, a message that a burst has not sent, comes to nothing
// and hurts nobody, because kernel.Socket does not send by a descriptor that is closed.
type sharedSocket struct {
	*port
	reader *reader
	fd     *kernel.Socket
	handle kernel.Handle
	users  int    // Engine.mu
	forget func() // takes it away from those that are found by their address; Engine.mu
}

// open begins to read the socket for its first user. A descriptor that cannot be read is
// closed.
func (s *sharedSocket) open(h kernel.Handler) (err error) {
	s.users = 1
	if err = s.fd.With(func(fd int) error {
		s.handle, err = s.reader.poller.Add(fd, kernel.Readable, h)
		return err
	}); err != nil {
		s.fd.Close()
	}
	return err
}

// hold is transport.
func (s *sharedSocket) hold() {
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	s.users++
}

// release is transport.
func (s *sharedSocket) release() {
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	if s.users--; s.users == 0 {
		s.close()
	}
}

// close closes the socket. Engine.mu is held.
func (s *sharedSocket) close() {
	delete(s.engine.open, s)
	if s.forget != nil {
		s.forget()
	}
	s.reader.poller.Remove(s.handle)
	s.fd.Close()
}

// room is transport.
func (s *sharedSocket) room(b *circuit.Burst, path *Path, n int) []byte {
	return b.Out.Room(path.destination, n)
}

// prepare is transport.
func (s *sharedSocket) prepare(path *Path) {
	path.destination = s.fd.Destination(path.Local.Addr(), path.Peer)
}
