package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"adit/integration/scenario"
)

// server is what is measured: a program between a socket and a TUN.
type server struct {
	name            string
	outside, inside *scenario.NS // its peer's namespace, and its own
	wire            string       // interface outside, towards it
	tun             string       // its TUN, or what the names of its TAPs begin with
	ethernet        bool         // its devices are TAPs
	peer, outer     netip.AddrPort
	pid             int
	calls           []call
	// messageLen is the octets of a data message beyond its IP packet, in what
	// it sends. It is found out by looking.
	messageLen int
}

// traffic is what an interface has counted. A merged packet is one there.
type traffic struct{ packets, octets uint64 }

func (a traffic) since(b traffic) traffic { return traffic{a.packets - b.packets, a.octets - b.octets} }

// cut is how many datagrams these were, each with size octets of payload, if a
// packet of the interface had header octets before them.
func (a traffic) cut(header, size int) float64 {
	return (float64(a.octets) - float64(a.packets)*float64(header)) / float64(size)
}

// received is what the interfaces whose names begin like that have received until
// now. What a program writes into its TUN is received there.
func received(ns *scenario.NS, prefix string) (t traffic, err error) {
	var h *netlink.Handle
	if err = ns.Do(func() (err error) {
		h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	}); err != nil {
		return t, err
	}
	defer h.Close()
	links, err := h.LinkList()
	if err != nil {
		return t, err
	}
	found := false
	for _, link := range links {
		if a := link.Attrs(); strings.HasPrefix(a.Name, prefix) && a.Statistics != nil {
			found = true
			t.packets += a.Statistics.RxPackets
			t.octets += a.Statistics.RxBytes
		}
	}
	if !found {
		return t, fmt.Errorf("there is no interface %s", prefix)
	}
	return t, nil
}

// processorTime is how long a process has run until now, in nanoseconds, with
// the system calls it made; and besides the kernel's thread that goes on with
// what the process has sent when there is much of it, on its processor.
func processorTime(pid, cpu int) (ns int64, err error) {
	if ns, err = threadTimes(pid); err != nil {
		return 0, err
	}
	if softirqd := softirqThread(cpu); softirqd != 0 {
		more, err := threadTimes(softirqd)
		return ns + more, err
	}
	return ns, nil // not to be seen in a container
}

func threadTimes(pid int) (ns int64, err error) {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	threads, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, t := range threads {
		text, err := os.ReadFile(dir + "/" + t.Name() + "/schedstat")
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // a thread that has just ended
		}
		if err != nil {
			return 0, err
		}
		running, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(running, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s/%s/schedstat: %w", dir, t.Name(), err)
		}
		ns += n
	}
	return ns, nil
}

var softirqThreads = map[int]int{}

// softirqThread is the process number of ksoftirqd of a processor; 0: not to be
// seen.
func softirqThread(cpu int) int {
	if pid, known := softirqThreads[cpu]; known {
		return pid
	}
	softirqThreads[cpu] = 0
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		comm, err := os.ReadFile("/proc/" + e.Name() + "/comm")
		if err == nil && strings.TrimSpace(string(comm)) == fmt.Sprintf("ksoftirqd/%d", cpu) {
			softirqThreads[cpu] = pid
		}
	}
	return softirqThreads[cpu]
}
