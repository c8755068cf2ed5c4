package chap

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"

	"adit/proto/ppp"
)

// ErrHash says that of a password the NT hash alone is known, by which the method
// of a request cannot be judged: PAP and MS-CHAPv2 can.
var ErrHash = errors.New("chap: the NT hash of a password is not enough for this method")

// ErrWrong says that what a peer showed does not fit the password, or is not what
// its method has.
var ErrWrong = errors.New("chap: what the peer showed does not fit the password")

// knows is how much of a password is known.
type knows uint8

const (
	knowsNothing  knows = iota // there is nobody of the name
	knowsHash                  // the NT hash
	knowsPassword              // all of it
)

var knowsNames = [...]string{"nothing", "hash", "password"}

func (k knows) String() string { return knowsNames[k] }

// Secret is what is known of the password by which a peer shows who it is. A
// request is judged by the same computation whatever is known, so that the time of
// an answer does not tell. The zero Secret is nobody's; Nobody makes one that takes
// as long as the others. A Secret does not change and is safe for use by any
// goroutine.
type Secret struct {
	knows    knows
	password []byte            // by chance, where it is not known
	sum      [sha256.Size]byte // of the password
	hash     NTHash
}

// OfPassword is the Secret of a password.
func OfPassword(password []byte) *Secret {
	return &Secret{knows: knowsPassword, password: password, sum: sha256.Sum256(password), hash: HashNT(password)}
}

// OfHash is the Secret of a password of which the NT hash alone is known.
func OfHash(hash NTHash) *Secret {
	s := Nobody()
	s.knows, s.hash = knowsHash, hash
	return s
}

// Nobody is the Secret of all names that do not exist: no request fits it.
func Nobody() *Secret {
	s := OfPassword(random(challengeLen))
	s.knows = knowsNothing
	return s
}

// Format keeps the password out of every verb.
func (s *Secret) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "{%v (secret)}", s.knows) }

// MarshalText keeps the password out of JSON and TOML.
func (s *Secret) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%v", s), nil }

// Judge says whether a peer knows this password, by the method of its request.
// With EAP it is a server of MD5-Challenge: a verdict may be a further request, and
// the next AuthRequest has to bring its State back.
//
// The error is why a peer is refused, for the log alone: ErrHash, or ErrWrong. It
// is nil where the peer is let in or EAP goes on. The verdict is the same for all
// errors. Who was refused may try again on the link only with MS-CHAPv2: RFC 1334
// and RFC 1994 would rather see it ended, and RFC 2759 has a way of asking the
// user.
func (s *Secret) Judge(req ppp.AuthRequest) (ppp.Verdict, error) {
	switch req.Method {
	case ppp.MethodPAP:
		if s.checkPAP(req) {
			return ppp.Verdict{Accept: true}, nil
		}
	case ppp.MethodCHAP:
		if CheckCHAP(s.password, req) && s.knows == knowsPassword {
			return ppp.Verdict{Accept: true}, nil
		}
		return Refuse(req), s.why()
	case ppp.MethodMSCHAPv2:
		if message, ok := CheckMSCHAPv2(s.hash, req.Name, req); ok && s.knows != knowsNothing {
			return ppp.Verdict{Accept: true, Message: message}, nil
		}
	case ppp.MethodEAP:
		if next, ok := challengeEAP(req); ok {
			return next, nil
		}
		if v, ok := checkEAP(s.password, req); ok && s.knows == knowsPassword {
			return v, nil
		}
		return Refuse(req), s.why()
	}
	return Refuse(req), ErrWrong
}

// why is the error of a refusal by a method that needs the whole password.
func (s *Secret) why() error {
	if s.knows == knowsHash {
		return ErrHash
	}
	return ErrWrong
}

// checkPAP compares both ways, and takes the one that counts.
func (s *Secret) checkPAP(req ppp.AuthRequest) bool {
	sum, hash := sha256.Sum256(req.Password), HashNT(req.Password)
	bySum := subtle.ConstantTimeCompare(s.sum[:], sum[:])
	byHash := subtle.ConstantTimeCompare(s.hash[:], hash[:])
	return s.knows == knowsPassword && bySum == 1 || s.knows == knowsHash && byHash == 1
}

// MPPEKeys are the keys of a session whose peer was let in by this MS-CHAPv2
// request; false: it is no such request, or nobody's password.
func (s *Secret) MPPEKeys(req ppp.AuthRequest) (send, recv []byte, ok bool) {
	if req.Method != ppp.MethodMSCHAPv2 || len(req.Response) != responseLen || s.knows == knowsNothing {
		return nil, nil, false
	}
	return MPPEKeys(s.hash, [ntResponseLen]byte(req.Response[ntResponseAt:ntResponseEnd]))
}
