package logins

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"adit/integration/scenario"
	"adit/internal/chap"
	"adit/proto/ppp"
)

// parallel requests of each radclient are under way at one time.
const parallel = 64

// radclient has two radclients, one asking and one accounting, send what an LNS
// sends for all subscribers.
func (o *Options) radclient(t scenario.TB, ns *scenario.NS, server *scenario.FreeRADIUSServer, m Method) Figure {
	t.Helper()
	dir := t.TempDir()
	before := seconds(t, server.Pid())
	runs := []*radclientRun{
		{to: server.Auth.String(), what: "auth", file: filepath.Join(dir, "auth")},
		{to: server.Acct.String(), what: "acct", file: filepath.Join(dir, "acct")},
	}
	for _, r := range runs {
		text, err := o.requests(r.what, m)
		if err == nil {
			err = os.WriteFile(r.file, text, 0o600)
		}
		if err != nil {
			t.Fatalf("%v", err)
		}
	}
	begin := time.Now()
	for _, r := range runs {
		if err := r.start(ns); err != nil {
			t.Fatalf("radclient: %v", err)
		}
	}
	f := Figure{Processor: map[string]float64{}}
	for _, r := range runs {
		if err := r.wait(o.Subscribers); err != nil {
			t.Fatalf("radclient: %v", err)
		}
		state := r.cmd.ProcessState
		f.Processor["radclient"] += (state.UserTime() + state.SystemTime()).Seconds()
	}
	f.Rate = float64(o.Subscribers) / time.Since(begin).Seconds()
	f.Processor["freeradius"] = seconds(t, server.Pid()) - before
	return f
}

// radclientRun is one radclient.
type radclientRun struct {
	to, what, file string
	cmd            *exec.Cmd
	out            bytes.Buffer
}

func (r *radclientRun) start(ns *scenario.NS) error {
	r.cmd = exec.Command("radclient", "-q", "-s", "-p", strconv.Itoa(parallel), "-t", "3", "-r", "5", "-f", r.file, r.to, r.what, radiusSecret)
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.out
	return ns.Do(r.cmd.Start)
}

// wait wants so many requests answered, with yes.
func (r *radclientRun) wait(count int) error {
	if err := r.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(r.cmd.Args, " "), err, r.out.String())
	}
	accepted, err := summary(r.out.String())
	if err == nil && accepted != count {
		err = fmt.Errorf("%s: %d of %d were accepted: %s", r.what, accepted, count, r.out.String())
	}
	return err
}

// summary finds in what radclient -s prints how many requests were accepted.
func summary(text string) (accepted int, err error) {
	for line := range strings.Lines(text) {
		what, n, found := strings.Cut(line, ":")
		if found && strings.TrimSpace(what) == "Accepted" {
			return strconv.Atoi(strings.TrimSpace(n))
		}
	}
	return 0, fmt.Errorf("no summary in %q", text)
}

// requests are radclient's, with about the attributes that an LNS sends.
func (o *Options) requests(what string, m Method) ([]byte, error) {
	var b bytes.Buffer
	for i := range o.Subscribers {
		fmt.Fprintf(&b, "User-Name = %q\nNAS-Identifier = \"lns.bench\"\nNAS-Port-Type = Virtual\nService-Type = Framed-User\nFramed-Protocol = PPP\n"+
			"Tunnel-Type:0 = L2TP\nTunnel-Medium-Type:0 = IPv4\nTunnel-Client-Auth-Id:0 = \"lac.bench\"\nTunnel-Server-Auth-Id:0 = \"lns.bench\"\nAcct-Session-Id = \"%016x\"\n",
			name(i), i)
		if what == "acct" {
			fmt.Fprintf(&b, "Acct-Status-Type = Start\nAcct-Authentic = RADIUS\nFramed-IP-Address = 10.65.%d.%d\n\n", i>>8, i&255)
			continue
		}
		if err := proof(&b, m, name(i), password(i)); err != nil {
			return nil, err
		}
		b.WriteString("Message-Authenticator = 0x00\n\n")
	}
	return b.Bytes(), nil
}

// proof writes what shows that somebody knows a password.
func proof(b *bytes.Buffer, m Method, name, password string) error {
	switch m {
	case PAP:
		fmt.Fprintf(b, "User-Password = %q\n", password)
	case CHAP:
		fmt.Fprintf(b, "CHAP-Password = %q\n", password)
	case MSCHAPv2:
		const id = 1
		challenge := make([]byte, 16)
		if _, err := rand.Read(challenge); err != nil {
			return err
		}
		c := chap.Credentials{Name: name, Secret: []byte(password)}
		value, _, _, err := c.Respond(ppp.MethodMSCHAPv2, id, challenge, "")
		if err != nil {
			return err
		}
		// RFC 2548 section 2.3.2: "Ident ... Flags ... Peer-Challenge ... Reserved ...
		// Response". In PPP the Flags are the last octet, RFC 2759 section 4.
		fmt.Fprintf(b, "MS-CHAP-Challenge = 0x%x\nMS-CHAP2-Response = 0x%02x00%x\n", challenge, id, value[:48])
	default:
		return fmt.Errorf("no method %q", m)
	}
	return nil
}
