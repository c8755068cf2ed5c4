package config

import (
	"bytes"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"adit/integration/lab"
	"adit/internal/need"
)

// firstWords are files and what pppd takes for the first word of each.
var firstWords = map[string]string{
	`zz rest`:               "zz",
	"\t zz\trest":           "zz",
	"# comment\n\nzz":       "zz",
	`"z y" rest`:            "z y",
	`'z"y'`:                 `z"y`,
	`z"y"x`:                 "zyx",
	`"z"y`:                  "zy",
	`z'y x'w`:               "zy xw",
	`z#y`:                   "z",
	`z\#y`:                  "z#y",
	`"z#y"`:                 "z#y",
	`\#z`:                   "#z",
	`z\x41\102b`:            "zABb",
	`z\x4g`:                 "z\x04g",
	`z\x4Fg`:                "zOg",
	`z\1012`:                "zA2",
	`z\sy\ty`:               "z y\ty",
	`z\ y`:                  "z y",
	`z\\y\"x`:               `z\y"x`,
	`"z\ny\"x"`:             "z\ny\"x",
	"z\\\ny":                "zy",
	"z\\\n y":               "z",
	"\"z\\\ny\"":            "zy",
	"\\\n  zz":              "zz",
	"zz\r\nnext":            "zz",
	`z*@/y`:                 "z*@/y",
	`zé`:                    "zé",
	"\"z y\"\"x\" w":        "z yx",
	"  # a\n  \t\n  'zz' a": "zz",
}

func TestSecretsWords(t *testing.T) {
	for text, want := range firstWords {
		lines := secretsLines(text)
		if len(lines) == 0 || lines[0].problem != "" || lines[0].words[0] != want {
			t.Errorf("%q: %+v, want %q first", text, lines, want)
		}
	}
}

// A pppd that does not know an option says what word it took it for.
func TestSecretsWordsAsPPPD(t *testing.T) {
	if err := lab.InstallPrograms(t.Context(), os.Stderr, "pppd"); err != nil {
		need.Lack(t, "needs pppd: %v", err)
	}
	path := filepath.Join(t.TempDir(), "options")
	for text, want := range firstWords {
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("pppd", "notty", "file", path).CombinedOutput()
		if err == nil {
			t.Fatalf("pppd takes the options %q", text)
		}
		_, said, found := bytes.Cut(out, []byte("unrecognized option '"))
		if !found {
			t.Errorf("pppd about %q: %s", text, out)
			continue
		}
		if got := string(said[:bytes.LastIndexByte(said, '\'')]); got != want {
			t.Errorf("pppd takes %q for %q, not %q", text, got, want)
		}
	}
}

func TestSecretsLines(t *testing.T) {
	const text = `# a comment
alice * "s p a c e" 10.0.0.1 # and a comment

bob	lns \
  secret
"open * x
carol * y`
	want := []secretsLine{
		{2, []string{"alice", "*", "s p a c e", "10.0.0.1"}, ""},
		{4, []string{"bob", "lns", "secret"}, ""},
		{6, []string{"open * x"}, "has a quote that is not closed; close it, or write a backslash before it"},
		{7, []string{"carol", "*", "y"}, ""},
	}
	if diff := cmp.Diff(want, secretsLines(text), cmp.AllowUnexported(secretsLine{})); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if got := secretsLines("a \\"); len(got) != 1 || len(got[0].words) != 2 {
		t.Errorf("a backslash at the end: %+v", got)
	}
}

