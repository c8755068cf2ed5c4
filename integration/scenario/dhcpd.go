package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"time"

	"adit/integration/lab"
)

// DHCPKind is a DHCP server that Debian has.
type DHCPKind uint8

// The servers.
const (
	Kea DHCPKind = iota
	Dnsmasq
	ISCDHCP
)

var dhcpKinds = [...]struct {
	name, program string
	// The first brings the program. The others are libraries, or bring some of
	// their own: what lab.Unpack adds is only a package's direct dependencies.
	packages []string
}{
	Kea:     {"kea", "kea-dhcp4", []string{"kea-dhcp4-server", "kea-common"}},
	Dnsmasq: {"dnsmasq", "dnsmasq", []string{"dnsmasq-base", "libnftables1", "libnetfilter-conntrack3"}},
	ISCDHCP: {"isc-dhcp-server", "dhcpd", []string{"isc-dhcp-server"}},
}

func (k DHCPKind) String() string { return dhcpKinds[k].name }

// DHCPTrees are where a server's packages were unpacked, the program's first.
type DHCPTrees []string

// UnpackDHCP takes a server out of its Debian packages; nothing is installed.
func UnpackDHCP(ctx context.Context, log io.Writer, kind DHCPKind) (DHCPTrees, error) {
	var trees DHCPTrees
	for i, pkg := range dhcpKinds[kind].packages {
		// Every package has this file.
		program := "../share/doc/" + pkg + "/copyright"
		if i == 0 {
			program = dhcpKinds[kind].program
		}
		tree, err := lab.Unpack(ctx, log, lab.Need{Program: program, Package: pkg})
		if err != nil {
			return nil, err
		}
		trees = append(trees, tree)
	}
	return trees, nil
}

// DHCPSubnet is a range of addresses that a server gives.
type DHCPSubnet struct {
	Prefix      netip.Prefix
	First, Last netip.Addr
	Router      netip.Addr
	// OnLink: the server's interface has an address in it.
	OnLink bool
}

// Netmask is that of the subnet.
func (s DHCPSubnet) Netmask() string {
	ones := ^uint32(0) << (32 - s.Prefix.Bits())
	return netip.AddrFrom4([4]byte{byte(ones >> 24), byte(ones >> 16), byte(ones >> 8), byte(ones)}).String()
}

// DHCPOptions configure a DHCP server.
type DHCPOptions struct {
	Kind  DHCPKind
	Trees DHCPTrees
	// Interface is the one that it serves; a subnet for clients on its link needs
	// an address there.
	Interface string
	// Address is the one of the interface that Kea serves; the zero Addr: all, but
	// then a client's unicast messages may miss it.
	Address netip.Addr
	// Subnets that it serves; one without First has no addresses to give. ISCDHCP
	// has to be told also what its interface is in.
	Subnets []DHCPSubnet
	// Lease is how long a lease is, Renew is T1, in whole seconds. Dnsmasq has
	// no lease below two minutes, and no T1 below three seconds.
	Lease, Renew time.Duration
	DNS          netip.Addr
	Domain       string
	// Dir is where the lease file is: the same one again for a server that knows
	// its leases after a restart.
	Dir string
}

// DHCPServer is a running DHCP server.
type DHCPServer struct {
	*Process
	kind   DHCPKind
	leases string // file
}

// DHCPLease is what the server's lease file says of a lease that is held.
type DHCPLease struct {
	Address netip.Addr
	// Text is all of it, in the words of the server.
	Text string
}

