package kernel

import (
	"math"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// SealDescriptors makes every descriptor from 3 on that this process has now
// close-on-exec. What adit opens is so from the start; what it inherited from
// its own parent is not.
func SealDescriptors() error {
	// Linux 5.11 does it in one call.
	if unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return nil
	}
	return sealOneByOne()
}

func sealOneByOne() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return plainError("list the descriptors", err)
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd >= 3 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}
