package radius

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"layeh.com/radius"

	"adit/integration/scenario"
	"adit/internal/config"
	"adit/lns/radattr"
	"adit/lns/subscriber"
)

const echoVariable = "ADIT_RADIUS_ECHO"

// TestEchoChild is the process of a server that takes every record.
func TestEchoChild(t *testing.T) {
	if os.Getenv(echoVariable) == "" {
		return // it is run by BenchmarkSessions only
	}
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("echo at", conn.LocalAddr())
	buf := make([]byte, radius.MaxPacketLength)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = conn.WriteToUDPAddrPort(answerTo(t, buf[:n], "secret", radius.CodeAccountingResponse, false), from); err != nil {
			t.Fatal(err)
		}
	}
}

// echo starts that process; it ends with the test, or before.
func echo(b *testing.B) (at netip.AddrPort, end func()) {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestEchoChild$")
	cmd.Env = append(os.Environ(), echoVariable+"=1")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	ended := false
	end = func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // it was killed
		}
	}
	b.Cleanup(end)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		at, err = netip.ParseAddrPort(strings.TrimPrefix(strings.TrimSpace(line), "echo at "))
	}
	if err != nil {
		b.Fatalf("%q: %v", line, err)
	}
	return at, end
}

// usage is what this process has used so far.
type usage struct {
	cpu    time.Duration
	writes uint64 // system calls that write, to sockets and pipes too
	octets uint64 // that files have got, page by page
}

func used(b *testing.B) (u usage) {
	b.Helper()
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	u.cpu = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	io, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Skip(err)
	}
	for line := range strings.Lines(string(io)) {
		_, _ = fmt.Sscanf(line, "syscw: %d", &u.writes)
		_, _ = fmt.Sscanf(line, "write_bytes: %d", &u.octets)
	}
	return u
}

func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// line is a record as an ISP's subscribers have it.
func fullRecord(kind subscriber.RecordKind, i int) subscriber.Record {
	return subscriber.Record{Kind: kind, Time: time.Now(), Session: &subscriber.RecordSession{
		Line: subscriber.Line{
			ID: fmt.Sprintf("5f3a9c1e-%08x", i), Tunnel: uint32(i >> 8), Session: uint32(i), LNS: true,
			Local: netip.MustParseAddrPort("192.0.2.1:1701"), Peer: netip.MustParseAddrPort("198.51.100.7:1701"),
			HostName: "lns1.example.net", PeerHostName: "lac7.example.net",
			CallingNumber: fmt.Sprintf("line-%010d", i), CalledNumber: "0800123", CallSerial: uint32(i), TxSpeed: 100e6, RxSpeed: 40e6,
		},
		User:    fmt.Sprintf("subscriber%06d@isp.example.net", i),
		Service: subscriber.Service{Class: [][]byte{[]byte("0123456789abcdef0123456789abcdef")}},
		Addresses: subscriber.Addresses{
			IPv4: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), InterfaceID: 1,
			Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8:1::/64")},
		},
		Method: subscriber.MethodRADIUS, Duration: time.Hour, Counters: subscriber.Counters{OctetsIn: 5e9, OctetsOut: 6e10, PacketsIn: 1e7, PacketsOut: 5e7},
	}}
}

// BenchmarkSessions is 100,000 sessions: with a server, and interim records every
// ten minutes; without one, for many rounds of them; and after a start with all that
// is on disk then.
func BenchmarkSessions(b *testing.B) {
	const sessions, rounds = 100000, 12
	at, end := echo(b)
	server := &config.RADIUSServer{
		Name: "echo", Address: at.Addr(), AcctPort: at.Port(), Secret: config.Secret("secret"),
		Timeout: time.Second, Retries: 2, DeadTime: time.Minute, MaxPending: 1024,
	}
	cfg, group := realConfig(server)
	dir := filepath.Join(b.TempDir(), "accounting")
	open := func() *Client {
		c, err := New(cfg, Options{Dir: dir, Log: quiet(), Encode: func(p *radius.Packet, r *subscriber.Record) {
			radattr.Accounting(p, radattr.NAS{Identifier: "lns1"}, r, 0)
		}})
		if err != nil {
			b.Fatal(err)
		}
		return c
	}
	settle := func(c *Client, backlog uint64) {
		scenario.WaitFor(b, time.Minute, "the records to be taken in", func() bool {
			return c.books.queued.Load() == 0 && c.Counts()["radius_accounting_backlog"] <= backlog
		})
	}
	for b.Loop() {
		before := heap()
		c := open()
		began := time.Now()
		for i := range sessions {
			c.Account(group, fullRecord(start, i))
		}
		settle(c, 0)
		b.ReportMetric(sessions/time.Since(began).Seconds(), "starts/s")
		b.ReportMetric(heap()-before, "MiB-open")

		const perSecond, seconds = sessions / 600, 10
		from := used(b)
		ticks := time.NewTicker(time.Second / perSecond)
		for i := range perSecond * seconds {
			c.Account(group, fullRecord(interim, i))
			<-ticks.C
		}
		ticks.Stop()
		to := used(b)
		b.ReportMetric(100*(to.cpu-from.cpu).Seconds()/seconds, "%cpu")
		b.ReportMetric(float64(to.writes-from.writes)/seconds, "writes/s")
		b.ReportMetric(float64(to.octets-from.octets)/seconds/1024, "KiB/s")
		settle(c, 0)

		end()
		for range rounds {
			for i := range sessions {
				c.Account(group, fullRecord(interim, i))
			}
			settle(c, sessions*rounds)
		}
		counts := c.Counts()
		b.ReportMetric(heap()-before, "MiB-down")
		b.ReportMetric(float64(counts["radius_accounting_disk_octets"])/(1<<20), "MiB-disk")
		b.ReportMetric(float64(counts["radius_accounting_backlog"]), "backlog")
		b.ReportMetric(float64(counts["radius_accounting_dropped_interims"]), "dropped-interims")
		b.ReportMetric(float64(counts["radius_accounting_dropped_records"]), "dropped-records")
		_ = kill(c)
		c = nil

		before = heap()
		began = time.Now()
		c = open()
		b.ReportMetric(time.Since(began).Seconds(), "s-start")
		b.ReportMetric(heap()-before, "MiB-start")
		_ = kill(c)
	}
}