// DHCPD starts a DHCP server and waits until it serves.
func DHCPD(t TB, ns *NS, o DHCPOptions) *DHCPServer {
	t.Helper()
	kind := dhcpKinds[o.Kind]
	d := &DHCPServer{kind: o.Kind, leases: filepath.Join(o.Dir, "leases")}
	config := filepath.Join(o.Dir, kind.name+".conf")
	text, err := o.document(d.leases)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if err = os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatalf("%v", err)
	}
	// What it has is left as it is: a server may start with its old leases.
	file, err := os.OpenFile(d.leases, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatalf("%v", err)
	}
	file.Close()
	var libraries []string
	for _, tree := range o.Trees {
		for _, pattern := range []string{"usr/lib/*-linux-gnu*", "lib/*-linux-gnu*"} {
			found, e := filepath.Glob(filepath.Join(tree, pattern))
			if e != nil {
				t.Fatalf("%v", e)
			}
			libraries = append(libraries, found...)
		}
	}
	env := []string{"LD_LIBRARY_PATH=" + strings.Join(libraries, ":"), "KEA_PIDFILE_DIR=" + o.Dir, "KEA_LOCKFILE_DIR=" + o.Dir}
	argv := []string{filepath.Join(o.Trees[0], "usr/sbin", kind.program)}
	ready := ""
	switch o.Kind {
	case Kea:
		argv, ready = append(argv, "-c", config), "DHCP4_STARTED"
	case Dnsmasq:
		argv, ready = append(argv, "--keep-in-foreground", "--conf-file="+config), "DHCP, IP range"
	case ISCDHCP:
		argv = append(argv, "-4", "-f", "-d", "--no-pid", "-cf", config, "-lf", d.leases, o.Interface)
		ready = "Server starting service"
	}
	d.Process = ns.StartEnv(t, kind.name, env, argv...)
	WaitFor(t, time.Minute, kind.name+" to serve", func() bool {
		if done, e := d.Exited(); done {
			t.Fatalf("%s ended at its start: %v\n%s", kind.name, e, d.Log())
		}
		return strings.Contains(d.Log(), ready)
	})
	return d
}

var dnsmasqConf = template.Must(template.New("").Parse(`port=0
no-ping
log-dhcp
log-facility=-
user=root
pid-file=
dhcp-authoritative
dhcp-lease-max=100000
interface={{.Interface}}
dhcp-leasefile={{.File}}
{{range $i, $s := .Subnets}}{{if .First.IsValid}}dhcp-range=set:net{{$i}},{{.First}},{{.Last}},{{.Netmask}},{{$.Lease.Seconds}}
dhcp-option=tag:net{{$i}},option:router,{{.Router}}
{{end}}{{end}}dhcp-option=option:dns-server,{{.DNS}}
domain={{.Domain}}
dhcp-option=option:T1,{{.Renew.Seconds}}
`))

// document is the server's configuration.
func (o *DHCPOptions) document(leases string) (string, error) {
	var out bytes.Buffer
	var err error
	switch o.Kind {
	case Kea:
		return o.keaDocument(leases)
	case Dnsmasq:
		err = dnsmasqConf.Execute(&out, struct {
			*DHCPOptions
			File string
		}{o, leases})
	case ISCDHCP:
		err = iscConf.Execute(&out, o)
	}
	return out.String(), err
}

// iscConf: dhcpd wants a subnet also for what its interface is in, with a range or
// without, and in one shared network all that is on a link.
var iscConf = template.Must(template.New("").Parse(`authoritative;
ping-check off;
dhcp-cache-threshold 0;
default-lease-time {{.Lease.Seconds}};
max-lease-time {{.Lease.Seconds}};
min-lease-time 1;
option dhcp-renewal-time {{.Renew.Seconds}};
option domain-name-servers {{.DNS}};
option domain-name "{{.Domain}}";
stash-agent-options true;
{{define "subnet"}}subnet {{.Prefix.Addr}} netmask {{.Netmask}} {
{{if .First.IsValid}}	range {{.First}} {{.Last}};
	option routers {{.Router}};
{{end}}}
{{end}}shared-network link {
{{range .Subnets}}{{if .OnLink}}{{template "subnet" .}}{{end}}{{end}}}
{{range .Subnets}}{{if not .OnLink}}{{template "subnet" .}}{{end}}{{end}}`))

