package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"adit/internal/config"
	"adit/internal/control"
	"adit/internal/kernel"
)

// asAdit has this test program be adit.
const asAdit = "ADIT_TEST_IS_ADIT"

func TestMain(m *testing.M) {
	if os.Getenv(asAdit) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestSignals: each of them ends a process of its own in good order and soon,
// also if its only peer never answers; and so does the second of a pair.
func TestSignals(t *testing.T) {
	for _, test := range []struct {
		signals  []syscall.Signal
		document string
	}{
		{[]syscall.Signal{syscall.SIGTERM}, ""},
		{[]syscall.Signal{syscall.SIGINT}, ""},
		{[]syscall.Signal{syscall.SIGHUP, syscall.SIGTERM}, ""},
		{[]syscall.Signal{syscall.SIGTERM, syscall.SIGTERM}, dialMute(t)},
	} {
		t.Run(fmt.Sprint(test.signals), func(t *testing.T) {
			t.Parallel()
			p := startProcess(t, test.document)
			for _, s := range test.signals {
				if err := p.cmd.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
			}
			p.mustEnd(t)
			if _, err := os.Stat(p.socket); !os.IsNotExist(err) {
				t.Errorf("the control socket is still there: %v", err)
			}
		})
	}
}

// TestLogReaderGoesAway: the daemon goes on when nobody reads its log any more.
func TestLogReaderGoesAway(t *testing.T) {
	t.Parallel()
	p := startProcess(t, dialMute(t))
	p.log.Close()
	client := control.NewClient(p.socket)
	defer client.Close()
	// It dials every 100 ms, which makes a line each time.
	before, err := client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	await(t, "more attempts", func() bool {
		now, err := client.Status(t.Context())
		if err != nil {
			t.Fatalf("after its log was closed: %v", err)
		}
		return now.Counters["tunnels_dialled"] > before.Counters["tunnels_dialled"]+1
	})
}

// own is adit in a process of its own, whose log is a pipe.
type own struct {
	cmd    *exec.Cmd
	log    *os.File
	lines  *bufio.Scanner // of the log, after what was waited for
	socket string
	ended  chan error
}

// awaitLine waits for a line in the log.
func (p *own) awaitLine(t *testing.T, text string) {
	t.Helper()
	timer := time.AfterFunc(20*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	for p.lines.Scan() {
		if strings.Contains(p.lines.Text(), text) {
			return
		}
	}
	t.Fatalf("its log has no %q", text)
}

// dialMute configures a LAC tunnel to a port that nobody answers on.
func dialMute(t *testing.T) string {
	t.Helper()
	mute, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mute.Close() })
	return fmt.Sprintf("[[lac.tunnels]]\nname = \"mute\"\nremote = %q\nretry_min = \"100ms\"\nretry_max = \"100ms\"\n", mute.LocalAddr())
}

// startProcess starts an adit and waits until it is ready.
func startProcess(t *testing.T, document string) *own {
	t.Helper()
	dir := t.TempDir()
	p := &own{socket: filepath.Join(dir, "s"), ended: make(chan error, 1)}
	path := filepath.Join(dir, "adit.toml")
	document = fmt.Sprintf("control.socket = %q\npppd.stop_timeout = \"10ms\"\ncontrol_channel.setup_timeout = \"1s\"\n%s%s",
		p.socket, discardProfile, document)
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command(os.Args[0], "run", "-c", path)
	p.cmd.Env = append(os.Environ(), asAdit+"=1")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	p.log, p.cmd.Stderr = r, w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	p.lines = bufio.NewScanner(r)
	p.awaitLine(t, "adit is ready")
	return p
}

// mustEnd waits for a good end, within what goodbye and the control socket may
// take.
func (p *own) mustEnd(t *testing.T) {
	t.Helper()
	select {
	case err := <-p.ended:
		if err != nil {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(goodbye + 10*time.Second):
		t.Error("it does not end")
	}
}

// TestDefaultListenersDoWithoutIPv6: what nobody asked for is left out where
// the kernel has no IPv6; what somebody wrote is an error.
func TestDefaultListenersDoWithoutIPv6(t *testing.T) {
	v4, v6 := netip.MustParseAddrPort("0.0.0.0:1701"), netip.MustParseAddrPort("[::]:1701")
	noIPv6 := &kernel.Error{Op: "listen", Kind: kernel.ErrNotSupported, Err: unix.EAFNOSUPPORT}
	quiet := logrus.New()
	quiet.SetLevel(logrus.PanicLevel)
	for _, test := range []struct {
		name string
		all  []config.Listen
		fail map[netip.AddrPort]error
		want error
	}{
		{"both", []config.Listen{{Address: v4, Default: true}, {Address: v6, Default: true}}, nil, nil},
		{"no IPv6", []config.Listen{{Address: v4, Default: true}, {Address: v6, Default: true}}, map[netip.AddrPort]error{v6: noIPv6}, nil},
		{"asked for", []config.Listen{{Address: v6}}, map[netip.AddrPort]error{v6: noIPv6}, kernel.ErrNotSupported},
		{"another error", []config.Listen{{Address: v4, Default: true}}, map[netip.AddrPort]error{v4: kernel.ErrPortInUse}, kernel.ErrPortInUse},
		{"nobody listens", nil, nil, nil},
	} {
		var opened []netip.AddrPort
		err := listen(test.all, func(a netip.AddrPort) (netip.AddrPort, error) {
			opened = append(opened, a)
			return a, test.fail[a]
		}, logrus.NewEntry(quiet))
		if !errors.Is(err, test.want) || len(opened) != len(test.all) {
			t.Errorf("%s: %v after %v", test.name, err, opened)
		}
	}
	err := listen([]config.Listen{{Address: v6, Default: true}},
		func(a netip.AddrPort) (netip.AddrPort, error) { return a, noIPv6 }, logrus.NewEntry(quiet))
	if err == nil {
		t.Error("a daemon that listens nowhere is content")
	}
}
