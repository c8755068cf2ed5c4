package control

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// MaxReason is the longest Selector.Reason, in octets: it has to fit into the
// Result Code AVP, whose whole length is 1023 at most (RFC 2661 section 4.1).
const MaxReason = 256

// Validate says in one sentence what is wrong with a selector.
func (s Selector) Validate() error {
	ways := 0
	for _, given := range []bool{s.All, s.Peer != "", s.User != "", s.Tunnel != 0} {
		if given {
			ways++
		}
	}
	switch {
	case s.Session != 0 && s.Tunnel == 0:
		return fmt.Errorf("session %d needs the ID of its tunnel too, because a Session ID is unique in its tunnel only", s.Session)
	case ways == 0:
		return errors.New("nothing is selected: give a tunnel, a tunnel and a session, a peer, a user, or all")
	case ways > 1:
		return errors.New("too much is selected: give only one of tunnel, peer, user and all")
	case len(s.Reason) > MaxReason:
		return fmt.Errorf("the reason has %d octets, and %d is the most", len(s.Reason), MaxReason)
	case !utf8.ValidString(s.Reason):
		return errors.New("the reason is not UTF-8")
	}
	return nil
}

// String names what is selected, for a log.
func (s Selector) String() string {
	switch {
	case s.All:
		return "all tunnels"
	case s.Peer != "":
		return fmt.Sprintf("peer %q", s.Peer)
	case s.User != "":
		return fmt.Sprintf("user %q", s.User)
	case s.Session != 0:
		return fmt.Sprintf("session %d/%d", s.Tunnel, s.Session)
	default:
		return fmt.Sprintf("tunnel %d", s.Tunnel)
	}
}
