package scenario

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// AAAEngine is who speaks PPP at one end of the calls.
type AAAEngine struct {
	// Bridge is what adit sessions calls it.
	Bridge string
	// Profile has its lines of a profile.
	Profile string
}

// The engines.
var (
	AAABuiltin       = AAAEngine{"builtin/tun", "ppp = \"builtin\"\ndataplane = \"userspace\"\n"}
	AAABuiltinKernel = AAAEngine{"builtin/kernel", "ppp = \"builtin\"\ndataplane = \"kernel\"\n"}
	AAAPPPDAsync     = AAAEngine{"pppd/pty-async", "ppp = \"pppd\"\npppd_debug = true\ndataplane = \"userspace\"\npty = \"async\"\n"}
	AAAPPPDKernel    = AAAEngine{"pppd/kernel", "ppp = \"pppd\"\npppd_debug = true\ndataplane = \"kernel\"\n"}
)

func (e AAAEngine) pppd() bool { return strings.HasPrefix(e.Bridge, "pppd/") }

// AAASite is where the table is run: a LAC in A, and the LNS in B.
type AAASite struct {
	Net      *Net
	LNS, LAC AAAEngine
	// FreeRADIUS is the tree of UnpackFreeRADIUS, DHCP what UnpackDHCP gives of
	// Dnsmasq.
	FreeRADIUS string
	DHCP       DHCPTrees
	// Limit is how long any one thing may take, and Brief is the time of sessions
	// that end by themselves, in whole seconds: long enough to be seen.
	Limit, Brief time.Duration
}

// aaaServers are the servers that the LNS asks.
type aaaServers struct {
	radius *FreeRADIUSServer
	dhcp   *DHCPServer
	silent netip.AddrPort // of a RADIUS server that never answers
	coa    netip.AddrPort // where the LNS is asked
}

const aaaSecret = "radius secret"

var aaaLoopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

