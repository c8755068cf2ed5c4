package autoconf

import "github.com/sirupsen/logrus"

// Service answers for all links. Its methods may be called from any goroutine and
// do not block.
type Service struct{}

// New starts a Service. A nil log is none.
func New(cfg Config, log *logrus.Entry) (*Service, error) { return &Service{}, nil }

// Attach says that a family of the link is up, or what is new about it: a second
// Attach of the same id takes the place of the first, and begins to advertise anew
// if that had no IPv6. id is the Acct-Session-Id. iface is the name of the network
// interface; send sends a packet to the peer, from any goroutine. A nil send: the
// interface leads to this peer alone, and what he asks comes out of it.
func (s *Service) Attach(id string, sub Subscriber, iface string, send func(packet []byte)) {}

// Update changes the facts of a link that is attached; of another it does nothing.
func (s *Service) Update(id string, sub Subscriber) {}

// Detach says that the link is down.
func (s *Service) Detach(id string) {}

// Packet takes a packet of the peer's, where Attach had a send. It keeps it.
func (s *Service) Packet(id string, packet []byte) {}

// Counts are the counters, by name.
func (s *Service) Counts() map[string]uint64 { return nil }

// Close ends the goroutine.
func (s *Service) Close() {}
