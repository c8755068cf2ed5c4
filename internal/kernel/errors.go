package kernel

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Sentinels for decisions; compare with errors.Is. The *Error around them has
// the sentence for the operator.
var (
	// ErrNotSupported says that the running kernel lacks what was asked for,
	// usually because a module is not loaded.
	ErrNotSupported = errors.New("not supported by the running kernel")
	// ErrPermission says that the process may not do it.
	ErrPermission = errors.New("permission denied")
	// ErrPortInUse says that another socket holds the address and port.
	ErrPortInUse = errors.New("port in use")
	// ErrNoAddress says that this machine does not have the local address.
	ErrNoAddress = errors.New("no such local address")
)

// Error is a failed system call, with a sentence for the operator.
type Error struct {
	Op     string // what was tried, as "open a PPPoL2TP socket"
	Kind   error  // one of the sentinels, or nil
	Advice string // what the operator can do about it; may be empty
	Err    error  // what the kernel said; usually a unix.Errno
}

// Error is one line: what was tried, what the kernel said, what to do.
func (e *Error) Error() string {
	if e.Advice == "" {
		return fmt.Sprintf("%s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("%s: %v; %s", e.Op, e.Err, e.Advice)
}

// Unwrap lets errors.Is find both the sentinel and the errno.
func (e *Error) Unwrap() []error {
	if e.Kind == nil {
		return []error{e.Err}
	}
	return []error{e.Kind, e.Err}
}

// plainError wraps an errno that needs no advice of its own.
func plainError(op string, err error) error {
	e := &Error{Op: op, Err: err}
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		e.Kind = ErrPermission
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		e.Advice = "raise the limit of open files (LimitNOFILE= in the unit, or ulimit -n)"
	}
	return e
}
