package kernel

import (
	"fmt"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MaxTAPMTU is the largest MTU of a TAP, in octets: what the kernel takes in one piece,
// less the header of Ethernet.
const MaxTAPMTU = 65521

// TAPOptions is what OpenTAP makes.
type TAPOptions struct {
	// Name of the interface, at most 15 octets. "%d" in it is replaced by the
	// first free number; if it is empty, the kernel takes "tap%d".
	Name string
	// MTU is the octets of the payload of an Ethernet frame, 68 to MaxTAPMTU; 0 leaves
	// it as it is (1500).
	MTU int
	// MAC is the address of the interface; empty: the kernel draws one at random.
	MAC net.HardwareAddr

	offloads []int // for tests: the sets to try
}

// OpenTAP makes a TAP interface: a TUN of one queue whose packets are Ethernet frames
// without preamble and frame check sequence. It is down, and has no addresses. The
// error is an *Error as that of OpenTUN.
func OpenTAP(o TAPOptions) (_ *TUN, err error) {
	op := "make a TAP interface"
	if o.Name != "" {
		op = fmt.Sprintf("make the TAP interface %s", o.Name)
	}
	if n := len(o.MAC); n != 0 && n != 6 {
		return nil, &Error{Op: op, Err: unix.EINVAL, Advice: fmt.Sprintf("an Ethernet address has 6 octets, not %d", n)}
	}
	t := &TUN{name: o.Name, tap: true}
	defer func() {
		if err != nil {
			t.Close()
		}
	}()
	if err := t.attach(op, unix.IFF_TAP|unix.IFF_NO_PI|unix.IFF_VNET_HDR); err != nil {
		return nil, err
	}
	if len(o.MAC) > 0 {
		if err := t.setMAC(o.MAC); err != nil {
			return nil, &Error{Op: fmt.Sprintf("give %s the address %v", t.name, o.MAC), Err: err, Advice: "it has to be the address of one station, not of a group, nor zero"}
		}
	}
	return t, t.finish(op, o.offloads, o.MTU)
}

// ifreqHardware is struct ifreq with an Ethernet address in it.
type ifreqHardware struct {
	name   [unix.IFNAMSIZ]byte
	family uint16
	mac    [14]byte
	_      [8]byte
}

func (t *TUN) setMAC(mac net.HardwareAddr) error {
	request := ifreqHardware{family: unix.ARPHRD_ETHER}
	copy(request.name[:unix.IFNAMSIZ-1], t.name)
	copy(request.mac[:], mac)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(t.queues[0].fd), unix.SIOCSIFHWADDR, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return errno
	}
	return nil
}

// SetCarrier says whether there is a carrier, as if a cable were plugged in or pulled:
// without one the kernel sends nothing to the interface, and a bridge does not count on
// it. A new TAP has one. ErrNotSupported before Linux 5.0. It may wait for the kernel.
func (t *TUN) SetCarrier(on bool) error {
	value := 0
	if on {
		value = 1
	}
	if err := unix.IoctlSetPointerInt(t.queues[0].fd, unix.TUNSETCARRIER, value); err != nil {
		op := fmt.Sprintf("set the carrier of %s", t.name)
		if err == unix.EINVAL || err == unix.ENOTTY {
			return &Error{Op: op, Kind: ErrNotSupported, Err: err, Advice: "Linux 5.0 and later can"}
		}
		return plainError(op, err)
	}
	return nil
}
