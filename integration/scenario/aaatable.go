package scenario

import (
	"fmt"
	"time"
)

// AAARow is somebody who calls, and what comes of it: the same, whoever speaks PPP.
type AAARow struct {
	// Name is that of the call.
	Name string
	// Method is the protocol by which the LNS asks: "pap", "chap-md5" or
	// "mschapv2"; "mppe" is the last one with encryption, which only pppd has.
	Method, User, Password string
	// Number is the Calling Number; "": one of the row's own.
	Number string
	// Networks are behind the subscriber: what the LNS sends there has to come out
	// of this client's call. "link" and "home" are the prefixes that the LNS chose.
	Networks []string
	// Brief: the session ends by itself, soon, and nobody pings in it.
	Brief bool
	// CoA and Disconnect are asked for by a RADIUS server while the session lives.
	// The CoA-Request has these attributes beside the name.
	CoA        string
	Disconnect bool
	// Stays: the user does not hang up; it is the LAC that ends.
	Stays bool
	// Again: the user calls once more, after what was asked for has ended his
	// session, or else beside it.
	Again bool
	// Worth says where the row is run, and Want what is to come of it.
	Worth AAAWorth
	Want  AAAOutcome
}

// AAAWorth is where a row is worth its time: the lab's processor is emulated.
type AAAWorth uint8

// Where it is.
const (
	AAANative AAAWorth = iota // on this machine's own kernel alone
	AAALab                    // in the lab, with each engine
	AAAPlanes                 // there, with each engine and data plane
)

func (w AAAWorth) String() string {
	return [...]string{"native", "lab", "planes"}[w]
}

// AAAOutcome is what is seen from outside of a row. What has not happened is empty.
type AAAOutcome struct {
	In      bool
	User    string // by adit sessions
	Method  string // of authentication
	Profile string // that the session goes on with
	// Address is the client's, at both ends: the number, or the pool that has it.
	Address string
	DNS     string // that the client asked for and was granted, one or two
	Routes  string // by adit sessions, sorted; by their pool where they are of one
	Reached string // of Networks
	Again   string // what came of the second call: "in", "in, same address" or "out"
	// Cause is the Acct-Terminate-Cause of the first session, Class the Class in
	// its records, and both are from a FreeRADIUS.
	Cause, Class string
}

// The names of pools and profiles, and what they give.
const (
	aaaInside  = "10.64.0.1" // the LNS on the PPP links
	aaaRelay   = "10.66.0.1" // the LNS towards the DHCP server
	aaaDNS     = "192.0.2.53"
	aaaVIPDNS  = "192.0.2.54 198.51.100.54"
	aaaDHCPDNS = "192.0.2.55"
	aaaChoice  = "home link" // the prefixes of those who have none of their own
)

// usual is what a user gets who has nothing of his own; change may say more.
func usual(user, method, profile string, change ...func(*AAAOutcome)) AAAOutcome {
	o := AAAOutcome{In: true, User: user, Method: method, Profile: profile, Address: "pool home", DNS: aaaDNS,
		Routes: aaaChoice, Cause: "User-Request"}
	if method == "radius" {
		o.Class = "0x" + fmt.Sprintf("%x", "class of "+user)
	}
	for _, f := range change {
		f(&o)
	}
	return o
}

func at(address string) func(*AAAOutcome) { return func(o *AAAOutcome) { o.Address = address } }
func ends(cause string) func(*AAAOutcome) { return func(o *AAAOutcome) { o.Cause = cause } }
func again(how string) func(*AAAOutcome)  { return func(o *AAAOutcome) { o.Again = how } }

func routed(routes, reached string) func(*AAAOutcome) {
	return func(o *AAAOutcome) { o.Routes, o.Reached = routes, reached }
}

// vip is what those get who go on with the profile "vip".
func vip(o *AAAOutcome) { o.Profile, o.Address, o.DNS = "vip", "pool vip", aaaVIPDNS }

// AAATable is the table: users of the LNS's own and of a RADIUS server, right and
// wrong, and all that may be said of them.
func AAATable() []AAARow {
	return append(aaaLocalRows(), aaaRADIUSRows()...)
}

