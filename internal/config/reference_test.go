package config

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"adit/proto/reliable"
)

const etc = "../../etc"

// reference is etc/ as it would be installed, with the secrets that it names.
func reference(t *testing.T) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{
		"etc/adit/pop-berlin.secret":  {Data: []byte("x\n"), Mode: 0o600},
		"etc/adit/alice.password":     {Data: []byte("y\n"), Mode: 0o600},
		"etc/adit/branch.cookie":      {Data: []byte("01234567\n"), Mode: 0o600},
		"etc/adit/branch.peer-cookie": {Data: []byte("0123456789abcdef\n"), Mode: 0o600},
		"etc/adit/radius-one.secret":  {Data: []byte("z\n"), Mode: 0o600},
		"etc/adit/users.toml":         {Mode: 0o600},
		"etc/adit/chap-secrets":       {Mode: 0o600},
		"bin/true":                    {Mode: 0o755},
	}
	for _, name := range []string{"adit.toml", "pppd/options.lns", "pppd/options.lac"} {
		data, err := os.ReadFile(filepath.Join(etc, name))
		if err != nil {
			t.Fatal(err)
		}
		files["etc/adit/"+name] = &fstest.MapFile{Data: data, Mode: 0o640}
	}
	return files
}

func TestReferenceLoads(t *testing.T) {
	cfg, err := LoadFrom(machine(reference(t)), "/etc/adit/adit.toml")
	if err != nil {
		t.Fatalf("the reference has errors:\n%v", err)
	}
	if len(cfg.Warnings) > 0 {
		t.Errorf("the reference has warnings:\n%v", cfg.Warnings)
	}
	if len(cfg.LNS.Peers) != 3 || len(cfg.LAC.Tunnels) != 2 || len(cfg.LAC.Tunnels[0].Sessions) != 2 ||
		len(cfg.L2TPv3.Static) != 1 || len(cfg.L2TPv3.Static[0].Sessions) != 2 || len(cfg.Pseudowires) != 5 {
		t.Errorf("it is understood as %+v", cfg)
	}
}

// TestReferenceHasEveryKey sees that nothing is known to the program that is
// not in its documentation.
func TestReferenceHasEveryKey(t *testing.T) {
	document := string(reference(t)["etc/adit/adit.toml"].Data)
	inFile := map[string]bool{}
	for key := range indexLines(document) {
		inFile[anyName(withoutIndexes(key))] = true
	}
	var known []string
	schemaKeys("", reflect.TypeFor[rawConfig](), &known)
	if len(known) < 220 {
		t.Fatalf("only %d keys were found in the schema", len(known))
	}
	for _, key := range known {
		// The keys of [control_channel] may stand in two more tables; there it
		// is enough that one does.
		table, name := key[:max(strings.LastIndex(key, "."), 0)], key[strings.LastIndex(key, ".")+1:]
		if (table == "lns.peers" || table == "lac.tunnels") && inFile["control_channel."+name] {
			continue
		}
		if table == "lac.tunnels" && name == "secret_file" && inFile["lns.peers.secret_file"] {
			continue // one table has either that or secret
		}
		if key == "lac.tunnels.sessions.password_file" && inFile["users.password_file"] {
			continue
		}
		if key == "radius.dynamic_authorization.clients.secret_file" && inFile["radius.servers.*.secret_file"] {
			continue
		}
		// A session may say what a pseudowire says, and a tunnel what a peer says of
		// version 3.
		if table == "l2tpv3.static.sessions" && inFile["pseudowires."+name] ||
			table == "lac.tunnels" && hasKey[rawV3](name) && inFile["lns.peers."+name] {
			continue
		}
		if name == "other_secret_file" && inFile["lns.peers.other_secret"] && strings.Contains(document, "also as "+name) {
			continue
		}
		if !inFile[key] {
			t.Errorf("%s is not in etc/adit.toml", key)
		}
	}
}

// hasKey says whether a raw struct has a key.
func hasKey[T any](name string) bool {
	var keys []string
	schemaKeys("", reflect.TypeFor[T](), &keys)
	return slices.Contains(keys, name)
}

