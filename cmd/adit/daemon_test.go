package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/config"
	"adit/internal/control"
)

// process is a daemon in this process, with its log and its control socket.
type process struct {
	log    *entries
	hangup chan os.Signal
	// path is of its configuration, which was the document at the start.
	path, document string
	client         *control.Client
	stop           context.CancelFunc
	ended          chan error
}

// entries is a log in JSON that a test may read while it is written.
type entries struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (e *entries) Write(b []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.b.Write(b)
}

// find returns a field of the first entry with that message.
func (e *entries) find(message, field string) (string, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for line := range strings.Lines(e.b.String()) {
		var m map[string]any
		if json.Unmarshal([]byte(line), &m) == nil && strings.Contains(fmt.Sprint(m["msg"]), message) {
			return fmt.Sprint(m[field]), true
		}
	}
	return "", false
}

// run starts a daemon with a configuration; what is said of sockets is added.
func run(t *testing.T, name, document string) *process {
	t.Helper()
	dir := t.TempDir()
	socket, path := filepath.Join(dir, "s"), filepath.Join(dir, name+".toml")
	document = fmt.Sprintf("host_name = %q\nstate_dir = %q\n[control]\nsocket = %q\n[pppd]\nstop_timeout = \"10ms\"\n%s",
		name, filepath.Join(dir, "state"), socket, document)
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{log: new(entries), path: path, document: document, hangup: make(chan os.Signal, 1), client: control.NewClient(socket), ended: make(chan error, 1)}
	logger := logrus.New()
	logger.SetOutput(p.log)
	logger.SetFormatter(&logrus.JSONFormatter{})
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	load := func() (*config.Config, error) { return config.Load(path) }
	go func() { p.ended <- runDaemon(ctx, cfg, load, p.hangup, logrus.NewEntry(logger)) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-p.ended:
			if err != nil {
				t.Errorf("%s ended with %v", name, err)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%s does not end", name)
		}
	})
	p.await(t, "adit is ready")
	return p
}

// await waits for a log entry.
func (p *process) await(t *testing.T, message string) {
	t.Helper()
	await(t, message, func() bool { _, ok := p.log.find(message, "msg"); return ok })
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s", what)
		}
	}
}

const discardProfile = "[profiles.default]\nppp = \"discard\"\n"

