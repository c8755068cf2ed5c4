package scenario

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"
)

// Throughput is the result of a Transfer.
type Throughput struct {
	Bytes   int64
	Elapsed time.Duration
}

// MbitPerSecond of payload.
func (p Throughput) MbitPerSecond() float64 {
	return float64(p.Bytes) * 8 / 1e6 / p.Elapsed.Seconds()
}

func (p Throughput) String() string {
	return fmt.Sprintf("%d bytes in %.2f s, %.1f Mbit/s", p.Bytes, p.Elapsed.Seconds(), p.MbitPerSecond())
}

// transferLimit ends a transfer that stalls.
const transferLimit = 5 * time.Minute

// Transfer sends bytes over TCP from one namespace to an address in another and
// fails the test unless every one of them arrives, in order and unaltered
// (SHA-256 of both ends compared). The elapsed time is from the connection to
// the receiver's confirmation.
func Transfer(t TB, from, to *NS, addr netip.Addr, bytes int64) Throughput {
	t.Helper()
	result, err := transfer(from, to, addr, bytes)
	if err != nil {
		t.Fatalf("transfer from %s to %s at %s: %v", from.Name, to.Name, addr, err)
	}
	return result
}

func transfer(from, to *NS, addr netip.Addr, bytes int64) (Throughput, error) {
	ctx, cancel := context.WithTimeout(context.Background(), transferLimit)
	defer cancel()
	var listener net.Listener
	err := to.Do(func() (err error) {
		var config net.ListenConfig
		config.SetMultipathTCP(false)
		listener, err = config.Listen(ctx, "tcp", netip.AddrPortFrom(addr, 0).String())
		return err
	})
	if err != nil {
		return Throughput{}, err
	}
	defer listener.Close()
	received := make(chan error, 1)
	go func() { received <- receive(listener, bytes) }()
	var conn net.Conn
	begin := time.Now()
	err = from.Do(func() (err error) {
		var dialer net.Dialer
		conn, err = dialer.DialContext(ctx, "tcp", listener.Addr().String())
		return err
	})
	if err != nil {
		return Throughput{}, err
	}
	defer conn.Close()
	if err := send(conn, bytes); err != nil {
		return Throughput{}, err
	}
	elapsed := time.Since(begin)
	return Throughput{Bytes: bytes, Elapsed: elapsed}, <-received
}

// send writes pseudo-random bytes and compares the sum that comes back.
func send(conn net.Conn, bytes int64) error {
	if err := conn.SetDeadline(time.Now().Add(transferLimit)); err != nil {
		return err
	}
	var seed [32]byte
	seed[0] = byte(bytes)
	sum := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(conn, sum), rand.NewChaCha8(seed), bytes); err != nil {
		return err
	}
	var theirs [sha256.Size]byte
	if _, err := io.ReadFull(conn, theirs[:]); err != nil {
		return fmt.Errorf("no confirmation: %w", err)
	}
	if [sha256.Size]byte(sum.Sum(nil)) != theirs {
		return errors.New("what arrived is not what was sent: the SHA-256 sums differ")
	}
	return nil
}

// receive takes exactly that many bytes and returns their sum to the sender.
func receive(listener net.Listener, bytes int64) error {
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	if err = conn.SetDeadline(time.Now().Add(transferLimit)); err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.CopyN(sum, conn, bytes)
	if err != nil {
		return fmt.Errorf("received %d of %d bytes: %w", n, bytes, err)
	}
	_, err = conn.Write(sum.Sum(nil))
	return err
}
