package kernel

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// devPPP is the device of ppp_generic, the kernel's PPP. Opened once, it is a
// channel (the line, here an L2TP session) or a unit (the network interface),
// as the ioctl that attaches it says.
const devPPP = "/dev/ppp"

// ErrUnitInUse says that a unit of the number asked for is there already.
var ErrUnitInUse = errors.New("PPP unit in use")

// pppFile is one open /dev/ppp. Frames on it, of a channel and of a unit alike,
// begin with the two octets of the Protocol field: the kernel takes Address and
// Control off what comes in from L2TP, and always puts FF 03 before what goes
// out, whatever LCP agreed on; there is no flag for it. There is no FCS.
//
// An ioctl takes a mutex that all of /dev/ppp has in common, and that is held
// while any unit is made (milliseconds, where many are). Read and write do not.
type pppFile struct {
	fd atomic.Int32
}

func openDevPPP() (int, error) {
	for {
		fd, err := unix.Open(devPPP, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		switch {
		case err == nil:
			return fd, nil
		case !errors.Is(err, unix.EINTR):
			return -1, pppError("open "+devPPP, err)
		}
	}
}

// ProbePPP says whether the kernel's PPP can be used here without pppd: nil, or
// an *Error that says which module, device or permission is missing. It makes
// no interface. Whether the kernel also has L2TP is Probe's to say.
func ProbePPP() error {
	fd, err := openDevPPP()
	if err != nil {
		return err
	}
	_ = unix.Close(fd)
	return nil
}

func pppError(op string, err error) error {
	switch {
	case errors.Is(err, unix.ENOENT):
		return &Error{Op: op, Kind: ErrNotSupported, Err: err,
			Advice: "the kernel has no PPP or the container no /dev/ppp: load it by `modprobe ppp_generic` and let /dev/ppp be seen, or use dataplane = \"userspace\""}
	case errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return &Error{Op: op, Kind: ErrNotSupported, Err: err,
			Advice: "the kernel has no PPP: load it by `modprobe ppp_generic`, or use dataplane = \"userspace\""}
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return &Error{Op: op, Kind: ErrPermission, Err: err,
			Advice: "the kernel's PPP needs root, or the capability CAP_NET_ADMIN and a readable and writable /dev/ppp"}
	}
	return plainError(op, err)
}

// FD is the descriptor, to be watched; -1 once closed.
func (f *pppFile) FD() int { return int(f.fd.Load()) }

// close closes the descriptor once.
func (f *pppFile) close() error {
	if fd := f.fd.Swap(-1); fd >= 0 {
		return unix.Close(int(fd))
	}
	return nil
}

// Read reads one frame into buf, Protocol field first. n is 0 with no error if
// there is none now. ErrEnd says that there will be none any more. A frame that
// is longer than buf is lost, with the error EOVERFLOW; the next can be read.
func (f *pppFile) Read(buf []byte) (n int, err error) {
	for {
		n, err = unix.Read(f.FD(), buf)
		switch {
		case err == nil && n == 0:
			return 0, ErrEnd
		case err == nil:
			return n, nil
		case errors.Is(err, unix.EAGAIN):
			return 0, nil
		case errors.Is(err, unix.EINTR):
		default:
			return 0, plainError("read a PPP frame", err)
		}
	}
}

// Write sends one frame, Protocol field (two octets) first. It does not block:
// the kernel queues the frame, or drops it as a line may.
func (f *pppFile) Write(frame []byte) error {
	for {
		_, err := unix.Write(f.FD(), frame)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EINTR):
			return plainError("write a PPP frame", err)
		}
	}
}

// ErrEnd says that a PPP channel or unit will never have another frame.
var ErrEnd = errors.New("the PPP channel is gone")

// ioctlInt calls an ioctl that takes a pointer to an int, which it may change.
func ioctlInt(fd int, op string, request uint, value int32) (int, error) {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(unsafe.Pointer(&value)))
		switch errno {
		case 0:
			return int(value), nil
		case unix.EINTR:
		default:
			return 0, pppIoctlError(op, errno)
		}
	}
}

// pppIoctlError is about a /dev/ppp that could be opened: ENXIO and ENOENT are
// about the channel or unit there.
func pppIoctlError(op string, errno unix.Errno) error {
	if errno == unix.EPERM || errno == unix.EACCES {
		return pppError(op, errno)
	}
	return plainError(op, errno)
}

// PPPChannel is a PPPoX session's channel to the kernel's PPP. As long as it is
// connected to no unit, every frame of the peer is read here; then only those
// whose protocol is c000 or above (LCP, PAP, CHAP, EAP, LQR) and fragments of
// compressed data. The kernel keeps 32 unread frames and drops the oldest
// beyond. Read and Write are non-blocking; see pppFile for what a frame begins
// with. Methods may be called from any goroutine.
type PPPChannel struct {
	pppFile
}

// OpenChannel binds the session's socket to the kernel's PPP and opens its
// channel. Frames that came before it were queued on the socket and are nobody's
// from now on. The socket has to stay open as long as the channel, and stays the
// caller's; closing it makes Read return ErrEnd.
func OpenChannel(x *PPPoX) (*PPPChannel, error) {
	const op = "open the PPP channel of a session"
	index, err := ioctlInt(x.FD(), op, unix.PPPIOCGCHAN, 0)
	if err != nil {
		return nil, err
	}
	fd, err := openDevPPP()
	if err != nil {
		return nil, err
	}
	if _, err := ioctlInt(fd, op, unix.PPPIOCATTCHAN, int32(index)); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	c := &PPPChannel{}
	c.fd.Store(int32(fd))
	return c, nil
}

// Connect puts the channel under a unit: from now on network traffic passes
// between the session and the unit's interface, and the NCPs' frames are read
// from the unit.
func (c *PPPChannel) Connect(unit int) error {
	_, err := ioctlInt(c.FD(), fmt.Sprintf("connect a PPP channel to unit %d", unit), unix.PPPIOCCONNECT, int32(unit))
	return err
}

// Disconnect takes the channel from under its unit. It is an error (EINVAL) if
// it is under none.
func (c *PPPChannel) Disconnect() error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(c.FD()), unix.PPPIOCDISCONN, 0)
	if errno != 0 {
		return pppIoctlError("disconnect a PPP channel", errno)
	}
	return nil
}

// Close closes the channel's descriptor; a unit above loses the channel when the
// session's socket is closed, or by Disconnect. Closing twice does nothing.
func (c *PPPChannel) Close() error { return c.close() }
