package radattr

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"layeh.com/radius"

	"adit/integration/lab"
	"adit/internal/chap"
	"adit/internal/need"
	"adit/lns/subscriber"
	"adit/proto/ppp"
)

// These tests ask a FreeRADIUS, and read what it answers.

const serverConfig = `
prefix = /usr
libdir = %[1]s/usr/lib/freeradius
raddbdir = %[2]s
run_dir = %[2]s
pidfile = %[2]s/pid
max_request_time = 5
security {
	reject_delay = 0
	allow_vulnerable_openssl = yes
}
client loopback {
	ipaddr = 127.0.0.1
	secret = secret
}
thread pool {
	start_servers = 1
	max_servers = 1
	min_spare_servers = 1
	max_spare_servers = 1
}
modules {
	files {
		filename = %[2]s/users
	}
	pap {
	}
	chap {
	}
	mschap {
		use_mppe = yes
		require_encryption = yes
		require_strong = yes
	}
	eap {
		default_eap_type = md5
		md5 {
		}
	}
}
server default {
	listen {
		type = auth
		ipaddr = 127.0.0.1
		port = %[3]d
	}
	authorize {
		chap
		mschap
		eap
		files
		pap
	}
	authenticate {
		Auth-Type PAP {
			pap
		}
		Auth-Type CHAP {
			chap
		}
		Auth-Type MS-CHAP {
			mschap
		}
		eap
	}
}
`

const serverUsers = `
alice	Cleartext-Password := "her password"
	Service-Type = Framed-User, Framed-Protocol = PPP, User-Name = "alice@isp",
	Framed-IP-Address = 10.1.2.3, Framed-IP-Netmask = 255.255.255.248, Framed-Pool = "gold",
	Framed-Route = "192.168.7.0/24 0.0.0.0 1", Framed-Route += "172.20.0.0 10.1.2.3 1",
	Framed-Interface-Id = 0:0:0:a01, Framed-IPv6-Prefix = 2001:db8:7::/64, Framed-IPv6-Route = "2001:db8:77::/48 :: 1",
	Framed-IPv6-Pool = "links", Delegated-IPv6-Prefix = 2001:db8:8000::/49, Delegated-IPv6-Prefix-Pool = "homes",
	Framed-IPv6-Address = 2001:db8:7::99, DNS-Server-IPv6-Address = 2001:db8::53, DNS-Server-IPv6-Address += 2001:db8::54,
	Route-IPv6-Information = 2001:db8:100::/40,
	MS-Primary-DNS-Server = 10.0.0.1, MS-Secondary-DNS-Server = 10.0.0.2,
	MS-Primary-NBNS-Server = 10.0.0.3, MS-Secondary-NBNS-Server = 10.0.0.4,
	Session-Timeout = 7200, Idle-Timeout = 600, Acct-Interim-Interval = 900, Port-Limit = 2,
	Filter-Id = "one", Filter-Id += "two", Class = 0xcafe, Class += 0xbeef,
	WISPr-Bandwidth-Max-Down = 1000000, Mikrotik-Rate-Limit = "2M/10M", Cisco-AVPair = "ip:sub-qos-policy-in=gold",
	Ascend-Data-Rate = 64000, Reply-Message = "welcome"

bob	Cleartext-Password := "his password"
	Service-Type = Login-User
`