// TestTwoDaemons runs an LNS and a LAC with calls in both directions: one that
// the LAC places, one that the LNS asks the LAC for (allow_outgoing).
func TestTwoDaemons(t *testing.T) {
	lns := run(t, "lns", discardProfile+`
[[listen]]
address = "127.0.0.1:0"
[[lns.peers]]
name = "pop"
secret = "s"
[[lns.outgoing]]
name = "dial-out"
peer = "pop"
called_number = "030"
`)
	addr, _ := lns.log.find("listening", "address")
	if !strings.HasPrefix(addr, "127.0.0.1:") || strings.HasSuffix(addr, ":0") {
		t.Fatalf("the log says that it listens on %q", addr)
	}
	lac := run(t, "lac", discardProfile+fmt.Sprintf(`
[[lac.tunnels]]
name = "isp"
remote = %q
secret = "s"
allow_outgoing = true
retry_min = "100ms"
`, addr))
	sessions := func(p *process) map[string]control.Session {
		all, err := p.client.Sessions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		up := map[string]control.Session{}
		for _, s := range all {
			if s.State == "up" {
				up[s.Direction] = s
			}
		}
		return up
	}
	await(t, "both calls", func() bool { return len(sessions(lac)) == 2 && len(sessions(lns)) == 2 })
	if s := sessions(lac); s["incoming"].Role != "lac" || s["outgoing"].Role != "lac" || s["outgoing"].CalledNumber != "030" {
		t.Errorf("%+v", s)
	}
	if s := sessions(lns)["outgoing"]; s.Role != "lns" || s.Name != "dial-out" || s.Bridge != "discard" || s.TunnelPeer != "pop" {
		t.Errorf("%+v", s)
	}
	status, err := lns.client.Status(t.Context())
	if err != nil || status.Tunnels.Up != 1 || status.Sessions.Up != 2 || len(status.Listeners) != 1 || status.Listeners[0] != addr {
		t.Errorf("%+v, %v", status, err)
	}
	// The counters of the role are among the engine's.
	if n, ok := status.Counters["auth_refused"]; n != 0 || !ok || status.Counters["calls_up"] != 2 {
		t.Errorf("counters %v", status.Counters)
	}
	tunnels, err := lac.client.Tunnels(t.Context())
	if err != nil || len(tunnels) != 1 || tunnels[0].Role != control.RoleInitiator || tunnels[0].PeerHostName != "lns" || tunnels[0].PeerAddress.String() != addr {
		t.Errorf("%+v, %v", tunnels, err)
	}

	if _, err := lns.client.Disconnect(t.Context(), control.Selector{Peer: "nobody"}); !errors.Is(err, control.ErrNotFound) {
		t.Errorf("disconnecting nobody: %v", err)
	}
	old := sessions(lac)["incoming"]
	if _, err := lac.client.Disconnect(t.Context(), control.Selector{Tunnel: old.Tunnel, Session: old.ID}); err != nil {
		t.Error(err)
	}
	await(t, "the call to be placed again", func() bool {
		s, ok := sessions(lac)["incoming"]
		return ok && s.ID != old.ID
	})
	// All: the LAC's tunnel is kept up, so it comes back, and the log says so.
	if d, err := lac.client.Disconnect(t.Context(), control.Selector{All: true, Reason: "maintenance"}); err != nil || d.Tunnels != 1 {
		t.Errorf("%+v, %v", d, err)
	}
	lac.await(t, "a LAC tunnel is kept up, so it is dialled again")
	await(t, "both calls again", func() bool {
		s := sessions(lac)
		return len(s) == 2 && s["incoming"].Tunnel != old.Tunnel
	})
	if cause, _ := lns.log.find("tunnel is down", "cause"); !strings.Contains(cause, "disconnected by the operator: maintenance") {
		t.Errorf("the LNS logs %q", cause)
	}
}

// TestPortInUseEndsTheDaemon: with one sentence.
func TestPortInUseEndsTheDaemon(t *testing.T) {
	lns := run(t, "lns", discardProfile+"[[listen]]\naddress = \"127.0.0.1:0\"\n[[lns.peers]]\nname = \"p\"\nno_secret = true\n")
	addr, _ := lns.log.find("listening", "address")
	dir := t.TempDir()
	path := filepath.Join(dir, "b.toml")
	document := fmt.Sprintf("[control]\nsocket=%q\n%s[[listen]]\naddress = %q\n[[lns.peers]]\nname = \"p\"\nno_secret = true\n", filepath.Join(dir, "s"), discardProfile, addr)
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	quiet := logrus.New()
	quiet.SetLevel(logrus.PanicLevel)
	err = runDaemon(t.Context(), cfg, nil, nil, logrus.NewEntry(quiet))
	if err == nil || !strings.Contains(err.Error(), "another program holds UDP port") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
}

// TestUsedProfiles: the profile of a LAC tunnel that only the LNS uses counts.
func TestUsedProfiles(t *testing.T) {
	a, b, c := &config.Profile{Name: "a"}, &config.Profile{Name: "b"}, &config.Profile{Name: "c"}
	cfg := &config.Config{}
	cfg.LNS.Peers = []*config.Peer{{Profile: c, AllowIncoming: true}, {Profile: c, AllowIncoming: true}}
	cfg.LAC.Tunnels = []*config.Tunnel{{Profile: a, AllowOutgoing: true}, {Profile: b}}
	if got := usedProfiles(cfg); len(got) != 2 || got[0] != a || got[1] != c {
		t.Errorf("%v", got)
	}
}
