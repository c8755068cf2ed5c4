package companion

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"layeh.com/radius/rfc3079"

	"adit/internal/chap"
	"adit/internal/config"
	"adit/lns/subscriber"
	"adit/proto/ppp"
)

func needLab(t *testing.T) {
	t.Helper()
	if os.Getenv("ADIT_LAB") != "1" {
		t.Skip("needs root, pppd and a kernel with PPP: set ADIT_LAB=1 where they are")
	}
}

// labAsk knows one password for every name, and gives each session what the test
// wants it to have.
type labAsk struct {
	delay   time.Duration
	service func(token string) subscriber.Service

	mu       sync.Mutex
	asked    []string // "token method user"
	accounts []account
}

type account struct {
	token string
	kind  subscriber.RecordKind
	subscriber.Counters
}

func (a *labAsk) Authenticate(token, user string, req ppp.AuthRequest, answer func(ppp.Verdict, *subscriber.Service)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, fmt.Sprint(token, " ", req.Method, " ", user))
	v := chap.Judge([]byte("right"), req)
	s := a.service(token)
	if req.Method == ppp.MethodMSCHAPv2 && v.Accept {
		s.MPPE = &subscriber.MPPE{Policy: 1, Types: 4} // allowed, 128 bits
		nt := req.Response[24:48]
		// "Send" is the authenticator's, RFC 3079 section 3.3.
		s.MPPE.Send, _ = rfc3079.MakeKey(nt, []byte("right"), true)
		s.MPPE.Recv, _ = rfc3079.MakeKey(nt, []byte("right"), false)
	}
	if a.delay > 0 {
		time.AfterFunc(a.delay, func() { answer(v, &s) })
		return
	}
	answer(v, &s)
}

func (a *labAsk) Account(token string, kind subscriber.RecordKind, c subscriber.Counters) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.accounts = append(a.accounts, account{token, kind, c})
}

func (a *labAsk) seen() ([]string, []account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.asked), slices.Clone(a.accounts)
}

// labRig is a responder, and two namespaces' worth of pppds: servers here, their
// peers in a namespace of the test's.
type labRig struct {
	*Responder
	ask *labAsk
	ns  string
	log *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newLabRig(t *testing.T, name string, ask *labAsk) *labRig {
	t.Helper()
	needLab(t)
	logger, log := logrus.New(), &syncBuffer{}
	logger.SetOutput(log)
	r, err := Start(filepath.Join(t.TempDir(), "companion"), ask, logrus.NewEntry(logger))
	if err != nil {
		t.Fatal(err)
	}
	rig := &labRig{Responder: r, ask: ask, ns: fmt.Sprintf("adit%d%s", os.Getpid(), name), log: log}
	sh(t, "ip netns add %[1]s && ip -n %[1]s link set lo up", rig.ns)
	t.Cleanup(func() {
		r.Close()
		sh(t, "ip netns del %s", rig.ns)
		if t.Failed() {
			t.Logf("counts %v, log of the responder:\n%s", r.Counts(), log)
		}
	})
	return rig
}

func sh(t *testing.T, format string, args ...any) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", fmt.Sprintf(format, args...)).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return string(out)
}

// pair is a pppd with the companion's words, and its peer, which it started.
type pair struct {
	cmd    *exec.Cmd
	log    *syncBuffer
	peer   string // the file that the peer's log is in
	ended  chan struct{}
	status int
}

// start starts both. peerWords are the peer's own.
func (r *labRig) start(t *testing.T, token string, profile *config.Profile, serverWords, peerWords []string) *pair {
	t.Helper()
	p := &pair{log: &syncBuffer{}, peer: filepath.Join(t.TempDir(), "peer"), ended: make(chan struct{})}
	peer := slices.Concat([]string{"ip", "netns", "exec", r.ns, "/usr/sbin/pppd", "nodetach", "notty", "nolock", "noauth", "logfile", p.peer,
		"noipv6", "usepeerdns", "ipcp-accept-local", "ipcp-accept-remote", "lcp-echo-interval", "0", "name", "joe"}, peerWords)
	words := slices.Concat([]string{"nodetach", "logfd", "2", "nolock", "pty", strings.Join(peer, " ")}, serverWords, r.Words(token, profile), []string{"10.78.0.1:"})
	p.cmd = exec.Command("/usr/sbin/pppd", words...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		p.status = p.cmd.ProcessState.ExitCode()
		close(p.ended)
	}()
	t.Cleanup(func() { p.stop(t) })
	return p
}