func TestChapSecrets(t *testing.T) {
	cfg := mustLoad(t, "chap_secrets = '../ppp/chap-secrets'\n[[users]]\nname = 'first'\npassword = 'x'\n"+
		"[[lac.tunnels]]\nname = 't'\nremote = '192.0.2.1'\n",
		fstest.MapFS{
			"ppp/chap-secrets": {Mode: 0o600, Data: []byte(`# Secrets for authentication using CHAP
# client	server	secret			IP addresses
alice		*	"pass word"		10.0.0.2
bob		host.example bobs		*
bob		*	not-this
carol		other	not-for-us
CORP\\dave	*	d		-
erin		*	@/ppp/erin	10.0.0.3 10.0.0.4
frank		*	f		10.1.0.0/16
grace		*	g		!10.0.0.9 10.0.0.8
heidi		*	h		10.2.0.0/24+
ivan		*	i		10.0.0.5 -- mtu 1400
*		*	anybody
""		*	nobody
judy		*	""
broken		*
`)},
			"ppp/erin": {Data: []byte("'e r' \n"), Mode: 0o600},
		})
	want := []*User{
		{Name: "first", Password: Secret("x")},
		{Name: "alice", Password: Secret("pass word"), Address: netip.MustParseAddr("10.0.0.2")},
		{Name: "bob", Password: Secret("bobs")},
		{Name: `CORP\dave`, Password: Secret("d")},
		{Name: "erin", Password: Secret("e r")},
		{Name: "frank", Password: Secret("f")},
		{Name: "grace", Password: Secret("g")},
		{Name: "heidi", Password: Secret("h")},
		{Name: "ivan", Password: Secret("i"), Address: netip.MustParseAddr("10.0.0.5")},
	}
	if diff := cmp.Diff(want, cfg.Users, comparers); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
	if cfg.ChapSecrets != "/ppp/chap-secrets" {
		t.Errorf("the file is %q", cfg.ChapSecrets)
	}
	const several = "allows several addresses, and adit gives one of a pool instead; write one address, or none"
	warnings := []string{
		"/ppp/chap-secrets:8: erin: " + several,
		"/ppp/chap-secrets:9: frank: " + several,
		"/ppp/chap-secrets:10: grace: " + several,
		"/ppp/chap-secrets:11: heidi: " + several,
		"/ppp/chap-secrets:12: ivan: adit does not read the options after --; write what they say into a profile, or into [[users]]",
		`/ppp/chap-secrets:13: "*": a client of any name cannot be a user of adit; write a line for each`,
		"/ppp/chap-secrets:14: line14: a client without a name cannot be a user of adit; write the name",
		"/ppp/chap-secrets:15: judy: has an empty secret, and adit lets nobody in by that; write a secret",
		"/ppp/chap-secrets:16: broken: the line has no secret, so it counts for nothing; write client, server and secret, or take it away",
	}
	if diff := cmp.Diff(warnings, strings.Split(cfg.Warnings.Error(), "\n")); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

// Every mistake in all three places of users is reported with its own file and
// line.
func TestBadUserFiles(t *testing.T) {
	_, err := load(t, `users_file = "users.toml"
chap_secrets = "chap-secrets"
[pools.a]
ranges = ["10.9.0.0/24"]
[pools.six]
prefixes = ["2001:db8:100::/40"]
length = 64
[[users]]
name = "alice"
password = "x"
address = "10.0.0.2"
ipv6_prefix = "2001:db8:1::/64"
routes = ["192.0.2.0/24"]
`, fstest.MapFS{
		"cfg/users.toml": {Mode: 0o644, Data: []byte(`host_name = "x"
[[users]]
name = "alice"
nt_hash = "00"
[[users]]
name = "bob"
password_file = "bob"
routes = ["192.0.2.0/24"]
delegated_prefix = "2001:db8:1::/48"
ipv6_prefix = "2001:db8:101:7::/64"
`)},
		"cfg/chap-secrets": {Mode: 0o600, Data: []byte(`alice * x
carol * y 10.0.0.2
dave * z 10.9.0.7
erin * @relative
frank * @/none
grace * @/open
heidi * "x
ivan * x host.example
ivan * y
judy * z 10.1.1.1/33
bob host.example b
`)},
		"open": {Mode: 0o644, Data: []byte("# nothing\n")},
	})
	want := `/cfg/adit.toml:1: users_file: /cfg/users.toml can be read by everybody (mode 0644); chmod o-r /cfg/users.toml
/cfg/users.toml:1: host_name: unknown key; the keys here are users
/cfg/users.toml:3: users[0].name: "alice" is the name of users[0] in /cfg/adit.toml, line 8 already; choose another
/cfg/users.toml:4: users[0].nt_hash: is not the hash of a password; write its 16 octets as 32 hexadecimal digits
/cfg/users.toml:7: users[1].password_file: /cfg/bob cannot be read: there is no such file
/cfg/users.toml:8: users[1].routes[0]: 192.0.2.0/24 is taken by users[0].routes[0] in /cfg/adit.toml, line 13 already; one network leads to one user
/cfg/users.toml:9: users[1].delegated_prefix: 2001:db8:1::/48 overlaps with 2001:db8:1::/64, which is users[0].ipv6_prefix in /cfg/adit.toml, line 12; a prefix may be given once only
/cfg/users.toml:10: users[1].ipv6_prefix: 2001:db8:101:7::/64 overlaps with 2001:db8:100::/40, which is pools.six.prefixes[0] in /cfg/adit.toml, line 6; a prefix may be given once only
/cfg/chap-secrets:1: alice: "alice" is the name of users[0] in /cfg/adit.toml, line 8 already; choose another
/cfg/chap-secrets:2: carol: 10.0.0.2 is taken by users[0].address in /cfg/adit.toml, line 11 already; one address leads to one user
/cfg/chap-secrets:3: dave: 10.9.0.7 is also in 10.9.0.1-10.9.0.254 of pool "a", which would give it to a peer; take it out of the pool
/cfg/chap-secrets:4: erin: the secret begins with "@", but no absolute path follows; write one, or put this user into [[users]] if it is the secret itself
/cfg/chap-secrets:5: frank: /none cannot be read: there is no such file
/cfg/chap-secrets:6: grace: /open can be read by everybody (mode 0644); chmod o-r /open
/cfg/chap-secrets:6: grace: /open has no secret; write it into the file as one word, in quotes if need be
/cfg/chap-secrets:7: heidi: has a quote that is not closed; close it, or write a backslash before it
/cfg/chap-secrets:8: ivan: "host.example" is not an IPv4 address or network; adit asks no name server for it: write the address
/cfg/chap-secrets:9: ivan: "ivan" is the name of line 8 of /cfg/chap-secrets already; choose another
/cfg/chap-secrets:10: judy: "10.1.1.1/33" is not an IPv4 address or network; adit asks no name server for it: write the address
/cfg/chap-secrets:11: bob: "bob" is the name of users[1] in /cfg/users.toml, line 5 already; choose another`
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
	_, err = load(t, "users_file = 'none'\nchap_secrets = ''\n", nil)
	want = `/cfg/adit.toml:1: users_file: /cfg/none cannot be read: there is no such file
/cfg/adit.toml:2: chap_secrets: is empty; write a path, or take the key away`
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	_, err = load(t, "users_file = 'u'\n", fstest.MapFS{"cfg/u": {Mode: 0o600, Data: []byte("\n[[users]\n")}})
	if err == nil || !strings.HasPrefix(err.Error(), "/cfg/u:3: not TOML: ") {
		t.Errorf("a users file that is not TOML: %v", err)
	}
}

func FuzzChapSecrets(f *testing.F) {
	for text := range firstWords {
		f.Add(text + " * x 10.0.0.1\nb host.example @/x !*")
	}
	f.Fuzz(func(t *testing.T, text string) {
		cfg, err := LoadFrom(machine(fstest.MapFS{
			"a.toml": {Data: []byte("chap_secrets = 's'\n"), Mode: 0o600},
			"s":      {Data: []byte(text), Mode: 0o600},
		}), "/a.toml")
		if err != nil {
			return
		}
		for _, u := range cfg.Users {
			if u.Name == "" || len(u.Password) == 0 || len(u.Password) > maxPPPName {
				t.Errorf("a user %q with %d octets of password", u.Name, len(u.Password))
			}
		}
	})
}
