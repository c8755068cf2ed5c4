// Package logins measures how many subscribers a second come in: an LNS with the
// built-in endpoint on the userspace data plane, RADIUS for who they are and for
// their accounting, and a LAC that places all their calls at once. Beside it,
// against the same FreeRADIUS, radclient asks and accounts for the same users with
// nothing around it: that is what FreeRADIUS itself can do on this machine.
//
// A login is done when the subscriber has an address (IPCP is opened at both ends)
// and, where there is RADIUS, when the server has acknowledged the Accounting-Request
// (Start). All programs of a measurement share the machine's processors.
package logins

import (
	"context"
	"io"
	"net/netip"
	"time"

	"adit/integration/lab"
	"adit/integration/scenario"
)

// Method is how subscribers show who they are.
type Method string

// The methods, by their names in a profile's auth.
const (
	PAP      Method = "pap"
	CHAP     Method = "chap-md5"
	MSCHAPv2 Method = "mschapv2"
)

// Methods are those that are measured.
var Methods = []Method{PAP, CHAP, MSCHAPv2}

// Options are what is measured.
type Options struct {
	Adit string // the binary
	Tree string // of scenario.UnpackFreeRADIUS
	// Subscribers each have a name and a password of their own; 1 to 60,000. Calls
	// of one tunnel are up to a thousand.
	Subscribers int
	// Tunnels that they come in, at least 1.
	Tunnels int
	// Limit is for one measurement.
	Limit time.Duration
}

// Install gets what Options.Tree is.
func Install(ctx context.Context, log io.Writer) (tree string, err error) {
	if err = lab.InstallPrograms(ctx, log, "ip", "ping"); err != nil {
		return "", err
	}
	return scenario.UnpackFreeRADIUS(ctx, log)
}

// Figure is one measurement.
type Figure struct {
	// Rate is logins for each second, from the start of the LAC's process, or of
	// radclient's, until the last login was done.
	Rate float64
	// Processor is the processor time, in seconds, that each program took for all of
	// them: "lns", "lac", "freeradius", "radclient".
	Processor map[string]float64
	// Retransmitted is how many RADIUS requests adit had to send again, each of which
	// took seconds; of radclient it is not known.
	Retransmitted uint64
}

// Row is what was seen in one round with one method.
type Row struct {
	Method Method
	// RADIUS is adit with FreeRADIUS, Local adit with users of its own and no
	// accounting, FreeRADIUS what radclient makes of the same server.
	RADIUS, Local, FreeRADIUS Figure
}

// Ratio is adit's rate by that of FreeRADIUS itself.
func (r Row) Ratio() float64 { return r.RADIUS.Rate / r.FreeRADIUS.Rate }

const (
	radiusSecret = "a long shared secret of bench"
	tunnelSecret = "open sesame"
)

var (
	loopback    = netip.MustParseAddr("127.0.0.1")
	innerServer = netip.MustParseAddr("10.64.0.1")
)

// Measure does one round with one method, in namespaces of its own.
func Measure(t scenario.TB, o Options, m Method) Row {
	t.Helper()
	n := scenario.NewNativeNet(t)
	server := scenario.FreeRADIUS(t, n.B, scenario.FreeRADIUSOptions{
		Tree: o.Tree, Address: loopback, Secret: radiusSecret, Users: o.serverUsers(), Threads: 2,
		// FreeRADIUS before 3.2.5 does not sign its answers by itself.
		Authorize: "update reply { Message-Authenticator := 0x00 }",
	})
	row := Row{Method: m}
	row.FreeRADIUS = o.radclient(t, n.B, server, m)
	row.RADIUS = o.adit(t, n, server, m)
	row.Local = o.adit(t, n, nil, m)
	server.Stop(t)
	return row
}
