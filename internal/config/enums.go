package config

import (
	"fmt"
	"strings"
)

// PPP says who speaks PPP in a session.
type PPP uint8

// Who may speak PPP.
const (
	PPPAuto    PPP = iota // pppd if it is usable, else the built-in endpoint
	PPPPPPD               // a spawned pppd
	PPPBuiltin            // adit's own endpoint
	PPPDiscard            // nobody: frames are counted and thrown away
)

var pppNames = []string{"auto", "pppd", "builtin", "discard"}

func (p PPP) String() string { return enumName(pppNames, int(p)) }

// DataPlane says who moves the frames.
type DataPlane uint8

// Who may move the frames.
const (
	DataPlaneAuto DataPlane = iota // the kernel if it can, else userspace
	DataPlaneKernel
	DataPlaneUserspace
)

var dataPlaneNames = []string{"auto", "kernel", "userspace"}

func (d DataPlane) String() string { return enumName(dataPlaneNames, int(d)) }

// PTY says how frames pass through a pseudo-terminal to pppd.
type PTY uint8

// The ways through a pseudo-terminal.
const (
	PTYAsync PTY = iota // RFC 1662 octet-stuffed framing; works everywhere
	PTYSync             // whole frames, with pppd's "sync" and N_SYNC_PPP
)

var ptyNames = []string{"async", "sync"}

func (p PTY) String() string { return enumName(ptyNames, int(p)) }

// Auth is an authentication protocol of PPP.
type Auth uint8

// The authentication protocols.
const (
	AuthPAP      Auth = iota // RFC 1334
	AuthCHAPMD5              // RFC 1994
	AuthMSCHAPv2             // RFC 2759
	AuthEAP                  // RFC 3748, with MD5-Challenge
)

var authNames = []string{"pap", "chap-md5", "mschapv2", "eap"}

func (a Auth) String() string { return enumName(authNames, int(a)) }

// Proxy says what an LNS does about what a LAC negotiated with the peer before
// it, RFC 2661 section 4.4.5.
type Proxy uint8

// What to do about proxy LCP and proxy authentication.
const (
	ProxyAccept      Proxy = iota // taken over where it satisfies the profile
	ProxyRenegotiate              // LCP and authentication begin anew always
)

var proxyNames = []string{"accept", "renegotiate"}

func (p Proxy) String() string { return enumName(proxyNames, int(p)) }

// Sequencing says whether data messages carry Ns and Nr, RFC 2661 section 5.4.
type Sequencing uint8

// What to do about data sequence numbers.
const (
	SequencingOff      Sequencing = iota // not sent, unless the peer as LNS turns them on
	SequencingOn                         // sent, not insisted on
	SequencingRequired                   // sent and insisted on: AVP 39, frames without are dropped
)

var sequencingNames = []string{"off", "on", "required"}

func (s Sequencing) String() string { return enumName(sequencingNames, int(s)) }

// Family is an IP version to resolve a name to.
type Family uint8

// The address families.
const (
	FamilyAny Family = iota
	FamilyIPv4
	FamilyIPv6
)

var familyNames = []string{"any", "ipv4", "ipv6"}

func (f Family) String() string { return enumName(familyNames, int(f)) }

// Direction of a call as RFC 2661 names it: an incoming call came to the LAC
// from the telephone network (ICRQ), an outgoing call is placed by the LAC for
// the LNS (OCRQ).
type Direction uint8

// The directions of a call.
const (
	Incoming Direction = iota
	Outgoing
)

var directionNames = []string{"incoming", "outgoing"}

func (d Direction) String() string { return enumName(directionNames, int(d)) }

// LogLevel is the least severity that is logged.
type LogLevel uint8

// The levels. The names are those of logrus.
const (
	LogError LogLevel = iota
	LogWarning
	LogInfo
	LogDebug
	LogTrace
)

var logLevelNames = []string{"error", "warning", "info", "debug", "trace"}

func (l LogLevel) String() string { return enumName(logLevelNames, int(l)) }

// LogFormat is how a line of the log looks.
type LogFormat uint8

// The formats.
const (
	LogText LogFormat = iota
	LogJSON
)

var logFormatNames = []string{"text", "json"}

func (f LogFormat) String() string { return enumName(logFormatNames, int(f)) }

// enumName is the name of a value, or a number for one that has none.
func enumName(names []string, v int) string {
	if v < len(names) {
		return names[v]
	}
	return fmt.Sprintf("unknown(%d)", v)
}

// enumList puts the names of an enum into a sentence.
func enumList(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	if len(quoted) == 1 {
		return quoted[0]
	}
	last := len(quoted) - 1
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}
