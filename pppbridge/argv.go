package pppbridge

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"adit/internal/circuit"
)

// sessionFD is the number that the PPPoX socket has in pppd.
const sessionFD = 3

// environment is all that pppd and its scripts see of ours.
var environment = []string{
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"LC_ALL=C",
}

// arguments are pppd's words. The operator's come first and the computed ones
// last, so that what adit relies on (pppd stays in the foreground and ends with
// its line) cannot be turned off by accident. No shell sees them.
func arguments(path string, s *Spec) []string {
	argv := []string{path}
	if s.OptionsFile != "" {
		argv = append(argv, "file", s.OptionsFile)
	}
	argv = append(argv, s.Options...)
	argv = append(argv, "nodetach", "nopersist", "logfd", "2")
	if s.Debug {
		argv = append(argv, "debug")
	}
	if s.LocalIP.IsValid() || s.RemoteIP.IsValid() {
		argv = append(argv, addressPart(s.LocalIP)+":"+addressPart(s.RemoteIP))
	}
	if s.MTU > 0 {
		argv = append(argv, "mtu", strconv.Itoa(s.MTU))
	}
	if s.MRU > 0 {
		argv = append(argv, "mru", strconv.Itoa(s.MRU))
	}
	if s.Peer.IsValid() {
		argv = append(argv, "ipparam", s.Peer.Addr().Unmap().String())
	}
	// The peer chose the number. With a NUL in it no program can be started, and
	// scripts of pppd get it as a variable. Words that bring a number of their own
	// know better: radius.so tells that number to whom it asks.
	if number := printable([]byte(s.CallingNumber)); number != "" && !slices.Contains(s.Options, "remotenumber") {
		argv = append(argv, "remotenumber", number)
	}
	switch s.Kind {
	case circuit.PPPDKernel:
		argv = append(argv, kernelArguments(s)...)
	case circuit.PPPDSync:
		// What has no length of its own inside cannot be told apart once the
		// terminal has run two frames together, see sync.go.
		argv = append(argv, "sync", "novj", "noccp", "nopcomp", "noaccomp", "local", "nocrtscts", "nolock")
	case circuit.PPPDAsync:
		argv = append(argv, "local", "nocrtscts", "nolock")
	case circuit.Discard, circuit.Builtin, circuit.BuiltinKernel, circuit.Relay, circuit.EthernetTAP, circuit.EthernetKernel, circuit.IPTUN:
		// There is no pppd.
	}
	return argv
}

func kernelArguments(s *Spec) []string {
	// The plugin demands the IDs in LNS mode, where it tells its hooks of them.
	argv := []string{"plugin", "pppol2tp.so", "pppol2tp", strconv.Itoa(sessionFD),
		"pppol2tp_tunnel_id", strconv.Itoa(int(s.LocalTunnel)),
		"pppol2tp_session_id", strconv.Itoa(int(s.LocalSession))}
	if s.LNS {
		argv = append(argv, "pppol2tp_lns_mode")
	}
	if s.SendSequence {
		argv = append(argv, "pppol2tp_send_seq")
	}
	if s.RequireSequence {
		argv = append(argv, "pppol2tp_recv_seq")
	}
	if ms := s.ReorderTimeout / time.Millisecond; ms > 0 {
		argv = append(argv, "pppol2tp_reorderto", strconv.Itoa(int(ms)))
	}
	if s.KernelDebug != 0 {
		argv = append(argv, "pppol2tp_debug_mask", strconv.FormatUint(uint64(s.KernelDebug), 10))
	}
	return argv
}

func addressPart(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().String()
}
