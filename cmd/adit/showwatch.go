package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"adit/internal/kernel"
)

// shownEvent is a line of adit show --watch --json.
type shownEvent struct {
	Time    time.Time     `json:"time"`
	Event   string        `json:"event"` // as "tunnel created"
	Tunnel  *shownTunnel  `json:"tunnel,omitempty"`
	Session *shownSession `json:"session,omitempty"`
}

// listenL2TP is kernel.ListenL2TP.
func listenL2TP(handle func(kernel.L2TPEvent)) (io.Closer, error) {
	w, err := kernel.ListenL2TP(handle)
	if err != nil {
		return nil, err // not w, which would be no nil
	}
	return w, nil
}

// maxWaitingEvents is how many events may wait for a slow reader of our output.
const maxWaitingEvents = 4096

// watchL2TP writes events, one line each, until ctx ends, which is no error.
func watchL2TP(ctx context.Context, out io.Writer, asJSON bool, only string, now func() time.Time,
	listen func(func(kernel.L2TPEvent)) (io.Closer, error)) error {
	events := make(chan kernel.L2TPEvent, maxWaitingEvents)
	ctx, cancel := context.WithCancel(ctx)
	watch, err := listen(func(e kernel.L2TPEvent) {
		select {
		case events <- e:
		case <-ctx.Done():
		}
	})
	if err != nil {
		cancel()
		return err
	}
	defer func() {
		cancel() // nobody waits for room any more
		_ = watch.Close()
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-events:
			if e.Kind == kernel.L2TPWatchEnded {
				return e.Err
			}
			if err := writeEvent(out, asJSON, only, now(), &e); err != nil {
				return err
			}
		}
	}
}

func writeEvent(out io.Writer, asJSON bool, only string, now time.Time, e *kernel.L2TPEvent) error {
	v := shownEvent{Time: now.Round(0), Event: e.Kind.String()}
	text := ""
	switch e.Kind {
	case kernel.L2TPTunnelCreated, kernel.L2TPTunnelModified, kernel.L2TPTunnelDeleted:
		if only == showSessionsOnly {
			return nil
		}
		v.Tunnel = &merge(&kernelView{tunnels: []kernel.L2TPTunnel{e.Tunnel}}, &daemonView{}).Tunnels[0]
		text = tunnelLine(v.Tunnel)
	case kernel.L2TPSessionCreated, kernel.L2TPSessionModified, kernel.L2TPSessionDeleted:
		if only == showTunnelsOnly {
			return nil
		}
		v.Session = &merge(&kernelView{sessions: []kernel.L2TPSession{e.Session}}, &daemonView{}).Sessions[0]
		text = sessionLine(v.Session)
	case kernel.L2TPEventsLost:
		text = ": more happened than could be told; see adit show"
	case kernel.L2TPWatchEnded:
	}
	if asJSON {
		return json.NewEncoder(out).Encode(v)
	}
	_, err := fmt.Fprintf(out, "%s %s%s\n", now.UTC().Format(time.RFC3339Nano), e.Kind, text)
	return err
}

func tunnelLine(t *shownTunnel) string {
	return fmt.Sprintf(": %s, peer %s, version %d over %s, %s to %s", id(t.ID), id(t.PeerID), t.Version, t.Encapsulation,
		endpoint(t.LocalAddress), endpoint(t.PeerAddress))
}

func sessionLine(s *shownSession) string {
	return fmt.Sprintf(": %s/%s, peer %s/%s, %s, interface %s", id(s.Tunnel), id(s.ID), id(s.PeerTunnel), id(s.PeerID),
		dash(s.Pseudowire), dash(s.Interface))
}
