package lns

import (
	"crypto/rand"

	"adit/internal/chap"
	"adit/internal/config"
	"adit/proto/ppp"
)

// users are those of the configuration, by name.
type users struct {
	byName map[string]*config.User
	// decoy is the password of all who do not exist. Nobody knows it.
	decoy []byte
}

func newUsers(list []*config.User) *users {
	u := &users{byName: make(map[string]*config.User, len(list)), decoy: make([]byte, 16)}
	for _, one := range list {
		u.byName[one.Name] = one
	}
	_, _ = rand.Read(u.decoy) // never fails, says its documentation
	return u
}

// find returns the user of a name, nil if there is none. Windows puts its domain
// before it in MS-CHAPv2, as RFC 2759 section 4 has it: "The Windows NT domain
// name may prefix the user's account name (e.g. "BIGCO\johndoe" where "BIGCO" is
// a Windows NT domain containing the user account "johndoe")."
func (u *users) find(req ppp.AuthRequest) *config.User {
	if one := u.byName[req.Name]; one != nil || req.Method != ppp.MethodMSCHAPv2 {
		return one
	}
	return u.byName[chap.WithoutDomain(req.Name)]
}

// judge decides about a request and returns the user of its name, nil if there is
// none. That one is judged by the same computation as a wrong password, so that
// neither the answer nor its time tells the names that exist.
func (u *users) judge(req ppp.AuthRequest) (*config.User, ppp.Verdict) {
	one := u.find(req)
	if one == nil {
		v := chap.Judge(u.decoy, req)
		if v.Accept { // not in the life of the sun
			v = ppp.Verdict{}
		}
		return nil, v
	}
	v := chap.Judge(one.Password, req)
	if v.Accept {
		v.User = one.Name
		v.Grant = ppp.Grant{Peer: one.Address, Routes: one.Routes}
	}
	return one, v
}
