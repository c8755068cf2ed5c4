package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Bounds of the server. An operator's tools need little; whatever asks for
// more waits in the kernel's queue or is cut off.
const (
	maxConnections  = 32
	maxBody         = 16 << 10 // octets
	maxHeader       = 16 << 10 // octets
	requestTimeout  = 10 * time.Second
	readTimeout     = 5 * time.Second
	idleTimeout     = time.Minute
	shutdownTimeout = 2 * time.Second
	// reloadTimeout is for files with a million users.
	reloadTimeout = 2 * time.Minute
)

// Server answers requests on a listener from Listen.
type Server struct {
	http http.Server
	// Timeout bounds one call of the Daemon.
	timeout time.Duration
	daemon  Daemon
}

// NewServer makes a server that asks daemon. What net/http has to complain
// about, such as a panic in the daemon's method, goes to complaints; nil
// discards it.
func NewServer(daemon Daemon, complaints io.Writer) *Server {
	if complaints == nil {
		complaints = io.Discard
	}
	s := &Server{daemon: daemon, timeout: requestTimeout}
	s.http = http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      readTimeout + requestTimeout + readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(complaints, "", 0),
	}
	return s
}

// Serve answers until ctx ends, and then lets the requests that are being
// answered finish for a moment. It closes l and returns nil if ctx ended it.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	done := make(chan error, 1)
	go func() { done <- s.http.Serve(limitListener(l, maxConnections)) }()
	select {
	case err := <-done:
		return fmt.Errorf("control socket: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if s.http.Shutdown(grace) != nil {
		s.http.Close()
	}
	<-done
	return nil
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /v1/status", answer(s, s.daemon.Status))
	mux.Handle("GET /v1/tunnels", answer(s, func(ctx context.Context) ([]Tunnel, error) {
		tunnels, err := s.daemon.Tunnels(ctx)
		sortTunnels(tunnels)
		return notNull(tunnels), err
	}))
	mux.Handle("GET /v1/sessions", answer(s, func(ctx context.Context) ([]Session, error) {
		sessions, err := s.daemon.Sessions(ctx)
		sortSessions(sessions)
		return notNull(sessions), err
	}))
	mux.Handle("GET /v1/static", answer(s, func(ctx context.Context) ([]Static, error) {
		all, err := s.daemon.Static(ctx)
		return notNull(all), err
	}))
	mux.HandleFunc("POST /v1/static", s.addStatic)
	mux.HandleFunc("DELETE /v1/static", s.removeStatic)
	mux.HandleFunc("POST /v1/disconnect", s.disconnect)
	mux.HandleFunc("POST /v1/reload", s.reload)
	mux.HandleFunc("/", s.elsewhere)
	return mux
}

// notNull makes JSON write [] for no elements.
func notNull[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// sortTunnels puts the tunnels of one peer together.
func sortTunnels(tunnels []Tunnel) {
	slices.SortFunc(tunnels, func(a, b Tunnel) int {
		return cmp.Or(strings.Compare(a.Peer, b.Peer), cmp.Compare(a.ID, b.ID))
	})
}

// sortSessions puts the sessions of one peer, and in it of one tunnel, together.
func sortSessions(sessions []Session) {
	slices.SortFunc(sessions, func(a, b Session) int {
		return cmp.Or(strings.Compare(a.TunnelPeer, b.TunnelPeer), cmp.Compare(a.Tunnel, b.Tunnel), cmp.Compare(a.ID, b.ID))
	})
}

// answer serves what a question to the daemon yields.
func answer[T any](s *Server, ask func(context.Context) (T, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answerWithin(s.timeout, ask).ServeHTTP(w, r)
	})
}

func answerWithin[T any](timeout time.Duration, ask func(context.Context) (T, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		view, err := ask(ctx)
		var wrong *Error
		switch {
		case errors.As(err, &wrong) && len(wrong.Problems) > 0:
			reply(w, http.StatusUnprocessableEntity, wrong)
		case err != nil:
			refuse(w, statusOf(err), sentence(err))
		default:
			reply(w, http.StatusOK, view)
		}
	})
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	// A connection that cannot be given more time has what all have.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(reloadTimeout + readTimeout))
	answerWithin(reloadTimeout, s.daemon.Reload).ServeHTTP(w, r)
}

func (s *Server) disconnect(w http.ResponseWriter, r *http.Request) {
	var sel Selector
	if !decode(w, r, maxBody, "selector", &sel) {
		return
	}
	if err := sel.Validate(); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	answer(s, func(ctx context.Context) (Disconnected, error) {
		return s.daemon.Disconnect(ctx, sel)
	}).ServeHTTP(w, r)
}

// elsewhere answers what no route takes: net/http's own answer is not JSON.
func (s *Server) elsewhere(w http.ResponseWriter, r *http.Request) {
	want := map[string]string{
		"/v1/status": http.MethodGet, "/v1/tunnels": http.MethodGet,
		"/v1/sessions": http.MethodGet, "/v1/disconnect": http.MethodPost, "/v1/reload": http.MethodPost,
		"/v1/static": "GET, POST, DELETE",
	}[r.URL.Path]
	if want != "" {
		w.Header().Set("Allow", want)
		refuse(w, http.StatusMethodNotAllowed, fmt.Sprintf("%s takes %s, not %s", r.URL.Path, want, r.Method))
		return
	}
	refuse(w, http.StatusNotFound, fmt.Sprintf("there is no %s here; there are GET /v1/status, /v1/tunnels, /v1/sessions, /v1/static, POST /v1/disconnect, /v1/reload, /v1/static and DELETE /v1/static", r.URL.Path))
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, ErrConfigured):
		return http.StatusConflict
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func sentence(err error) string {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return "the daemon is too busy to answer; try again"
	}
	return err.Error()
}

func refuse(w http.ResponseWriter, status int, message string) {
	reply(w, status, &Error{Message: message})
}

func reply(w http.ResponseWriter, status int, view any) {
	body, err := json.Marshal(view)
	if err != nil {
		status = http.StatusInternalServerError
		body, _ = json.Marshal(&Error{Message: fmt.Sprintf("the answer cannot be written as JSON: %v", err)})
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// An asker that went away is no concern of ours.
	_, _ = w.Write(append(body, '\n'))
}
