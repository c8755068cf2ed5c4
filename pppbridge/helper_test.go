package pppbridge

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/circuit"
	"adit/internal/kernel"
)

// TestMain lets the test binary stand in for pppd and for other programs: it
// does so when its name is "pppd", or ADIT_FAKE says which.
func TestMain(m *testing.M) {
	switch {
	case filepath.Base(os.Args[0]) == "pppd":
		fakePPPD(os.Args[1:])
	case os.Getenv("ADIT_FAKE") == "send":
		sendPattern()
	case os.Getenv("ADIT_FAKE") == "daemon":
		fakeDaemon()
	default:
		os.Exit(m.Run())
	}
}

// fakePPPD obeys a script among its words: "do=exit:11", "do=say:text",
// "do=spam:n", "do=hang" (ignores SIGTERM), "do=echo" (sends back what comes on
// the terminal), "do=fds" (lists its descriptors), "do=wait" (until SIGTERM, then
// exit 5), "do=argv", "do=env", "do=child" (leaves a process in its group),
// "do=file:path" (waits until there is such a file).
func fakePPPD(args []string) {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	for _, a := range args {
		verb, ok := strings.CutPrefix(a, "do=")
		if !ok {
			continue
		}
		verb, arg, _ := strings.Cut(verb, ":")
		switch verb {
		case "exit":
			n, _ := strconv.Atoi(arg)
			os.Exit(n)
		case "say":
			fmt.Fprintln(os.Stderr, arg)
		case "spam":
			n, _ := strconv.Atoi(arg)
			for i := range n {
				fmt.Fprintln(os.Stderr, "line", i, strings.Repeat("x", i%700))
			}
		case "hang":
			signal.Ignore(syscall.SIGTERM)
			fmt.Fprintln(os.Stderr, "hanging")
			select {}
		case "wait":
			fmt.Fprintln(os.Stderr, "waiting")
			<-term
			os.Exit(5)
		case "echo":
			fmt.Fprintln(os.Stderr, "Connect: ppp9 <--> /dev/pts/0")
			go func() { <-term; os.Exit(5) }()
			_, _ = io.Copy(os.Stdout, os.Stdin)
			os.Exit(16)
		case "fds":
			fds, _ := filepath.Glob("/proc/self/fd/*")
			for _, fd := range fds {
				to, err := os.Readlink(fd)
				if err == nil {
					fmt.Fprintf(os.Stderr, "fd %s %s\n", filepath.Base(fd), to)
				}
			}
		case "file":
			for _, err := os.Stat(arg); err != nil; _, err = os.Stat(arg) {
				time.Sleep(5 * time.Millisecond) // this is no test, but the program that one starts
			}
		case "argv":
			fmt.Fprintf(os.Stderr, "argv %q\n", args)
		case "env":
			fmt.Fprintf(os.Stderr, "env %q\n", os.Environ())
		case "ids":
			sid, _ := syscall.Getpgid(0)
			fmt.Fprintf(os.Stderr, "ids %v\n", sid == os.Getpid())
		}
	}
	os.Exit(0)
}

// fakeDaemon opens a bridge, prints its pppd's PID, and waits to be killed.
func fakeDaemon() {
	p, err := kernel.NewPoller()
	if err != nil {
		panic(err)
	}
	go func() { _ = p.Run() }()
	s := Spec{Kind: circuit.PPPDAsync, Options: []string{"noauth", "lcp-max-configure", "1000", "lcp-restart", "1"}}
	if os.Getenv("ADIT_FAKE_KIND") == "kernel" {
		local, peer := netip.MustParseAddrPort("127.0.0.1:1901"), netip.MustParseAddrPort("127.0.0.1:1902")
		udp, err := kernel.ConnectedUDP(local, peer)
		if err != nil {
			panic(err)
		}
		if _, err := kernel.OpenManagement(2, udp, peer, 5, 6); err != nil {
			panic(err)
		}
		s.Kind, s.UDP, s.Peer, s.LocalTunnel, s.PeerTunnel, s.LocalSession, s.PeerSession = circuit.PPPDKernel, udp, peer, 5, 6, 7, 8
	}
	b, err := NewFactory(Config{Poller: p, Path: os.Getenv("ADIT_FAKE_PPPD")}).Open(s, &crossover{}, func(e circuit.Exit) { panic(e.Text) })
	if err != nil {
		panic(err)
	}
	for b.Info().PID == 0 || b.Info().Interface == "" && os.Getenv("ADIT_FAKE_PPPD") == "" {
		time.Sleep(10 * time.Millisecond) // this is no test, but the program that one starts
	}
	fmt.Println("pppd", b.Info().PID)
	select {}
}

