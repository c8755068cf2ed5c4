package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// Static is a static tunnel: L2TPv3 without a control connection.
type Static struct {
	Name   string `json:"name"`
	Origin string `json:"origin"` // OriginConfiguration or OriginCommand

	DataPlane     string `json:"dataplane"`     // "kernel" or "userspace"
	Encapsulation string `json:"encapsulation"` // "udp" or "ip"
	// The ends; the ports are 0 with encapsulation "ip".
	LocalAddress netip.AddrPort `json:"local_address"`
	PeerAddress  netip.AddrPort `json:"peer_address"`
	ID           uint32         `json:"id"`
	PeerID       uint32         `json:"peer_id"`

	State string    `json:"state"` // "up", "down", or "dead": nothing is heard of the peer
	Since time.Time `json:"since"`
	// Problem says why it is not as it should be.
	Problem string `json:"problem,omitempty"`
	// Adopted: the kernel had it when the daemon started.
	Adopted bool   `json:"adopted,omitempty"`
	Repairs uint64 `json:"repairs"` // what somebody undid and the daemon did again
	// The keepalive: echo requests, and those that were answered.
	Probes    uint64    `json:"probes"`
	Answers   uint64    `json:"answers"`
	LastHeard time.Time `json:"last_heard,omitzero"`

	Sessions []StaticSession `json:"sessions"`
}

// The origins of a static tunnel, Static.Origin.
const (
	OriginConfiguration = "configuration"
	OriginCommand       = "command" // it lives as long as the daemon
)

// StaticSession is a session of a static tunnel.
type StaticSession struct {
	Name       string `json:"name"`
	Pseudowire string `json:"pseudowire"` // its name
	Type       string `json:"type"`       // of the pseudowire, as "ethernet"
	ID         uint32 `json:"id"`
	PeerID     uint32 `json:"peer_id"`
	// Octets of the cookies, ours in what comes and the peer's in what goes; they are
	// secrets.
	CookieLength     int    `json:"cookie_length"`
	PeerCookieLength int    `json:"peer_cookie_length"`
	Up               bool   `json:"up"`
	Problem          string `json:"problem,omitempty"`
	Bridge           string `json:"bridge"` // as Session.Bridge
	Interface        string `json:"interface,omitempty"`
	Sublayer         string `json:"sublayer"`   // "none", "default" or "atm"
	Sequencing       string `json:"sequencing"` // "none", "non-ip" or "all"

	Traffic Traffic `json:"traffic"`
	// RxOutOfOrder counts data messages whose number was not the next.
	RxOutOfOrder uint64 `json:"rx_out_of_order"`
}

// StaticDocument asks for static tunnels.
type StaticDocument struct {
	// Document is TOML with [[l2tpv3.static]] blocks, whose sessions describe their
	// pseudowires themselves.
	Document string `json:"document"`
	// File is what the document is called in errors, and where relative paths in it
	// begin; absolute.
	File string `json:"file"`
}

// StaticAdded says what a StaticDocument has added.
type StaticAdded struct {
	Names    []string  `json:"names"`
	Warnings []Problem `json:"warnings"`
}

// StaticRemoved says what was removed.
type StaticRemoved struct {
	Name     string `json:"name"`
	Sessions int    `json:"sessions"` // that it had
}

// StaticCounts are how many static tunnels there are in each state.
type StaticCounts struct {
	Up   int `json:"up"`
	Dead int `json:"dead"` // there, but nothing is heard of the peer
	Down int `json:"down"` // not as they should be
}

// ErrConfigured is to be wrapped by Daemon.RemoveStatic if the tunnel stands in the
// configuration.
var ErrConfigured = errors.New("it stands in the configuration; take it out there, and reload")

// maxDocument bounds a StaticDocument, in octets: some thousands of tunnels.
const maxDocument = 1 << 20

// Static asks for all static tunnels, in the order in which they were configured.
func (c *Client) Static(ctx context.Context) ([]Static, error) {
	return ask[[]Static](ctx, c, http.MethodGet, "/v1/static", nil)
}

// AddStatic adds static tunnels, which live as long as the daemon. Where anything about
// them is wrong, the error is an *Error with Problems, and nothing has changed.
func (c *Client) AddStatic(ctx context.Context, doc StaticDocument) (StaticAdded, error) {
	return ask[StaticAdded](ctx, c, http.MethodPost, "/v1/static", doc)
}

// RemoveStatic removes a static tunnel that was added by AddStatic. The error is
// ErrNotFound if there is none of that name.
func (c *Client) RemoveStatic(ctx context.Context, name string) (StaticRemoved, error) {
	return ask[StaticRemoved](ctx, c, http.MethodDelete, "/v1/static?name="+url.QueryEscape(name), nil)
}

func (s *Server) addStatic(w http.ResponseWriter, r *http.Request) {
	var doc StaticDocument
	if !decode(w, r, maxDocument, "document", &doc) {
		return
	}
	answer(s, func(ctx context.Context) (StaticAdded, error) { return s.daemon.AddStatic(ctx, doc) }).ServeHTTP(w, r)
}

func (s *Server) removeStatic(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	name := query.Get("name")
	if name == "" || len(query) != 1 {
		refuse(w, http.StatusBadRequest, "say which static tunnel, and nothing else: DELETE /v1/static?name=NAME")
		return
	}
	answer(s, func(ctx context.Context) (StaticRemoved, error) { return s.daemon.RemoveStatic(ctx, name) }).ServeHTTP(w, r)
}

// decode reads a request of one JSON object, or refuses it.
func decode(w http.ResponseWriter, r *http.Request, most int64, what string, into any) bool {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, most))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the request has more than %d octets", most))
		return false
	case err != nil:
		refuse(w, http.StatusBadRequest, fmt.Sprintf("the request is not a %s in JSON: %v", what, err))
		return false
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("the request goes on after the %s; send one JSON object", what))
		return false
	}
	return true
}