// freeRADIUS starts one on loopback and returns where it listens.
func freeRADIUS(t *testing.T) netip.AddrPort {
	t.Helper()
	tree, err := lab.Unpack(t.Context(), os.Stderr, lab.Need{Program: "freeradius", Package: "freeradius"})
	if err == nil { // the dictionaries are in another package
		err = lab.InstallPrograms(t.Context(), os.Stderr, "radclient")
	}
	if err != nil {
		need.Lack(t, "needs FreeRADIUS: %v", err)
	}
	dir := t.TempDir()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	at := c.LocalAddr().(*net.UDPAddr).AddrPort()
	if err = c.Close(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"radiusd.conf": fmt.Sprintf(serverConfig, tree, dir, at.Port()), "users": serverUsers, "dictionary": ""} {
		if err = os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	libraries, err := filepath.Glob(filepath.Join(tree, "usr/lib/*-linux-gnu*"))
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(tree, "usr/sbin/freeradius"), "-f", "-X", "-d", dir, "-n", "radiusd", "-D", "/usr/share/freeradius")
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(append(libraries, filepath.Join(tree, "usr/lib/freeradius")), ":"))
	cmd.Stdout, cmd.Stderr = log, log
	if err = cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if text, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("FreeRADIUS says:\n%s", text[max(0, len(text)-6000):])
		}
		_ = log.Close()
	})
	for end := time.Now().Add(30 * time.Second); ; {
		text, err := os.ReadFile(log.Name())
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("Ready to process requests")) {
			return at
		}
		select {
		case <-ended:
			t.Fatal("FreeRADIUS ended at its start")
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatal("FreeRADIUS does not begin")
		}
	}
}

// ask sends an Access-Request, and returns it and its answer.
func ask(t *testing.T, at netip.AddrPort, user string, req ppp.AuthRequest, state []byte) (request, answer *radius.Packet) {
	t.Helper()
	p := radius.New(radius.CodeAccessRequest, []byte("secret"))
	if err := AccessRequest(p, ourNAS, aLine(), user, req, state); err != nil {
		t.Fatal(err)
	}
	p.Add(80, make([]byte, 16))
	b, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(md5.New, p.Secret)
	mac.Write(b)
	copy(b[len(b)-16:], mac.Sum(nil))
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err = c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err = c.Write(b); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, radius.MaxPacketLength)
	n, err := c.Read(reply)
	if err != nil {
		t.Fatalf("FreeRADIUS does not answer: %v", err)
	}
	if !radius.IsAuthenticResponse(reply[:n], b, p.Secret) {
		t.Fatal("the answer has another secret")
	}
	answer, err = radius.Parse(reply[:n], p.Secret)
	if err != nil {
		t.Fatal(err)
	}
	return p, answer
}