func (p *pair) stop(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if !p.ends(60 * time.Second) {
		t.Errorf("pppd does not end:\n%s", p)
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	}
	if t.Failed() {
		t.Log(p)
	}
}

func (p *pair) ends(d time.Duration) bool {
	select {
	case <-p.ended:
		return true
	case <-time.After(d):
		return false
	}
}

func (p *pair) peerLog() string {
	b, _ := os.ReadFile(p.peer)
	return string(b)
}

func (p *pair) String() string {
	return fmt.Sprintf("pppd %q, its log:\n%s\nits peer's:\n%s", p.cmd.Args, p.log, p.peerLog())
}

// wait waits for a line of pppd's log.
func (p *pair) wait(t *testing.T, what string) {
	t.Helper()
	p.waitFor(t, what, func() bool { return strings.Contains(p.log.String(), what) })
}

func (p *pair) waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(90 * time.Second); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("waited for %q; %s", what, p)
}

func labService(token string) subscriber.Service {
	n := byte(10)
	if strings.HasSuffix(token, "-2") {
		n = 20
	}
	return subscriber.Service{
		Address: netip.AddrFrom4([4]byte{10, 78, 0, n}),
		DNS:     [2]netip.Addr{netip.MustParseAddr("10.78.9.1"), netip.MustParseAddr("10.78.9.2")},
	}
}

func labProfile(auth ...config.Auth) *config.Profile {
	p := &config.Profile{Name: "lab"}
	p.Builtin = config.Builtin{Auth: auth, IPv4: true, EchoInterval: 30 * time.Second, EchoFailures: 4}
	return p
}

// Every way in, with the right password and the wrong one, by the real pppd and
// its radius.so.
func TestLabAuthentication(t *testing.T) {
	rig := newLabRig(t, "auth", &labAsk{service: labService})
	all := []string{"refuse-eap"}
	for _, c := range []struct {
		name     string
		auth     config.Auth
		password string
		peer     []string
		good     bool
		told     string
	}{
		{"pap", config.AuthPAP, "right", all, true, ""},
		{"pap-wrong", config.AuthPAP, "wrong", all, false, "Remote message: name or password is wrong"},
		{"chap", config.AuthCHAPMD5, "right", all, true, ""},
		{"chap-wrong", config.AuthCHAPMD5, "wrong", all, false, "CHAP authentication failed: name or password is wrong"},
		{"mschapv2", config.AuthMSCHAPv2, "right", all, true, ""},
		// RFC 2759 section 6: the Failure packet has the error's number in it.
		{"mschapv2-wrong", config.AuthMSCHAPv2, "wrong", append(all, "debug"), false, `"E=691 R=0 C=`},
		{"another-protocol", config.AuthMSCHAPv2, "right", []string{"refuse-mschap-v2", "refuse-eap"}, false, "peer refused to authenticate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, _ := rig.ask.seen()
			p := rig.start(t, "token-"+c.name, labProfile(c.auth), []string{"noccp"}, append(c.peer, "password", c.password))
			if c.good {
				p.wait(t, "remote IP address 10.78.0.10")
				p.waitFor(t, "the name servers", func() bool { return strings.Contains(p.peerLog(), "secondary DNS address 10.78.9.2") })
				if l := p.peerLog(); !strings.Contains(l, "local  IP address 10.78.0.10") || !strings.Contains(l, "primary   DNS address 10.78.9.1") {
					t.Errorf("the peer got something else: %s", p)
				}
			} else {
				if !p.ends(60 * time.Second) {
					t.Fatalf("a refused peer keeps its pppd: %s", p)
				}
				if strings.Contains(p.log.String(), "remote IP address") {
					t.Errorf("a refused peer got in: %s", p)
				}
				if !strings.Contains(p.peerLog(), c.told) {
					t.Errorf("the peer was not told %q: %s", c.told, p)
				}
			}
			t.Log(p)
			asked, _ := rig.ask.seen()
			if c.name == "another-protocol" {
				if len(asked) != len(before) {
					t.Errorf("somebody was asked: %q", asked)
				}
				return
			}
			if len(asked) != len(before)+1 || !strings.HasPrefix(asked[len(before)], "token-"+c.name+" ") || !strings.HasSuffix(asked[len(before)], " joe") {
				t.Errorf("asked %q", asked)
			}
		})
	}
	c := rig.Counts()
	if c["companion_access_accepts"] != 3 || c["companion_access_rejects"] != 3 || c["companion_dropped_foreign"]+c["companion_dropped_malformed"] != 0 {
		t.Errorf("counts %v", c)
	}
}

