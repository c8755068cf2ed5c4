package coa

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"adit/integration/scenario"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// These tests ask by FreeRADIUS's radclient, with the names of its dictionaries.

// radclient sends a request and returns what it prints, and whether it was answered
// with an ACK.
func radclient(t *testing.T, s *Server, command, secret string, attributes ...string) (string, bool) {
	t.Helper()
	scenario.Installed(t, "radclient")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	wait := "5"
	if h, ok := s.handler.(*sessions); ok && h.silent {
		wait = "0.3"
	}
	cmd := exec.CommandContext(ctx, "radclient", "-x", "-r", "1", "-t", wait, s.Addr().String(), command, secret)
	cmd.Stdin = strings.NewReader(strings.Join(attributes, ",\n") + "\n")
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("radclient did not end:\n%s", out)
	}
	return string(out), err == nil
}

var byValue = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

func TestRadclientDisconnect(t *testing.T) {
	h := &sessions{result: Result{Sessions: 2}}
	s := listen(t, h)
	out, ack := radclient(t, s, "disconnect", "s3cret",
		`User-Name = "alice"`, `Acct-Session-Id = "6e1f-1"`, `Framed-IP-Address = 10.0.0.7`, `NAS-Port = 1114146`,
		`Calling-Station-Id = "0301234567"`, `Called-Station-Id = "0800555"`, `NAS-Port-Id = "l2tp 198.51.100.7 17/34"`,
		`Framed-IPv6-Prefix = 2001:db8:7::/64`, `Framed-Interface-Id = 0:0:0:a01`,
		`NAS-Identifier = "lns1"`, `NAS-IP-Address = 192.0.2.1`, `Class = 0xcafe`, `Acct-Terminate-Cause = Admin-Reset`,
		fmt.Sprintf("Event-Timestamp = %d", time.Now().Unix()), `Message-Authenticator = 0x00`, `Proxy-State = 0x0102`, `Proxy-State = 0x03`)
	// radclient drops an answer with a wrong authenticator, or Message-Authenticator.
	if !ack || !strings.Contains(out, "Received Disconnect-ACK") || !strings.Contains(out, "Message-Authenticator = 0x") {
		t.Errorf("no ACK:\n%s", out)
	}
	if i, j := strings.LastIndex(out, "Proxy-State = 0x0102"), strings.LastIndex(out, "Proxy-State = 0x03"); i < strings.Index(out, "Received") || j < i {
		t.Errorf("Proxy-State is not as it was:\n%s", out)
	}
	port, id := uint32(1114146), uint64(0xa01)
	want := Selector{User: "alice", SessionID: "6e1f-1", CallingNumber: "0301234567", CalledNumber: "0800555", NASPort: &port,
		NASPortID: "l2tp 198.51.100.7 17/34", Address: netip.MustParseAddr("10.0.0.7"),
		Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8:7::/64")}, InterfaceID: &id}
	sel, class, _ := h.last(t)
	if diff := cmp.Diff(want, sel, byValue); diff != "" {
		t.Error(diff)
	}
	if len(class) != 1 || string(class[0]) != "\xca\xfe" {
		t.Errorf("Class %x", class)
	}
}

func TestRadclientChange(t *testing.T) {
	h := &sessions{result: Result{Sessions: 1}}
	s := listen(t, h)
	out, ack := radclient(t, s, "coa", "s3cret", `User-Name = "alice"`, `Session-Timeout = 7200`, `Idle-Timeout = 0`,
		`Acct-Interim-Interval = 5`, `Class = 0x01`, `Class = 0x02`, `Service-Type = Framed-User`, `Framed-Protocol = PPP`, `State = 0x77`)
	if !ack || !strings.Contains(out, "Received CoA-ACK") || strings.LastIndex(out, "State = 0x77") < strings.Index(out, "Received") {
		t.Errorf("no ACK:\n%s", out)
	}
	two, none, minute := 2*time.Hour, time.Duration(0), time.Minute
	_, _, change := h.last(t)
	want := Change{SessionTimeout: &two, IdleTimeout: &none, InterimInterval: &minute, Class: [][]byte{{1}, {2}}}
	if diff := cmp.Diff(want, change); diff != "" {
		t.Error(diff)
	}
}

// TestRadclientRefused: each Error-Cause under the name that FreeRADIUS has for it.
func TestRadclientRefused(t *testing.T) {
	authorize := `Service-Type = Authorize-Only`
	for _, c := range []struct {
		name, command string
		result        Result
		attributes    []string
		cause         string
		asked         bool
	}{
		{"filter", "coa", Result{Sessions: 1}, []string{`User-Name = "a"`, `Filter-Id = "slow"`}, "Unsupported-Attribute", false},
		{"rate", "coa", Result{Sessions: 1}, []string{`User-Name = "a"`, `Mikrotik-Rate-Limit = "1M"`}, "Unsupported-Attribute", false},
		{"route", "coa", Result{Sessions: 1}, []string{`User-Name = "a"`, `Framed-Route = "10.0.0.0/8 0.0.0.0 1"`}, "Unsupported-Attribute", false},
		{"timeout of a disconnect", "disconnect", Result{Sessions: 1}, []string{`User-Name = "a"`, `Session-Timeout = 1`}, "Unsupported-Attribute", false},
		// RFC 5176 section 3.5: "This error cannot be sent in response to a
		// Disconnect-Request."
		{"service of a disconnect", "disconnect", Result{Sessions: 1}, []string{`User-Name = "a"`, authorize}, "Unsupported-Attribute", false},
		{"nobody", "disconnect", Result{Sessions: 1}, []string{`NAS-Identifier = "lns1"`}, "Missing-Attribute", false},
		{"no terms of nobody", "coa", Result{Sessions: 1}, []string{`Session-Timeout = 1`}, "Missing-Attribute", false},
		{"other identifier", "coa", Result{Sessions: 1}, []string{`User-Name = "a"`, `NAS-Identifier = "lns2"`}, "NAS-Identification-Mismatch", false},
		{"other address", "disconnect", Result{Sessions: 1}, []string{`User-Name = "a"`, `NAS-IP-Address = 192.0.2.77`}, "NAS-Identification-Mismatch", false},
		{"other IPv6 address", "disconnect", Result{Sessions: 1}, []string{`User-Name = "a"`, `NAS-IPv6-Address = 2001:db8::77`}, "NAS-Identification-Mismatch", false},
		{"two users", "disconnect", Result{Sessions: 1}, []string{`User-Name = "a"`, `User-Name = "b"`}, "Invalid-Request", false},
		{"authorize only", "coa", Result{Sessions: 1}, []string{`User-Name = "a"`, authorize, `State = 0x01`}, "Unsupported-Service", false},
		{"authorize without state", "coa", Result{Sessions: 1}, []string{`User-Name = "a"`, authorize}, "Missing-Attribute", false},
		{"authorize and change", "coa", Result{Sessions: 1}, []string{`User-Name = "a"`, authorize, `State = 0x01`, `Idle-Timeout = 1`}, "Unsupported-Attribute", false},
		{"login", "coa", Result{Sessions: 1}, []string{`User-Name = "a"`, `Service-Type = Login-User`}, "Unsupported-Service", false},
		{"SLIP", "coa", Result{Sessions: 1}, []string{`User-Name = "a"`, `Framed-Protocol = SLIP`}, "407", false},
		{"no session", "disconnect", Result{}, []string{`User-Name = "a"`}, "Session-Context-Not-Found", true},
		{"several", "coa", Result{Cause: MultipleSessionsUnsupported}, []string{`User-Name = "a"`}, "508", true},
		{"prohibited", "disconnect", Result{Cause: AdministrativelyProhibited}, []string{`User-Name = "a"`}, "Administratively-Prohibited", true},
		{"not removable", "disconnect", Result{Cause: SessionContextNotRemovable}, []string{`User-Name = "a"`}, "Session-Context-Not-Removable", true},
		// RFC 5176 section 3.5: "It MUST NOT be sent within a CoA-ACK, CoA-NAK".
		{"not removable by CoA", "coa", Result{Cause: SessionContextNotRemovable}, []string{`User-Name = "a"`}, "Resources-Unavailable", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &sessions{result: c.result}
			s := listen(t, h)
			out, ack := radclient(t, s, c.command, "s3cret", c.attributes...)
			_, answer, _ := strings.Cut(out, "Received ")
			named := strings.Contains(answer, "Error-Cause = "+c.cause) ||
				c.cause == "407" && strings.Contains(answer, "Error-Cause = Invalid-Attribute-Value") ||
				c.cause == "508" && strings.Contains(answer, "Error-Cause = Multiple-Session-Selection-Unsupported")
			if ack || !strings.Contains(answer, "-NAK") || !named {
				t.Errorf("want %s:\n%s", c.cause, out)
			}
			if h.asked() != c.asked {
				t.Errorf("the handler was asked: %v", h.asked())
			}
		})
	}
}

