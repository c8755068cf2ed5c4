package main

import (
	"fmt"

	"adit/internal/control"
	"adit/lcce"
)

// notFound is the error that there is nothing that a selector means, with where to look.
// Static tunnels, which have nothing that could be closed, are those that there are.
func notFound(sel control.Selector, static []lcce.StaticInfo) error {
	for _, t := range static {
		if sel.Session == 0 && (t.ID == sel.Tunnel || t.Name == sel.Peer) {
			return fmt.Errorf("%v: %w among those with a control connection; static tunnel %q is taken out of the configuration, or removed by \"adit static remove\" if a command has added it",
				sel, control.ErrNotFound, t.Name)
		}
	}
	list := "adit tunnels"
	if sel.Session != 0 || sel.User != "" {
		list = "adit sessions"
	}
	return fmt.Errorf("%v: %w; %q lists what there is", sel, control.ErrNotFound, list)
}
