// Package native holds the tests of the daemon with the built-in PPP endpoint on
// the userspace data plane: real processes in network namespaces under this
// machine's own kernel, which needs neither PPP nor L2TP.
package native

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"adit/integration/scenario"
	"adit/internal/control"
)

// upLimit is for tunnels and PPP of a few sessions, on a machine that other
// tests keep busy.
const upLimit = 30 * time.Second

func TestMain(m *testing.M) {
	status := m.Run()
	scenario.RemoveBinary()
	os.Exit(status)
}

// network makes two joined namespaces and sees to the adit binary: that of the
// environment, or one that is built once.
func network(t *testing.T) *scenario.Net {
	t.Helper()
	n := scenario.NewNativeNet(t)
	scenario.Binary(t)
	return n
}

// inner is the LNS's address on the PPP links.
var inner = netip.MustParseAddr("10.64.0.1")

// lnsHead is what the configurations of all our LNSs begin with.
func lnsHead(n *scenario.Net) string {
	return fmt.Sprintf(`
host_name = "lns.test"
[[listen]]
address = "%s:1701"
`, n.AddrB())
}

// profile is a builtin profile of the userspace plane with further lines.
func profile(name string, lines ...string) string {
	return fmt.Sprintf("[profiles.%s]\nppp = \"builtin\"\ndataplane = \"userspace\"\n%s\n", name, strings.Join(lines, "\n"))
}

// lnsProfile is a profile that gives addresses out of the pool.
func lnsProfile(name string, lines ...string) string {
	return profile(name, append([]string{fmt.Sprintf(`local_address = "%s"`, inner), `pool = "subscribers"`}, lines...)...)
}

const pool = "[pools.subscribers]\nranges = [\"10.64.1.1-10.64.15.254\"]\n"

// user is a [[users]] block.
func user(name, password string, lines ...string) string {
	return fmt.Sprintf("[[users]]\nname = %q\npassword = %q\n%s\n", name, password, strings.Join(lines, "\n"))
}

// peer is an [[lns.peers]] block for the LACs of a host name; "": of any.
func peer(name, hostName, profile string, lines ...string) string {
	text := fmt.Sprintf("[[lns.peers]]\nname = %q\nsecret = \"s3cret\"\nprofile = %q\n%s\n", name, profile, strings.Join(lines, "\n"))
	if hostName != "" {
		text += fmt.Sprintf("host_name = %q\n", hostName)
	}
	return text
}

// tunnel is an [[lac.tunnels]] block to the LNS, with the calls that follow.
func tunnel(n *scenario.Net, name, profile string, lines ...string) string {
	return fmt.Sprintf("[[lac.tunnels]]\nname = %q\nremote = \"%s:1701\"\nsecret = \"s3cret\"\nprofile = %q\n%s\n",
		name, n.AddrB(), profile, strings.Join(lines, "\n"))
}

// call is an [[lac.tunnels.sessions]] block.
func call(name, user, password string, lines ...string) string {
	return fmt.Sprintf("[[lac.tunnels.sessions]]\nname = %q\nuser = %q\npassword = %q\n%s\n", name, user, password, strings.Join(lines, "\n"))
}

// sessions asks a daemon without a process of its own for it, as some tests have
// thousands of sessions.
func sessions(t *testing.T, d *scenario.AditDaemon) []control.Session {
	t.Helper()
	client := control.NewClient(d.Socket)
	defer client.Close()
	all, err := client.Sessions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func status(t *testing.T, d *scenario.AditDaemon) control.Status {
	t.Helper()
	client := control.NewClient(d.Socket)
	defer client.Close()
	s, err := client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// awaitIPv4 waits until so many sessions have their IPv4 addresses, and returns
// them.
func awaitIPv4(t *testing.T, d *scenario.AditDaemon, limit time.Duration, count int) []control.Session {
	t.Helper()
	var up []control.Session
	if !scenario.Eventually(limit, func() bool {
		up = up[:0]
		for _, s := range sessions(t, d) {
			if s.LocalAddress.IsValid() && s.RemoteAddress.IsValid() {
				up = append(up, s)
			}
		}
		return len(up) == count
	}) {
		t.Fatalf("after %s %d sessions of %s have addresses, want %d", limit, len(up), d.Name, count)
	}
	return up
}

// awaitGone waits until a daemon has no session and no tunnel.
func awaitGone(t *testing.T, d *scenario.AditDaemon) {
	t.Helper()
	scenario.WaitFor(t, upLimit, "the end of all sessions of "+d.Name, func() bool {
		s := status(t, d)
		return s.Sessions.Up+s.Sessions.SettingUp+s.Sessions.Closing+s.Tunnels.Up+s.Tunnels.SettingUp == 0
	})
}

// sessionNamed finds a call of a client by its name.
func sessionNamed(all []control.Session, name string) (control.Session, error) {
	for _, s := range all {
		if s.Name == name {
			return s, nil
		}
	}
	return control.Session{}, fmt.Errorf("there is no session %q", name)
}

// errTimeout says that something does not come in time.
var errTimeout = errors.New("too late")
