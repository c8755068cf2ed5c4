package guide

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"adit/integration/lab"
	"adit/integration/scenario"
	"adit/internal/need"
)

// debianRADIUS is what the installation scripts of Debian's freeradius do besides
// unpacking: links to the modules and sites, and a certificate for EAP. The server
// is not installed here, so it runs as root out of the folder of its package.
const debianRADIUS = `
cp -a %[1]s /etc/freeradius
cd /etc/freeradius/3.0
for site in default inner-tunnel; do ln -sf ../sites-available/$site sites-enabled/$site; done
for module in always attr_filter chap detail detail.log digest dynamic_clients eap echo exec expiration expr files \
	linelog logintime mschap ntlm_auth pap passwd preprocess radutmp realm replicate soh sradutmp unix unpack utf8; do
	ln -sf ../mods-available/$module mods-enabled/$module
done
mkdir -p /etc/ssl/private /etc/ssl/certs /var/log/freeradius/radacct /run/freeradius
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -keyout /etc/ssl/private/ssl-cert-snakeoil.key -out /etc/ssl/certs/ssl-cert-snakeoil.pem 2>/dev/null
[ -s /etc/ssl/certs/ca-certificates.crt ] || cp /etc/ssl/certs/ssl-cert-snakeoil.pem /etc/ssl/certs/ca-certificates.crt
sed -i -e 's|^libdir = .*|libdir = %[2]s/usr/lib/freeradius|' -e 's/^\tuser = freerad/#&/' -e 's/^\tgroup = freerad/#&/' \
	-e 's/^security {/&\n\tallow_vulnerable_openssl = yes/' radiusd.conf
`

// libraries are the folders of libraries of an unpacked package, for the linker.
func libraries(t *testing.T, trees ...string) string {
	t.Helper()
	var all []string
	for _, tree := range trees {
		for _, pattern := range []string{"usr/lib/*-linux-gnu*", "lib/*-linux-gnu*", "usr/lib/freeradius"} {
			found, err := filepath.Glob(filepath.Join(tree, pattern))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, found...)
		}
	}
	return strings.Join(all, ":")
}

// servers makes the machines one and two, with FreeRADIUS as Debian has it, and
// dnsmasq.
func servers(t *testing.T) (one, two *machine) {
	t.Helper()
	tree, err := lab.Unpack(t.Context(), os.Stderr, lab.Need{Program: "freeradius", Package: "freeradius"})
	if err == nil { // radclient, and the dictionaries
		err = lab.InstallPrograms(t.Context(), os.Stderr, "radclient", "openssl")
	}
	if err != nil {
		need.Lack(t, "needs FreeRADIUS: %v", err)
	}
	config := filepath.Dir(filepath.Dir(scenario.Unpacked(t, "freeradius-config", "etc/freeradius/3.0/radiusd.conf")))
	dhcp, err := scenario.UnpackDHCP(t.Context(), os.Stderr, scenario.Dnsmasq)
	if err != nil {
		need.Lack(t, "needs dnsmasq: %v", err)
	}
	units := map[string]string{
		"freeradius.unit":  fmt.Sprintf("export LD_LIBRARY_PATH=%s\n: >/var/log/freeradius/radius.log\nexec %s/usr/sbin/freeradius -f -l /var/log/freeradius/radius.log", libraries(t, tree), tree),
		"freeradius.ready": "grep -q 'Ready to process requests' /var/log/freeradius/radius.log",
		"dnsmasq.unit": fmt.Sprintf("export LD_LIBRARY_PATH=%s\nexec %s/usr/sbin/dnsmasq --keep-in-foreground --user=root --log-facility=- --dhcp-leasefile=/run/dnsmasq.leases",
			libraries(t, dhcp...), dhcp[0]),
	}
	n := scenario.NewNativeNet(t)
	one, two = newMachine(t, "one", n.A, units), newMachine(t, "two", n.B, units)
	for _, m := range []*machine{one, two} {
		m.mustSh(fmt.Sprintf(debianRADIUS, config, tree))
	}
	return one, two
}

var aliceRow = regexp.MustCompile(`alice@example\.net .* (100\.64\.[0-9.]+) `)

// TestISP runs the page of an ISP: the LNS, two FreeRADIUS servers with Debian's
// configuration and the page's files, a DHCP server, and a LAC. pppd is not run.
func TestISP(t *testing.T) {
	scenario.NeedNative(t)
	one, two := servers(t)
	n := scenario.NewNativeNet(t)
	units := map[string]string{"adit.unit": aditUnit}
	lns, lac := newMachine(t, "lns", n.A, units), newMachine(t, "lac", n.B, units)
	connect(t, lns, lac, "192.0.2.1", "198.51.100.2")
	connect(t, lns, one, "192.0.2.1", "192.0.2.10")
	link := connect(t, lns, two, "192.0.2.1", "192.0.2.11")
	two.mustSh("ip route add 100.96.0.0/16 via 192.0.2.1 dev " + link + " onlink")

	p := open(t, "isp.md", lns, lac, one, two)
	p.section("The LNS")
	p.section("FreeRADIUS")
	p.section("A LAC to try it with")
	p.section("Accounting")
	p.section("Ending and changing sessions")
	p.section("When a server is down")
	before := aliceRow.FindStringSubmatch(lns.mustSh("adit sessions"))
	p.section("What survives kill -9")
	after := aliceRow.FindStringSubmatch(lns.mustSh("adit sessions"))
	if before == nil || after == nil || before[1] != after[1] {
		t.Errorf("alice had %q before adit was killed, and has %q", before, after)
	}
	p.section("Addresses from a DHCP server")
	p.done()
}
