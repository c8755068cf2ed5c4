package kernel

import (
	"errors"
	"fmt"
	"math"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// NPMode is what a unit does with packets of one network protocol.
type NPMode uint32

// The modes, enum NPmode of <linux/ppp-ioctl.h>.
const (
	NPPass  NPMode = iota // both ways
	NPDrop                // drop both ways, quietly
	NPError               // drop both ways; who sends is told
	NPQueue               // as NPDrop: the kernel has no queue for it
)

// String is the kernel's name.
func (m NPMode) String() string {
	switch m {
	case NPPass:
		return "NPMODE_PASS"
	case NPDrop:
		return "NPMODE_DROP"
	case NPError:
		return "NPMODE_ERROR"
	case NPQueue:
		return "NPMODE_QUEUE"
	}
	return fmt.Sprintf("NPmode(%d)", uint32(m))
}

// PPPUnit is a network interface of the kernel's PPP, and where its frames that
// are no network traffic are read and written: those of the NCPs (IPCP, IPv6CP,
// CCP), and those of protocols that the kernel does not know, which want a
// Protocol-Reject. The kernel keeps 32 of them unread. Methods may be called
// from any goroutine; NewUnit and Close take milliseconds where the machine is
// busy with interfaces (RTNL).
type PPPUnit struct {
	pppFile
	number int
	index  int
}

// rawNPIoctl is struct npioctl.
type rawNPIoctl struct {
	protocol int32
	mode     uint32
}

// OpenUnit makes a unit and its interface, named pppN, in the network namespace
// of now. unit is its number, -1 for a free one. The interface is down. It
// vanishes when the unit is closed. A number that is taken is ErrUnitInUse.
func OpenUnit(unit int) (*PPPUnit, error) {
	if unit < -1 || unit > math.MaxInt32 {
		return nil, &Error{Op: "make a PPP unit", Err: unix.EINVAL, Advice: "a unit's number is 0 or more, or -1 for any"}
	}
	fd, err := openDevPPP()
	if err != nil {
		return nil, err
	}
	u := &PPPUnit{}
	u.fd.Store(int32(fd))
	if u.number, err = ioctlInt(fd, "make a PPP unit", unix.PPPIOCNEWUNIT, int32(unit)); err == nil {
		u.index, err = interfaceIndex(fmt.Sprintf("ppp%d", u.number))
	}
	if err != nil {
		_ = u.close()
		if errors.Is(err, unix.EEXIST) {
			return nil, &Error{Op: fmt.Sprintf("make PPP unit %d", unit), Kind: ErrUnitInUse, Err: unix.EEXIST,
				Advice: "another interface has this number or the name"}
		}
		return nil, err
	}
	return u, nil
}

// interfaceIndex asks the kernel for the index of an interface by an ioctl on a
// socket of its own, so in the network namespace of now.
func interfaceIndex(name string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, plainError("open a socket", err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return 0, plainError("look for the interface "+name, err)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, ifr); err != nil {
		return 0, plainError("look for the interface "+name, err)
	}
	return int(ifr.Uint32()), nil
}

// Number is N of pppN.
func (u *PPPUnit) Number() int { return u.number }

// Index is the interface's index, which outlives a change of its name.
func (u *PPPUnit) Index() int { return u.index }

// Name is the name that the interface was born with, "pppN".
func (u *PPPUnit) Name() string { return fmt.Sprintf("ppp%d", u.number) }

// SetMRU tells the unit the longest Information field, in octets, that the peer
// may send. The interface's MTU is another thing.
func (u *PPPUnit) SetMRU(octets int) error {
	_, err := ioctlInt(u.FD(), "set the MRU of a PPP unit", unix.PPPIOCSMRU, int32(octets))
	return err
}

// SetNPMode says what becomes of packets of a network protocol, by its PPP
// protocol number (0x0021 IPv4, 0x0057 IPv6). A new unit passes all.
func (u *PPPUnit) SetNPMode(protocol uint16, mode NPMode) error {
	_, err := u.npMode(unix.PPPIOCSNPMODE, protocol, mode)
	return err
}

// NPMode reads it back.
func (u *PPPUnit) NPMode(protocol uint16) (NPMode, error) {
	return u.npMode(unix.PPPIOCGNPMODE, protocol, 0)
}

func (u *PPPUnit) npMode(request uint, protocol uint16, mode NPMode) (NPMode, error) {
	raw := rawNPIoctl{int32(protocol), uint32(mode)}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(u.FD()), uintptr(request), uintptr(unsafe.Pointer(&raw)))
	if errno != 0 {
		return 0, pppIoctlError(fmt.Sprintf("set what a PPP unit does with protocol %#04x", protocol), errno)
	}
	return NPMode(raw.mode), nil
}

// Idle is how long no network traffic was sent and received, in whole seconds;
// since Linux 5.6.
func (u *PPPUnit) Idle() (sent, received time.Duration, err error) {
	var raw struct{ sent, received int64 }
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(u.FD()), unix.PPPIOCGIDLE64, uintptr(unsafe.Pointer(&raw)))
	if errno != 0 {
		return 0, 0, pppIoctlError("read PPPIOCGIDLE", errno)
	}
	return time.Duration(raw.sent) * time.Second, time.Duration(raw.received) * time.Second, nil
}

// Close removes the interface. Its addresses and routes go with it. Closing
// twice does nothing.
func (u *PPPUnit) Close() error { return u.close() }
