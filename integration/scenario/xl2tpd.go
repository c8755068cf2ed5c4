package scenario

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Role of a daemon in an L2TP tunnel.
type Role int

const (
	// LNS accepts tunnels and terminates PPP.
	LNS Role = iota
	// LAC dials tunnels and brings PPP.
	LAC
)

func (r Role) String() string {
	switch r {
	case LNS:
		return "LNS"
	case LAC:
		return "LAC"
	}
	return fmt.Sprintf("Role(%d)", int(r))
}

// XL2TPDOptions of an xl2tpd. Fields that are zero are left to its defaults.
type XL2TPDOptions struct {
	// Listen is the local address; the first address of the namespace's first
	// link by default. Port is for both ends, 1701 by default.
	Listen netip.Addr
	Port   int
	// Peer is the LNS that a LAC dials, by default the other end's address:
	// host 2 of the first link.
	Peer netip.Addr
	// Secret turns tunnel authentication on.
	Secret string
	// HostName is sent in the Host Name AVP.
	HostName string
	// HiddenBit, LengthBit and FlowBit: hide AVPs, length field in data
	// messages, sequence numbers in data messages.
	HiddenBit, LengthBit, FlowBit bool
	// Userspace keeps the data out of the kernel's L2TP, as on a PTY.
	Userspace bool
	// Manual: a LAC waits for Dial instead of dialling at its start.
	Manual bool
	// Redial makes a LAC dial again, this long after a failure or an end.
	Redial time.Duration
	// LocalIP and Range ("FIRST-LAST") are the addresses of an LNS, 10.98.0.1
	// and 10.98.0.10-10.98.0.99 by default.
	LocalIP, Range string
	// User and Password: the LNS demands authentication, the LAC answers it.
	// Without a user there is none. Auth is what pppd calls the protocol that an
	// LNS demands, as in "require-mschap-v2"; "chap" by default, which is MD5.
	User, Password, Auth string
	// IPv6 turns IPv6CP on.
	IPv6 bool
	// Global, Section and PPP are more lines of the [global] section, of the
	// [lns] or [lac] section, and of pppd's options.
	Global, Section, PPP []string
}

func (o XL2TPDOptions) auth() string {
	if o.Auth == "" {
		return "chap"
	}
	return o.Auth
}

// XL2TPDaemon is a running xl2tpd.
type XL2TPDaemon struct {
	*Process
	// Dir holds its files; PPPLog is where its pppd logs to.
	Dir, PPPLog string

	fifo string
}

// xl2tpdSection is the name of the only [lac] section.
const xl2tpdSection = "peer"

// XL2TPD starts an xl2tpd in a namespace, with files of its own, and waits
// until it listens. The LAC dials at once unless told otherwise.
func XL2TPD(t TB, ns *NS, role Role, o XL2TPDOptions) *XL2TPDaemon {
	t.Helper()
	dir := t.TempDir()
	name := "xl2tpd-" + strings.ToLower(role.String())
	d := &XL2TPDaemon{Dir: dir, fifo: filepath.Join(dir, "control"), PPPLog: logFile(t, name+"-pppd")}
	if !o.Listen.IsValid() {
		o.Listen = ns.Ends[0].IPv4
	}
	if !o.Peer.IsValid() {
		o.Peer = otherEnd(o.Listen)
	}
	if o.Port == 0 {
		o.Port = 1701
	}
	if o.User != "" {
		PPPSecret(t, o.User, o.Password)
	}
	write := func(file, text string) string {
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatalf("%v", err)
		}
		return path
	}
	options := write("ppp-options", pppdOptions(role, o, d.PPPLog))
	secrets := write("l2tp-secrets", fmt.Sprintf("* * %s\n", quoteConfig(o.Secret)))
	config := write("xl2tpd.conf", xl2tpdConfig(role, o, options, secrets))
	d.Process = ns.Start(t, name, "xl2tpd", "-D", "-c", config, "-s", secrets,
		"-p", filepath.Join(dir, "pid"), "-C", d.fifo)
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(d.PPPLog) // it may never have been written
			t.Logf("%s: the end of %s:\n%s", ns.Label, d.PPPLog, tailLines(string(text), 20))
		}
	})
	d.WaitLog(t, time.Minute, "Listening on IP address")
	return d
}

// otherEnd of a link between hosts 1 and 2.
func otherEnd(a netip.Addr) netip.Addr {
	b := a.As4()
	b[3] ^= 3
	return netip.AddrFrom4(b)
}

