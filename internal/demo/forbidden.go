package demo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const tunPath = "/dev/net/tun"

// checkTUN opens the device that every TUN comes from, and says what to do if
// this user cannot.
func checkTUN(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	switch {
	case err == nil:
		return file.Close()
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s may not be opened by this user: run the demo as root, or let everybody open it, as most distributions do (chmod 0666 %s); in a container, pass the device in (--device %s): %w",
			path, path, path, err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ENXIO):
		return fmt.Errorf("there is no %s: load the kernel's module (modprobe tun); in a container, pass the device in (--device %s): %w",
			path, path, err)
	}
	return fmt.Errorf("%s cannot be opened: %w", path, err)
}

// forbidders are settings under /proc/sys that keep users from making user
// namespaces.
var forbidders = []struct{ file, bad, why, fix string }{
	{"user/max_user_namespaces", "0", "user namespaces are turned off", "user.max_user_namespaces=10000"},
	{"user/max_net_namespaces", "0", "network namespaces are turned off", "user.max_net_namespaces=10000"},
	{"kernel/unprivileged_userns_clone", "0", "user namespaces are for root only", "kernel.unprivileged_userns_clone=1"},
	{"kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor restricts user namespaces", "kernel.apparmor_restrict_unprivileged_userns=0"},
}

// namespaceError says in a sentence why namespaces could not be made, and what
// to do. root is where /proc is found.
func namespaceError(err error, root string) error {
	forbidden := errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) ||
		errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EUSERS)
	if !forbidden && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOSYS) {
		return fmt.Errorf("starting the demo in namespaces of its own: %w", err)
	}
	for _, f := range forbidders {
		text, e := os.ReadFile(filepath.Join(root, "proc/sys", f.file))
		if e == nil && strings.TrimSpace(string(text)) == f.bad {
			return fmt.Errorf("%s here: run the demo as root, or allow them (sudo sysctl -w %s): %w", f.why, f.fix, err)
		}
	}
	if forbidden {
		return fmt.Errorf("this machine does not let this user make namespaces, as containers often do not: run the demo as root outside a container, or give the container the right (--privileged): %w", err)
	}
	return fmt.Errorf("this kernel has no user or network namespaces (CONFIG_USER_NS, CONFIG_NET_NS): run the demo on another machine: %w", err)
}