func TestFreeRADIUS(t *testing.T) {
	at := freeRADIUS(t)
	want := subscriber.Service{
		User: "alice@isp", Address: netip.MustParseAddr("10.1.2.3"), Pool: "gold",
		Routes: []netip.Prefix{
			netip.MustParsePrefix("192.168.7.0/24"), netip.MustParsePrefix("172.20.0.0/16"),
			netip.MustParsePrefix("2001:db8:77::/48"), netip.MustParsePrefix("10.1.2.0/29"),
		},
		InterfaceID: 0xa01, IPv6Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8:7::/64")}, IPv6Pool: "links",
		Delegated: []netip.Prefix{netip.MustParsePrefix("2001:db8:8000::/49")}, DelegatedPool: "homes",
		IPv6Address: netip.MustParseAddr("2001:db8:7::99"),
		DNSv6:       []netip.Addr{netip.MustParseAddr("2001:db8::53"), netip.MustParseAddr("2001:db8::54")},
		PushRoutes6: []netip.Prefix{netip.MustParsePrefix("2001:db8:100::/40")},
		DNS:         [2]netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")},
		WINS:        [2]netip.Addr{netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("10.0.0.4")},

		SessionTimeout: 2 * time.Hour, IdleTimeout: 10 * time.Minute, InterimInterval: 15 * time.Minute, MaxSessions: 2,
		FilterID: []string{"one", "two"}, Class: [][]byte{{0xca, 0xfe}, {0xbe, 0xef}},
		Rates: []string{"WISPr-Bandwidth-Max-Down=1000000", "Mikrotik-Rate-Limit=2M/10M", "Cisco-AVPair=ip:sub-qos-policy-in=gold", "Ascend-Data-Rate=64000"},
	}
	good := chap.Credentials{Name: "alice", Secret: []byte("her password")}
	respond := func(c chap.Credentials, m ppp.Method) (ppp.AuthRequest, any) {
		req := ppp.AuthRequest{Method: m, Name: c.Name, ID: 5, Challenge: []byte("sixteen  octets!"), Password: c.Secret}
		if m == ppp.MethodPAP {
			return req, nil
		}
		var proof any
		var err error
		if req.Response, _, proof, err = c.Respond(m, req.ID, req.Challenge, ""); err != nil {
			t.Fatal(err)
		}
		return req, proof
	}
	for _, m := range []ppp.Method{ppp.MethodPAP, ppp.MethodCHAP, ppp.MethodMSCHAPv2} {
		req, proof := respond(good, m)
		p, answer := ask(t, at, "alice", req, nil)
		if answer.Code != radius.CodeAccessAccept {
			t.Errorf("method %d: %v", m, answer.Code)
			continue
		}
		s, message, _, err := Accept(answer, p.Authenticator)
		if err != nil {
			t.Errorf("method %d: %v", m, err)
		}
		if m == ppp.MethodMSCHAPv2 {
			if err = good.Verify(proof, message); err != nil || !strings.HasSuffix(message, " M=welcome") {
				t.Errorf("%q: %v", message, err)
			}
			var nt [24]byte
			copy(nt[:], req.Response[24:48])
			send, recv, ok := chap.MPPEKeys(chap.HashNT(good.Secret), nt)
			keys := &subscriber.MPPE{Policy: 2, Types: 4, Send: send, Recv: recv}
			if diff := cmp.Diff(keys, s.MPPE); diff != "" || !ok {
				t.Errorf("keys: %s", diff)
			}
			s.MPPE = nil
		} else if message != "welcome" {
			t.Errorf("method %d: message %q", m, message)
		}
		if diff := cmp.Diff(want, s, byValue); diff != "" {
			t.Errorf("method %d: %s", m, diff)
		}
		if ignored := Ignored(answer); ignored != nil {
			t.Errorf("method %d: ignored %q", m, ignored)
		}
		req, _ = respond(chap.Credentials{Name: "alice", Secret: []byte("a wrong one")}, m)
		_, answer = ask(t, at, "alice", req, nil)
		message, retry, _ := Reject(answer)
		if answer.Code != radius.CodeAccessReject || (m == ppp.MethodMSCHAPv2) != strings.HasPrefix(message, "E=691 R=1 C=") || retry != (m == ppp.MethodMSCHAPv2) {
			t.Errorf("method %d: %v, %q, retry %v", m, answer.Code, message, retry)
		}
	}
	p, answer := ask(t, at, "bob", ppp.AuthRequest{Method: ppp.MethodPAP, Password: []byte("his password")}, nil)
	if _, _, _, err := Accept(answer, p.Authenticator); answer.Code != radius.CodeAccessAccept || err == nil {
		t.Errorf("bob, who has telnet: %v, %v", answer.Code, err)
	}
	// EAP: the identity, the challenge with its State, and the response.
	identity := []byte("\x02\x01\x00\x0a\x01alice")
	_, answer = ask(t, at, "alice", ppp.AuthRequest{Method: ppp.MethodEAP, Name: "alice", EAP: identity}, nil)
	eap, state, _ := Challenge(answer)
	if answer.Code != radius.CodeAccessChallenge || len(state) == 0 || len(eap) < 22 {
		t.Fatalf("EAP: %v, State %x, %x", answer.Code, state, eap)
	}
	p, answer = ask(t, at, "alice", ppp.AuthRequest{Method: ppp.MethodEAP, Name: "alice", EAP: good.EAP(eap)}, state)
	if answer.Code != radius.CodeAccessAccept {
		t.Fatalf("EAP: %v", answer.Code)
	}
	s, _, eap, err := Accept(answer, p.Authenticator)
	if err != nil || s.User != "alice@isp" || len(eap) != 4 || eap[0] != 3 {
		t.Errorf("EAP: %q, %x, %v", s.User, eap, err)
	}
}