func quoteConfig(secret string) string {
	if secret == "" {
		return "unused"
	}
	return secret
}

func xl2tpdConfig(role Role, o XL2TPDOptions, pppOptions, secrets string) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	yes := func(key string, on bool) {
		if on {
			p("%s = yes", key)
		}
	}
	p("[global]\nport = %d\nlisten-addr = %s\nauth file = %s", o.Port, o.Listen, secrets)
	p("access control = no\ndebug tunnel = yes\ndebug state = yes\ndebug avp = yes")
	yes("force userspace", o.Userspace)
	b.WriteString(lines(o.Global))
	switch role {
	case LNS:
		if o.LocalIP == "" {
			o.LocalIP = "10.98.0.1"
		}
		if o.Range == "" {
			o.Range = "10.98.0.10-10.98.0.99"
		}
		p("[lns default]\nip range = %s\nlocal ip = %s", o.Range, o.LocalIP)
		// xl2tpd knows two of them by name; pppd's file has the others.
		yes("require chap", o.User != "" && o.auth() == "chap")
		yes("require pap", o.User != "" && o.auth() == "pap")
		yes("require authentication", o.User != "")
	case LAC:
		p("[lac %s]\nlns = %s", xl2tpdSection, o.Peer)
		if o.User != "" {
			p("name = %s", o.User)
		}
		if !o.Manual {
			p("autodial = yes")
		}
		if o.Redial > 0 {
			p("redial = yes\nredial timeout = %d", int(o.Redial.Seconds()))
		}
	}
	yes("refuse authentication", o.User == "")
	yes("challenge", o.Secret != "")
	yes("hidden bit", o.HiddenBit)
	yes("length bit", o.LengthBit)
	yes("flow bit", o.FlowBit)
	if o.HostName != "" {
		p("hostname = %s", o.HostName)
	}
	p("ppp debug = yes\npppoptfile = %s", pppOptions)
	b.WriteString(lines(o.Section))
	return b.String()
}

func pppdOptions(role Role, o XL2TPDOptions, log string) string {
	// No compression protocols: they only cost time here. The MTU leaves room
	// for IP, UDP, L2TP and PPP headers within 1,500.
	options := []string{"debug", "logfile " + log, "nodetach", "noccp", "novj", "nodefaultroute", "mtu 1400", "mru 1400",
		"lcp-echo-interval 0"}
	if !o.IPv6 {
		options = append(options, "noipv6")
	}
	switch {
	case o.User == "":
		options = append(options, "noauth")
	case role == LNS:
		options = append(options, "auth", "require-"+o.auth())
	case role == LAC:
		options = append(options, "noauth", "user "+o.User)
	}
	return lines(append(options, o.PPP...))
}

func lines(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return strings.Join(all, "\n") + "\n"
}

// Control writes a command to xl2tpd's control pipe, such as "c peer".
func (d *XL2TPDaemon) Control(t TB, command string) {
	t.Helper()
	// Not blocking: a daemon that has died leaves the pipe without a reader.
	pipe, err := os.OpenFile(d.fifo, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatalf("xl2tpd's control pipe: %v", err)
	}
	defer pipe.Close()
	if _, err := pipe.WriteString(command + "\n"); err != nil {
		t.Fatalf("xl2tpd's control pipe: %v", err)
	}
}

// Dial makes a LAC connect; HangUp makes it end the call and the tunnel.
func (d *XL2TPDaemon) Dial(t TB) { t.Helper(); d.Control(t, "c "+xl2tpdSection) }

// HangUp ends what Dial began.
func (d *XL2TPDaemon) HangUp(t TB) { t.Helper(); d.Control(t, "d "+xl2tpdSection) }

// PPPSecret adds a user to pppd's files of secrets, PAP and CHAP, for any
// server and any address. In the lab these files are its own.
func PPPSecret(t TB, user, password string) {
	t.Helper()
	NeedLab(t)
	line := fmt.Sprintf("%q * %q *\n", user, password)
	for _, name := range []string{"/etc/ppp/chap-secrets", "/etc/ppp/pap-secrets"} {
		text, err := os.ReadFile(name)
		if err != nil && !os.IsNotExist(err) {
			t.Fatalf("%v", err)
		}
		if strings.Contains(string(text), line) {
			continue
		}
		if err := os.WriteFile(name, append(text, line...), 0o600); err != nil {
			t.Fatalf("%v", err)
		}
	}
}
