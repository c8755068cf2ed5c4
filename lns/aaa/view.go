package aaa

import (
	"time"

	"adit/lns/subscriber"
)

// View is what people are shown of a session.
type View struct {
	ID        string // Acct-Session-Id
	User      string
	Profile   string // that it goes on with
	Method    subscriber.Method
	Addresses subscriber.Addresses
	Leased    bool      // by DHCP
	Started   time.Time // zero: no network is up as yet
	Ends      time.Time // by the session's time; zero: never
	FilterID  []string
	Rates     []string
}

// View is the session as it is now; nil: nobody was let in. It is not changed
// afterwards.
func (s *Session) View() *View { return s.view.Load() }

// User is pppbridge.Named's.
func (s *Session) User() string {
	if v := s.View(); v != nil {
		return v.User
	}
	return ""
}

// show makes the view what the session is.
func (s *Session) show() {
	g := s.grant
	if g == nil {
		s.view.Store(nil)
		return
	}
	s.view.Store(&View{
		ID:   s.id,
		User: g.service.User, Profile: g.profile.Name, Method: g.method, Addresses: g.addresses, Leased: g.lease != nil,
		Started: s.network.started, Ends: s.due.session, FilterID: g.service.FilterID, Rates: g.service.Rates,
	})
}
