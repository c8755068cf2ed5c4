package main

import (
	"errors"
	"testing"

	"adit/internal/control"
	"adit/lcce"
)

// TestNotFound: who looks for what is not there is told where to look, and of a static
// tunnel what to do with it.
func TestNotFound(t *testing.T) {
	static := []lcce.StaticInfo{{Name: "branch", ID: 3000}}
	const isStatic = ` among those with a control connection; static tunnel "branch" is taken out of the configuration, or removed by "adit static remove" if a command has added it`
	for _, c := range []struct {
		sel  control.Selector
		want string
	}{
		{control.Selector{Tunnel: 1}, `tunnel 1: not found; "adit tunnels" lists what there is`},
		{control.Selector{Peer: "x"}, `peer "x": not found; "adit tunnels" lists what there is`},
		{control.Selector{User: "branch"}, `user "branch": not found; "adit sessions" lists what there is`},
		{control.Selector{Tunnel: 3000, Session: 1}, `session 3000/1: not found; "adit sessions" lists what there is`},
		{control.Selector{Tunnel: 3000}, `tunnel 3000: not found` + isStatic},
		{control.Selector{Peer: "branch"}, `peer "branch": not found` + isStatic},
	} {
		if err := notFound(c.sel, static); err.Error() != c.want || !errors.Is(err, control.ErrNotFound) {
			t.Errorf("%v\nwant %s", err, c.want)
		}
	}
}
