package scenario

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// L2TPNSOptions configure an l2tpns.
type L2TPNSOptions struct {
	// Tree is where its package was unpacked.
	Tree string
	// Bind is the address for tunnels, of an interface named Interface.
	Bind      netip.Addr
	Interface string
	// Secret is for the tunnels.
	Secret string
	// Auth is its radius_authtypes: "chap", "pap" or both, the preferred first.
	Auth string
	// Peer is its own address on the PPP links.
	Peer netip.Addr
	// Pool is a prefix of IPv4 addresses for callers.
	Pool netip.Prefix
	// IPv6 is a prefix (/64) for callers; the zero Prefix: no IPv6.
	IPv6 netip.Prefix
	// RADIUSSecret is that of the responder (RADIUS) at RADIUS, which has to
	// be reachable from the namespace.
	RADIUS       netip.AddrPort
	RADIUSSecret string
}

// L2TPNSDaemon is a running l2tpns.
type L2TPNSDaemon struct {
	*Process
	logFile string
}

// L2TPNS starts an l2tpns and waits until it serves. Its configuration has to be
// under /etc/l2tpns, so it gets an /etc of its own.
func L2TPNS(t TB, ns *NS, o L2TPNSOptions) *L2TPNSDaemon {
	t.Helper()
	dir := t.TempDir()
	d := &L2TPNSDaemon{logFile: filepath.Join(dir, "l2tpns.log")}
	for name, text := range map[string]string{
		"startup-config": o.document(d.logFile, filepath.Join(dir, "pid")),
		"ip_pool":        o.Pool.String() + "\n",
		"users":          "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatalf("%v", err)
		}
	}
	libraries, err := filepath.Glob(filepath.Join(o.Tree, "usr/lib/*-linux-gnu*"))
	if err != nil {
		t.Fatalf("%v", err)
	}
	const script = `set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /etc
mkdir /etc/l2tpns
cp "$1/startup-config" "$1/ip_pool" "$1/users" /etc/l2tpns/
LD_LIBRARY_PATH="$2" exec "$3" -c /etc/l2tpns/startup-config`
	d.Process = ns.Start(t, "l2tpns", "unshare", "-m", "sh", "-c", script, "sh",
		dir, strings.Join(libraries, ":"), filepath.Join(o.Tree, "usr/sbin/l2tpns"))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of l2tpns's own log:\n%s", tailLines(d.Log(), 60))
		}
	})
	// It serves nobody before it has found out that it is alone.
	WaitFor(t, time.Minute, "l2tpns to become master", func() bool {
		if done, err := d.Exited(); done {
			t.Fatalf("l2tpns ended at its start: %v\n%s\n%s", err, d.Process.Log(), d.Log())
		}
		return strings.Contains(d.Log(), "declaring myself the master")
	})
	return d
}

// Log is what l2tpns wrote to its log file.
func (d *L2TPNSDaemon) Log() string {
	text, err := os.ReadFile(d.logFile)
	if err != nil {
		return ""
	}
	return string(text)
}

func (o *L2TPNSOptions) document(log, pid string) string {
	lines := []string{
		// 4 would tell each address of the pool.
		`debug 3`,
		fmt.Sprintf("log_file %q", log),
		fmt.Sprintf("pid_file %q", pid),
		`hostname "l2tpns"`,
		fmt.Sprintf("l2tp_secret %q", o.Secret),
		fmt.Sprintf("primary_radius %s", o.RADIUS.Addr()),
		fmt.Sprintf("primary_radius_port %d", o.RADIUS.Port()),
		fmt.Sprintf("radius_secret %q", o.RADIUSSecret),
		fmt.Sprintf("radius_authtypes %q", o.Auth),
		`allow_duplicate_users yes`,
		fmt.Sprintf("bind_address %s", o.Bind),
		fmt.Sprintf("peer_address %s", o.Peer),
		`cli_bind_address 127.0.0.1`,
		fmt.Sprintf("cluster_interface %q", o.Interface),
		// Tenths of a second until it believes that it is alone.
		`cluster_hb_interval 2`,
		`cluster_hb_timeout 19`,
		`cluster_master_min_adv 0`,
		// As many packets of a session as there are.
		`packet_limit 0`,
	}
	if o.IPv6.IsValid() {
		lines = append(lines, fmt.Sprintf("ipv6_prefix %s", o.IPv6.Addr()))
	}
	return "set " + strings.Join(lines, "\nset ") + "\n"
}
