// Package users judges the local users: those of the configuration, of its users
// file and of chap-secrets, which have become one list when they come here.
package users

import (
	"errors"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync/atomic"

	"adit/internal/chap"
	"adit/internal/config"
	"adit/lns/subscriber"
	"adit/proto/ppp"
)

// Why a user is not let in. It is for the log: the peer is told the same for all.
var (
	ErrUnknown       = errors.New("there is no local user of this name")
	ErrPassword      = errors.New("what it showed does not fit the password")
	ErrHash          = errors.New("only the NT hash of its password is known, which does for PAP and MS-CHAPv2 alone; set password, or let the profile ask for another auth")
	ErrCallingNumber = errors.New("it may not call from this number; see calling_numbers")
)

// Set is all local users at one time. Any goroutine may use it, and none waits.
type Set struct {
	now    atomic.Pointer[snapshot]
	nobody *chap.Secret // of all names that do not exist
}

// snapshot does not change.
type snapshot map[string]entry // by name

type entry struct {
	user   *config.User
	secret *chap.Secret
}

// New makes the Set of a validated list: names are unique, and a user has a
// password or an NT hash of 16 octets. One with neither is never let in.
func New(list []*config.User) *Set {
	s := &Set{nobody: chap.Nobody()}
	s.Replace(list)
	return s
}

// Replace puts another list in the place of the one that is there. Who is judged
// meanwhile is judged by one of both.
func (s *Set) Replace(list []*config.User) {
	all := make(snapshot, len(list))
	for _, u := range list {
		all[u.Name] = entry{user: u, secret: s.secretOf(u)}
	}
	s.now.Store(&all)
}

func (s *Set) secretOf(u *config.User) *chap.Secret {
	switch {
	case len(u.NTHash) == len(chap.NTHash{}):
		return chap.OfHash(chap.NTHash(u.NTHash))
	case len(u.Password) > 0:
		return chap.OfPassword(u.Password)
	}
	return s.nobody
}

// Len is how many users there are.
func (s *Set) Len() int { return len(*s.now.Load()) }

// Find returns the user of a name, after the rules for realms; nil: there is none.
// Windows puts its domain before the name in MS-CHAPv2, and where no user has the
// whole of it, the part behind the domain counts.
//
// RFC 2759 section 4: "The Windows NT domain name may prefix the user's account
// name (e.g. "BIGCO\johndoe" where "BIGCO" is a Windows NT domain containing the
// user account "johndoe")."
func (s *Set) Find(name string, method ppp.Method) *config.User {
	return s.find(name, method).user
}

func (s *Set) find(name string, method ppp.Method) entry {
	all := *s.now.Load()
	if e, ok := all[name]; ok || method != ppp.MethodMSCHAPv2 {
		return e
	}
	return all[chap.WithoutDomain(name)]
}

// Judge decides about a request of a peer whose name is this one after the rules
// for realms, and returns the user of the name, nil if there is none. That one is
// judged by the same computation as a wrong password, so that neither the answer
// nor its time tells the names that exist.
//
// The keys are those of MPPE, where a peer is let in by MS-CHAPv2; else nil. The
// error is ErrUnknown, ErrPassword or ErrHash where the verdict is a refusal, and
// nil where it lets the peer in or EAP goes on. The verdict has the user's name and
// no Grant: Service says what the user is given. Whether he may call from where he
// does, Allowed says.
func (s *Set) Judge(name string, req ppp.AuthRequest) (*config.User, ppp.Verdict, *subscriber.MPPE, error) {
	e := s.find(name, req.Method)
	secret := e.secret
	if e.user == nil {
		secret = s.nobody
	}
	v, err := secret.Judge(req)
	switch {
	case err == nil && v.Accept:
		v.User = e.user.Name
		return e.user, v, keys(secret, req), nil
	case err == nil:
		return e.user, v, nil, nil
	case e.user == nil:
		return nil, v, nil, ErrUnknown
	case errors.Is(err, chap.ErrHash):
		return e.user, v, nil, ErrHash
	}
	return e.user, v, nil, ErrPassword
}

// What a local user's MPPE may be, RFC 2548 sections 2.4.4 and 2.4.5: encryption is
// allowed and the profile's pppd options say whether it must be, with RC4 keys of 40
// or of 128 bits.
const (
	mppeAllowed = 1
	mppeTypes   = 0x2 | 0x4
)

func keys(secret *chap.Secret, req ppp.AuthRequest) *subscriber.MPPE {
	send, recv, ok := secret.MPPEKeys(req)
	if !ok {
		return nil
	}
	return &subscriber.MPPE{Policy: mppeAllowed, Types: mppeTypes, Send: send, Recv: recv}
}

// Allowed says whether a user may call from a number, which is empty where nobody
// told it. Case counts, and * matches the empty number too.
func Allowed(u *config.User, callingNumber string) bool {
	return len(u.CallingNumbers) == 0 || slices.ContainsFunc(u.CallingNumbers, func(pattern string) bool {
		ok, err := path.Match(noSlash(pattern), noSlash(callingNumber))
		return err == nil && ok
	})
}

// noSlash takes away what is special about a slash to path.Match, where * does not
// match it: access lines have names such as "atm 1/0/3".
func noSlash(s string) string { return strings.ReplaceAll(s, "/", "\x00") }

// Service is what a user is given. What his block does not say is left unset.
func Service(u *config.User) subscriber.Service {
	s := subscriber.Service{
		User: u.Name, Address: u.Address, Routes: slices.Clip(u.Routes), MaxSessions: u.MaxSessions,
		SessionTimeout: u.SessionTimeout, IdleTimeout: u.IdleTimeout,
	}
	if u.Profile != nil {
		s.Profile = u.Profile.Name
	}
	if u.IPv6Prefix.IsValid() {
		s.IPv6Prefixes = []netip.Prefix{u.IPv6Prefix}
	}
	if u.Delegated.IsValid() {
		s.Delegated = []netip.Prefix{u.Delegated}
	}
	return s
}
