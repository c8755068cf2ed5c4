package logins

import (
	"strings"
	"testing"

	"adit/internal/config"
)

// TestParseStat: a program may call itself anything.
func TestParseStat(t *testing.T) {
	const tail = " S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 9 0 1234"
	for _, name := range []string{"adit", "a b) c", "((("} {
		if s, err := parseStat("77 (" + name + ")" + tail); err != nil || s != 1.75 {
			t.Errorf("%q: %v s, %v", name, s, err)
		}
	}
	for _, bad := range []string{"", "77 (adit)", "77 (adit) S 1 2 3 4 5 6 7 8 9 10 x 25"} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestSummary is what radclient -s prints.
func TestSummary(t *testing.T) {
	const text = "Packet summary:\n\tAccepted      : 1999\n\tRejected      : 1\n\tLost          : 0\n\tPassed filter : 1999\n\tFailed filter : 1\n"
	if n, err := summary(text); err != nil || n != 1999 {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := summary("radclient: no response"); err == nil {
		t.Error("no summary is one")
	}
}

// TestRequests: as many as there are subscribers, each with a proof of the method.
func TestRequests(t *testing.T) {
	o := Options{Subscribers: 3}
	for m, want := range map[Method]string{PAP: "User-Password = ", CHAP: "CHAP-Password = ", MSCHAPv2: "MS-CHAP2-Response = 0x0100"} {
		text, err := o.requests("auth", m)
		if n := strings.Count(string(text), want); err != nil || n != 3 {
			t.Errorf("%s: %d, %v", m, n, err)
		}
		for _, line := range strings.Split(string(text), "\n") {
			// RFC 2548 section 2.3.2: Ident, Flags, 16, 8 and 24 octets.
			if value, ok := strings.CutPrefix(line, "MS-CHAP2-Response = 0x"); ok && len(value) != 2*50 {
				t.Errorf("a response of %d digits", len(value))
			}
		}
	}
	if _, err := o.requests("auth", "eap"); err == nil {
		t.Error("a method that is none")
	}
	text, err := o.requests("acct", PAP)
	if n := strings.Count(string(text), "Acct-Status-Type = Start"); err != nil || n != 3 || strings.Contains(string(text), "Password") {
		t.Errorf("%d, %v", n, err)
	}
}

// TestMethods: the names are those of the configuration and of the protocol.
func TestMethods(t *testing.T) {
	for m, want := range map[Method]config.Auth{PAP: config.AuthPAP, CHAP: config.AuthCHAPMD5, MSCHAPv2: config.AuthMSCHAPv2} {
		if want.String() != string(m) {
			t.Errorf("%s is %s", m, want)
		}
	}
}
