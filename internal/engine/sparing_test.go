package engine

import (
	"bytes"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/sparing"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// lines is a log of which a test counts lines.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

// with returns the lines that have all of the words.
func (l *lines) with(words ...string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
next:
	for line := range strings.Lines(l.all.String()) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}

// logging makes a node's log one that the test reads.
func logging(l *lines) func(*Options) {
	return func(o *Options) {
		logger := logrus.New()
		logger.SetOutput(l)
		o.Log = logrus.NewEntry(logger)
	}
}

// TestSCCRQsDoNotFloodTheLog: 5,000 SCCRQs in a second that are refused, for
// each reason that there is.
func TestSCCRQsDoNotFloodTheLog(t *testing.T) {
	for name, prepare := range map[string]func(d *node){
		"by the role": func(d *node) {
			d.role.refusal = &Refusal{Why: "because", Name: "them", Result: l2tp.ResultCode{Result: l2tp.StopCCNNotAuthorized}}
		},
		"for a limit": func(d *node) { d.opt.Limits.TunnelsPerPeer = 0 },
		"as half open tunnels that are withdrawn": func(d *node) {},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log lines
			n := newNetwork()
			lac := newNode(t, n, lacAddr, nil)
			lns := newNode(t, n, lnsAddr, logging(&log))
			prepare(lns)
			lac.dial(t, lnsAddr, nil)
			sccrq := n.sentBy(lacAddr, l2tp.TypeSCCRQ)[0].packet
			n.cut(lacAddr)
			n.keep = false
			for i := range 5000 {
				from := netip.AddrPortFrom(lacAddr.Addr(), uint16(2000+i))
				lns.port.dispatch(time.Now(), sccrq, from, lnsAddr.Addr())
				if i%100 == 0 {
					synctest.Wait()
				}
			}
			synctest.Wait()
			lns.do(func(s *shard) { s.stopAll(tunnel.Cause{}) })
			if got := len(log.with("")); got == 0 || got > 2*sparing.Burst {
				t.Errorf("%s: %d lines", name, got)
			}
			time.Sleep(time.Minute)
			lns.port.dispatch(time.Now(), sccrq, netip.MustParseAddrPort("192.0.2.77:1701"), lnsAddr.Addr())
			synctest.Wait()
			lns.do(func(s *shard) { s.stopAll(tunnel.Cause{}) })
			if got := log.with("left_out=49"); len(got) != 1 {
				t.Errorf("%s: nothing says what was left out: %q", name, log.with("left_out"))
			}
			closePair(lac, lns)
		})
	}
}

// TestCallsDoNotFloodTheLog: ICRQs that are refused, and calls that are cleared
// before they are up.
func TestCallsDoNotFloodTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		n := newNetwork()
		lac := newNode(t, n, lacAddr, nil)
		lns := newNode(t, n, lnsAddr, logging(&log))
		calls := 0
		lns.role.onCall = func(c *Call) {
			if calls++; calls%2 == 0 {
				c.Reject("there is no room", tunnel.Cause{Result: l2tp.ResultCode{Result: l2tp.CDNBusy}})
			} else {
				c.Accept(lns.role.newCallSpec())
				c.Close(tunnel.Cause{})
			}
		}
		lac.dial(t, lnsAddr, nil)
		before := len(log.with(""))
		for range 500 {
			lac.role.tunnel(0).PlaceCall(incoming(), lac.role.newCallSpec())
		}
		time.Sleep(time.Second / 2)
		synctest.Wait()
		if got := lac.role.got().callsDown; got != 500 {
			t.Fatalf("%d calls have ended", got)
		}
		refused, others := log.with("session refused: there is no room", "level=warning"), log.with("session was not established")
		if len(refused) == 0 || len(others) == 0 || len(log.with(""))-before > sparing.Burst+1 {
			t.Errorf("%d lines of refused calls, %d of others, %d in all", len(refused), len(others), len(log.with(""))-before)
		}
		if got := lns.counter(CallsFailed); got != 500 {
			t.Errorf("calls_failed %d", got)
		}
		closePair(lac, lns)
	})
}

// TestPeersWordsStayOnOneLine: a host name with a line feed and an escape
// sequence is quoted in the log.
func TestPeersWordsStayOnOneLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		n := newNetwork()
		lac := newNode(t, n, lacAddr, nil)
		lns := newNode(t, n, lnsAddr, logging(&log))
		const evil = "x\nlevel=error msg=forged \x1b[2J\u009b2J"
		lac.dial(t, lnsAddr, func(s *TunnelSpec) { s.Tunnel.HostName = evil })
		lac.role.tunnel(0).Stop(tunnel.Cause{Result: l2tp.ResultCode{Result: l2tp.StopCCNGeneral, Message: evil}})
		synctest.Wait()
		if len(log.with("tunnel is up")) != 1 || len(log.with("tunnel is down")) != 1 {
			t.Errorf("%q", log.with(""))
		}
		for _, line := range log.with("") {
			if !strings.HasPrefix(line, "time=") || strings.ContainsAny(line, "\x1b\u009b") {
				t.Errorf("forged: %q", line)
			}
		}
		closePair(lac, lns)
	})
}