// anyName replaces the names that are free.
func anyName(key string) string {
	parts := strings.Split(key, ".")
	switch {
	case len(parts) > 1 && slices.Contains([]string{"pools", "profiles", "dhcp"}, parts[0]):
		parts[1] = "*"
	case len(parts) > 2 && parts[0] == "radius" && (parts[1] == "servers" || parts[1] == "groups"):
		parts[2] = "*"
	}
	return strings.Join(parts, ".")
}

func schemaKeys(path string, table reflect.Type, into *[]string) {
	for i := range table.NumField() {
		field := table.Field(i)
		if field.Anonymous {
			schemaKeys(path, field.Type, into)
			continue
		}
		key := joinKey(path, field.Tag.Get("toml"))
		if field.Tag.Get("toml") == "" {
			panic(field.Name + " has no tag")
		}
		*into = append(*into, key)
		inner := field.Type
		switch inner.Kind() {
		case reflect.Map:
			key, inner = key+".*", inner.Elem()
		case reflect.Slice:
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct {
			schemaKeys(key, inner, into)
		}
	}
}

// TestReferenceStatesTheDefaults compares the values that the reference shows
// and calls the defaults with those of an empty file.
func TestReferenceStatesTheDefaults(t *testing.T) {
	cfg, err := LoadFrom(machine(reference(t)), "/etc/adit/adit.toml")
	if err != nil {
		t.Fatal(err)
	}
	def := mustLoad(t, "", nil)
	// Its default is one for each version.
	if cfg.ControlChannel.MaxRetransmits != reliable.DefaultMaxRetransmits || def.ControlChannel.MaxRetransmits != 0 {
		t.Errorf("max_retransmits is shown as %d, and is %d by default", cfg.ControlChannel.MaxRetransmits, def.ControlChannel.MaxRetransmits)
	}
	cfg.ControlChannel.MaxRetransmits = 0
	if cfg.Limits != def.Limits || cfg.ControlChannel != def.ControlChannel || cfg.PPPD != def.PPPD || cfg.Log != def.Log {
		t.Errorf("the reference shows %+v %+v %+v %+v\nthe defaults are %+v %+v %+v %+v",
			cfg.Limits, cfg.ControlChannel, cfg.PPPD, cfg.Log, def.Limits, def.ControlChannel, def.PPPD, def.Log)
	}
	if cfg.TUN != def.TUN {
		t.Errorf("[tun] shows %+v; the defaults are %+v", cfg.TUN, def.TUN)
	}
	shown, known := cfg.Profiles["default"].Builtin, def.Profiles["default"].Builtin
	// These have no default that could be shown, beside the order of all methods.
	if diff := cmp.Diff(known.Answered(), shown.Auth); diff != "" {
		t.Errorf("auth (-a client's default +shown):\n%s", diff)
	}
	shown.Auth, shown.DNS, shown.WINS, shown.Routes = nil, known.DNS, known.WINS, nil
	if diff := cmp.Diff(known, shown, comparers); diff != "" {
		t.Errorf("the keys of the built-in endpoint (-default +shown):\n%s", diff)
	}
	aaa := cfg.Profiles["default"].AAA
	if want := def.Profiles["default"].AAA; aaa.MaxSessions != want.MaxSessions || aaa.SecondLogin != want.SecondLogin || aaa.FailureDelay != want.FailureDelay {
		t.Errorf("the limits of users are shown as %+v; the defaults are %+v", aaa, want)
	}
	if rest := cfg.Pools["subscribers"].Rest; rest != cfg.Pools["links"].Rest {
		t.Errorf("rest is shown as %v; the default is %v", rest, cfg.Pools["links"].Rest)
	}
	hooks := cfg.Hooks
	if hooks.Up, hooks.Down = "", ""; hooks != def.Hooks {
		t.Errorf("[hooks] shows %+v; the defaults are %+v", hooks, def.Hooks)
	}
	// The second server and the client of DHCP say the least.
	one, two := *cfg.RADIUS.Servers["one"], *cfg.RADIUS.Servers["two"]
	one.Name, one.Address, one.Source, one.Secret = two.Name, two.Address, two.Source, two.Secret
	if diff := cmp.Diff(two, one, comparers); diff != "" {
		t.Errorf("a RADIUS server (-default +shown):\n%s", diff)
	}
	if relay, client := cfg.DHCP["campus"], cfg.DHCP["wire"]; relay.Timeout != client.Timeout || relay.OnLoss != client.OnLoss {
		t.Errorf("[dhcp] shows %+v; the defaults are in %+v", relay, client)
	}
	checkL2TPv3Reference(t, cfg)
	if cfg.StateDir != def.StateDir {
		t.Errorf("state_dir is shown as %q; the default is %q", cfg.StateDir, def.StateDir)
	}
	if cfg.VendorName != def.VendorName || cfg.Control.Socket != def.Control.Socket {
		t.Error("the vendor's name or the socket differ from the defaults")
	}
}

// checkL2TPv3Reference compares what is shown of pseudowires and static tunnels with
// what counts where the file says the least.
func checkL2TPv3Reference(t *testing.T, cfg *Config) {
	t.Helper()
	least := mustLoad(t, `
[[pseudowires]]
name = "office"
[[l2tpv3.static]]
name = "branch"
local = "192.0.2.1:5000"
remote = "198.51.100.1:5001"
tunnel_id = 3000
peer_tunnel_id = 4000
[[lns.peers]]
name = "p"
secret = "s"
pseudowires = ["office"]
versions = [3]
`, nil)
	// These have no default but none.
	shown := *cfg.Pseudowires[0]
	shown.ApplicationID = nil
	shown.RemoteEndID, shown.Interface, shown.Bridge = least.Pseudowires[0].RemoteEndID, "", ""
	if shown.MTU != 1500 {
		t.Errorf("mtu is shown as %d; the default is 1500", shown.MTU)
	}
	shown.MTU = 0
	if diff := cmp.Diff(least.Pseudowires[0], &shown, comparers); diff != "" {
		t.Errorf("a pseudowire (-default +shown):\n%s", diff)
	}
	static := *cfg.L2TPv3.Static[0]
	static.Sessions, static.Keepalive = nil, 0
	static.DataPlane = DataPlaneAuto // line-b is switched
	if diff := cmp.Diff(least.L2TPv3.Static[0], &static, comparers); diff != "" {
		t.Errorf("a static tunnel (-default +shown):\n%s", diff)
	}
	if v := cfg.LAC.Tunnels[0].V3; v.Has(3) || !v.Has(2) || v.Encapsulation != EncapsulationUDP {
		t.Errorf("versions and encapsulation of a tunnel are shown as %+v", v)
	}
	if !cfg.LNS.Peers[2].V3.AllowPPP || !least.LNS.Peers[0].V3.AllowPPP {
		t.Error("ppp is shown, or is by default, false")
	}
	if d := least.LNS.Peers[0].V3.Digests; len(d) != 1 || d[0].String() != "hmac-md5" {
		t.Errorf("digests are %v by default", d)
	}
}

// TestPPPDSamples holds the samples to what they promise: no option that adit
// sets itself.
func TestPPPDSamples(t *testing.T) {
	ours := []string{"plugin", "nodetach", "detach", "sync", "pppol2tp", "updetach", "pty", "unit", "linkname"}
	for _, name := range []string{"options.lns", "options.lac"} {
		data, err := os.ReadFile(filepath.Join(etc, "pppd", name))
		if err != nil {
			t.Fatal(err)
		}
		options := 0
		for line := range strings.Lines(string(data)) {
			line, _, _ = strings.Cut(line, "#")
			words := strings.Fields(line)
			if len(words) == 0 {
				continue
			}
			options++
			if slices.Contains(ours, words[0]) {
				t.Errorf("%s sets %s, which is adit's affair", name, words[0])
			}
		}
		if options < 5 {
			t.Errorf("%s has only %d options", name, options)
		}
	}
}

func TestSocketOf(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.toml")
	for document, want := range map[string]string{
		"":                                  DefaultSocket,
		"[control]\nsocket = '/x/y'":        "/x/y",
		"nonsense = 1\ncontrol.socket='/z'": "/z",
	} {
		if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := SocketOf(path); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", document, got, err, want)
		}
	}
	if err := os.WriteFile(path, []byte("[control"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := SocketOf(path); err == nil {
		t.Error("a file that is not TOML gives a socket")
	}
	if _, err := SocketOf(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "--socket") {
		t.Errorf("no file: %v", err)
	}
}
