package native

import (
	"os"
	"testing"
	"time"

	"adit/integration/bench/logins"
	"adit/integration/scenario"
	"adit/internal/need"
)

// TestLoginRate: a thousand subscribers call at once, and are in, with their
// accounting begun, at a rate that no single lost packet allows, since each costs
// seconds. What is asked for is far below what is to be seen on a machine with
// nothing else to do: 300 a second, or half of what radclient gets out of the same
// FreeRADIUS in the same run.
func TestLoginRate(t *testing.T) {
	network(t) // the binary, and what the machine has to have
	tree, err := logins.Install(t.Context(), os.Stderr)
	if err != nil {
		need.Lack(t, "needs FreeRADIUS: %v", err)
	}
	const (
		floor    = 300
		attempts = 3 // others may have the processors for a while
	)
	o := logins.Options{Adit: os.Getenv(scenario.BinaryVariable), Tree: tree, Subscribers: 1000, Tunnels: 4, Limit: time.Minute}
	for _, m := range logins.Methods {
		for i := 1; ; i++ {
			r := logins.Measure(t, o, m)
			t.Logf("%s: %.0f logins a second, radclient %.0f, local users %.0f, sent again %d, processor seconds %v",
				m, r.RADIUS.Rate, r.FreeRADIUS.Rate, r.Local.Rate, r.RADIUS.Retransmitted, r.RADIUS.Processor)
			if want := min(floor, r.FreeRADIUS.Rate/2); r.RADIUS.Rate >= want && r.Local.Rate >= want {
				break
			} else if i == attempts {
				t.Errorf("%s: %.0f logins a second with RADIUS and %.0f without, want %.0f", m, r.RADIUS.Rate, r.Local.Rate, want)
				break
			}
		}
	}
}