func (o *DHCPOptions) keaDocument(leases string) (string, error) {
	type object = map[string]any
	var subnets []object
	for i, s := range o.Subnets {
		if !s.First.IsValid() {
			continue
		}
		subnet := object{
			"id": i + 1, "subnet": s.Prefix.String(),
			"pools":       []object{{"pool": s.First.String() + " - " + s.Last.String()}},
			"option-data": []object{{"name": "routers", "data": s.Router.String()}},
		}
		if s.OnLink {
			// Else it goes by the interface's first address alone.
			subnet["interface"] = o.Interface
		}
		subnets = append(subnets, subnet)
	}
	iface := o.Interface
	if o.Address.IsValid() {
		iface += "/" + o.Address.String()
	}
	text, err := json.MarshalIndent(object{"Dhcp4": object{
		"interfaces-config": object{"interfaces": []string{iface}, "dhcp-socket-type": "raw"},
		// Nothing is written anew while a test reads it.
		"lease-database": object{"type": "memfile", "persist": true, "name": leases, "lfc-interval": 0},
		"authoritative":  true,
		"valid-lifetime": int(o.Lease.Seconds()), "renew-timer": int(o.Renew.Seconds()),
		"rebind-timer":        int(o.Lease.Seconds() * 7 / 8),
		"store-extended-info": true, // the lease file tells Option 82
		"option-data": []object{
			{"name": "domain-name-servers", "data": o.DNS.String()},
			{"name": "domain-name", "data": o.Domain},
		},
		"subnet4": subnets,
		"loggers": []object{{"name": "kea-dhcp4", "severity": "INFO", "output_options": []object{{"output": "stdout", "flush": true}}}},
	}}, "", "  ")
	return string(text), err
}

// Leases are those that are held, by the server's lease file. What cannot be
// read as yet is left out: the server may be writing it.
func (d *DHCPServer) Leases(t TB) []DHCPLease {
	t.Helper()
	text, err := os.ReadFile(d.leases)
	if err != nil {
		t.Fatalf("%v", err)
	}
	switch d.kind {
	case Kea:
		return keaLeases(string(text))
	case Dnsmasq:
		return dnsmasqLeases(string(text))
	case ISCDHCP:
		return iscLeases(string(text))
	}
	return nil
}

// keaLeases reads a file to which Kea appends a line for each change: the last
// one of an address counts, and a lease that was given up has no lifetime.
func keaLeases(text string) []DHCPLease {
	const address, lifetime, state, columns = 0, 3, 9, 11
	last := map[string]DHCPLease{}
	for line := range strings.Lines(text) {
		// The last column is JSON that is not quoted.
		fields := strings.SplitN(line, ",", columns)
		if len(fields) < columns || !strings.HasSuffix(line, "\n") {
			continue
		}
		a, err := netip.ParseAddr(fields[address])
		if err != nil {
			continue
		}
		delete(last, fields[address])
		if fields[lifetime] != "0" && fields[state] == "0" {
			last[fields[address]] = DHCPLease{a, strings.TrimSpace(line)}
		}
	}
	return sortedLeases(last)
}

// dnsmasqLeases reads lines of expiry, hardware address, address, name, client.
func dnsmasqLeases(text string) []DHCPLease {
	last := map[string]DHCPLease{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if a, err := netip.ParseAddr(fields[2]); err == nil {
			last[fields[2]] = DHCPLease{a, strings.TrimSpace(line)}
		}
	}
	return sortedLeases(last)
}

var iscLease = regexp.MustCompile(`(?ms)^lease ([0-9.]+) \{(.*?)^\}`)

// iscLeases reads a file to which dhcpd appends a block for each change.
func iscLeases(text string) []DHCPLease {
	last := map[string]DHCPLease{}
	for _, m := range iscLease.FindAllStringSubmatch(text, -1) {
		a, err := netip.ParseAddr(m[1])
		if err != nil {
			continue
		}
		delete(last, m[1])
		if strings.Contains(m[2], "\n  binding state active;") {
			last[m[1]] = DHCPLease{a, m[0]}
		}
	}
	return sortedLeases(last)
}

func sortedLeases(all map[string]DHCPLease) []DHCPLease {
	var list []DHCPLease
	for _, l := range all {
		list = append(list, l)
	}
	slices.SortFunc(list, func(a, b DHCPLease) int { return a.Address.Compare(b.Address) })
	return list
}
