package kernel

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// inLab says that the tests run under a kernel with PPP and L2TP, as root, so
// that nothing may be skipped.
func inLab() bool { return os.Getenv("ADIT_LAB") == "1" }

func needLab(t *testing.T) {
	t.Helper()
	if !inLab() {
		t.Skip("needs root and a kernel with PPP over L2TP: set ADIT_LAB=1 where both are")
	}
}

// The layout of <linux/if_pppox.h>, octet by octet, little-endian.
func TestPPPoL2TPAddr(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the expected octets are those of a little-endian machine")
	}
	for _, c := range []struct{ peer, v2, v3 string }{
		{"192.0.2.1:1701", "1800" + "01000000" + "00000000" + "07000000" +
			"0200" + "06a5" + "c0000201" + "0000000000000000" + "1100" + "2200" + "3300" + "4400",
			"1800" + "01000000" + "00000000" + "07000000" +
				"0200" + "06a5" + "c0000201" + "0000000000000000" + "11000000" + "22000000" + "33000000" + "44000000"},
		{"[2001:db8::5]:1702", "1800" + "01000000" + "00000000" + "07000000" + "1100" + "2200" + "3300" + "4400" +
			"0a00" + "06a6" + "00000000" + "20010db8000000000000000000000005" + "00000000",
			"1800" + "01000000" + "00000000" + "07000000" + "11000000" + "22000000" + "33000000" + "44000000" +
				"0a00" + "06a6" + "00000000" + "20010db8000000000000000000000005" + "00000000"},
		{"[::ffff:192.0.2.1]:1701", "1800" + "01000000" + "00000000" + "07000000" +
			"0200" + "06a5" + "c0000201" + "0000000000000000" + "1100" + "2200" + "3300" + "4400",
			"1800" + "01000000" + "00000000" + "07000000" +
				"0200" + "06a5" + "c0000201" + "0000000000000000" + "11000000" + "22000000" + "33000000" + "44000000"},
	} {
		for version, want := range map[uint8]string{2: c.v2, 3: c.v3} {
			b := pppol2tpAddr(version, 7, netip.MustParseAddrPort(c.peer), 0x11, 0x22, 0x33, 0x44)
			if got := hex.EncodeToString(b); got != want {
				t.Errorf("version %d, %s:\n got %s\nwant %s", version, c.peer, got, want)
			}
			switch len(b) {
			case sizeofPPPoL2TP, sizeofPPPoL2TPin6, sizeofPPPoL2TPv3, sizeofPPPoL2TPv3in6:
			default:
				t.Errorf("version %d, %s: %d octets", version, c.peer, len(b))
			}
		}
	}
	if n := unsafe.Sizeof(rawL2TPStats{}); n != 72 {
		t.Errorf("struct pppol2tp_ioc_stats is 72 octets, ours %d", n)
	}
}

func TestOpenRefusesNonsense(t *testing.T) {
	peer := netip.MustParseAddrPort("192.0.2.1:1701")
	for name, open := range map[string]func() (*PPPoX, error){
		"tunnel 0":        func() (*PPPoX, error) { return OpenManagement(2, 0, peer, 0, 1) },
		"peer tunnel 0":   func() (*PPPoX, error) { return OpenManagement(2, 0, peer, 1, 0) },
		"no peer":         func() (*PPPoX, error) { return OpenManagement(2, 0, netip.AddrPort{}, 1, 1) },
		"session 0":       func() (*PPPoX, error) { return OpenSession(2, 0, peer, 1, 1, 0, 1) },
		"no such version": func() (*PPPoX, error) { return OpenManagement(4, 0, peer, 1, 1) },
		"17 bits":         func() (*PPPoX, error) { return OpenSession(2, 0, peer, 1, 1, 1<<16, 1) },
		"peer session 0":  func() (*PPPoX, error) { return OpenSession(2, 0, peer, 1, 1, 1, 0) },
	} {
		if x, err := open(); !errors.Is(err, unix.EINVAL) || x != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Where the kernel has no PPPoL2TP, the error says what to load.
func TestProbe(t *testing.T) {
	err := Probe()
	switch {
	case err == nil:
	case inLab():
		t.Errorf("in the lab: %v", err)
	case errors.Is(err, ErrNotSupported):
		if !strings.Contains(err.Error(), "modprobe l2tp_ppp") {
			t.Errorf("no advice: %v", err)
		}
	case errors.Is(err, ErrPermission):
		if !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
			t.Errorf("no advice: %v", err)
		}
	default:
		t.Errorf("an error of no kind: %v", err)
	}
}

func TestPPPoXErrors(t *testing.T) {
	for errno, want := range map[unix.Errno]struct {
		kind error
		text string
	}{
		unix.EAFNOSUPPORT:    {ErrNotSupported, "modprobe l2tp_ppp"},
		unix.EPROTONOSUPPORT: {ErrNotSupported, "modprobe l2tp_ppp"},
		unix.EPERM:           {ErrPermission, "CAP_NET_ADMIN"},
		unix.EACCES:          {ErrPermission, "CAP_NET_ADMIN"},
		unix.EMFILE:          {nil, "limit of open files"},
		unix.EEXIST:          {nil, "file exists"},
	} {
		err := pppoxError("open", errno)
		if !errors.Is(err, errno) || !strings.Contains(err.Error(), want.text) {
			t.Errorf("%v: %v", errno, err)
		}
		if want.kind != nil && !errors.Is(err, want.kind) {
			t.Errorf("%v is not %v", err, want.kind)
		}
	}
}