func aaaLocalRows() []AAARow {
	const good, bad = "her password", "his password"
	return []AAARow{
		{Name: "local-pap", Method: "pap", User: "anna", Password: good, Want: usual("anna", "local", "pap")},
		{Name: "local-pap-wrong", Method: "pap", User: "anna", Password: bad},
		{Name: "local-chap", Method: "chap-md5", User: "berta", Password: good, Worth: AAALab, Stays: true,
			Want: usual("berta", "local", "chap-md5", ends("Lost-Carrier"))},
		{Name: "local-chap-wrong", Method: "chap-md5", User: "berta", Password: bad, Worth: AAALab},
		{Name: "local-mschap", Method: "mschapv2", User: "clara", Password: good, Worth: AAALab, Want: usual("clara", "local", "mschapv2")},
		{Name: "local-mschap-wrong", Method: "mschapv2", User: "clara", Password: bad},
		// RFC 2759 section 9.2 has this password and its hash.
		{Name: "nt-hash", Method: "mschapv2", User: "nina", Password: "clientPass", Want: usual("nina", "local", "mschapv2")},
		{Name: "chap-secrets", Method: "chap-md5", User: "cesar", Password: good, Worth: AAALab,
			Want: usual("cesar", "local", "chap-md5", at("10.64.9.2"))},
		{Name: "stranger", Method: "chap-md5", User: "mallory", Password: good},
		{Name: "fixed", Method: "chap-md5", User: "fred", Password: good, Worth: AAAPlanes, Networks: []string{"10.80.1.1", "2001:db8:8:1::1"},
			Want: usual("fred", "local", "chap-md5", at("10.64.9.1"),
				routed("10.80.1.0/24 2001:db8:8:1::/64 home link", "10.80.1.1 2001:db8:8:1::1"))},
		{Name: "prefixes", Method: "chap-md5", User: "paula", Password: good, Networks: []string{"2001:db8:9:1::1", "2001:db8:9:1234::1"},
			Want: usual("paula", "local", "chap-md5",
				routed("2001:db8:9:1200::/56 2001:db8:9:1::/64", "2001:db8:9:1::1 2001:db8:9:1234::1"))},
		{Name: "prefixes-of-pools", Method: "pap", User: "quentin", Password: good, Worth: AAALab, Networks: []string{"link", "home"},
			Want: usual("quentin", "local", "pap", routed(aaaChoice, "link home"))},
		{Name: "number-allowed", Method: "chap-md5", User: "norma", Password: good, Number: "0405551234",
			Want: usual("norma", "local", "chap-md5")},
		{Name: "number-refused", Method: "chap-md5", User: "norma", Password: good, Worth: AAALab, Number: "0405559999"},
		{Name: "profile", Method: "pap", User: "viola", Password: good, Want: usual("viola", "local", "pap", vip)},
		{Name: "dhcp", Method: "chap-md5", User: "dora", Password: good, Worth: AAAPlanes,
			Want: usual("dora", "local", "campus", at("dhcp"), func(o *AAAOutcome) { o.DNS = aaaDHCPDNS })},
		{Name: "second-refused", Method: "chap-md5", User: "rita", Password: good, Again: true,
			Want: usual("rita", "local", "chap-md5", again("out"))},
		{Name: "second-replaces", Method: "chap-md5", User: "rolf", Password: good, Worth: AAALab, Again: true,
			Want: usual("rolf", "local", "replace", again("in, same address"), ends("Port-Preempted"))},
		{Name: "encrypted-local", Method: "mppe", User: "clara2", Password: good, Want: usual("clara2", "local", "mppe")},
	}
}

func aaaRADIUSRows() []AAARow {
	const good, bad = "their password", "nobody's password"
	return []AAARow{
		{Name: "radius-pap", Method: "pap", User: "r-pap", Password: good, Want: usual("r-pap", "radius", "pap")},
		{Name: "radius-pap-wrong", Method: "pap", User: "r-pap", Password: bad},
		{Name: "radius-chap", Method: "chap-md5", User: "r-chap", Password: good, Want: usual("r-chap", "radius", "chap-md5")},
		{Name: "radius-chap-wrong", Method: "chap-md5", User: "r-chap", Password: bad},
		{Name: "radius-mschap", Method: "mschapv2", User: "r-mschap", Password: good, Worth: AAAPlanes, Want: usual("r-mschap", "radius", "mschapv2")},
		{Name: "radius-mschap-wrong", Method: "mschapv2", User: "r-mschap", Password: bad, Worth: AAALab},
		{Name: "encrypted-radius", Method: "mppe", User: "r-mppe", Password: good, Worth: AAAPlanes, Want: usual("r-mppe", "radius", "mppe")},
		{Name: "framed", Method: "chap-md5", User: "r-framed", Password: good, Worth: AAAPlanes, Networks: []string{"10.81.1.1"},
			Want: usual("r-framed", "radius", "chap-md5", at("10.64.9.11"), routed("10.81.1.0/24 home link", "10.81.1.1"),
				func(o *AAAOutcome) { o.DNS = "192.0.2.61 192.0.2.62" })},
		{Name: "framed-pool", Method: "pap", User: "r-pool", Password: good, Worth: AAALab,
			Want: usual("r-pool", "radius", "pap", at("pool vip"))},
		{Name: "framed-ipv6", Method: "chap-md5", User: "r-six", Password: good,
			Networks: []string{"2001:db8:a:1::1", "2001:db8:a:ff12::1", "2001:db8:b::1"},
			Want: usual("r-six", "radius", "chap-md5", routed("2001:db8:a:1::/64 2001:db8:a:ff00::/56 2001:db8:b::/64",
				"2001:db8:a:1::1 2001:db8:a:ff12::1 2001:db8:b::1"))},
		{Name: "realm-stripped", Method: "pap", User: "r-strip@STRIP.test", Password: good, Worth: AAALab, Want: usual("r-strip", "radius", "pap")},
		{Name: "realm-whole", Method: "pap", User: "r-whole@whole.test", Password: good, Want: usual("r-whole@whole.test", "radius", "pap")},
		{Name: "realm-profile", Method: "chap-md5", User: "r-vip@vip.test", Password: good, Worth: AAALab,
			Want: usual("r-vip@vip.test", "radius", "chap-md5", vip)},
		{Name: "next-server", Method: "chap-md5", User: "r-next@next.test", Password: good, Worth: AAALab,
			Want: usual("r-next@next.test", "radius", "chap-md5")},
		{Name: "no-server", Method: "chap-md5", User: "r-gone@gone.test", Password: good, Worth: AAALab},
		{Name: "session-timeout", Method: "pap", User: "r-time", Password: good, Worth: AAAPlanes, Brief: true,
			Want: usual("r-time", "radius", "pap", ends("Session-Timeout"))},
		{Name: "idle-timeout", Method: "pap", User: "r-idle", Password: good, Worth: AAALab, Brief: true,
			Want: usual("r-idle", "radius", "pap", ends("Idle-Timeout"))},
		{Name: "port-limit", Method: "chap-md5", User: "r-one", Password: good, Worth: AAALab, Again: true,
			Want: usual("r-one", "radius", "chap-md5", again("out"))},
		{Name: "coa", Method: "chap-md5", User: "r-coa", Password: good, Worth: AAALab, CoA: "Session-Timeout = 1",
			Want: usual("r-coa", "radius", "chap-md5", ends("Session-Timeout"))},
		{Name: "disconnect", Method: "chap-md5", User: "r-kick", Password: good, Worth: AAAPlanes, Disconnect: true, Again: true,
			Want: usual("r-kick", "radius", "chap-md5", again("in, same address"), ends("Admin-Reset"))},
	}
}

