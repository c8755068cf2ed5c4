package scenario

import (
	"context"
	"os"
	"os/exec"
	"syscall"

	"adit/integration/lab"
)

// NeedNative skips a test on a machine where nobody may make network namespaces
// and TUN interfaces, or where the programs ip and ping are missing and cannot be
// installed. Where CI is true it fails instead: there they have to run.
func NeedNative(t TB) {
	t.Helper()
	why := nativeLack()
	if why == "" {
		return
	}
	if s, ok := t.(skipper); ok && os.Getenv("CI") != "true" {
		s.Skipf("%s", why)
	}
	t.Fatalf("%s", why)
}

// nativeLack says what a native test lacks here; "": nothing.
func nativeLack() string {
	if os.Geteuid() != 0 {
		return "needs root, for network namespaces"
	}
	if err := lab.InstallPrograms(context.Background(), os.Stderr, "ip", "ping"); err != nil {
		return "needs programs: " + err.Error()
	}
	tun, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return "needs a TUN: " + err.Error()
	}
	tun.Close()
	try := exec.Command("true")
	try.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	if err := try.Run(); err != nil {
		return "needs the right to make namespaces: " + err.Error()
	}
	return ""
}

// NewNativeNet is NewNet under this machine's own kernel, outside the lab, for
// what needs no PPP in it.
func NewNativeNet(t TB) *Net {
	t.Helper()
	NeedNative(t)
	return newNet(t, 2)
}