// TestRadclientSilence: who has another secret, a clock that is wrong, or is nobody
// we know, hears nothing.
func TestRadclientSilence(t *testing.T) {
	h := &sessions{result: Result{Sessions: 1}, silent: true}
	s := listen(t, h)
	for _, c := range []struct{ name, secret, attribute, counter string }{
		{"secret", "another", `NAS-Identifier = "lns1"`, "coa_dropped_bad_authenticator"},
		{"clock", "s3cret", fmt.Sprintf("Event-Timestamp = %d", time.Now().Add(-301*time.Second).Unix()), "coa_dropped_stale_timestamp"},
		{"future", "s3cret", fmt.Sprintf("Event-Timestamp = %d", time.Now().Add(330*time.Second).Unix()), "coa_dropped_stale_timestamp"},
	} {
		before := s.Counts()[c.counter]
		out, ack := radclient(t, s, "disconnect", c.secret, `User-Name = "alice"`, c.attribute)
		if ack || strings.Contains(out, "Received") {
			t.Errorf("%s: %s", c.name, out)
		}
		await(t, s, c.counter, before+1)
	}
	strangers := configured()
	strangers.DynamicAuthClients[0].Addresses = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	s.Reload(strangers)
	out, ack := radclient(t, s, "disconnect", "s3cret", `User-Name = "alice"`)
	if ack || strings.Contains(out, "Received") {
		t.Errorf("a stranger: %s", out)
	}
	await(t, s, "coa_dropped_unknown_client", 1)
	if h.asked() {
		t.Error("the handler was asked")
	}
}
