package guide

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"adit/integration/scenario"
)

func TestMain(m *testing.M) {
	status := m.Run()
	scenario.RemoveBinary()
	os.Exit(status)
}

// machine is a network namespace with files of its own in /etc, /run, /var/lib and
// /var/log, as a page's machine has. What systemd would start stands in units.
type machine struct {
	t    *testing.T
	name string
	ns   *scenario.NS
	bin  string // adit, systemctl and journalctl
	pid  int    // of the process that holds the mounts
}

// holder gives a machine its folders, and waits until it is killed.
const holder = `set -e
mount --make-rprivate /
cp -a /etc "$1/etc"
rm -rf "$1/etc/adit" "$1/etc/freeradius"
mount --bind "$1/etc" /etc
for folder in /run /var/lib /var/log; do mount -t tmpfs tmpfs $folder; done
mkdir /etc/adit
echo ready
exec sleep infinity`

// systemctl does with a machine's units what the pages do with systemd's. A unit
// that is killed is started again, as Restart=on-failure does.
const systemctl = `#!/bin/sh
for unit; do :; done
dir=$(dirname "$0")
pid=/run/$unit.pid
lives() { [ -e "$pid" ] && [ -e "/proc/$(cat "$pid")/exe" ]; }
end() {
	lives || return 0
	kill "-$1" "$(cat "$pid")"
	while lives; do sleep 0.05; done
}
begin() {
	[ -e "$dir/$unit.unit" ] || { echo "Unit $unit could not be found." >&2; exit 5; }
	setsid sh -c 'echo $$ >"$1"; . "$2"' sh "$pid" "$dir/$unit.unit" >>"/var/log/$unit.log" 2>&1 </dev/null &
	while [ ! -s "$pid" ]; do sleep 0.05; done
	# As with Type=notify.
	while [ -e "$dir/$unit.ready" ] && lives && ! sh "$dir/$unit.ready"; do sleep 0.05; done
}
case "$1" in
daemon-reload) ;;
stop) end TERM ;;
enable|start|restart) end TERM; rm -f "$pid"; begin ;;
reload) kill -HUP "$(cat "$pid")" ;;
kill) end KILL; rm -f "$pid"; begin ;;
*) echo "what is $1?" >&2; exit 2 ;;
esac
`

// journalctl knows -u UNIT and -g PATTERN.
const journalctl = `#!/bin/sh
pattern=
while [ $# -gt 0 ]; do
	case "$1" in
	-u) unit=$2; shift ;;
	-g) pattern=$2; shift ;;
	*) echo "what is $1?" >&2; exit 2 ;;
	esac
	shift
done
grep -e "$pattern" "/var/log/$unit.log"
`

// newMachine makes a machine of a namespace. units are what systemctl starts, by
// the file's name: NAME.unit, a script with exec before its last command, and
// NAME.ready, a script that fails until the program serves, if that matters.
func newMachine(t *testing.T, name string, ns *scenario.NS, units map[string]string) *machine {
	t.Helper()
	dir := t.TempDir()
	m := &machine{t: t, name: name, ns: ns, bin: filepath.Join(dir, "bin")}
	files := map[string]string{"systemctl": systemctl, "journalctl": journalctl}
	maps.Copy(files, units)
	if err := os.Mkdir(m.bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(m.bin, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(scenario.Binary(t), filepath.Join(m.bin, "adit")); err != nil {
		t.Fatal(err)
	}
	p := ns.Start(t, name, "unshare", "-m", "sh", "-c", holder, "sh", dir)
	m.pid = p.Pid()
	p.WaitLog(t, time.Minute, "ready")
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := m.sh("(adit status; grep -h level=warning /var/log/*.log; tail -n 40 /var/log/*.log /var/log/freeradius/*.log) 2>/dev/null || true")
			t.Logf("logs of %s:\n%s", name, out)
		}
	})
	return m
}

// aditUnit does what etc/systemd/adit.service does.
const aditUnit = "adit check -c /etc/adit/adit.toml && exec adit run -c /etc/adit/adit.toml"

// sh runs a script on the machine and returns all that it prints.
func (m *machine) sh(script string) (string, error) {
	return m.ns.Run("nsenter", "-t", strconv.Itoa(m.pid), "-m", "env", "PATH="+m.bin+":"+os.Getenv("PATH"), "sh", "-e", "-c", script)
}

