package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"
)

// These bound one question, a little longer than the server takes.
const (
	clientTimeout       = requestTimeout + 5*time.Second
	clientReloadTimeout = reloadTimeout + 5*time.Second
)

// maxAnswer bounds an answer, in octets: some 100,000 sessions of 1 KiB.
const maxAnswer = 256 << 20

// Client asks a daemon. Its errors are one sentence that says what to do.
type Client struct {
	socket string
	http   http.Client
}

// NewClient makes a client of the daemon behind a socket. It connects when it
// is asked something.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &Client{
		socket: socket,
		http:   http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConns: 1}},
	}
}

// Close drops the connection that is kept for further questions.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status asks for the state of the daemon.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return ask[Status](ctx, c, http.MethodGet, "/v1/status", nil)
}

// Tunnels asks for all tunnels, by peer and ID.
func (c *Client) Tunnels(ctx context.Context) ([]Tunnel, error) {
	return ask[[]Tunnel](ctx, c, http.MethodGet, "/v1/tunnels", nil)
}

// Sessions asks for all sessions, by peer, tunnel and ID.
func (c *Client) Sessions(ctx context.Context) ([]Session, error) {
	return ask[[]Session](ctx, c, http.MethodGet, "/v1/sessions", nil)
}

// Disconnect has tunnels or sessions closed. The error is ErrNotFound if there
// is nothing that the selector means.
func (c *Client) Disconnect(ctx context.Context, sel Selector) (Disconnected, error) {
	if err := sel.Validate(); err != nil {
		return Disconnected{}, err
	}
	return ask[Disconnected](ctx, c, http.MethodPost, "/v1/disconnect", sel)
}

// Reload has the configuration read again. Where it is wrong, the error is an
// *Error with Problems, and nothing has changed.
func (c *Client) Reload(ctx context.Context) (Reloaded, error) {
	return askWithin[Reloaded](ctx, c, clientReloadTimeout, http.MethodPost, "/v1/reload", nil)
}

func ask[T any](ctx context.Context, c *Client, method, path string, question any) (T, error) {
	return askWithin[T](ctx, c, clientTimeout, method, path, question)
}

func askWithin[T any](ctx context.Context, c *Client, timeout time.Duration, method, path string, question any) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var view T
	var body io.Reader
	if question != nil {
		encoded, err := json.Marshal(question)
		if err != nil {
			return view, err
		}
		body = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://adit"+path, body)
	if err != nil {
		return view, err
	}
	if question != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return view, c.explain(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return view, c.explain(err)
	}
	if response.StatusCode != http.StatusOK {
		return view, refusal(response.StatusCode, data)
	}
	if err := json.Unmarshal(data, &view); err != nil {
		return view, fmt.Errorf("what answers on %s does not speak adit's language: %w", c.socket, err)
	}
	return view, nil
}

// refusal is the error in an answer that is not 200.
func refusal(status int, data []byte) error {
	refused := &Error{}
	if json.Unmarshal(data, refused) != nil || refused.Message == "" {
		refused.Message = fmt.Sprintf("the daemon refuses with HTTP status %d and says no reason", status)
	}
	if status == http.StatusNotFound {
		return &notFound{refused}
	}
	return refused
}

// notFound is an Error that is ErrNotFound too.
type notFound struct{ refused *Error }

func (e *notFound) Error() string   { return e.refused.Message }
func (e *notFound) Unwrap() []error { return []error{e.refused, ErrNotFound} }

// explain says what to do about a socket that does not answer.
func (c *Client) explain(err error) error {
	var timeout net.Error
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &explained{fmt.Sprintf("there is no control socket at %s; start the daemon (adit run), or name its socket with --socket", c.socket), fs.ErrNotExist}
	case errors.Is(err, fs.ErrPermission):
		return &explained{fmt.Sprintf("no permission to use %s; run as root, or join the group that control.group names", c.socket), fs.ErrPermission}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &explained{fmt.Sprintf("nobody answers on %s; the daemon is not running any more, start it again (adit run)", c.socket), syscall.ECONNREFUSED}
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.As(err, &timeout) && timeout.Timeout():
		return &explained{fmt.Sprintf("the daemon on %s did not answer in time; try again, and look into its log", c.socket), context.DeadlineExceeded}
	}
	return fmt.Errorf("cannot talk to the daemon on %s: %w", c.socket, err)
}

// explained is a sentence that stands for a cause.
type explained struct {
	text  string
	cause error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.cause }
