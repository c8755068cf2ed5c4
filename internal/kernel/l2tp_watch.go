package kernel

import (
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/mdlayher/genetlink"
	"golang.org/x/sys/unix"
)

// l2tpWatchBuffer is the room for events that wait, in octets: some thousands.
const l2tpWatchBuffer = 1 << 20

// L2TPWatch listens to the kernel's L2TP events until it is closed.
type L2TPWatch struct {
	conn   *genetlink.Conn
	closed atomic.Bool
	done   chan struct{}
}

// ListenL2TP has handle called, by one goroutine and in order, with what is created,
// modified and deleted by netlink, be it by us, by `ip l2tp` or by another program.
//
// The kernel tells no more than that: nothing of a tunnel that ends with its socket,
// of the sessions that end with their tunnel, of what PPPoX makes. It tells the
// events of all network namespaces alike, and not which it was. So an event is a cause
// to look, by Tunnel or Session, and no proof.
func ListenL2TP(handle func(L2TPEvent)) (*L2TPWatch, error) {
	const op = "listen to the kernel's L2TP events"
	runtime.LockOSThread()
	conn, family, err := dialL2TP(nil)
	runtime.UnlockOSThread()
	if err != nil {
		return nil, err
	}
	w := &L2TPWatch{conn: conn, done: make(chan struct{})}
	group := uint32(0)
	for _, g := range family.Groups {
		if g.Name == "l2tp" {
			group = g.ID
		}
	}
	if group == 0 {
		err = &Error{Op: op, Kind: ErrNotSupported, Err: unix.ENOPROTOOPT, Advice: "this kernel tells no L2TP events: it is older than Linux 3.18"}
	} else {
		err = errors.Join(conn.SetReadBuffer(l2tpWatchBuffer), conn.SetDeadline(time.Time{}), conn.JoinGroup(group))
		if err != nil {
			err = l2tpError(op, err)
		}
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	go w.run(family.ID, handle)
	return w, nil
}

// Close ends the watch and returns after the last call of its function, which must
// not call it itself. Closing twice does nothing.
func (w *L2TPWatch) Close() error {
	var err error
	if !w.closed.Swap(true) {
		err = w.conn.Close()
	}
	<-w.done
	return err
}

func (w *L2TPWatch) run(family uint16, handle func(L2TPEvent)) {
	defer close(w.done)
	for {
		msgs, headers, err := w.conn.Receive()
		switch {
		case w.closed.Load() || errors.Is(err, os.ErrClosed):
			return
		case errors.Is(err, unix.ENOBUFS):
			handle(L2TPEvent{Kind: L2TPEventsLost})
		case err != nil:
			handle(L2TPEvent{Kind: L2TPWatchEnded, Err: l2tpError("read the kernel's L2TP events", err)})
			return
		}
		for i, m := range msgs {
			if uint16(headers[i].Header.Type) != family {
				continue
			}
			if e, ok := decodeL2TPEvent(m); ok {
				handle(e)
			}
		}
	}
}

// l2tpEventKinds says which command an event repeats.
var l2tpEventKinds = map[uint8]L2TPEventKind{
	l2tpCmdTunnelCreate: L2TPTunnelCreated, l2tpCmdTunnelModify: L2TPTunnelModified, l2tpCmdTunnelDelete: L2TPTunnelDeleted,
	l2tpCmdSessionCreate: L2TPSessionCreated, l2tpCmdSessionModify: L2TPSessionModified, l2tpCmdSessionDelete: L2TPSessionDeleted,
}

// decodeL2TPEvent reads one event; false: it is none that we know.
func decodeL2TPEvent(m genetlink.Message) (L2TPEvent, bool) {
	e := L2TPEvent{Kind: l2tpEventKinds[m.Header.Command]}
	var err error
	switch e.Kind {
	case L2TPTunnelCreated, L2TPTunnelModified, L2TPTunnelDeleted:
		e.Tunnel, err = decodeL2TPTunnel(m.Data)
	case L2TPSessionCreated, L2TPSessionModified, L2TPSessionDeleted:
		e.Session, err = decodeL2TPSession(m.Data)
	case L2TPEventsLost, L2TPWatchEnded:
	}
	return e, e.Kind != 0 && err == nil
}
