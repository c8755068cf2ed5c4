package kernel

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	inet "adit/proto/ip"
)

// ErrNameTaken says that an interface of the name exists and is another's.
var ErrNameTaken = errors.New("interface name is taken")

// tunDevice is where TUN interfaces come from.
const tunDevice = "/dev/net/tun"

// maxQueues is how many queues the kernel gives a TUN (MAX_TAP_QUEUES).
const maxQueues = 256

// TUNOptions is what OpenTUN makes.
type TUNOptions struct {
	// Name of the interface, at most 15 octets. "%d" in it is replaced by the
	// first free number; if it is empty, the kernel takes "tun%d".
	Name string
	// Queues to read from, 1 to 256; 0 is 1. With more than one, the packets to
	// one address come by one queue, see TUN.QueueOf.
	Queues int
	// MTU in octets; 0 leaves it as it is (1500).
	MTU int

	// For tests: the sets of offloads to try, and a program to refuse.
	offloads   []int
	noSteering bool
}

// TUN is a virtual interface whose packets are ours to read and to write, super
// packets too; or a TAP, whose frames are. It is gone when it is closed, unless it was
// made persistent before.
type TUN struct {
	name     string
	tap      bool
	index    int
	queues   []*TUNQueue
	offloads inet.Offloads
	steering error

	once sync.Once
}

// offloadSets are the sets of offloads that OpenTUN tries, the best first: USO
// came with Linux 6.2.
var offloadSets = []int{
	unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN | unix.TUN_F_USO4 | unix.TUN_F_USO6,
	unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN,
	unix.TUN_F_CSUM,
	0,
}

// OpenTUN makes a TUN interface, or takes one that was made persistent for us
// (with one queue only). It is down, and has no addresses.
//
// With several queues, a program in the kernel chooses the queue of a packet by
// its destination. Where that cannot be loaded (it takes CAP_BPF in the first
// user namespace), the TUN has one queue, and SteeringError says why.
//
// The error is an *Error: ErrNotSupported, ErrPermission and ErrNameTaken are
// told apart.
func OpenTUN(o TUNOptions) (*TUN, error) {
	op := "make a TUN interface"
	if o.Name != "" {
		op = fmt.Sprintf("make the TUN interface %s", o.Name)
	}
	if o.Queues < 0 || o.Queues > maxQueues {
		return nil, &Error{Op: op, Err: unix.EINVAL, Advice: fmt.Sprintf("a TUN has 1 to %d queues, not %d", maxQueues, o.Queues)}
	}
	t, err := openTUN(op, o, max(o.Queues, 1))
	var s *steeringError
	if errors.As(err, &s) {
		if t, err = openTUN(op, o, 1); err == nil {
			t.steering = s.err
		}
	}
	return t, err
}

// steeringError is why a TUN can have but one queue.
type steeringError struct{ err error }

func (e *steeringError) Error() string { return e.err.Error() }

// openTUN makes a TUN with exactly that many queues.
func openTUN(op string, o TUNOptions, queues int) (_ *TUN, err error) {
	program := -1
	if queues > 1 {
		if program, err = loadSteering(o.noSteering); err != nil {
			return nil, &steeringError{err}
		}
		defer unix.Close(program)
	}
	t := &TUN{name: o.Name}
	defer func() {
		if err != nil {
			t.Close()
		}
	}()
	for i := range queues {
		if err := t.attach(op, uint16(flagsOf(i, queues))); err != nil {
			return nil, err
		}
	}
	if program >= 0 {
		if err := unix.IoctlSetPointerInt(t.queues[0].fd, unix.TUNSETSTEERINGEBPF, program); err != nil {
			return nil, &steeringError{plainError("choose the queue of a packet by a program", err)}
		}
	}
	return t, t.finish(op, o.offloads, o.MTU)
}

// finish sets up what all queues have in common, and finds the interface.
func (t *TUN) finish(op string, sets []int, mtu int) error {
	fd := t.queues[0].fd
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, vnetHeaderLen); err != nil {
		return plainError(op, err)
	}
	if sets == nil {
		sets = offloadSets
	}
	t.setOffloads(fd, sets)
	return t.identify(op, mtu)
}

// flagsOf are the flags of queue i of a TUN. The first of several queues insists
// on a new interface, because the kernel would let us share that of another
// program; with one queue, the kernel refuses that by itself.
func flagsOf(i, queues int) int {
	flags := unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR
	if queues > 1 {
		flags |= unix.IFF_MULTI_QUEUE
		if i == 0 {
			flags |= unix.IFF_TUN_EXCL
		}
	}
	return flags
}

