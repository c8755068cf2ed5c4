package native

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"adit/integration/scenario"
)

// TestAuthentication: each protocol lets in who knows the password and nobody
// else; the client's log says why its call was cleared, from the PPP Disconnect
// Cause Code AVP of the CDN.
func TestAuthentication(t *testing.T) {
	n := network(t)
	methods := []string{"pap", "chap-md5", "mschapv2", "eap"}
	server := lnsHead(n) + pool + user("alice", "her password")
	client := "listen = []\n" + profile("client", fmt.Sprintf("auth = [%s]", quoted(methods)))
	for _, m := range methods {
		server += lnsProfile(m, fmt.Sprintf("auth = [%q]", m)) + peer(m, m, m)
		client += tunnel(n, m, "client", fmt.Sprintf("host_name = %q", m), `retry_min = "20s"`, `retry_max = "20s"`) +
			call("right-"+m, "alice", "her password") +
			call("wrong-"+m, "alice", "his password") +
			call("stranger-"+m, "mallory", "her password")
	}
	lns := scenario.Adit(t, n.B, server)
	lac := scenario.Adit(t, n.A, client)
	clients := awaitIPv4(t, lac, upLimit, len(methods))
	echoes := echoServer(t, n.B, inner)
	for _, m := range methods {
		s, err := sessionNamed(clients, "right-"+m)
		if err != nil {
			t.Error(err)
			continue
		}
		if err := echo(n.A, s.LocalAddress, echoes, 100); err != nil {
			t.Errorf("%s: %v", m, err)
		}
	}
	// The others are told, and stay out.
	for _, m := range methods {
		for _, who := range []string{"wrong-", "stranger-"} {
			var line string
			if !scenario.Eventually(upLimit, func() bool {
				line = endOf(lac.Log(), who+m)
				return line != ""
			}) {
				t.Errorf("the client's log has no end of %s%s", who, m)
				continue
			}
			t.Logf("%s%s: %s", who, m, line)
		}
	}
	for _, d := range []*scenario.AditDaemon{lns, lac} {
		awaitIPv4(t, d, upLimit, len(methods))
	}
	for _, s := range sessions(t, lac) {
		if s.LocalAddress.IsValid() && !slices.Contains(methods, strings.TrimPrefix(s.Name, "right-")) {
			t.Errorf("%s is up with %s", s.Name, s.LocalAddress)
		}
	}
	// Sessions of the wrong ones are on their way down for a moment.
	scenario.WaitFor(t, upLimit, "the LNS to be without the sessions of the wrong ones", func() bool {
		return len(sessions(t, lns)) == len(methods)
	})
}

// endOf finds the line of a log that says that a call was cleared because of who
// it was: by a CDN with RFC 3145's code 16, from the end that saw it first.
func endOf(log, call string) string {
	for line := range strings.Lines(log) {
		if strings.Contains(line, "session is down") && strings.Contains(line, "="+call+" ") && strings.Contains(line, "PPP disconnect code 16") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

func quoted(words []string) string {
	var all []string
	for _, w := range words {
		all = append(all, fmt.Sprintf("%q", w))
	}
	return strings.Join(all, ", ")
}
