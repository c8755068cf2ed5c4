package kernel

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"adit/proto/l2tp"
)

// ErrNoEntry says that there is no such tunnel or session. (ErrExists: a tunnel, a
// session or an interface has that ID or name already; a tunnel that was just deleted
// has its ID for a moment still.)
var ErrNoEntry = errors.New("no such tunnel or session")

// l2tpError puts an error of the kernel's L2TP into words.
func l2tpError(op string, err error) error {
	e := &Error{Op: op, Err: err}
	var errno unix.Errno
	if errors.As(err, &errno) {
		e.Err = errno
	}
	switch errno {
	case unix.EEXIST:
		e.Kind, e.Advice = ErrExists, "an ID or interface name is taken; `ip l2tp show tunnel` and `ip l2tp show session` list who has it"
	case unix.ENOENT, unix.ENODEV:
		e.Kind, e.Advice = ErrNoEntry, "the kernel has no such tunnel or session (any more)"
	case unix.EPERM, unix.EACCES:
		e.Kind, e.Advice = ErrPermission, "the kernel data plane needs root or the capability CAP_NET_ADMIN"
	case unix.EADDRINUSE:
		e.Kind, e.Advice = ErrPortInUse, "another socket has the local address and port, or for protocol 115 the tunnel ID"
	case unix.EADDRNOTAVAIL:
		e.Kind, e.Advice = ErrNoAddress, "this machine does not have the local address (`ip address` lists them)"
	case unix.EAFNOSUPPORT:
		e.Kind, e.Advice = ErrNotSupported, "this kernel has no such address family"
	case unix.EBUSY:
		e.Advice = "the socket is a tunnel's already, or was one's: open another for each tunnel"
	case unix.ENETUNREACH, unix.EHOSTUNREACH:
		e.Advice = "there is no route to the peer (`ip route get` shows it)"
	default:
		return plainL2TPError(e)
	}
	return e
}

// plainL2TPError adds what plainError knows.
func plainL2TPError(e *Error) error {
	if p, ok := plainError(e.Op, e.Err).(*Error); ok {
		e.Kind, e.Advice = p.Kind, p.Advice
	}
	return e
}

// unsupported says that err is the kernel's way of telling that a module is missing.
func unsupported(err error) bool {
	for _, e := range [...]unix.Errno{unix.EPROTONOSUPPORT, unix.ESOCKTNOSUPPORT, unix.EOPNOTSUPP, unix.ENOPROTOOPT} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// tunnelError is l2tpError for what concerns a tunnel of that encapsulation.
func tunnelError(op string, encap L2TPEncap, err error) error {
	var e *Error
	if !errors.As(err, &e) || !unsupported(e.Err) {
		return err
	}
	e.Kind, e.Advice = ErrNotSupported, "the kernel cannot carry such tunnels: load `modprobe l2tp_core`"
	if encap == L2TPEncapIP {
		e.Advice = "the kernel has no L2TP over IP: load it by `modprobe l2tp_ip`, for IPv6 `modprobe l2tp_ip6`"
	}
	e.Op = op
	return e
}

// sessionError is l2tpError for what concerns a session of that type.
func sessionError(t l2tp.PseudowireType, err error) error {
	var e *Error
	if !errors.As(err, &e) || !unsupported(e.Err) {
		return err
	}
	e.Kind = ErrNotSupported
	switch t {
	case l2tp.PseudowireEthernet:
		e.Advice = "the kernel has no L2TP Ethernet: load it by `modprobe l2tp_eth`, or use dataplane = \"userspace\""
	case l2tp.PseudowirePPP:
		e.Advice = "the kernel has no PPP over L2TP: load it by `modprobe l2tp_ppp`, or use dataplane = \"userspace\""
	default:
		e.Advice = fmt.Sprintf("the kernel has no pseudowires of type %v; use dataplane = \"userspace\"", t)
	}
	return e
}
