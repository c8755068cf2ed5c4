package autoconf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"adit/integration/scenario"
	"adit/internal/need"
	"adit/proto/ip"
)

// namespace is a network namespace with a thread in it.
type namespace struct{ jobs chan func() }

func newNamespace(t *testing.T) *namespace {
	t.Helper()
	n := &namespace{jobs: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if made <- err; err != nil {
			return
		}
		for f := range n.jobs {
			f()
		}
	}()
	if err := <-made; err != nil {
		need.Lack(t, "it may not make a network namespace: %v", err)
	}
	t.Cleanup(func() { close(n.jobs) })
	return n
}

func (n *namespace) do(f func()) {
	done := make(chan struct{})
	n.jobs <- func() { defer close(done); f() }
	<-done
}

// run runs a program in the namespace and returns what it says.
func (n *namespace) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := n.try(t, args...)
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

func (n *namespace) try(t *testing.T, args ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath(args[0]); err != nil {
		need.Lack(t, "needs %v", err)
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &out
	var err error
	n.do(func() { err = cmd.Start() })
	if err == nil {
		err = cmd.Wait()
	}
	return out.String(), err
}

// start starts a program in the namespace, which the end of the test ends.
func (n *namespace) start(t *testing.T, args ...string) *output {
	t.Helper()
	o := &output{}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = o, o
	var err error
	n.do(func() { err = cmd.Start() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%v:\n%s", args, o)
		}
	})
	return o
}

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// openTUN makes a TUN in the namespace; its file is what is at the other end.
func (n *namespace) openTUN(t *testing.T, name string) *os.File {
	t.Helper()
	var fd int
	var err error
	n.do(func() {
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
			return
		}
		var request *unix.Ifreq
		if request, err = unix.NewIfreq(name); err == nil {
			request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
		}
	})
	if err != nil {
		need.Lack(t, "no TUN: %v", err)
	}
	f := os.NewFile(uintptr(fd), name)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// rig is a subscriber's machine behind a link of its own, and a Service at the
// other end.
type rig struct {
	client  *namespace
	service *Service
	sub     Subscriber
	mu      sync.Mutex
	seen    [][]byte // what the Service has sent
}

// newRig wires a client's TUN to a Service: by functions, or by an interface in a
// namespace of its own, where the Service finds it.
func newRig(t *testing.T, own bool) *rig {
	t.Helper()
	r := &rig{client: newNamespace(t), sub: testSubscriber()}
	tun := r.client.openTUN(t, "ppp0")
	r.client.run(t, "sysctl", "-qw", "net.ipv6.conf.ppp0.accept_ra=2", "net.ipv6.conf.ppp0.accept_ra_rt_info_max_plen=128",
		"net.ipv6.conf.ppp0.router_solicitation_interval=1")
	r.client.run(t, "ip", "addr", "add", "10.9.0.2", "peer", "10.9.0.1", "dev", "ppp0")
	// A LAN, whose interface has an address of hardware: DUIDs want one.
	r.client.run(t, "ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan1")
	r.client.run(t, "ip", "link", "set", "lan0", "up")
	r.client.run(t, "ip", "link", "set", "lan1", "up")
	home := newNamespace(t)
	toClient := func(packet []byte) {
		r.mu.Lock()
		r.seen = append(r.seen, bytes.Clone(packet))
		r.mu.Unlock()
		_, _ = tun.Write(packet)
	}
	var err error
	home.do(func() { r.service, err = New(Config{DUID: testDUID}, nil) })
	if err != nil {
		t.Fatal(err)
	}
	fromClient := func(packet []byte) { r.service.Packet("a", packet) }
	if own {
		far := home.openTUN(t, "sub0")
		home.run(t, "sysctl", "-qw", "net.ipv6.conf.sub0.addr_gen_mode=1", "net.ipv6.conf.sub0.router_solicitations=0")
		home.run(t, "ip", "link", "set", "sub0", "up")
		fromClient = func(packet []byte) { _, _ = far.Write(packet) }
		pump(t, far, toClient)
	}
	pump(t, tun, fromClient)
	t.Cleanup(r.service.Close)
	r.client.run(t, "ip", "link", "set", "ppp0", "up")
	if own {
		r.service.Attach("a", r.sub, "sub0", nil)
	} else {
		r.service.Attach("a", r.sub, "shared0", toClient)
	}
	return r
}

// pump reads packets until the file is closed.
func pump(t *testing.T, f *os.File, to func([]byte)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 65536)
		for {
			n, err := f.Read(buf)
			if errors.Is(err, unix.EIO) {
				continue // not up
			} else if err != nil {
				return
			}
			if h := (ip.Header{}); h.Parse(buf[:n]) == nil && isQuestion(&h, buf[:n]) {
				to(bytes.Clone(buf[:n]))
			}
		}
	}()
	t.Cleanup(func() { _ = f.Close(); <-done })
}

