package kernel

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// l2tpDeadline is the longest wait for the kernel's reply to one request. The
// kernel does its work before it takes the request off our hands, so a reply that is
// not there then was lost.
const l2tpDeadline = 5 * time.Second

// L2TP is the kernel's L2TP as netlink shows it: tunnels and sessions of
// L2TPv3, and those of L2TPv2 too. Any goroutine may call its methods; requests go
// one after another. Every error is an *Error, told apart by ErrNoEntry, ErrExists,
// ErrNotSupported, ErrPermission, ErrPortInUse and ErrNoAddress.
//
// All of it happens in the network namespace of the thread that called OpenL2TP,
// whichever thread makes a request later.
type L2TP struct {
	mu     sync.Mutex
	conn   *genetlink.Conn // nil: to be dialled again
	family uint16
	ns     *os.File // the namespace; nil: unknown
	closed bool

	onLink linkSockets
}

// OpenL2TP opens the kernel's L2TP. The kernel loads l2tp_netlink by itself where
// it may; ErrNotSupported says that there is none, ErrPermission that CAP_NET_ADMIN is
// missing. The caller closes what is returned.
func OpenL2TP() (*L2TP, error) {
	runtime.LockOSThread() // one thread, so one namespace
	defer runtime.UnlockOSThread()
	k := &L2TP{}
	// Without /proc, a socket that has to be opened anew is of the thread's
	// namespace at that time.
	k.ns, _ = os.Open("/proc/thread-self/ns/net")
	conn, family, err := dialL2TP(nil)
	if err != nil {
		_ = k.Close()
		return nil, err
	}
	k.conn, k.family = conn, family.ID
	// Asking for a family is for everybody: only a request of the family itself
	// shows whether we may make one.
	if _, err := k.Tunnel(^uint32(0)); err != nil && !errors.Is(err, ErrNoEntry) {
		_ = k.Close()
		return nil, err
	}
	return k, nil
}

// dialL2TP opens a socket and looks the family up.
func dialL2TP(config *netlink.Config) (*genetlink.Conn, genetlink.Family, error) {
	const op = "open the kernel's L2TP"
	conn, err := genetlink.Dial(config)
	if err != nil {
		return nil, genetlink.Family{}, l2tpError(op, err)
	}
	err = conn.SetDeadline(time.Now().Add(l2tpDeadline))
	var family genetlink.Family
	if err == nil {
		family, err = conn.GetFamily("l2tp")
	}
	switch {
	case errors.Is(err, os.ErrNotExist):
		err = &Error{Op: op, Kind: ErrNotSupported, Err: unix.ENOENT,
			Advice: "the kernel has no L2TP over netlink: load it by `modprobe l2tp_netlink`, or use dataplane = \"userspace\""}
	case err != nil:
		err = l2tpError(op, err)
	default:
		return conn, family, nil
	}
	_ = conn.Close()
	return nil, genetlink.Family{}, err
}

// Close closes the socket. Tunnels and sessions stay, but for those between link-local
// addresses. Closing twice does nothing.
func (k *L2TP) Close() error {
	k.onLink.close()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil
	}
	k.closed = true
	var err error
	if k.conn != nil {
		err = k.conn.Close()
	}
	if k.ns != nil {
		_ = k.ns.Close()
	}
	return err
}

// request sends one command and returns what the kernel replies: nothing but an
// acknowledgement, one message, or all of a dump.
func (k *L2TP) request(op string, command uint8, flags netlink.HeaderFlags, attrs []byte) ([]genetlink.Message, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil, &Error{Op: op, Err: ErrClosed}
	}
	if k.conn == nil {
		if err := k.redial(); err != nil {
			return nil, err
		}
	}
	m := genetlink.Message{Header: genetlink.Header{Command: command, Version: l2tpGenlVersion}, Data: attrs}
	var reply []genetlink.Message
	err := k.conn.SetDeadline(time.Now().Add(l2tpDeadline))
	if err == nil {
		reply, err = k.conn.Execute(m, k.family, netlink.Request|flags)
	}
	if err == nil {
		return reply, nil
	}
	if !isKernelReply(err) {
		// The reply may come after all and be taken for that of the next request.
		_ = k.conn.Close()
		k.conn = nil
	}
	return nil, l2tpError(op, err)
}

// isKernelReply says that err is what the kernel replied, and not that the reply
// did not come.
func isKernelReply(err error) bool {
	var o *netlink.OpError
	if !errors.As(err, &o) {
		return false
	}
	_, ok := o.Err.(unix.Errno) // of the socket's own errors, a system call is named
	return ok
}

// redial opens the socket again, in the namespace of the first one. To enter a
// namespace takes a right that we may not have, so it is not done for the one we are
// in.
func (k *L2TP) redial() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var config *netlink.Config
	if k.ns != nil && !inNetNS(k.ns) {
		config = &netlink.Config{NetNS: int(k.ns.Fd())}
	}
	conn, family, err := dialL2TP(config)
	if err != nil {
		return err
	}
	k.conn, k.family = conn, family.ID
	return nil
}

// inNetNS says whether this thread is in the network namespace ns.
func inNetNS(ns *os.File) bool {
	here, err := os.Stat("/proc/thread-self/ns/net")
	if err != nil {
		return false
	}
	there, err := ns.Stat()
	return err == nil && os.SameFile(here, there)
}
