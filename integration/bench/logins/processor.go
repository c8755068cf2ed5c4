package logins

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"adit/integration/scenario"
)

// ticks of /proc are hundredths of a second on every Linux (USER_HZ).
const ticks = 100

// seconds is the processor time that a process has taken until now, with its
// system calls and with threads that have ended.
func seconds(t scenario.TB, pid int) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatalf("%v", err)
	}
	s, err := parseStat(string(text))
	if err != nil {
		t.Fatalf("/proc/%d/stat: %v", pid, err)
	}
	return s
}

// parseStat takes utime and stime, the 14th and 15th fields. The second is the
// program's name in parentheses, in which anything may be.
func parseStat(text string) (s float64, err error) {
	const utime, stime = 14 - 3, 15 - 3
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) <= stime {
		return 0, fmt.Errorf("too few fields: %q", text)
	}
	for _, f := range fields[utime : stime+1] {
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return 0, err
		}
		s += float64(n) / ticks
	}
	return s, nil
}
