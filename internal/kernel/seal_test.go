package kernel

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestSealDescriptors(t *testing.T) {
	for name, seal := range map[string]func() error{"close_range": SealDescriptors, "one by one": sealOneByOne} {
		fd, err := unix.Open("/dev/null", unix.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := seal(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if fl, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || fl&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s: flags %x, %v", name, fl, err)
		}
		_ = unix.Close(fd)
	}
}
