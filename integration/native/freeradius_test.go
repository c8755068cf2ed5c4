package native

import (
	"os"
	"strings"
	"testing"

	"net/netip"

	"adit/integration/scenario"
	"adit/internal/need"
)

// TestFreeRADIUS: the server of the other tests says yes and no, keeps records,
// and begins again at the same address.
func TestFreeRADIUS(t *testing.T) {
	if os.Geteuid() != 0 {
		need.Lack(t, "needs root")
	}
	tree, err := scenario.UnpackFreeRADIUS(t.Context(), os.Stderr)
	if err != nil {
		need.Lack(t, "needs FreeRADIUS: %v", err)
	}
	s := scenario.FreeRADIUS(t, nil, scenario.FreeRADIUSOptions{
		Tree: tree, Address: netip.MustParseAddr("127.0.0.1"), Secret: "secret",
		Users: "alice Cleartext-Password := \"hers\"\n\tFramed-IP-Address = 10.1.2.3\n",
	})
	for range 2 {
		out, err := s.Radclient(s.Auth, "auth", s.Secret, "User-Name = alice\nUser-Password = hers\nMessage-Authenticator = 0x00\n")
		if err != nil || !strings.Contains(out, "Framed-IP-Address = 10.1.2.3") {
			t.Fatalf("%v: %s", err, out)
		}
		if out, err = s.Radclient(s.Auth, "auth", s.Secret, "User-Name = alice\nUser-Password = wrong\nMessage-Authenticator = 0x00\n"); err == nil {
			t.Errorf("a wrong password: %s", out)
		}
		if out, err = s.Radclient(s.Acct, "acct", s.Secret, "User-Name = alice\nAcct-Status-Type = Start\nAcct-Session-Id = \"1\"\n"); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		s.Restart(t)
	}
	if r := s.Records(t); len(r) != 2 || r[0]["Acct-Status-Type"] != "Start" || r[1]["User-Name"] != "alice" {
		t.Errorf("%v", r)
	}
}