// pattern is the data of bulk transfers: every octet value, not periodic in
// what a frame holds.
func pattern(n int64) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

func patternSum(n int64) string { return fmt.Sprintf("%x", sha256.Sum256(pattern(n))) }

func sendPattern() {
	n, _ := strconv.ParseInt(os.Getenv("ADIT_FAKE_BYTES"), 10, 64)
	c, err := net.DialTimeout("tcp", os.Getenv("ADIT_FAKE_TO"), 50*time.Second)
	if err == nil {
		_, err = c.Write(pattern(n))
	}
	if err == nil {
		err = c.Close()
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// testLog gathers log lines.
type testLog struct {
	buf   syncBuffer
	entry *logrus.Entry
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newTestLog() *testLog {
	l := &testLog{}
	logger := logrus.New()
	logger.SetOutput(&l.buf)
	logger.SetLevel(logrus.DebugLevel)
	logger.SetFormatter(&logrus.TextFormatter{DisableColors: true})
	l.entry = logger.WithFields(logrus.Fields{"tunnel": 7, "session": 9})
	return l
}

func (l *testLog) String() string { return l.buf.String() }

// newTestFactory runs a poller and a factory until the test ends, and checks
// that nothing is left behind.
func newTestFactory(t *testing.T, cfg Config) *Factory {
	t.Helper()
	p, err := kernel.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- p.Run() }()
	cfg.Poller = p
	f := NewFactory(cfg)
	t.Cleanup(func() {
		f.Close()
		if !t.Failed() {
			if n := f.Running(); n != 0 {
				t.Errorf("%d bridges are left", n)
			}
			if n := p.Watched(); n != 0 {
				t.Errorf("%d descriptors are still watched", n)
			}
		}
		p.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		p.Close()
	})
	return f
}

// fakePath is the path of a "pppd" that is this test binary.
func fakePath(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "pppd")
	if err := os.Symlink(exe, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// waitFor asks until ok; what it waits for is another process, so in real time.
func waitFor(t *testing.T, d time.Duration, what string, ok func() bool, logs ...*testLog) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	for _, l := range logs {
		t.Logf("log:\n%s", l)
	}
	t.Fatalf("waited %v for %s", d, what)
}

func isZombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	_, rest, _ := bytes.Cut(b, []byte(") "))
	return len(rest) > 0 && rest[0] == 'Z'
}

// checkOwnDescriptors fails if a process has a descriptor of another kind.
func checkOwnDescriptors(t *testing.T, pid int, allowed ...string) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	fds, err := os.ReadDir(dir)
	if err != nil || len(fds) == 0 {
		t.Fatalf("%d descriptors: %v", len(fds), err)
	}
	var list []string
next:
	for _, fd := range fds {
		to, err := os.Readlink(filepath.Join(dir, fd.Name()))
		if err != nil {
			continue
		}
		list = append(list, fd.Name()+" "+to)
		for _, a := range allowed {
			if strings.HasPrefix(to, a) {
				continue next
			}
		}
		t.Errorf("descriptor %s of pppd is %s", fd.Name(), to)
	}
	t.Logf("descriptors of pppd: %q", list)
}
