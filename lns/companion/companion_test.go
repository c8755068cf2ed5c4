package companion

import (
	"context"
	"crypto/md5"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"

	"adit/internal/config"
	"adit/lns/subscriber"
	"adit/proto/ppp"
)

// holder is an Ask that keeps what it is asked.
type holder struct {
	mu        sync.Mutex
	questions []question
	accounts  []account
}

type question struct {
	token, user string
	req         ppp.AuthRequest
	answer      func(ppp.Verdict, *subscriber.Service)
}

func (h *holder) Authenticate(token, user string, req ppp.AuthRequest, answer func(ppp.Verdict, *subscriber.Service)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.questions = append(h.questions, question{token, user, req, answer})
}

func (h *holder) Account(token string, kind subscriber.RecordKind, c subscriber.Counters) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.accounts = append(h.accounts, account{token, kind, c})
}

func (h *holder) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.questions)
}

func (h *holder) question(i int) question {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.questions[i]
}

func newTestResponder(t *testing.T) (*Responder, *holder) {
	t.Helper()
	h := &holder{}
	r, err := Start(filepath.Join(t.TempDir(), "run"), h, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r, h
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("waited for %s", what)
}

// plugin is radius.so's end of a question.
type plugin struct {
	t *testing.T
	r *Responder
	c *net.UDPConn
}

func newPlugin(t *testing.T, r *Responder, to *net.UDPConn) *plugin {
	t.Helper()
	c, err := net.DialUDP("udp4", nil, to.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &plugin{t, r, c}
}

// request is what radius.so sends for PAP.
func (p *plugin) request(token, user, password string) *radius.Packet {
	q := radius.New(radius.CodeAccessRequest, p.r.secret)
	for _, err := range [...]error{
		rfc2865.UserName_SetString(q, user), rfc2865.UserPassword_SetString(q, password),
		rfc2865.CallingStationID_SetString(q, token), rfc2865.NASIdentifier_SetString(q, p.r.nasID),
	} {
		if err != nil {
			p.t.Fatal(err)
		}
	}
	return q
}

func (p *plugin) send(q *radius.Packet) []byte {
	p.t.Helper()
	b, err := q.Encode()
	if err == nil {
		_, err = p.c.Write(b)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// receive returns the answer to request, checked as RFC 2865 section 3 has it.
func (p *plugin) receive(request []byte) *radius.Packet {
	p.t.Helper()
	_ = p.c.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 4096)
	n, err := p.c.Read(buf)
	if err != nil {
		p.t.Fatal(err)
	}
	if !radius.IsAuthenticResponse(buf[:n], request, p.r.secret) {
		p.t.Fatal("the Response Authenticator is wrong")
	}
	a, err := radius.Parse(buf[:n], p.r.secret)
	if err != nil {
		p.t.Fatal(err)
	}
	return a
}

func (p *plugin) nothing() {
	p.t.Helper()
	// What was sent before is handled before what is sent now.
	token := "probe"
	p.r.Words(token, &config.Profile{})
	defer p.r.Forget(token)
	if p.r.acct.LocalAddr().String() == p.c.RemoteAddr().String() {
		return
	}
	before := p.r.Counts()["companion_access_rejects"]
	p.r.Forget(token)
	q := p.send(p.request(token, "x", "x"))
	if a := p.receive(q); a.Identifier != q[1] || p.r.Counts()["companion_access_rejects"] != before+1 {
		p.t.Errorf("an answer came: %v", a)
	}
}

func TestAnswersOnceAndAgain(t *testing.T) {
	r, h := newTestResponder(t)
	r.Words("s1", &config.Profile{})
	p := newPlugin(t, r, r.auth)
	b := p.send(p.request("s1", "joe", "secret"))
	for range 3 { // radius.so asks again while nothing comes
		if _, err := p.c.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the copies", func() bool { return r.Counts()["companion_duplicates"] == 3 })
	if h.count() != 1 {
		t.Fatalf("asked %d times", h.count())
	}
	q := h.question(0)
	if q.token != "s1" || q.user != "joe" || q.req.Method != ppp.MethodPAP || string(q.req.Password) != "secret" {
		t.Errorf("asked %+v", q)
	}
	q.answer(ppp.Verdict{Accept: true}, &subscriber.Service{
		Address: netip.MustParseAddr("10.0.0.7"), IdleTimeout: time.Minute,
		SessionTimeout: time.Hour, InterimInterval: time.Minute,
	})
	q.answer(ppp.Verdict{}, nil) // one answer only
	a := p.receive(b)
	if a.Code != radius.CodeAccessAccept || rfc2865.FramedIPAddress_Get(a).String() != "10.0.0.7" || rfc2865.IdleTimeout_Get(a) != 60 {
		t.Errorf("%v %v", a.Code, a.Attributes)
	}
	if rfc2865.SessionTimeout_Get(a) != 0 || rfc2869.AcctInterimInterval_Get(a) != 0 {
		t.Error("pppd is told what the layer does itself")
	}
	if _, err := p.c.Write(b); err != nil { // the answer was lost
		t.Fatal(err)
	}
	if again := p.receive(b); again.Code != a.Code || again.Authenticator != a.Authenticator {
		t.Error("another answer to the same request")
	}
	if c := r.Counts(); h.count() != 1 || c["companion_access_accepts"] != 1 || c["companion_late_answers"] != 1 || c["companion_access_requests"] != 1 {
		t.Errorf("asked %d times, counts %v", h.count(), c)
	}
	p.nothing()
}

func TestRefusals(t *testing.T) {
	r, h := newTestResponder(t)
	r.Words("s1", &config.Profile{})
	p := newPlugin(t, r, r.auth)

	b := p.send(p.request("s1", "joe", "wrong"))
	eventually(t, "the question", func() bool { return h.count() == 1 })
	h.question(0).answer(ppp.Verdict{Message: "go away"}, nil)
	if a := p.receive(b); a.Code != radius.CodeAccessReject || rfc2865.ReplyMessage_GetString(a) != "go away" {
		t.Errorf("%v %v", a.Code, a.Attributes)
	}

	b = p.send(p.request("s2", "joe", "right"))
	if a := p.receive(b); a.Code != radius.CodeAccessReject {
		t.Errorf("unknown token: %v", a.Code)
	}
	r.Forget("s1")
	b = p.send(p.request("s1", "joe", "right"))
	if a := p.receive(b); a.Code != radius.CodeAccessReject {
		t.Errorf("forgotten token: %v", a.Code)
	}
	empty := p.request("s1", "joe", "x")
	rfc2865.UserPassword_Del(empty)
	if a := p.receive(p.send(empty)); a.Code != radius.CodeAccessReject {
		t.Errorf("nothing to judge: %v", a.Code)
	}
	c := r.Counts()
	if h.count() != 1 || c["companion_unknown_tokens"] != 2 || c["companion_access_rejects"] != 4 || c["companion_dropped_malformed"] != 1 {
		t.Errorf("asked %d times, counts %v", h.count(), c)
	}
}

// Another program of this machine gets no answer, whatever it sends.
func TestForeign(t *testing.T) {
	r, h := newTestResponder(t)
	r.Words("s1", &config.Profile{})
	p := newPlugin(t, r, r.auth)
	without := p.request("s1", "joe", "right")
	rfc2865.NASIdentifier_Del(without)
	p.send(without)
	wrong := p.request("s1", "joe", "right")
	_ = rfc2865.NASIdentifier_SetString(wrong, strings.Repeat("0", len(r.nasID)))
	p.send(wrong)
	_, _ = p.c.Write([]byte("x"))
	_, _ = p.c.Write(make([]byte, 4096))
	challenge := p.request("s1", "joe", "right")
	challenge.Code = radius.CodeAccessChallenge
	p.send(challenge)
	p.nothing()
	acct := newPlugin(t, r, r.acct)
	forged := acct.request("s1", "joe", "right")
	forged.Code = radius.CodeAccountingRequest
	forged.Secret = []byte("guessed")
	acct.send(forged)
	eventually(t, "the forged record", func() bool { return r.Counts()["companion_dropped_foreign"] == 3 })
	if c := r.Counts(); h.count() != 0 || c["companion_dropped_malformed"] != 3 {
		t.Errorf("asked %d times, counts %v", h.count(), c)
	}
}

func TestAccounting(t *testing.T) {
	r, h := newTestResponder(t)
	r.Words("s1", &config.Profile{})
	p := newPlugin(t, r, r.acct)
	record := func(token string, kind rfc2866.AcctStatusType) *radius.Packet {
		q := radius.New(radius.CodeAccountingRequest, r.secret)
		for _, err := range [...]error{
			rfc2865.CallingStationID_SetString(q, token), rfc2865.NASIdentifier_SetString(q, r.nasID),
			rfc2866.AcctStatusType_Set(q, kind), rfc2866.AcctInputOctets_Set(q, 5), rfc2869.AcctInputGigawords_Set(q, 2),
			rfc2866.AcctOutputOctets_Set(q, 7), rfc2866.AcctInputPackets_Set(q, 11), rfc2866.AcctOutputPackets_Set(q, 13),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		return q
	}
	for _, q := range [...]*radius.Packet{record("s1", 2), record("nobody", 2), record("s1", 77)} {
		if a := p.receive(p.send(q)); a.Code != radius.CodeAccountingResponse {
			t.Errorf("%v", a.Code)
		}
	}
	want := []account{{"s1", subscriber.RecordStop, subscriber.Counters{OctetsIn: 2<<32 + 5, OctetsOut: 7, PacketsIn: 11, PacketsOut: 13}}}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Equal(h.accounts, want) {
		t.Errorf("%+v", h.accounts)
	}
}

// The files are for root's eyes, and gone afterwards.
func TestFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// A daemon that was killed has left its own.
	if err := os.WriteFile(filepath.Join(dir, serversFile), []byte("127.0.0.1 old\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := Start(dir, &holder{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", st.Mode(), err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 5 {
		t.Errorf("%v, %v", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", f.Name(), info.Mode(), err)
		}
	}
	servers, _ := os.ReadFile(filepath.Join(dir, serversFile))
	if f := strings.Fields(string(servers)); len(f) != 2 || f[0] != "127.0.0.1" || f[1] != string(r.secret) || len(f[1]) > 48 {
		t.Errorf("servers: %q", servers)
	}
	// The plugin has a line buffer of 512 octets, and wants a value with each key.
	text, _ := os.ReadFile(filepath.Join(dir, configFile))
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t"); !ok || len(line) > 500 || value == "" && key != "default_realm" {
			t.Errorf("line %q", line)
		}
	}
	r.Close()
	r.Close()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is left: %v", err)
	}
}

func TestStartFails(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"relative", filepath.Join(dir, "with blank"), file, filepath.Join(file, "x"), link} {
		if r, err := Start(bad, &holder{}, nil); err == nil {
			t.Errorf("%q is taken", bad)
			r.Close()
		}
	}
}

// After Close nothing is asked or sent, whoever still answers.
func TestClose(t *testing.T) {
	r, h := newTestResponder(t)
	r.Words("s1", &config.Profile{})
	p := newPlugin(t, r, r.auth)
	p.send(p.request("s1", "joe", "x"))
	eventually(t, "the question", func() bool { return h.count() == 1 })
	r.Close()
	h.question(0).answer(ppp.Verdict{Accept: true}, nil)
	if c := r.Counts(); c["companion_late_answers"] != 1 || c["companion_access_accepts"] != 0 {
		t.Errorf("counts %v", c)
	}
}

// What is remembered is bounded in number and in time.
func TestPending(t *testing.T) {
	var p pending
	p.init()
	now := time.Unix(1000, 0)
	mk := func(i int) *request {
		return &request{key: requestKey{authenticator: md5.Sum([]byte{byte(i), byte(i >> 8), byte(i >> 16)})}}
	}
	for i := range maxWaiting {
		if !p.add(mk(i), now) {
			t.Fatalf("request %d is refused", i)
		}
	}
	if p.add(mk(maxWaiting), now) {
		t.Error("one too many")
	}
	late := p.waiting.Front().Value.(*request)
	now = now.Add(Patience)
	if p.expire(now); p.waiting.Len() != 0 || len(p.byKey) != 0 || p.answer(late, []byte{1}, now) {
		t.Errorf("%d wait, %d known", p.waiting.Len(), len(p.byKey))
	}
	for i := range maxAnswered + 100 {
		q := mk(i)
		p.expire(now)
		if !p.add(q, now) || !p.answer(q, []byte{1}, now) || p.answer(q, []byte{2}, now) {
			t.Fatalf("request %d", i)
		}
	}
	if p.expire(now); p.answered.Len() != maxAnswered || len(p.byKey) != maxAnswered {
		t.Errorf("%d answered, %d known", p.answered.Len(), len(p.byKey))
	}
	now = now.Add(keepAnswer)
	if p.expire(now); len(p.byKey)+p.answered.Len() != 0 {
		t.Errorf("%d are left", len(p.byKey))
	}
}

func TestWords(t *testing.T) {
	r, _ := newTestResponder(t)
	base := config.Builtin{IPv4: true, EchoInterval: 10 * time.Second, EchoFailures: 3}
	with := func(f func(b *config.Builtin)) *config.Profile {
		p := &config.Profile{Name: "p", Builtin: base}
		f(&p.Builtin)
		return p
	}
	asks := "plugin radius.so radius-config-file " + filepath.Join(r.dir, configFile) + " plugin radattr.so auth "
	refuse := strings.Join(refuseAll, " ")
	for _, c := range []struct {
		profile *config.Profile
		want    string
		usable  bool
	}{
		{with(func(*config.Builtin) {}), asks + "require-mschap-v2 require-chap " + refuse + " noipv6 lcp-echo-interval 10 lcp-echo-failure 3", true},
		{with(func(b *config.Builtin) { b.Auth = []config.Auth{} }), "noauth " + refuse + " noipv6 lcp-echo-interval 10 lcp-echo-failure 3", true},
		{with(func(b *config.Builtin) { b.Auth = []config.Auth{config.AuthEAP, config.AuthPAP} }),
			asks + "require-pap " + refuse + " noipv6 lcp-echo-interval 10 lcp-echo-failure 3", true},
		{with(func(b *config.Builtin) { b.Auth = []config.Auth{config.AuthEAP} }),
			asks + "require-mschap-v2 " + refuse + " noipv6 lcp-echo-interval 10 lcp-echo-failure 3", false},
		{with(func(b *config.Builtin) {
			b.Auth = []config.Auth{config.AuthCHAPMD5}
			b.IPv4, b.IPv6, b.EchoInterval = false, true, 0
			b.Rechallenge, b.IdleTimeout, b.SessionTimeout = 1500*time.Millisecond, time.Minute, time.Hour
			b.DNS = [2]netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
			b.WINS[1] = netip.MustParseAddr("10.0.0.3")
		}), asks + "require-chap " + refuse + " ms-dns 10.0.0.1 ms-dns 10.0.0.2 ms-wins 10.0.0.3 noip +ipv6 lcp-echo-interval 0 chap-interval 2 idle 60", true},
	} {
		if got := strings.Join(r.Words("tok", c.profile), " "); got != "remotenumber tok "+c.want {
			t.Errorf("%v:\n got %s\nwant %s", c.profile.Builtin.Auth, got, "remotenumber tok "+c.want)
		}
		if err := Usable(c.profile); (err == nil) != c.usable {
			t.Errorf("%v: %v", c.profile.Builtin.Auth, err)
		}
	}
}

// RFC 2759 section 6, and RFC 2865 section 5.18: what radius.so passes on.
func TestMSCHAPFailureText(t *testing.T) {
	req := ppp.AuthRequest{Method: ppp.MethodMSCHAPv2}
	const c = "C=00112233445566778899AABBCCDDEEFF"
	for _, x := range []struct {
		req  ppp.AuthRequest
		v    ppp.Verdict
		want string
	}{
		{req, ppp.Verdict{Message: "E=691 R=1 " + c + " V=3 M=no"}, "E=691 R=0 " + c + " V=3 M=no"},
		{req, ppp.Verdict{Message: "E=648 R=0 " + c + " V=3"}, "E=648 R=0 " + c + " V=3"},
		{req, ppp.Verdict{Message: "no"}, ""},
		{req, ppp.Verdict{Accept: true, Message: "E=691 R=0 " + c + " V=3"}, ""},
		{ppp.AuthRequest{Method: ppp.MethodCHAP}, ppp.Verdict{Message: "E=691 R=0 " + c + " V=3"}, ""},
	} {
		if got, ok := failureText(x.req, x.v); got != x.want || ok != (x.want != "") {
			t.Errorf("%+v: %q", x.v, got)
		}
	}
	if got, _ := failureText(req, ppp.Verdict{Message: "E=691 R=0 " + c + " V=3 M=" + strings.Repeat("x", 400)}); len(got) != maxReplyMessage {
		t.Errorf("%d octets", len(got))
	}
}

// However many ask at once, each gets its own answer and no goroutine is added.
func TestMany(t *testing.T) {
	h := &echoAsk{}
	r, err := Start(filepath.Join(t.TempDir(), "run"), h, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.Words("s", &config.Profile{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 8 {
		p := newPlugin(t, r, r.auth)
		wg.Go(func() {
			for n := range 200 {
				user := strings.Repeat("u", 1+n%50) + string(rune('a'+i))
				q := p.request("s", user, "x")
				b := p.send(q)
				if a := p.receive(b); rfc2865.ReplyMessage_GetString(a) != user || ctx.Err() != nil {
					t.Errorf("%q got %v", user, a.Attributes)
					return
				}
			}
		})
	}
	wg.Wait()
	if c := r.Counts(); c["companion_access_accepts"] != 1600 {
		t.Errorf("counts %v", c)
	}
}

// echoAsk accepts everybody, with the name as the message.
type echoAsk struct{ holder }

func (*echoAsk) Authenticate(_, user string, _ ppp.AuthRequest, answer func(ppp.Verdict, *subscriber.Service)) {
	go answer(ppp.Verdict{Accept: true, Message: user}, nil)
}

// What anybody sends does not bring it down.
func FuzzPacket(f *testing.F) {
	h := &holder{}
	r, err := Start(filepath.Join(f.TempDir(), "run"), h, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(r.Close)
	r.Words("s1", &config.Profile{})
	p := &plugin{r: r}
	b, err := p.request("s1", "joe", "secret").Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[20:])
	f.Fuzz(func(_ *testing.T, attributes []byte) {
		b := append(make([]byte, 20), attributes...)
		b[0], b[2], b[3] = byte(radius.CodeAccessRequest), byte(len(b)>>8), byte(len(b))
		if p := r.parse(b, netip.MustParseAddrPort("127.0.0.1:9")); p != nil {
			r.judge(&request{}, p)
		}
	})
}
