package ppp

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// The error codes of RFC 2759 section 6.
const (
	MSCHAPRestrictedLogonHours  = 646
	MSCHAPAccountDisabled       = 647
	MSCHAPPasswordExpired       = 648
	MSCHAPNoDialinPermission    = 649
	MSCHAPAuthenticationFailure = 691
	MSCHAPChangingPassword      = 709
)

// mschapVersion is of the password changing protocol, RFC 2759 section 6: "For
// MS-CHAP-V2, this value SHOULD always be 3."
const mschapVersion = 3

// MSCHAPFailure is the Message field of MS-CHAPv2's Failure, RFC 2759 section 6.
type MSCHAPFailure struct {
	Error     int
	Retry     bool
	Challenge []byte // for the retry: 16 octets; nil: the field is not there
	Version   int
	Message   string
}

// String returns the field as it is sent.
func (f MSCHAPFailure) String() string {
	r := 0
	if f.Retry {
		r = 1
	}
	s := fmt.Sprintf("E=%d R=%d C=%X V=%d", f.Error, r, f.Challenge, f.Version)
	if f.Message != "" {
		s += " M=" + f.Message
	}
	return s
}

// ParseMSCHAPFailure reads a Message field. It reports false if there is no error
// code in it; other fields may be missing, as some peers leave them out.
func ParseMSCHAPFailure(message string) (f MSCHAPFailure, ok bool) {
	for rest := message; rest != ""; {
		if text, isText := strings.CutPrefix(rest, "M="); isText {
			f.Message = text
			break
		}
		var field string
		field, rest, _ = strings.Cut(rest, " ")
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "E":
			n, err := strconv.ParseUint(value, 10, 31)
			if err != nil {
				return MSCHAPFailure{}, false
			}
			f.Error, ok = int(n), true
		case "R":
			f.Retry = value == "1"
		case "C":
			if c, err := hex.DecodeString(value); err == nil && len(c) == chapChallengeLen {
				f.Challenge = c
			}
		case "V":
			if n, err := strconv.ParseUint(value, 10, 31); err == nil {
				f.Version = int(n)
			}
		}
	}
	if !ok {
		return MSCHAPFailure{}, false
	}
	return f, true
}