// mustSh is sh for what the test itself does.
func (m *machine) mustSh(script string) string {
	m.t.Helper()
	out, err := m.sh(script)
	if err != nil {
		m.t.Fatalf("%s: %v", m.name, err)
	}
	return out
}

// write puts a file into place.
func (m *machine) write(path, text string, mode os.FileMode) {
	m.t.Helper()
	source := filepath.Join(m.t.TempDir(), "file")
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
	m.mustSh(fmt.Sprintf("install -D -m %o %s %s", mode, source, path))
}

// connect makes a link between two machines, by which each reaches the other's
// address of the page. It returns the name of the right one's interface.
func connect(t *testing.T, left, right *machine, a, b string) string {
	t.Helper()
	l := scenario.Join(t, left.ns, right.ns)
	for _, way := range []struct {
		m        *machine
		own, far string
		at       string
	}{{left, a, b, l.Left.Interface}, {right, b, a, l.Right.Interface}} {
		// No other address: a server may tell it.
		way.m.mustSh(fmt.Sprintf("ip -4 address flush dev %[1]s; ip address add %[2]s/32 dev %[1]s; ip route add %[3]s/32 dev %[1]s src %[2]s",
			way.at, way.own, way.far))
	}
	return l.Right.Interface
}

// page is a page of the guide that is being run.
type page struct {
	t        *testing.T
	name     string
	steps    []Step
	machines map[string]*machine
}

// open reads a page.
func open(t *testing.T, name string, machines ...*machine) *page {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "guide", name))
	if err != nil {
		t.Fatal(err)
	}
	p := &page{t: t, name: name, machines: map[string]*machine{}}
	if p.steps, err = Parse(string(text)); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, m := range machines {
		p.machines[m.name] = m
	}
	return p
}

// section does the steps under a heading, all that there are.
func (p *page) section(heading string) {
	p.t.Helper()
	count := 0
	for len(p.steps) > 0 && p.steps[0].Section == heading {
		s := p.steps[0]
		p.steps = p.steps[1:]
		count++
		for _, name := range s.Machines {
			m := p.machines[name]
			if m == nil {
				p.t.Fatalf("%s:%d: there is no machine %q; there are %q", p.name, s.Line, name, slices.Sorted(maps.Keys(p.machines)))
			}
			p.do(m, s)
		}
	}
	if count == 0 {
		next := "nothing"
		if len(p.steps) > 0 {
			next = strconv.Quote(p.steps[0].Section)
		}
		p.t.Fatalf("%s: nothing is to be done in section %q; what comes is %s", p.name, heading, next)
	}
}

// done says that the whole page has been run.
func (p *page) done() {
	p.t.Helper()
	if len(p.steps) > 0 {
		p.t.Errorf("%s:%d: nobody has run this, in section %q", p.name, p.steps[0].Line, p.steps[0].Section)
	}
}

// patience is how long a command is repeated until it prints what the page shows.
const patience = 45 * time.Second

// do does one step on one machine.
func (p *page) do(m *machine, s Step) {
	p.t.Helper()
	switch s.Kind {
	case File:
		m.write(s.Path, s.Text, s.Mode)
	case Run:
		p.run(m, s)
	case Shows: // is a part of Run
	}
}

func (p *page) run(m *machine, s Step) {
	p.t.Helper()
	out, err := m.sh(s.Text)
	lacks, first := Differs(s.Shows, out), out
	if (err != nil || lacks != "") && s.Shows != "" {
		scenario.Eventually(patience, func() bool {
			out, err = m.sh(s.Text)
			lacks = Differs(s.Shows, out)
			return err == nil && lacks == ""
		})
	}
	if err != nil {
		p.t.Errorf("%s:%d: on %s: %v", p.name, s.Line, m.name, err)
	}
	if lacks != "" {
		p.t.Errorf("%s:%d: on %s this is not in what was printed:\n%s\nIt was at first:\n%s\nand at last:\n%s",
			p.name, s.Line, m.name, lacks, strings.TrimSpace(first), strings.TrimSpace(out))
	}
	if p.t.Failed() {
		p.t.FailNow()
	}
	p.t.Logf("%s:%d: on %s:\n%s", p.name, s.Line, m.name, strings.TrimSpace(out))
}