// With the keys of MS-CHAPv2 from the responder pppd encrypts, and packets pass;
// what passed is in its accounting.
func TestLabEncryption(t *testing.T) {
	rig := newLabRig(t, "mppe", &labAsk{service: labService})
	p := rig.start(t, "mppe-1", labProfile(config.AuthMSCHAPv2), []string{"require-mppe-128"},
		[]string{"password", "right", "require-mppe-128", "refuse-eap"})
	p.wait(t, "MPPE 128-bit stateless compression enabled")
	p.wait(t, "remote IP address 10.78.0.10")
	t.Log(sh(t, "ping -c 5 -i 0.2 -W 10 -s 1200 10.78.0.10"))
	p.stop(t)
	var stop *account
	p.waitFor(t, "the accounting", func() bool {
		_, list := rig.ask.seen()
		for i := range list {
			if list[i].kind == subscriber.RecordStop {
				stop = &list[i]
			}
		}
		return stop != nil
	})
	_, list := rig.ask.seen()
	if list[0].kind != subscriber.RecordStart || list[0].token != "mppe-1" || stop.token != "mppe-1" {
		t.Errorf("accounting %+v", list)
	}
	if stop.OctetsIn < 5*1200 || stop.OctetsOut < 5*1200 || stop.PacketsIn < 5 || stop.PacketsOut < 5 {
		t.Errorf("counted %+v", *stop)
	}
}

// Two at once are told apart by their tokens, and asked about again and again.
func TestLabTwoSessions(t *testing.T) {
	rig := newLabRig(t, "two", &labAsk{service: labService})
	profile := labProfile(config.AuthCHAPMD5)
	profile.Builtin.Rechallenge = 2 * time.Second
	a := rig.start(t, "one-1", profile, []string{"noccp"}, []string{"password", "right"})
	b := rig.start(t, "other-2", profile, []string{"noccp"}, []string{"password", "right"})
	a.wait(t, "remote IP address 10.78.0.10")
	b.wait(t, "remote IP address 10.78.0.20")
	a.waitFor(t, "a re-challenge of both", func() bool {
		n := map[string]int{}
		asked, _ := rig.ask.seen()
		for _, s := range asked {
			n[s]++
		}
		return n[fmt.Sprint("one-1 ", ppp.MethodCHAP, " joe")] >= 2 && n[fmt.Sprint("other-2 ", ppp.MethodCHAP, " joe")] >= 2
	})
	rig.Forget("one-1")
	if !a.ends(60 * time.Second) {
		t.Errorf("a session that is not there any more is let in again: %s", a)
	}
	if n := rig.Counts()["companion_unknown_tokens"]; n == 0 {
		t.Errorf("counts %v", rig.Counts())
	}
	select {
	case <-b.ended:
		t.Errorf("the other session ended too: %s", b)
	default:
	}
}