// aaaUsers are the LNS's own users.
const aaaUsers = `
[[users]]
name = "anna"
password = "her password"
[[users]]
name = "berta"
password = "her password"
[[users]]
name = "clara"
password = "her password"
[[users]]
name = "clara2"
password = "her password"
[[users]]
name = "nina"
nt_hash = "44ebba8d5312b8d611474411f56989ae"
[[users]]
name = "fred"
password = "her password"
address = "10.64.9.1"
routes = ["10.80.1.0/24", "2001:db8:8:1::/64"]
[[users]]
name = "paula"
password = "her password"
ipv6_prefix = "2001:db8:9:1::/64"
delegated_prefix = "2001:db8:9:1200::/56"
[[users]]
name = "quentin"
password = "her password"
[[users]]
name = "norma"
password = "her password"
calling_numbers = ["040555123*"]
[[users]]
name = "viola"
password = "her password"
profile = "vip"
[[users]]
name = "dora"
password = "her password"
profile = "campus"
[[users]]
name = "rita"
password = "her password"
max_sessions = 1
[[users]]
name = "rolf"
password = "her password"
max_sessions = 1
profile = "replace"
`

const aaaChapSecrets = "cesar * \"her password\" 10.64.9.2\n"

// aaaFreeRADIUSUsers is FreeRADIUS's file: each user with the password, a Class of
// his own, and what the row is about. Those of brief sessions end after that time.
func aaaFreeRADIUSUsers(brief time.Duration) string {
	text, soon := "", fmt.Sprint(int(brief.Seconds()))
	for _, u := range [][2]string{
		{"r-pap", ""}, {"r-chap", ""}, {"r-mschap", ""}, {"r-mppe", ""},
		{"r-framed", `Framed-IP-Address = 10.64.9.11, Framed-Route = "10.81.1.0/24 0.0.0.0 1", MS-Primary-DNS-Server = 192.0.2.61, MS-Secondary-DNS-Server = 192.0.2.62`},
		{"r-pool", `Framed-Pool = "vip"`},
		{"r-six", `Framed-IPv6-Prefix = 2001:db8:a:1::/64, Delegated-IPv6-Prefix = 2001:db8:a:ff00::/56, Framed-IPv6-Route = "2001:db8:b::/64 :: 1"`},
		{"r-strip", ""}, {"r-whole@whole.test", ""}, {"r-vip@vip.test", ""}, {"r-next@next.test", ""}, {"r-gone@gone.test", ""},
		{"r-time", "Session-Timeout = " + soon}, {"r-idle", "Idle-Timeout = " + soon}, {"r-one", "Port-Limit = 1"}, {"r-coa", ""}, {"r-kick", ""},
	} {
		text += fmt.Sprintf("%s Cleartext-Password := \"their password\"\n\tClass = 0x%x", u[0], "class of "+u[0])
		if u[1] != "" {
			text += ", " + u[1]
		}
		text += "\n"
	}
	return text
}
