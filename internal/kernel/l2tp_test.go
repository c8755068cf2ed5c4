package kernel

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"adit/proto/l2tp"
)

var sameAddr = cmpopts.EquateComparable(netip.AddrPort{})

// nla is one attribute, little-endian, with its padding.
func nla(typ uint16, value string) string {
	b := binary.LittleEndian.AppendUint16(nil, uint16(4+len(value)/2))
	b = binary.LittleEndian.AppendUint16(b, typ)
	text := hex.EncodeToString(b) + value
	return text + strings.Repeat("0", (8-len(text)%8)%8)
}

func needLittleEndian(t *testing.T) {
	t.Helper()
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the expected octets are those of a little-endian machine")
	}
}

// The attributes by the numbers of <linux/l2tp.h>, and the values in the forms that it
// gives.
func TestL2TPAttributes(t *testing.T) {
	needLittleEndian(t)
	ids := nla(9, "44332211") + nla(10, "88776655")
	for _, c := range []struct {
		name   string
		tunnel L2TPTunnel
		want   string
	}{
		{"our socket", L2TPTunnel{ID: 0x11223344, PeerID: 0x55667788, Version: 3, FD: 7, Checksum: true},
			ids + nla(7, "03") + nla(2, "0000") + nla(23, "07000000")},
		{"UDP", L2TPTunnel{ID: 0x11223344, PeerID: 0x55667788, Version: 3, FD: -1, Checksum: true,
			Local: netip.MustParseAddrPort("192.0.2.1:5000"), Peer: netip.MustParseAddrPort("192.0.2.2:5001")},
			ids + nla(7, "03") + nla(2, "0000") + nla(24, "c0000201") + nla(25, "c0000202") + nla(26, "8813") + nla(27, "8913") + nla(13, "01")},
		{"UDP over IPv6", L2TPTunnel{ID: 0x11223344, PeerID: 0x55667788, Version: 2, FD: -1, ZeroChecksum6Tx: true, ZeroChecksum6Rx: true,
			Local: netip.MustParseAddrPort("[2001:db8::1]:5000"), Peer: netip.MustParseAddrPort("[2001:db8::2]:5001")},
			ids + nla(7, "02") + nla(2, "0000") + nla(31, "20010db8000000000000000000000001") + nla(32, "20010db8000000000000000000000002") +
				nla(26, "8813") + nla(27, "8913") + nla(33, "") + nla(34, "")},
		{"IP", L2TPTunnel{ID: 0x11223344, PeerID: 0x55667788, Version: 3, FD: -1, Encap: L2TPEncapIP, Checksum: true,
			Local: netip.MustParseAddrPort("192.0.2.1:0"), Peer: netip.MustParseAddrPort("192.0.2.2:0")},
			ids + nla(7, "03") + nla(2, "0100") + nla(24, "c0000201") + nla(25, "c0000202")},
	} {
		got, err := encodeL2TPTunnel(&c.tunnel)
		if hex.EncodeToString(got) != c.want || err != nil {
			t.Errorf("%s: %v\n got %x\nwant %s", c.name, err, got, c.want)
		}
	}
	sequencing := nla(19, "01") + nla(18, "01") + nla(20, "01") + nla(22, "7800000000000000")
	s := L2TPSession{Tunnel: 1, PeerTunnel: 2, ID: 3, PeerID: 4, Type: l2tp.PseudowireEthernet,
		Cookie: []byte{1, 2, 3, 4, 5, 6, 7, 8}, PeerCookie: []byte{1, 2, 3, 4}, Sublayer: l2tp.SublayerDefault,
		SendSequence: true, RequireSequence: true, LNS: true, ReorderTimeout: 120*time.Millisecond + time.Microsecond, Interface: "eth-a"}
	for _, c := range []struct {
		name    string
		session L2TPSession
		want    string
	}{
		{"all", s, nla(9, "01000000") + nla(10, "02000000") + nla(11, "03000000") + nla(12, "04000000") + nla(1, "0500") + nla(5, "01") + nla(6, "04") +
			nla(15, "01020304") + nla(16, "0102030405060708") + nla(8, hex.EncodeToString([]byte("eth-a\x00"))) + sequencing},
		{"least", L2TPSession{Tunnel: 1, ID: 3, PeerID: 4, Type: l2tp.PseudowirePPP},
			nla(9, "01000000") + nla(11, "03000000") + nla(12, "04000000") + nla(1, "0700") + nla(5, "00") + nla(6, "00") +
				nla(19, "00") + nla(18, "00") + nla(20, "00") + nla(22, "0000000000000000")},
	} {
		got, err := encodeL2TPSession(&c.session)
		if hex.EncodeToString(got) != c.want || err != nil {
			t.Errorf("%s: %v\n got %x\nwant %s", c.name, err, got, c.want)
		}
	}
}