// The idle time is pppd's to keep, from the answer rather than the profile.
func TestLabIdleTimeout(t *testing.T) {
	rig := newLabRig(t, "idle", &labAsk{service: func(token string) subscriber.Service {
		s := labService(token)
		s.IdleTimeout = 3 * time.Second
		return s
	}})
	profile := labProfile(config.AuthPAP)
	profile.Builtin.IdleTimeout = time.Hour
	p := rig.start(t, "idle-1", profile, []string{"noccp"}, []string{"password", "right"})
	p.wait(t, "remote IP address 10.78.0.10")
	if !p.ends(60*time.Second) || !strings.Contains(p.log.String(), "lack of activity") {
		t.Errorf("it does not end for want of traffic: %s", p)
	}
}

// An answer may take as long as a slow server upstream needs; meanwhile pppd asks
// again, and nobody else is.
func TestLabSlowAnswer(t *testing.T) {
	needLab(t)
	t.Parallel() // it waits, and no more
	rig := newLabRig(t, "slow", &labAsk{service: labService, delay: 22 * time.Second})
	p := rig.start(t, "slow-1", labProfile(config.AuthCHAPMD5), []string{"noccp"}, []string{"password", "right"})
	p.wait(t, "remote IP address 10.78.0.10")
	if asked, _ := rig.ask.seen(); len(asked) != 1 || rig.Counts()["companion_duplicates"] < 3 {
		t.Errorf("asked %q, counts %v", asked, rig.Counts())
	}
}

// A responder that is gone, as of a daemon that was killed, keeps no pppd.
func TestLabNobodyAnswers(t *testing.T) {
	needLab(t)
	t.Parallel() // it waits, and no more
	rig := newLabRig(t, "gone", &labAsk{service: labService})
	rig.closeSockets() // the files stay, as after kill -9
	start := time.Now()
	p := rig.start(t, "gone-1", labProfile(config.AuthPAP), []string{"noccp"}, []string{"password", "right", "pap-restart", "30"})
	if !p.ends(2 * Patience) {
		t.Errorf("it waits for ever: %s", p)
	}
	t.Logf("pppd ended after %v with status %d", time.Since(start).Round(100*time.Millisecond), p.status)
	if strings.Contains(p.log.String(), "remote IP address") {
		t.Errorf("it let the peer in: %s", p)
	}
	// And one that waits for the answer ends when it is told to.
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	q := rig.start(t, "gone-2", labProfile(config.AuthPAP), []string{"noccp"}, []string{"password", "right", "pap-restart", "30"})
	q.wait(t, "Connect: ")
	_ = q.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-q.ended:
	case <-ctx.Done():
		t.Errorf("it does not hear SIGTERM: %s", q)
	}
}

// Nobody has to show who it is where the profile says so.
func TestLabNoAuthentication(t *testing.T) {
	rig := newLabRig(t, "none", &labAsk{service: labService})
	p := rig.start(t, "none-1", labProfile([]config.Auth{}...), []string{"noccp", ":10.78.0.30"}, nil)
	p.wait(t, "remote IP address 10.78.0.30")
	if asked, list := rig.ask.seen(); len(asked)+len(list) != 0 {
		t.Errorf("asked %q, %v", asked, list)
	}
}

// Every key of the configuration is one that the installed radius.so knows: it
// refuses a file with another.
func TestLabPluginKnowsTheKeys(t *testing.T) {
	rig := newLabRig(t, "keys", &labAsk{service: labService})
	found, _ := filepath.Glob("/usr/lib/pppd/*/radius.so") // the pattern is good
	if len(found) == 0 {
		t.Fatal("there is no radius.so: the lab is to install the ppp package")
	}
	plugin, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(rig.config()) {
		key, _, _ := strings.Cut(line, "\t")
		if n++; !strings.Contains(string(plugin), "\x00"+key+"\x00") {
			t.Errorf("radius.so does not know %q", key)
		}
	}
	for _, kind := range []string{"string", "integer", "ipaddr"} { // the types of the dictionary
		if !strings.Contains(string(plugin), "\x00"+kind+"\x00") {
			t.Errorf("radius.so knows no %q", kind)
		}
	}
	if n != 16 {
		t.Errorf("%d keys", n)
	}
}