// attach opens one more queue.
func (t *TUN) attach(op string, flags uint16) error {
	ifr, err := unix.NewIfreq(t.name)
	if err != nil {
		return &Error{Op: op, Err: err, Advice: fmt.Sprintf("the name of an interface has at most %d octets", unix.IFNAMSIZ-1)}
	}
	fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return tunOpenError(op, err)
	}
	ifr.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		_ = unix.Close(fd)
		return tunNameError(op, t.name, err)
	}
	t.name = ifr.Name()
	t.queues = append(t.queues, newTUNQueue(fd))
	return nil
}

// setOffloads asks for the best of the sets that the kernel takes. None is no
// error: then every packet comes by itself and with its checksum.
func (t *TUN) setOffloads(fd int, sets []int) {
	for _, set := range sets {
		if unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, set) == nil {
			t.offloads = inet.Offloads{
				TSO4: set&unix.TUN_F_TSO4 != 0,
				TSO6: set&unix.TUN_F_TSO6 != 0,
				USO:  set&unix.TUN_F_USO4 != 0 && set&unix.TUN_F_USO6 != 0,
			}
			return
		}
	}
}

// identify finds the interface's index and sets its MTU.
func (t *TUN) identify(op string, mtu int) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return plainError(op, err)
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq(t.name)
	if err != nil {
		return plainError(op, err)
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFINDEX, ifr); err != nil {
		return plainError(op, err)
	}
	t.index = int(ifr.Uint32())
	if mtu == 0 {
		return nil
	}
	// Someone else's interface with the MTU we want needs no permission.
	if err := unix.IoctlIfreq(s, unix.SIOCGIFMTU, ifr); err == nil && int(ifr.Uint32()) == mtu {
		return nil
	}
	ifr.SetUint32(uint32(mtu))
	if err := unix.IoctlIfreq(s, unix.SIOCSIFMTU, ifr); err != nil {
		return tunMTUError(t, mtu, err)
	}
	return nil
}

// Name is the interface's name.
func (t *TUN) Name() string { return t.name }

// Index is the interface's index.
func (t *TUN) Index() int { return t.index }

// Offloads are the kinds of super packet that Write may write and that Read may
// read.
func (t *TUN) Offloads() inet.Offloads { return t.offloads }

// Queues is how many queues there are, 1 or as many as were asked for.
func (t *TUN) Queues() int { return len(t.queues) }

// SteeringError is why there is but one queue though more were asked for; nil
// else.
func (t *TUN) SteeringError() error { return t.steering }

// Queue is queue i, from 0.
func (t *TUN) Queue(i int) *TUNQueue { return t.queues[i] }

// Close closes all queues, so the interface is gone. Nothing may read or write
// any more. Closing again does nothing.
func (t *TUN) Close() {
	t.once.Do(func() {
		for _, q := range t.queues {
			_ = unix.Close(q.fd)
		}
	})
}

func tunOpenError(op string, err error) error {
	e := &Error{Op: op, Err: fmt.Errorf("%s: %w", tunDevice, err)}
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		e.Kind = ErrNotSupported
		e.Advice = "load the module (`modprobe tun`), or give the container the device /dev/net/tun"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		e.Kind = ErrPermission
		e.Advice = "the device has to be readable and writable for this user (mode 0666 is usual), and allowed by the container"
	default:
		return plainError(op, err)
	}
	return e
}

func tunNameError(op, name string, err error) error {
	e := &Error{Op: op, Err: err}
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		e.Kind = ErrPermission
		e.Advice = "it needs root or CAP_NET_ADMIN, or a user and network namespace of its own, or an interface that was made for this user (`ip tuntap add`)"
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EEXIST):
		e.Kind = ErrNameTaken
		e.Advice = fmt.Sprintf("another program uses it, or it was made before and with several queues it has to be new: `ip tuntap` shows it; choose another name than %s", name)
	case errors.Is(err, unix.EINVAL):
		e.Kind = ErrNameTaken
		e.Advice = fmt.Sprintf("%q is no name for an interface, or one that is no TUN has it: `ip link show` lists them; choose another name", name)
	default:
		return plainError(op, err)
	}
	return e
}

func tunMTUError(t *TUN, mtu int, err error) error {
	e := &Error{Op: fmt.Sprintf("set the MTU of %s to %d", t.name, mtu), Err: err}
	switch {
	case errors.Is(err, unix.EINVAL) && t.tap:
		e.Advice = fmt.Sprintf("a TAP takes an MTU of 68 to %d octets", MaxTAPMTU)
	case errors.Is(err, unix.EINVAL):
		e.Advice = "a TUN takes an MTU of 68 to 65,535 octets"
	case errors.Is(err, unix.EPERM):
		e.Kind, e.Advice = ErrPermission, "it needs root or CAP_NET_ADMIN; or set it where the interface is made"
	}
	return e
}
