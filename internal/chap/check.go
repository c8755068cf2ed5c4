package chap

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strings"
	"unicode/utf16"

	"layeh.com/radius/rfc2759"

	"adit/proto/ppp"
)

// CheckPAP says whether the request has this password. The time that it takes
// does not depend on how much of it is right.
func CheckPAP(password []byte, req ppp.AuthRequest) bool {
	want, got := sha256.Sum256(password), sha256.Sum256(req.Password)
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// CheckCHAP says whether the request's response to its challenge was made with
// this password, by MD5.
func CheckCHAP(password []byte, req ppp.AuthRequest) bool {
	return subtle.ConstantTimeCompare(md5Response(req.ID, password, req.Challenge), req.Response) == 1
}

// md5Response makes a Response Value.
//
// RFC 1994 section 4.1: "The Response Value is the one-way hash calculated over a
// stream of octets consisting of the Identifier, followed by (concatenated with)
// the "secret", followed by (concatenated with) the Challenge Value."
func md5Response(id uint8, password, challenge []byte) []byte {
	h := md5.New()
	h.Write([]byte{id})
	h.Write(password)
	h.Write(challenge)
	return h.Sum(nil)
}

// NTHash is what MS-CHAPv2 knows of a password: RFC 2759 section 8.3.
type NTHash [16]byte

// HashNT returns the hash of a password in UTF-8. Octets that are none count as
// U+FFFD.
func HashNT(password []byte) NTHash {
	units := utf16.Encode([]rune(string(password)))
	b := make([]byte, 0, 2*len(units))
	for _, u := range units {
		b = append(b, byte(u), byte(u>>8))
	}
	return NTHash(rfc2759.NTPasswordHash(b))
}

// Lengths and places in octets, RFC 2759 sections 3 and 4.
const (
	challengeLen  = 16
	responseLen   = 49
	ntResponseAt  = 24
	ntResponseEnd = 48
)

// CheckMSCHAPv2 says whether the request's response to its challenge was made
// with the password of this hash under this name, with or without a Windows
// domain. The message is what shows the peer that we know the password too, the
// beginning of the Message field of a Success: "S=" and 40 digits.
func CheckMSCHAPv2(hash NTHash, name string, req ppp.AuthRequest) (message string, ok bool) {
	if len(req.Response) != responseLen || len(req.Challenge) != challengeLen {
		return "", false
	}
	peerChallenge, got := req.Response[:challengeLen], req.Response[ntResponseAt:ntResponseEnd]
	c := challengeHash(peerChallenge, req.Challenge, name)
	want := rfc2759.ChallengeResponse(c, hash[:])
	if subtle.ConstantTimeCompare(want, got) != 1 {
		return "", false
	}
	return authenticatorResponse(hash, got, c), true
}

// challengeHash is RFC 2759 section 8.2.
//
// RFC 2759 section 4: "When computing the NT-Response field contents, only the
// user name is used, without any associated Windows NT domain name. This is true
// regardless of whether a Windows NT domain name is present in the Name field".
func challengeHash(peerChallenge, challenge []byte, name string) []byte {
	return rfc2759.ChallengeHash(peerChallenge, challenge, []byte(WithoutDomain(name)))
}

// WithoutDomain returns a user's name without the Windows domain before it:
// "johndoe" of "BIGCO\johndoe".
func WithoutDomain(name string) string {
	return name[strings.LastIndexByte(name, '\\')+1:]
}

// The constants of RFC 2759 section 8.7.
const (
	magic1 = "Magic server to client signing constant"
	magic2 = "Pad to make it do more than one iteration"
)

// authenticatorResponse is RFC 2759 section 8.7; c is the challenge hash.
func authenticatorResponse(hash NTHash, ntResponse, c []byte) string {
	h := sha1.New()
	h.Write(rfc2759.NTPasswordHash(hash[:])) // PasswordHashHash
	h.Write(ntResponse)
	h.Write([]byte(magic1))
	digest := h.Sum(nil)
	h.Reset()
	h.Write(digest)
	h.Write(c)
	h.Write([]byte(magic2))
	// RFC 2759 section 5: "The hexadecimal digits A-F (if present) MUST be
	// uppercase."
	return "S=" + strings.ToUpper(hex.EncodeToString(h.Sum(nil)))
}

// FailMSCHAPv2 is the Message field of the Failure for a wrong password. The
// challenge, of 16 octets, is for the retry.
func FailMSCHAPv2(retry bool, challenge []byte) string {
	return ppp.MSCHAPFailure{
		Error: ppp.MSCHAPAuthenticationFailure, Retry: retry, Challenge: challenge, Version: 3, Message: refused,
	}.String()
}
