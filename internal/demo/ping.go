package demo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// Ping is what came of echo requests.
type Ping struct {
	Sent     int           `json:"sent"`
	Received int           `json:"received"`
	Least    time.Duration `json:"least_ns"`
	Mean     time.Duration `json:"mean_ns"`
	Most     time.Duration `json:"most_ns"`
}

func (p Ping) String() string {
	return fmt.Sprintf("%d of %d answered, %s / %s / %s", p.Received, p.Sent, short(p.Least), short(p.Mean), short(p.Most))
}

// errLost says that an echo request was not answered.
var errLost = errors.New("an echo request was not answered")

// Of ICMP, RFC 792.
const (
	icmpEchoReply   = 0
	icmpEchoRequest = 8
	icmpHeaderLen   = 8
)

// pingSize is the payload of an echo request, in octets: a packet of 1,228 that
// fits every link.
const pingSize = 1200

// ping sends count echo requests from a room, each when the last was answered,
// and errs if one is not within the limit.
func ping(ctx context.Context, from *room, to netip.Addr, count int, limit time.Duration) (p Ping, err error) {
	var conn *net.IPConn
	err = from.do(func() (err error) {
		conn, err = net.DialIP("ip4:icmp", nil, &net.IPAddr{IP: to.AsSlice()})
		return err
	})
	if err != nil {
		return p, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var total time.Duration
	for seq := range count {
		p.Sent++
		rtt, err := echo(conn, uint16(os.Getpid()), uint16(seq), limit)
		if ctx.Err() != nil {
			return p, ctx.Err()
		}
		if err != nil {
			return p, fmt.Errorf("echo request %d to %s: %w", seq+1, to, err)
		}
		if p.Received == 0 || rtt < p.Least {
			p.Least = rtt
		}
		p.Received++
		p.Most = max(p.Most, rtt)
		total += rtt
	}
	p.Mean = total / time.Duration(max(p.Received, 1))
	return p, nil
}

// echo sends one echo request and waits for its answer.
func echo(conn *net.IPConn, id, seq uint16, limit time.Duration) (time.Duration, error) {
	request := echoRequest(id, seq)
	begin := time.Now()
	if err := conn.SetDeadline(begin.Add(limit)); err != nil {
		return 0, err
	}
	if _, err := conn.Write(request); err != nil {
		return 0, err
	}
	buffer := make([]byte, 2048)
	for {
		n, _, err := conn.ReadFromIP(buffer) // without the IP header, unlike Read
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, errLost
		}
		if err != nil {
			return 0, err
		}
		if isEchoReply(buffer[:n], request) {
			return time.Since(begin), nil
		}
	}
}

func echoRequest(id, seq uint16) []byte {
	p := make([]byte, icmpHeaderLen+pingSize)
	p[0] = icmpEchoRequest
	binary.BigEndian.PutUint16(p[4:], id)
	binary.BigEndian.PutUint16(p[6:], seq)
	for i := range p[icmpHeaderLen:] {
		p[icmpHeaderLen+i] = byte(i)
	}
	binary.BigEndian.PutUint16(p[2:], checksum(p))
	return p
}

// isEchoReply: RFC 792: "The data received in the echo message must be returned
// in the echo reply message."
func isEchoReply(packet, request []byte) bool {
	return len(packet) == len(request) && packet[0] == icmpEchoReply && packet[1] == 0 &&
		checksum(packet) == 0 && string(packet[4:]) == string(request[4:])
}

// checksum of RFC 1071. Over a packet with its checksum in place it is 0.
func checksum(p []byte) uint16 {
	var sum uint32
	for ; len(p) >= 2; p = p[2:] {
		sum += uint32(binary.BigEndian.Uint16(p))
	}
	if len(p) == 1 {
		sum += uint32(p[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
