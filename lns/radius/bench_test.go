package radius

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"adit/internal/config"
)

// underWay is how many requests are kept under way: with 256 they overflow the
// receive buffer of a FreeRADIUS that does not have the processor at once, and then
// retransmissions are what is measured.
const underWay = 64

// flood makes n exchanges and returns how many there were in a second.
func flood(b *testing.B, c *Client, group *config.RADIUSGroup, n int) float64 {
	b.Helper()
	var failed atomic.Int64
	room := make(chan struct{}, underWay)
	began := time.Now()
	for range n {
		room <- struct{}{}
		c.Authenticate(Request{Group: group, Build: func(p *radius.Packet) error {
			if err := rfc2865.UserName_SetString(p, "alice"); err != nil {
				return err
			}
			return rfc2865.UserPassword_SetString(p, "hers")
		}}, func(reply *Reply, err error) {
			if err != nil || reply.Packet.Code != radius.CodeAccessAccept {
				failed.Add(1)
			}
			<-room
		})
	}
	for range underWay {
		room <- struct{}{}
	}
	rate := float64(n) / time.Since(began).Seconds()
	if failed.Load() > 0 {
		b.Fatalf("%d of %d failed", failed.Load(), n)
	}
	return rate
}

// BenchmarkEcho is the bound: a server that does nothing but sign.
func BenchmarkEcho(b *testing.B) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	go func() {
		buf := make([]byte, radius.MaxPacketLength)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if _, err = conn.WriteToUDPAddrPort(answerTo(b, buf[:n], "secret", radius.CodeAccessAccept, true), from); err != nil {
				return
			}
		}
	}()
	cfg, group := realConfig(&config.RADIUSServer{
		Name: "echo", Address: loopback, AuthPort: conn.LocalAddr().(*net.UDPAddr).AddrPort().Port(), Secret: config.Secret("secret"),
		Timeout: time.Second, Retries: 2, DeadTime: time.Second, MaxPending: underWay, RequireMessageAuthenticator: true,
	})
	c := realClient(b, cfg, b.TempDir())
	b.ReportAllocs()
	b.ResetTimer()
	b.ReportMetric(flood(b, c, group, b.N), "exchanges/s")
}

// BenchmarkFreeRADIUS compares the Client to radclient, with the same server, the
// same password and as many requests under way, the two by turns.
func BenchmarkFreeRADIUS(b *testing.B) {
	s := freeRADIUS(b, "secret")
	if _, err := exec.LookPath("radclient"); err != nil {
		b.Skip(err)
	}
	at := serverAt("only", s)
	at.MaxPending = underWay
	cfg, group := realConfig(at)
	c := realClient(b, cfg, b.TempDir())
	const share = 4000
	file := filepath.Join(b.TempDir(), "requests")
	requests := strings.Repeat("User-Name = alice\nUser-Password = hers\nMessage-Authenticator = 0x00\n\n", share)
	if err := os.WriteFile(file, []byte(requests), 0o600); err != nil {
		b.Fatal(err)
	}
	var ours, theirs float64
	rounds := 0
	for b.Loop() {
		ours += flood(b, c, group, share)
		began := time.Now()
		out, err := exec.Command("radclient", "-q", "-s", "-p", fmt.Sprint(underWay), "-f", file, s.Auth.String(), "auth", s.Secret).CombinedOutput()
		if err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		theirs += share / time.Since(began).Seconds()
		rounds++
	}
	b.ReportMetric(ours/float64(rounds), "exchanges/s")
	b.ReportMetric(theirs/float64(rounds), "radclient/s")
	b.ReportMetric(ours/theirs, "ratio")
	b.ReportMetric(float64(c.Counts()["radius_retransmissions"]), "retransmissions")
}

// BenchmarkAccount is what a record costs from Account until a server that does
// nothing but sign has taken it, by way of the disk.
func BenchmarkAccount(b *testing.B) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	go func() {
		buf := make([]byte, radius.MaxPacketLength)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if _, err = conn.WriteToUDPAddrPort(answerTo(b, buf[:n], "secret", radius.CodeAccountingResponse, false), from); err != nil {
				return
			}
		}
	}()
	cfg, group := realConfig(&config.RADIUSServer{
		Name: "echo", Address: loopback, AcctPort: conn.LocalAddr().(*net.UDPAddr).AddrPort().Port(), Secret: config.Secret("secret"),
		Timeout: time.Second, Retries: 2, DeadTime: time.Second, MaxPending: underWay,
	})
	c := realClient(b, cfg, b.TempDir())
	b.ReportAllocs()
	b.ResetTimer()
	began := time.Now()
	for i := range b.N {
		id := fmt.Sprint(i / 2)
		if i%2 == 0 {
			c.Account(group, record(start, id, 0))
		} else {
			c.Account(group, record(stop, id, 1))
		}
	}
	if err = c.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "records/s")
}
