package kernel

import (
	"errors"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Where the kernel has no PPP, the error says what to load.
func TestProbePPP(t *testing.T) {
	err := ProbePPP()
	switch {
	case err == nil:
	case inLab():
		t.Errorf("in the lab: %v", err)
	case errors.Is(err, ErrNotSupported):
		if !strings.Contains(err.Error(), "modprobe ppp_generic") {
			t.Errorf("no advice: %v", err)
		}
		if u, err := OpenUnit(-1); u != nil || !errors.Is(err, ErrNotSupported) {
			t.Errorf("a unit all the same: %v, %v", u, err)
		}
	case errors.Is(err, ErrPermission):
		if !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
			t.Errorf("no advice: %v", err)
		}
	default:
		t.Errorf("an error of no kind: %v", err)
	}
}

func TestPPPErrors(t *testing.T) {
	for errno, want := range map[unix.Errno]struct {
		kind error
		text string
	}{
		unix.ENOENT: {ErrNotSupported, "modprobe ppp_generic"},
		unix.ENXIO:  {ErrNotSupported, "modprobe ppp_generic"},
		unix.ENODEV: {ErrNotSupported, "modprobe ppp_generic"},
		unix.EPERM:  {ErrPermission, "CAP_NET_ADMIN"},
		unix.EACCES: {ErrPermission, "/dev/ppp"},
		unix.EMFILE: {nil, "limit of open files"},
	} {
		err := pppError("open /dev/ppp", errno)
		if !errors.Is(err, errno) || !strings.Contains(err.Error(), want.text) {
			t.Errorf("%v: %v", errno, err)
		}
		if want.kind != nil && !errors.Is(err, want.kind) {
			t.Errorf("%v is not %v", err, want.kind)
		}
	}
	// Once /dev/ppp is open, ENXIO is about a channel that is gone.
	if err := pppIoctlError("connect", unix.ENXIO); errors.Is(err, ErrNotSupported) || !errors.Is(err, unix.ENXIO) {
		t.Errorf("ENXIO of an ioctl: %v", err)
	}
	if err := pppIoctlError("connect", unix.EPERM); !errors.Is(err, ErrPermission) {
		t.Errorf("EPERM of an ioctl: %v", err)
	}
}

func TestOpenUnitRefusesNonsense(t *testing.T) {
	for _, n := range []int{-2, 1 << 40} {
		if u, err := OpenUnit(n); u != nil || !errors.Is(err, unix.EINVAL) {
			t.Errorf("unit %d: %v, %v", n, u, err)
		}
	}
	if n := unsafe.Sizeof(rawNPIoctl{}); n != 8 {
		t.Errorf("struct npioctl is 8 octets, ours %d", n)
	}
}

func TestNPModeString(t *testing.T) {
	for m, want := range map[NPMode]string{
		NPPass: "NPMODE_PASS", NPDrop: "NPMODE_DROP", NPError: "NPMODE_ERROR", NPQueue: "NPMODE_QUEUE", 9: "NPmode(9)",
	} {
		if m.String() != want {
			t.Errorf("%d: %q", uint32(m), m)
		}
	}
}

// A frame's read and write have the manner of /dev/ppp on any descriptor: what
// is not there is no error, the end is.
func TestPPPFileReadWrite(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var f pppFile
	f.fd.Store(int32(fds[0]))
	buf := make([]byte, 64)
	if n, err := f.Read(buf); n != 0 || err != nil {
		t.Errorf("nothing there: %d, %v", n, err)
	}
	if err := f.Write([]byte{0xc0, 0x21, 9, 1, 0, 4}); err != nil {
		t.Error(err)
	}
	if n, err := unix.Read(fds[1], buf); n != 6 || err != nil || buf[0] != 0xc0 {
		t.Errorf("written: %x, %v", buf[:max(n, 0)], err)
	}
	if _, err := unix.Write(fds[1], []byte{0x80, 0x21, 1}); err != nil {
		t.Error(err)
	}
	if n, err := f.Read(buf); n != 3 || err != nil || buf[0] != 0x80 {
		t.Errorf("read: %x, %v", buf[:n], err)
	}
	_ = unix.Close(fds[1])
	if n, err := f.Read(buf); n != 0 || !errors.Is(err, ErrEnd) {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if err := errors.Join(f.close(), f.close()); err != nil || f.FD() != -1 {
		t.Errorf("closing twice: %v, descriptor %d", err, f.FD())
	}
	if _, err := f.Read(buf); !errors.Is(err, unix.EBADF) {
		t.Errorf("read after close: %v", err)
	}
	if err := f.Write(buf); !errors.Is(err, unix.EBADF) {
		t.Errorf("write after close: %v", err)
	}
}
