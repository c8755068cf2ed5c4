package radattr

import (
	"encoding/binary"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"layeh.com/radius"

	"adit/integration/scenario"
	"adit/lns/subscriber"
	"adit/proto/ppp"
)

// These tests have others read what we write: FreeRADIUS's radsniff, with the
// dictionaries of FreeRADIUS, and Wireshark's tshark.

// capture writes a packet to a file of the pcap format, as a server gets it.
func capture(t *testing.T, packet []byte, port uint16) string {
	t.Helper()
	udp := binary.BigEndian.AppendUint16([]byte{0x9c, 0x40}, port)
	udp = binary.BigEndian.AppendUint16(udp, uint16(8+len(packet)))
	udp = append(append(udp, 0, 0), packet...)
	ip := binary.BigEndian.AppendUint16([]byte{0x45, 0}, uint16(20+len(udp)))
	ip = append(ip, 0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 9)
	var sum uint32
	for i := 0; i < len(ip); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum+sum>>16))
	frame := append([]byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0}, append(ip, udp...)...)
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0)
	b = append(b, 1, 0, 0, 0, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(frame)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(frame)))
	file := filepath.Join(t.TempDir(), "packet.pcap")
	if err := os.WriteFile(file, append(b, frame...), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// sniff returns what radsniff reads, one attribute a line.
func sniff(t *testing.T, packet []byte, port uint16) string {
	t.Helper()
	scenario.Installed(t, "radsniff")
	file := capture(t, packet, port)
	cmd := exec.CommandContext(t.Context(), "radsniff", "-q", "-q", "-x", "-x", "-s", "secret", "-I", file)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	out, err := cmd.CombinedOutput()
	// It says 1 for every file that comes to its end.
	if !strings.Contains(string(out), "Done sniffing") {
		t.Fatalf("radsniff: %v\n%s", err, out)
	}
	return string(out)
}

// wantLines says which lines are not there.
func wantLines(t *testing.T, text string, want ...string) {
	t.Helper()
	have := make(map[string]bool)
	for line := range strings.Lines(text) {
		have[strings.TrimSpace(line)] = true
	}
	for _, w := range want {
		if !have[w] {
			t.Errorf("%q is not there", w)
		}
	}
	if t.Failed() {
		t.Logf("it says:\n%s", text)
	}
}

// wellFormed fails if tshark finds something wrong with a packet.
func wellFormed(t *testing.T, packet []byte, port uint16) {
	t.Helper()
	scenario.Installed(t, "tshark")
	out, err := exec.CommandContext(t.Context(), "tshark", "-n", "-V", "-r", capture(t, packet, port)).Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	// Wireshark's dictionary has no IWF-Session, and it doubts an attribute of two octets.
	text := strings.ReplaceAll(string(out), "VSA: t=Unknown-Attribute(254) l=2 val=[wrong length]", "")
	if !strings.Contains(text, "RADIUS Protocol") {
		t.Errorf("tshark sees no RADIUS:\n%s", text)
	}
	if bad := regexp.MustCompile(`(?i).*(malformed|invalid|unknown-attribute|expert info.*error).*`).FindString(text); bad != "" {
		t.Errorf("tshark: %s\n%s", bad, text)
	}
}

// TestAccessRequestRead: every attribute of an Access-Request has the name and the
// value by which FreeRADIUS knows it.
func TestAccessRequestRead(t *testing.T) {
	p := radius.New(radius.CodeAccessRequest, []byte("secret"))
	req := ppp.AuthRequest{Method: ppp.MethodPAP, Name: "alice@isp", Password: []byte("a password of more than 16 octets")}
	if err := AccessRequest(p, ourNAS, aLine(), "alice", req, []byte{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	b, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	text := sniff(t, b, 1812)
	wantLines(t, text,
		`User-Name = "alice"`, `User-Password = "a password of more than 16 octets"`, `State = 0x010203`,
		`Service-Type = Framed-User`, `Framed-Protocol = PPP`, `NAS-Identifier = "lns1.example"`,
		`NAS-IP-Address = 192.0.2.1`, `Acct-Session-Id = "6e1f-1"`, `NAS-Port = 1114146`, `NAS-Port-Type = Virtual`,
		`NAS-Port-Id = "l2tp 198.51.100.7 17/34"`, `Called-Station-Id = "0800555"`, `Calling-Station-Id = "0301234567"`,
		`Connect-Info = "52000000/10000000 L2TP"`, `Tunnel-Type:0 = L2TP`, `Tunnel-Medium-Type:0 = IPv4`,
		`Tunnel-Client-Endpoint:0 = "198.51.100.7"`, `Tunnel-Server-Endpoint:0 = "192.0.2.1"`,
		`Tunnel-Client-Auth-Id:0 = "lac7"`, `Tunnel-Server-Auth-Id:0 = "lns1"`, `Tunnel-Private-Group-Id:0 = "vpn-a"`,
		`ADSL-Agent-Circuit-Id = 0x616363657373312065746820302f313a37`, `ADSL-Agent-Remote-Id = 0x686f757365203132`,
		`Actual-Data-Rate-Upstream = 10000000`, `Actual-Data-Rate-Downstream = 4294967295`,
		`Access-Loop-Encapsulation = 0x010200`)
	// RFC 4679 section 4: "0 This Attribute MUST NOT be present in packet."
	for _, absent := range []string{"Attainable-Data-Rate", "Interleaving-Delay", "Acct-Tunnel-Connection", "Tunnel-Assignment-Id", "Attr-"} {
		if strings.Contains(text, absent) {
			t.Errorf("%s is there:\n%s", absent, text)
		}
	}
	wellFormed(t, b, 1812)
	// radsniff says nothing of an attribute without a value.
	if v := values(p, vendorADSLForum, 254); len(v) != 1 || len(v[0]) != 0 {
		t.Errorf("IWF-Session %v", v)
	}
}

// TestAccountingRead: the same of an Accounting-Request that says all there is.
func TestAccountingRead(t *testing.T) {
	p := radius.New(radius.CodeAccountingRequest, []byte("secret"))
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	Accounting(p, NAS{"lns1.example", netip.MustParseAddr("2001:db8::1")}, &subscriber.Record{
		Kind: subscriber.RecordStop, Time: at, Session: &subscriber.RecordSession{
			Line: *aLine(), User: "alice@isp",
			Service: subscriber.Service{Class: [][]byte{{0xca, 0xfe}, {0xbe}}},
			Addresses: subscriber.Addresses{
				IPv4: netip.MustParseAddr("10.0.0.7"), InterfaceID: 0x0000000000000a01,
				Prefixes:  []netip.Prefix{netip.MustParsePrefix("2001:db8:7::/64")},
				Delegated: []netip.Prefix{netip.MustParsePrefix("2001:db8:8000::/33")},
				IPv6:      netip.MustParseAddr("2001:db8:7::99"),
			},
			Method: subscriber.MethodRADIUS, Duration: 3725*time.Second + 900*time.Millisecond,
			Counters: subscriber.Counters{OctetsIn: 5<<32 + 6, OctetsOut: 7, PacketsIn: 8, PacketsOut: 9},
			Cause:    subscriber.IdleTimeout,
		},
	}, 12*time.Second)
	b, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, sniff(t, b, 1813),
		`Acct-Status-Type = Stop`, `NAS-Identifier = "lns1.example"`, `NAS-IPv6-Address = 2001:db8::1`,
		`Acct-Delay-Time = 12`, `Event-Timestamp = "Mar  1 2026 12:00:00 UTC"`, `Acct-Session-Id = "6e1f-1"`,
		`User-Name = "alice@isp"`, `Acct-Session-Time = 3725`, `Acct-Input-Octets = 6`, `Acct-Input-Gigawords = 5`,
		`Acct-Output-Octets = 7`, `Acct-Input-Packets = 8`, `Acct-Output-Packets = 9`, `Acct-Terminate-Cause = Idle-Timeout`,
		`Class = 0xcafe`, `Class = 0xbe`, `Acct-Authentic = RADIUS`, `Framed-IP-Address = 10.0.0.7`,
		`Framed-IPv6-Prefix = 2001:db8:7::/64`, `Delegated-IPv6-Prefix = 2001:db8:8000::/33`,
		`Framed-Interface-Id = 0:0:0:a01`, `Framed-IPv6-Address = 2001:db8:7::99`,
		`Acct-Tunnel-Connection = "77"`, `Tunnel-Assignment-Id:0 = "wholesale"`, `Tunnel-Type:0 = L2TP`,
		`Attainable-Data-Rate-Upstream = 20000000`, `Actual-Interleaving-Delay-Upstream = 8`)
	wellFormed(t, b, 1813)
}
