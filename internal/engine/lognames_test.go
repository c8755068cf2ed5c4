package engine

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"

	"adit/proto/tunnel"
)

// TestCallsAreNamedInTheLog: both ends say which circuit a session is of, and which of
// several calls is placed again.
func TestCallsAreNamedInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, lac, lns := pair3(t)
		var ours, theirs bytes.Buffer
		for d, out := range map[*node]*bytes.Buffer{lac: &ours, lns: &theirs} {
			d.log.Logger.SetOutput(out)
			d.log.Logger.SetLevel(logrus.InfoLevel)
		}
		var keeper *Keeper
		lac.role.onUp = func(tu *Tunnel) {
			keeper = KeepCalls(tu, []Wanted{{Call: ethernetCall(), Spec: func() (*CallSpec, error) {
				spec := ethernetSpec()
				spec.Name = "to berlin"
				return spec, nil
			}}}, time.Second, time.Minute)
		}
		lac.role.onCallDown = func(c *Call, _ tunnel.Cause) { keeper.Down(c) }
		lac.role.onTunnel = func(*Tunnel, tunnel.Cause) { keeper.Stop() }
		asked := 0
		lns.role.onCall = func(c *Call) {
			if asked++; asked == 1 {
				c.Reject("it is not there yet", tunnel.Cause{})
				return
			}
			spec := ethernetSpec()
			spec.Name = "office"
			c.Accept(spec)
		}
		lac.dial(t, lns.addr, version3)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		for _, c := range []struct {
			log        *bytes.Buffer
			line, name string
		}{
			{&ours, "will place the call again", `session_name="to berlin"`},
			{&ours, "session is up", `session_name="to berlin"`},
			{&theirs, "session is up", "session_name=office"},
		} {
			found := false
			for line := range strings.Lines(c.log.String()) {
				found = found || strings.Contains(line, c.line) && strings.Contains(line, c.name)
			}
			if !found {
				t.Errorf("no line says %q of %s:\n%s", c.line, c.name, c.log)
			}
		}
		closePair(lac, lns)
	})
}