// isQuestion: what a link hands to the Service, and what it answers.
func isQuestion(h *ip.Header, packet []byte) bool {
	u := packet[h.HeaderLen:]
	switch {
	case len(u) < 8:
		return false
	case h.Protocol == ip.ProtocolICMPv6:
		return u[0] == typeSolicitation || u[0] == typeAdvertisement
	}
	src, dst := binary.BigEndian.Uint16(u), binary.BigEndian.Uint16(u[2:])
	return h.Protocol == ip.ProtocolUDP && (dst == 67 || dst == 547 || src == 67 || src == 547)
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("waited for %s", what)
}

func bothWays(t *testing.T, f func(t *testing.T, r *rig)) {
	for name, own := range map[string]bool{"shared": false, "own interface": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, own)
			f(t, r)
			if t.Failed() {
				t.Logf("%v", r.service.Counts())
			}
			r.dissect(t)
		})
	}
}

// Linux takes our advertisements: it has an address of the prefix, a default route,
// the MTU, and the more specific route.
func TestNativeSLAAC(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, r *rig) {
		waitFor(t, "an address", func() bool {
			return strings.Contains(r.client.run(t, "ip", "-6", "addr", "show", "dev", "ppp0"), "inet6 2001:db8:1:2:")
		})
		routes := r.client.run(t, "ip", "-6", "route", "show", "dev", "ppp0")
		for _, want := range []string{"default via fe80::1 proto ra", "2001:db8:5::/48 via fe80::1 proto ra"} {
			if !strings.Contains(routes, want) {
				t.Errorf("no %q in\n%s", want, routes)
			}
		}
		if strings.Contains(routes, "2001:db8:1:2::/64") {
			t.Errorf("the prefix is on the link:\n%s", routes)
		}
		if mtu := r.client.run(t, "sysctl", "-n", "net.ipv6.conf.ppp0.mtu"); strings.TrimSpace(mtu) != "1400" {
			t.Errorf("MTU %s", mtu)
		}
		out, err := r.client.try(t, scenario.Unpacked(t, "ndisc6", "bin/rdisc6"), "-1", "-r", "3", "-w", "4000", "ppp0")
		if err != nil {
			t.Errorf("rdisc6: %v", err)
		}
		for _, want := range []string{"2001:db8:1:2::/64", "from fe80::1", "Recursive DNS server", "2001:db8::53", "DNS search list", "example.net",
			"Route                    : 2001:db8:5::/48", "Stateful address conf.    :          Yes", "On-link                 :           No"} {
			if !strings.Contains(out, want) {
				t.Errorf("rdisc6 does not say %q:\n%s", want, out)
			}
		}
	})
}

// dhcp6c of WIDE: a delegated prefix for its LAN, an address, name servers; then it
// releases them.
func TestNativeDHCP6C(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, r *rig) {
		program, dir := scenario.Unpacked(t, "wide-dhcpv6-client", "usr/sbin/dhcp6c"), t.TempDir()
		waitFor(t, "a link-local address", func() bool {
			out := r.client.run(t, "ip", "-6", "addr", "show", "dev", "ppp0")
			return strings.Contains(out, "fe80::") && !strings.Contains(out, "tentative")
		})
		script := filepath.Join(dir, "script")
		write(t, script, "#!/bin/sh\nenv > "+dir+"/env.$$; mv "+dir+"/env.$$ "+dir+"/env\n", 0o755)
		write(t, filepath.Join(dir, "conf"), `interface ppp0 {
	send ia-pd 2; send ia-na 1;
	request domain-name-servers; request domain-name;
	script "`+script+`";
};
id-assoc na 1 { };
id-assoc pd 2 { prefix-interface lan0 { sla-id 7; sla-len 8; }; };
`, 0o644)
		out := r.client.start(t, "unshare", "-m", "sh", "-c", `mount --make-rprivate / && mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/dhcpv6 &&
			LD_LIBRARY_PATH="$2" exec "$0" -f -D -p "$1/pid" -c "$1/conf" ppp0`, program, dir, libraries(t, program))
		waitFor(t, "the addresses", func() bool {
			all := r.client.run(t, "ip", "-6", "addr")
			return strings.Contains(all, "inet6 2001:db8:1:2::77/") && strings.Contains(all, "inet6 2001:db8:aa00:7:")
		})
		waitFor(t, "the script", func() bool {
			env, _ := os.ReadFile(filepath.Join(dir, "env"))
			return strings.Contains(string(env), "new_domain_name_servers=2001:db8::53") && strings.Contains(string(env), "new_domain_name=example.net")
		})
		if log := out.String(); strings.Contains(log, "malformed") || strings.Contains(log, "unexpected") {
			t.Errorf("it complains:\n%s", log)
		}
	})
}