func (site *AAASite) servers(t TB) *aaaServers {
	t.Helper()
	n := site.Net
	s := &aaaServers{radius: FreeRADIUS(t, n.B, FreeRADIUSOptions{
		Tree: site.FreeRADIUS, Address: aaaLoopback, Secret: aaaSecret, Users: aaaFreeRADIUSUsers(site.Brief),
		// Debian's does not sign of itself what is no EAP.
		Authorize: "update reply {\n\t\t\tMessage-Authenticator := 0x00\n\t\t}",
	})}
	n.B.MustRun(t, "ip", "addr", "add", aaaRelay+"/32", "dev", "lo")
	n.A.Route(t, netip.MustParsePrefix(aaaRelay+"/32"), n.AddrB())
	s.dhcp = DHCPD(t, n.A, DHCPOptions{
		Kind: Dnsmasq, Trees: site.DHCP, Interface: n.Links[0].Left.Interface, Dir: t.TempDir(),
		Lease: 10 * time.Minute, Renew: 5 * time.Minute, DNS: netip.MustParseAddr(aaaDHCPDNS), Domain: "campus.test",
		Subnets: []DHCPSubnet{{Prefix: aaaDHCPRange, Router: netip.MustParseAddr(aaaRelay),
			First: netip.MustParseAddr("10.66.1.0"), Last: netip.MustParseAddr("10.66.1.255")}},
	})
	var silent net.PacketConn
	err := n.B.Do(func() (err error) {
		silent, err = net.ListenPacket("udp", "127.0.0.1:0")
		return err
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	s.silent = silent.LocalAddr().(*net.UDPAddr).AddrPort()
	s.coa = netip.AddrPortFrom(aaaLoopback, freePorts(t, n.B, aaaLoopback, 1)[0])
	return s
}

// aaaMethods are the profiles by which the LNS asks, each of a host name.
var aaaMethods = []string{"pap", "chap-md5", "mschapv2", "mppe"}

// lns is the configuration of the LNS, without its users.
func (site *AAASite) lns(s *aaaServers) string {
	var b strings.Builder
	fmt.Fprintf(&b, `
host_name = "lns.test"
chap_secrets = "chap-secrets"
users_file = "users.toml"
[log]
level = "debug"
[[listen]]
address = "%s:1701"
[pools.home]
ranges = ["10.64.1.0/24"]
[pools.vip]
ranges = ["10.64.2.0/24"]
[pools.link]
prefixes = ["2001:db8:1000::/44"]
length = 64
[pools.home6]
prefixes = ["2001:db8:2000::/44"]
length = 56
[dhcp.campus]
servers = ["%s"]
relay = "%s"
[radius.servers.main]
address = "127.0.0.1"
auth_port = %d
acct_port = %d
secret = "%s"
[radius.servers.silent]
address = "127.0.0.1"
auth_port = %d
secret = "%s"
timeout = "300ms"
retries = 1
[radius.groups.isp]
servers = ["main"]
[radius.groups.next]
servers = ["silent", "main"]
[radius.groups.gone]
servers = ["silent"]
[radius.dynamic_authorization]
listen = "%s"
[[radius.dynamic_authorization.clients]]
addresses = ["127.0.0.1"]
secret = "%s"
[[realms]]
name = "strip.test"
strip = true
aaa = ["isp"]
[[realms]]
name = "vip.test"
profile = "vip"
[[realms]]
name = "next.test"
aaa = ["next"]
accounting = "isp"
[[realms]]
name = "gone.test"
aaa = ["gone"]
accounting = "isp"
`, site.Net.AddrB(), site.Net.AddrA(), aaaRelay, s.radius.Auth.Port(), s.radius.Acct.Port(), aaaSecret,
		s.silent.Port(), aaaSecret, s.coa, aaaSecret)
	for _, m := range aaaMethods {
		auth, more := m, fmt.Sprintf("pool = \"home\"\ndns = [%q]", aaaDNS)
		if m == "mppe" {
			auth = "mschapv2"
			if site.LNS.pppd() {
				more += "\npppd_options = [\"require-mppe-128\"]"
			}
		} else if site.LNS.pppd() {
			more += "\npppd_options = [\"noccp\", \"novj\"]"
		}
		b.WriteString(site.lnsProfile(m, auth, more))
		fmt.Fprintf(&b, "[[lns.peers]]\nname = %[1]q\nhost_name = \"%[1]s.*\"\nsecret = \"s3cret\"\nprofile = %[1]q\n", m)
	}
	b.WriteString(site.lnsProfile("vip", "pap", "pool = \"vip\"\ndns = [\""+strings.ReplaceAll(aaaVIPDNS, " ", `", "`)+"\"]"))
	b.WriteString(site.lnsProfile("replace", "pap", "pool = \"home\"\nsecond_login = \"replace\"\ndns = [\""+aaaDNS+"\"]"))
	b.WriteString(site.lnsProfile("campus", "pap", "dhcp = \"campus\""))
	return b.String()
}

func (site *AAASite) lnsProfile(name, auth, more string) string {
	return fmt.Sprintf(`
[profiles.%s]
%saaa = ["local", "isp"]
accounting = "isp"
auth = [%q]
local_address = "%s"
ipv6_pool = "link"
delegated_pool = "home6"
failure_delay = "200ms"
%s
`, name, site.LNS.Profile, auth, aaaInside, more)
}

// startLNS starts the LNS.
func (site *AAASite) startLNS(t TB, s *aaaServers) *AditDaemon {
	t.Helper()
	d := NewAdit(t, site.Net.B, site.lns(s))
	for name, text := range map[string]string{"users.toml": aaaUsers, "chap-secrets": aaaChapSecrets} {
		if err := os.WriteFile(filepath.Join(d.Dir, name), []byte(text), 0o600); err != nil {
			t.Fatalf("%v", err)
		}
	}
	d.Restart(t)
	return d
}

// lac is the configuration of a LAC that places the calls, each once: what ends
// stays so. round tells the daemons in one namespace apart.
func (site *AAASite) lac(round int, calls []*aaaCall) string {
	var b strings.Builder
	fmt.Fprintf(&b, "host_name = \"lac.test\"\nlisten = []\n[log]\nlevel = \"debug\"\n[tun]\nname = \"aaa%d\"\n", round)
	for _, p := range []string{"client", "mppe"} {
		more := "auth = [\"pap\", \"chap-md5\", \"mschapv2\"]\n"
		if site.LAC.pppd() {
			ccp := `"noccp"`
			if p == "mppe" {
				ccp = `"require-mppe-128"`
			}
			more = "pppd_options = [\"noauth\", " + ccp + `, "novj", "nodefaultroute", "noipdefault", "usepeerdns", "+ipv6", ` +
				"\"ipcp-accept-local\", \"ipcp-accept-remote\", \"lcp-echo-interval\", \"0\"]\n"
		}
		fmt.Fprintf(&b, "[profiles.%s]\n%s%s", p, site.LAC.Profile, more)
	}
	for _, m := range aaaMethods {
		profile := "client"
		if m == "mppe" {
			profile = m
		}
		first := true
		for _, c := range calls {
			if c.row.Method != m {
				continue
			}
			if first {
				fmt.Fprintf(&b, "[[lac.tunnels]]\nname = %[1]q\nremote = \"%[2]s:1701\"\nhost_name = \"%[1]s.%[3]d\"\nsecret = \"s3cret\"\nprofile = %[4]q\nretry_min = \"1h\"\nretry_max = \"1h\"\n",
					m, site.Net.AddrB(), round, profile)
				first = false
			}
			fmt.Fprintf(&b, "[[lac.tunnels.sessions]]\nname = %q\ncalling_number = %q\n", c.name, c.number)
			if site.LAC.pppd() {
				fmt.Fprintf(&b, "pppd_options = [\"user\", %q, \"password\", %q]\n", c.row.User, c.row.Password)
			} else {
				fmt.Fprintf(&b, "user = %q\npassword = %q\n", c.row.User, c.row.Password)
			}
		}
	}
	return b.String()
}