// kernelTunnel and kernelSession are laid out as Linux 6.1 does it: DEBUG, PAD and the
// order of the attributes are not ours.
var (
	kernelTunnel = nla(7, "03") + nla(9, "01000000") + nla(10, "02000000") + nla(17, "00000000") + nla(2, "0000") +
		nla(30|0x8000, nla(1, "0100000000000000")+nla(9, "")+nla(2, "0200000000000000")+nla(3, "0300000000000000")+nla(4, "0400000000000000")+
			nla(5, "0500000000000000")+nla(6, "0600000000000000")+nla(7, "0700000000000000")+nla(10, "0800000000000000")+nla(8, "0900000000000000")+
			nla(11, "0a00000000000000")) +
		nla(21, "01") + nla(33, "") + nla(34, "") + nla(31, "20010db8000000000000000000000001") + nla(32, "20010db8000000000000000000000002") +
		nla(26, "8813") + nla(27, "8913")
	kernelSession = nla(9, "01000000") + nla(11, "03000000") + nla(10, "02000000") + nla(12, "04000000") + nla(17, "00000000") + nla(1, "0500") +
		nla(8, hex.EncodeToString([]byte("l2tpeth0\x00"))) + nla(15, "01020304") + nla(16, "0102030405060708") + nla(18, "01") + nla(19, "01") +
		nla(20, "01") + nla(21, "01") + nla(35, "") + nla(22, "7800000000000000") + nla(30, nla(4, "0400000000000000"))
)

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestL2TPIsReadFromTheKernel(t *testing.T) {
	needLittleEndian(t)
	tunnel, err := decodeL2TPTunnel(fromHex(t, kernelTunnel))
	wantTunnel := L2TPTunnel{ID: 1, PeerID: 2, Version: 3, FD: -1, Local: netip.MustParseAddrPort("[2001:db8::1]:5000"),
		Peer: netip.MustParseAddrPort("[2001:db8::2]:5001"), ZeroChecksum6Tx: true, ZeroChecksum6Rx: true, UsingIPsec: true,
		Stats: L2TPCounters{TxPackets: 1, TxBytes: 2, TxErrors: 3, RxPackets: 4, RxBytes: 5, RxSeqDiscards: 6,
			RxOOSPackets: 7, RxCookieDiscards: 8, RxErrors: 9, RxInvalid: 10}}
	if diff := cmp.Diff(wantTunnel, tunnel, sameAddr); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	session, err := decodeL2TPSession(fromHex(t, kernelSession))
	wantSession := L2TPSession{Tunnel: 1, PeerTunnel: 2, ID: 3, PeerID: 4, Type: l2tp.PseudowireEthernet, Interface: "l2tpeth0",
		Cookie: []byte{1, 2, 3, 4, 5, 6, 7, 8}, PeerCookie: []byte{1, 2, 3, 4}, SendSequence: true, RequireSequence: true, LNS: true,
		UsingIPsec: true, ReorderTimeout: 120 * time.Millisecond, Stats: L2TPCounters{RxPackets: 4}}
	if diff := cmp.Diff(wantSession, session); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestL2TPEventsAreRead(t *testing.T) {
	needLittleEndian(t)
	for command, want := range map[uint8]L2TPEventKind{1: L2TPTunnelCreated, 2: L2TPTunnelDeleted, 3: L2TPTunnelModified,
		5: L2TPSessionCreated, 6: L2TPSessionDeleted, 7: L2TPSessionModified} {
		data, tunnel := kernelSession, uint32(0)
		if command < 4 {
			data, tunnel = kernelTunnel, 1
		}
		e, ok := decodeL2TPEvent(genetlink.Message{Header: genetlink.Header{Command: command}, Data: fromHex(t, data)})
		if !ok || e.Kind != want || e.Tunnel.ID != tunnel || e.Session.Tunnel != 1-tunnel || e.Kind.String() == "unknown" {
			t.Errorf("command %d: %+v, %v", command, e, ok)
		}
	}
	for _, m := range []genetlink.Message{
		{Header: genetlink.Header{Command: 0}}, {Header: genetlink.Header{Command: 4}}, {Header: genetlink.Header{Command: 200}},
		{Header: genetlink.Header{Command: 1}, Data: []byte{255, 0, 9, 0}},
	} {
		if e, ok := decodeL2TPEvent(m); ok {
			t.Errorf("%+v is %+v", m, e)
		}
	}
}

// No length in what is read is trusted.
func FuzzL2TPIsReadFromTheKernel(f *testing.F) {
	for _, s := range []string{kernelTunnel, kernelSession} {
		b := fromHex(f, s)
		for n := range b {
			f.Add(b[:n])
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if tunnel, _ := decodeL2TPTunnel(b); tunnel.FD != -1 {
			t.Error("a descriptor from the wire")
		}
		_, _ = decodeL2TPSession(b)
	})
}

func TestL2TPRefusesNonsense(t *testing.T) {
	good := L2TPTunnel{ID: 1, PeerID: 1 << 31, Version: 3, FD: -1,
		Local: netip.MustParseAddrPort("192.0.2.1:1"), Peer: netip.MustParseAddrPort("192.0.2.2:1")}
	if advice := checkL2TPTunnel(&good); advice != "" {
		t.Errorf("a good tunnel: %s", advice)
	}
	k := &L2TP{closed: true} // which lets nothing through
	for what, change := range map[string]func(*L2TPTunnel){
		"an ID of 0":       func(t *L2TPTunnel) { t.ID = 0 },
		"a peer's ID of 0": func(t *L2TPTunnel) { t.PeerID = 0 },
		"version 4":        func(t *L2TPTunnel) { t.Version = 4 },
		"33 bits of v2":    func(t *L2TPTunnel) { t.Version = 2 },
		"encapsulation":    func(t *L2TPTunnel) { t.Encap = 2 },
		"v2 over IP":       func(t *L2TPTunnel) { t.Version, t.PeerID, t.Encap = 2, 1, L2TPEncapIP },
		"no local":         func(t *L2TPTunnel) { t.Local = netip.AddrPort{} },
		"no peer":          func(t *L2TPTunnel) { t.Peer = netip.AddrPort{} },
		"families":         func(t *L2TPTunnel) { t.Peer = netip.MustParseAddrPort("[2001:db8::1]:1") },
		"no link": func(t *L2TPTunnel) {
			t.Local, t.Peer = netip.MustParseAddrPort("[fe80::1]:1"), netip.MustParseAddrPort("[fe80::2]:1")
		},
		"two links": func(t *L2TPTunnel) {
			t.Local, t.Peer = netip.MustParseAddrPort("[fe80::1%lo]:1"), netip.MustParseAddrPort("[fe80::2%99]:1")
		},
		"no port":        func(t *L2TPTunnel) { t.Local = netip.MustParseAddrPort("192.0.2.1:0") },
		"no peer's port": func(t *L2TPTunnel) { t.Peer = netip.MustParseAddrPort("192.0.2.1:0") },
	} {
		bad := good
		change(&bad)
		if err := k.CreateTunnel(bad); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%s: %v", what, err)
		}
	}
	ours := L2TPTunnel{ID: 1, PeerID: 1, Version: 2}
	if err := k.CreateTunnel(ours); !errors.Is(err, ErrClosed) {
		t.Errorf("of a socket of ours: %v", err)
	}
	session := L2TPSession{Tunnel: 1, ID: 1, PeerID: 1, Type: l2tp.PseudowireEthernet, Interface: strings.Repeat("i", 15)}
	if advice := checkL2TPSession(&session); advice != "" {
		t.Errorf("a good session: %s", advice)
	}
	for what, change := range map[string]func(*L2TPSession){
		"no tunnel":           func(s *L2TPSession) { s.Tunnel = 0 },
		"no ID":               func(s *L2TPSession) { s.ID = 0 },
		"no peer's ID":        func(s *L2TPSession) { s.PeerID = 0 },
		"a cookie of 5":       func(s *L2TPSession) { s.Cookie = make([]byte, 5) },
		"a peer's of 12":      func(s *L2TPSession) { s.PeerCookie = make([]byte, 12) },
		"a sublayer":          func(s *L2TPSession) { s.Sublayer = l2tp.SublayerATM },
		"a long name":         func(s *L2TPSession) { s.Interface += "i" },
		"a timeout below 0":   func(s *L2TPSession) { s.ReorderTimeout = -1 },
		"a timeout of 1 hour": func(s *L2TPSession) { s.ReorderTimeout = time.Hour },
	} {
		bad := session
		change(&bad)
		if _, err := k.CreateSession(bad); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestL2TPErrors(t *testing.T) {
	kernel := func(e unix.Errno) error { return &netlink.OpError{Op: "receive", Err: e} }
	for errno, want := range map[unix.Errno]struct {
		kind error
		text string
	}{
		unix.EEXIST: {ErrExists, "ip l2tp show"}, unix.ENOENT: {ErrNoEntry, "no such"}, unix.ENODEV: {ErrNoEntry, "no such"},
		unix.EPERM: {ErrPermission, "CAP_NET_ADMIN"}, unix.EACCES: {ErrPermission, "CAP_NET_ADMIN"},
		unix.EADDRINUSE: {ErrPortInUse, "another socket"}, unix.EADDRNOTAVAIL: {ErrNoAddress, "ip address"},
		unix.EAFNOSUPPORT: {ErrNotSupported, "family"}, unix.EBUSY: {nil, "open another"}, unix.EHOSTUNREACH: {nil, "ip route get"},
		unix.EMFILE: {nil, "limit of open files"}, unix.EINVAL: {nil, "invalid argument"},
	} {
		err := l2tpError("try", kernel(errno))
		if !errors.Is(err, errno) || want.kind != nil && !errors.Is(err, want.kind) || !strings.Contains(err.Error(), want.text) {
			t.Errorf("%v: %v", errno, err)
		}
		if !strings.HasPrefix(err.Error(), "try: "+errno.Error()) {
			t.Errorf("%v: %v", errno, err)
		}
	}
	for _, errno := range []unix.Errno{unix.EPROTONOSUPPORT, unix.ESOCKTNOSUPPORT, unix.EOPNOTSUPP, unix.ENOPROTOOPT} {
		for text, err := range map[string]error{
			"modprobe l2tp_core": tunnelError("try", L2TPEncapUDP, l2tpError("try", kernel(errno))),
			"modprobe l2tp_ip`":  tunnelError("try", L2TPEncapIP, l2tpError("try", kernel(errno))),
			"modprobe l2tp_eth":  sessionError(l2tp.PseudowireEthernet, l2tpError("try", kernel(errno))),
			"modprobe l2tp_ppp":  sessionError(l2tp.PseudowirePPP, l2tpError("try", kernel(errno))),
			"type vlan":          sessionError(l2tp.PseudowireEthernetVLAN, l2tpError("try", kernel(errno))),
		} {
			if !errors.Is(err, ErrNotSupported) || !errors.Is(err, errno) || !strings.Contains(err.Error(), text) {
				t.Errorf("%v, %s: %v", errno, text, err)
			}
		}
	}
	other := l2tpError("try", kernel(unix.EEXIST))
	if err := sessionError(l2tp.PseudowirePPP, other); err != other || tunnelError("try", L2TPEncapIP, nil) != nil {
		t.Errorf("another error became %v", err)
	}
}

// What the kernel replies leaves the socket in step; whatever else went wrong does not.
func TestIsKernelReply(t *testing.T) {
	for err, want := range map[error]bool{
		&netlink.OpError{Op: "receive", Err: unix.EEXIST}:                                     true,
		&netlink.OpError{Op: "receive", Err: os.NewSyscallError("recvmsg", unix.ENOBUFS)}:     false,
		&netlink.OpError{Op: "validate", Err: errors.New("mismatched sequence in the reply")}: false,
		&netlink.OpError{Op: "receive", Err: os.ErrDeadlineExceeded}:                          false,
		errors.New("another"): false,
	} {
		if got := isKernelReply(err); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}

// Where the kernel has no L2TP over netlink or IP, the errors say what to load.
func TestL2TPProbe(t *testing.T) {
	check := func(what, module string, err error) {
		t.Helper()
		switch {
		case err == nil:
		case inLab():
			t.Errorf("%s in the lab: %v", what, err)
		case errors.Is(err, ErrNotSupported):
			if !strings.Contains(err.Error(), "modprobe "+module) {
				t.Errorf("%s: no advice: %v", what, err)
			}
		case !errors.Is(err, ErrPermission):
			t.Errorf("%s: an error of no kind: %v", what, err)
		}
	}
	k, err := OpenL2TP()
	check("netlink", "l2tp_netlink", err)
	if err == nil {
		_ = k.Close()
	}
	w, err := ListenL2TP(func(L2TPEvent) {})
	check("events", "l2tp_netlink", err)
	if err == nil {
		_ = w.Close()
	}
	for i, lb := range loopbacks {
		fd, err := L2TPIPSocket(lb.addr, lb.addr, 4294967290+uint32(i), 9)
		check("a socket", "l2tp_ip", err)
		if err == nil {
			checkFlags(t, fd)
			_ = unix.Close(fd)
		}
	}
}

// The layouts of sockaddr_l2tpip and sockaddr_l2tpip6 in <linux/l2tp.h>.
func TestL2TPIPAddr(t *testing.T) {
	needLittleEndian(t)
	for addr, want := range map[string]string{
		"192.0.2.1":   "0200" + "0000" + "c0000201" + "44332211" + "00000000",
		"2001:db8::1": "0a00" + "0000" + "00000000" + "20010db8000000000000000000000001" + "00000000" + "44332211",
		"fe80::1%3":   "0a00" + "0000" + "00000000" + "fe800000000000000000000000000001" + "03000000" + "44332211",
	} {
		if got := hex.EncodeToString(l2tpIPAddr(netip.MustParseAddr(addr), 0x11223344)); got != want {
			t.Errorf("%s:\n got %s\nwant %s", addr, got, want)
		}
	}
	a, b := loopbacks[0].addr, loopbacks[1].addr
	for what, open := range map[string]func() (int, error){
		"families":  func() (int, error) { return L2TPIPSocket(a, b, 1, 1) },
		"no local":  func() (int, error) { return L2TPIPSocket(netip.Addr{}, b, 1, 1) },
		"no peer":   func() (int, error) { return L2TPIPSocket(a, netip.Addr{}, 1, 1) },
		"no ID":     func() (int, error) { return L2TPIPSocket(a, a, 0, 1) },
		"no peer's": func() (int, error) { return L2TPIPSocket(a, a, 1, 0) },
	} {
		if fd, err := open(); fd != -1 || err == nil {
			t.Errorf("%s: %d, %v", what, fd, err)
		}
	}
}