// dhcpcd: an address and a delegated prefix for its LAN.
func TestNativeDHCPCD(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, r *rig) {
		program, dir := scenario.Unpacked(t, "dhcpcd-base", "usr/sbin/dhcpcd"), t.TempDir()
		write(t, filepath.Join(dir, "script"), "#!/bin/sh\necho \"$reason\" >> "+dir+"/log\nexit 0\n", 0o755)
		write(t, filepath.Join(dir, "conf"), "duid\nnoipv6rs\ninterface ppp0\n\tipv6rs\n\tia_na 1\n\tia_pd 2 lan0/7/64\n", 0o644)
		out := r.client.start(t, "unshare", "-m", "sh", "-c", dhcpcdRoom+`exec "$0" -6 -B -d -A -f "$1/conf" -c "$1/script" ppp0`, program, dir)
		waitFor(t, "the addresses", func() bool {
			all := r.client.run(t, "ip", "-6", "addr")
			return strings.Contains(all, "inet6 2001:db8:1:2::77/") && strings.Contains(all, "inet6 2001:db8:aa00:7:")
		})
		for _, want := range []string{"adding address 2001:db8:1:2::77", "delegated prefix 2001:db8:aa00::/56", "renew in 1800, rebind in 2880, expire in 7200 seconds"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("it does not say %q", want)
			}
		}
	})
}

// dhcpcdRoom gives dhcpcd folders to write to.
const dhcpcdRoom = "mount --make-rprivate / && mount -t tmpfs tmpfs /var/lib && mount -t tmpfs tmpfs /run && mkdir -p /var/lib/dhcpcd && "

// dhcpcd, which has an address and asks by DHCPINFORM.
func TestNativeInform(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, r *rig) {
		program, dir := scenario.Unpacked(t, "dhcpcd-base", "usr/sbin/dhcpcd"), t.TempDir()
		write(t, filepath.Join(dir, "script"), "#!/bin/sh\n[ \"$reason\" = INFORM ] && env > "+dir+"/env.$$ && mv "+dir+"/env.$$ "+dir+"/env\nexit 0\n", 0o755)
		write(t, filepath.Join(dir, "conf"), "option domain_name_servers, domain_name, netbios_name_servers, classless_static_routes, ms_classless_static_routes\nnoarp\nclientid subscriber\n", 0o644)
		r.client.start(t, "unshare", "-m", "sh", "-c", dhcpcdRoom+`exec "$0" -4 -B -d -L -A --inform=10.9.0.2/32 -f "$1/conf" -c "$1/script" ppp0`, program, dir)
		waitFor(t, "the answer", func() bool {
			env, _ := os.ReadFile(filepath.Join(dir, "env"))
			for _, want := range []string{"new_domain_name_servers=192.0.2.53 192.0.2.54", "new_domain_name=example.net", "new_netbios_name_servers=192.0.2.42",
				"new_classless_static_routes=10.0.0.0/8 10.9.0.1 192.168.5.0/25 10.9.0.1", "new_dhcp_server_identifier=10.9.0.1"} {
				if !strings.Contains(string(env), want) {
					return false
				}
			}
			return true
		})
	})
}

// libraries are the folders of libraries beside an unpacked program.
func libraries(t *testing.T, program string) string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(filepath.Dir(program), "../lib/*-linux-gnu*"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, ":")
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// dissect has Wireshark's dissectors look at what the Service has sent.
func (r *rig) dissect(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.seen) == 0 {
		t.Fatal("nothing was sent")
	}
	checkDissected(t, r.seen)
}

// checkDissected writes a capture of packets and reads it with tshark.
func checkDissected(t *testing.T, packets [][]byte) {
	t.Helper()
	scenario.Installed(t, "tshark")
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 101, 0, 0, 0) // LINKTYPE_RAW
	for i, p := range packets {
		for _, n := range []uint32{uint32(i), 0, uint32(len(p)), uint32(len(p))} {
			b = binary.LittleEndian.AppendUint32(b, n)
		}
		b = append(b, p...)
	}
	name := filepath.Join(t.TempDir(), "pcap")
	write(t, name, string(b), 0o600)
	out, err := exec.Command("tshark", "-r", name, "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE",
		"-Y", "_ws.malformed || _ws.expert.severity >= 0x600000").CombinedOutput()
	lines := strings.TrimSpace(string(out))
	if i := strings.Index(lines, "could be dangerous.\n"); i >= 0 {
		lines = lines[i+20:] // what it says to root
	}
	lines = strings.TrimPrefix(lines, `Running as user "root" and group "root". This could be dangerous.`)
	if err != nil || strings.TrimSpace(lines) != "" {
		t.Errorf("tshark: %v\n%s", err, lines)
	}
}
