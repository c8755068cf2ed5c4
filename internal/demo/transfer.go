package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"
)

// Throughput is what came of a transfer, as its receiver saw it.
type Throughput struct {
	Bytes   int64         `json:"bytes"`
	Elapsed time.Duration `json:"elapsed_ns"`
}

// GbitPerSecond of payload.
func (t Throughput) GbitPerSecond() float64 {
	if t.Elapsed <= 0 {
		return 0
	}
	return float64(t.Bytes) * 8 / float64(t.Elapsed.Nanoseconds())
}

func (t Throughput) String() string {
	return fmt.Sprintf("%d MiB in %s, %.2f Gbit/s", t.Bytes>>20, short(t.Elapsed), t.GbitPerSecond())
}

// transferMost bounds a transfer in octets.
const transferMost = 4 << 30

// pattern is what is sent, over and over: of no power of two's length, so that a
// piece that is lost or doubled shows.
var pattern = func() []byte {
	p := make([]byte, 3*65537)
	rand.NewChaCha8([32]byte{'a', 'd', 'i', 't'}).Read(p) // never fails
	return p
}()

// transfer sends data by TCP for a time. The server is in the room that owns the
// address; fromServer says who sends. Every octet is compared with what was sent.
func transfer(ctx context.Context, server, client *room, addr netip.Addr, fromServer bool, lasting time.Duration) (Throughput, error) {
	ctx, cancel := context.WithTimeout(ctx, lasting+5*time.Second)
	defer cancel()
	accepted, dialled, err := connect(ctx, server, client, addr)
	if err != nil {
		return Throughput{}, err
	}
	defer accepted.Close()
	defer dialled.Close()
	defer context.AfterFunc(ctx, func() { accepted.Close(); dialled.Close() })()
	from, to := dialled, accepted
	if fromServer {
		from, to = accepted, dialled
	}
	sent := make(chan sending, 1)
	go func() {
		n, problem := send(from, lasting)
		sent <- sending{n, problem}
	}()
	result, err := receive(to)
	if err != nil {
		accepted.Close()
		dialled.Close()
	}
	s := <-sent
	if ctx.Err() != nil {
		return result, fmt.Errorf("the transfer does not end: %w", context.Cause(ctx))
	}
	if err = errors.Join(err, s.err); err == nil && s.n != result.Bytes {
		err = fmt.Errorf("%d bytes were sent and %d received", s.n, result.Bytes)
	}
	return result, err
}

// sending is what the sender did.
type sending struct {
	n   int64
	err error
}

// connect opens a TCP connection between two rooms.
func connect(ctx context.Context, server, client *room, addr netip.Addr) (accepted, dialled *net.TCPConn, err error) {
	var listener net.Listener
	err = server.do(func() (err error) {
		var config net.ListenConfig
		config.SetMultipathTCP(false)
		listener, err = config.Listen(ctx, "tcp", netip.AddrPortFrom(addr, 0).String())
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	defer listener.Close()
	var conn net.Conn
	err = client.do(func() (err error) {
		var d net.Dialer
		conn, err = d.DialContext(ctx, "tcp", listener.Addr().String())
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	other, err := listener.Accept()
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return other.(*net.TCPConn), conn.(*net.TCPConn), nil
}

// send writes the pattern for a time, and closes this direction.
func send(conn *net.TCPConn, lasting time.Duration) (n int64, err error) {
	for begin := time.Now(); time.Since(begin) < lasting && n < transferMost; {
		m, err := conn.Write(pattern)
		n += int64(m)
		if err != nil {
			return n, err
		}
	}
	return n, conn.CloseWrite()
}

// receive reads to the end and compares with the pattern. The time is from the
// connection to the last octet.
func receive(conn *net.TCPConn) (t Throughput, err error) {
	buffer := make([]byte, len(pattern))
	at := 0
	begin := time.Now()
	for {
		n, err := conn.Read(buffer[:len(pattern)-at])
		if !bytes.Equal(buffer[:n], pattern[at:at+n]) {
			return t, fmt.Errorf("what arrived after %d bytes is not what was sent", t.Bytes)
		}
		at = (at + n) % len(pattern)
		t.Bytes += int64(n)
		t.Elapsed = time.Since(begin)
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return t, err
		}
	}
}
