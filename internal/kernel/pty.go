package kernel

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	ldiscNTTY = 0  // N_TTY
	ldiscHDLC = 13 // N_HDLC
)

// PTY is a pseudo-terminal pair in raw mode. The master is ours and
// non-blocking, the slave is for a pppd. Both are close-on-exec.
type PTY struct {
	Master, Slave int
	Name          string // of the slave, as /dev/pts/7
}

// OpenPTY opens a pair. The error is an *Error.
func OpenPTY() (*PTY, error) {
	const op = "open a pseudo-terminal"
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		switch {
		case errors.Is(err, unix.ENOSPC):
			return nil, &Error{Op: op, Err: err, Advice: "all pseudo-terminals are taken: raise kernel.pty.max by sysctl"}
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV):
			return nil, &Error{Op: op, Kind: ErrNotSupported, Err: err, Advice: "/dev/ptmx and a devpts on /dev/pts are needed"}
		}
		return nil, plainError(op, err)
	}
	pty := &PTY{Master: master, Slave: -1}
	if err := pty.openSlave(); err != nil {
		pty.Close()
		return nil, &Error{Op: op, Err: err, Advice: "is a devpts mounted on /dev/pts?"}
	}
	return pty, nil
}

func (p *PTY) openSlave() error {
	if err := unix.IoctlSetPointerInt(p.Master, unix.TIOCSPTLCK, 0); err != nil {
		return err
	}
	n, err := unix.IoctlGetInt(p.Master, unix.TIOCGPTN)
	if err != nil {
		return err
	}
	p.Name = fmt.Sprintf("/dev/pts/%d", n)
	p.Slave, err = unix.Open(p.Name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	// Raw from the first octet: no echo of frames that come before pppd has
	// set its own line discipline, no signals, no translation.
	t, err := unix.IoctlGetTermios(p.Slave, unix.TCGETS)
	if err != nil {
		return err
	}
	makeRaw(t)
	return unix.IoctlSetTermios(p.Slave, unix.TCSETS, t)
}

func makeRaw(t *unix.Termios) {
	t.Iflag, t.Oflag, t.Lflag = unix.IGNBRK, 0, 0
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8 | unix.CREAD | unix.CLOCAL
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
}

// CloseSlave closes our copy of the slave, after it was given to a pppd: then
// the master sees a hang-up when the pppd is gone.
func (p *PTY) CloseSlave() {
	if p.Slave >= 0 {
		_ = unix.Close(p.Slave)
		p.Slave = -1
	}
}

// Close closes both sides; a pppd on the slave sees a hang-up.
func (p *PTY) Close() {
	p.CloseSlave()
	if p.Master >= 0 {
		_ = unix.Close(p.Master)
		p.Master = -1
	}
}

// SetHDLC puts the master under the N_HDLC line discipline, which keeps what
// the slave wrote apart by its pieces and never pushes back. The error is an
// *Error with ErrNotSupported if the kernel has no N_HDLC.
func (p *PTY) SetHDLC() error {
	err := unix.IoctlSetPointerInt(p.Master, unix.TIOCSETD, ldiscHDLC)
	if err == nil {
		return nil
	}
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENODEV) {
		return &Error{Op: "set N_HDLC on a pseudo-terminal", Kind: ErrNotSupported, Err: err,
			Advice: "synchronous PTYs need `modprobe n_hdlc`; or use pty = \"async\""}
	}
	return plainError("set N_HDLC on a pseudo-terminal", err)
}

// LineDiscipline is the master's.
func (p *PTY) LineDiscipline() (int, error) { return unix.IoctlGetInt(p.Master, unix.TIOCGETD) }
