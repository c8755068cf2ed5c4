// Command bench measures the userspace data plane of adit with the built-in PPP
// endpoint, beside a floor of bare system calls and beside l2tpns, in network
// namespaces of this machine and in one run.
//
// The server that is measured has one processor, what sends to it another. What
// it delivers is counted by the kernel's interfaces: packets of subscribers at
// its TUN, behind which a route swallows them, and L2TP messages at its peer's
// end of a veth pair. The generator sends more than any server takes, as
// messages that the kernel cuts (UDP_SEGMENT), so that the bursts of a session
// come to the server as a network card with receive offload, or the kernel's own
// merging, would hand them over. The figure is packets for each second of
// processor time that the server took: with a full processor those are the
// packets a second, and what others do to the machine disturbs it least.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"adit/integration/lab"
	"adit/integration/scenario"
)

func main() {
	if status, child := runChild(os.Args); child {
		os.Exit(status)
	}
	os.Exit(run())
}

// runChild does what this program does when it runs itself.
func runChild(args []string) (status int, child bool) {
	if len(args) < 3 {
		return 0, false
	}
	var err error
	switch args[1] {
	case childFloor:
		err = floorMain(args[2:])
	case childOldKernel:
		err = oldKernelMain(args[2:])
	default:
		return 0, false
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}

// options are the flags.
type options struct {
	adit, out       string
	sessions        int
	rounds          int
	skip            string
	only            string
	withoutTCP      bool
	withoutSessions bool
	withoutLogins   bool
	withoutEthernet bool
	onlyEthernet    bool // nothing else
	logins          bool // and nothing else
}

// endSignals end a run in good order: with them go namespaces and daemons. One of
// them is the end of who reads the output.
var endSignals = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE}

func run() int {
	var o options
	flag.StringVar(&o.adit, "adit", "bin/adit", "the adit binary")
	flag.StringVar(&o.out, "o", "bench.json", "file for the figures; empty: none")
	flag.IntVar(&o.sessions, "sessions", 1000, "sessions of each server")
	flag.IntVar(&o.rounds, "rounds", 7, "measurements of each figure")
	flag.StringVar(&o.skip, "skip", "", "server to leave out, as l2tpns")
	flag.StringVar(&o.only, "only", "", "loads to measure, a part of their name")
	flag.BoolVar(&o.withoutTCP, "no-tcp", false, "leave TCP out")
	flag.BoolVar(&o.withoutSessions, "no-memory", false, "leave the memory of 100,000 sessions out")
	flag.BoolVar(&o.withoutLogins, "no-logins", false, "leave logins with RADIUS out")
	flag.BoolVar(&o.withoutEthernet, "no-ethernet", false, "leave Ethernet pseudowires out")
	flag.BoolVar(&o.onlyEthernet, "ethernet", false, "measure Ethernet pseudowires, and nothing else")
	flag.BoolVar(&o.logins, "logins", false, "measure logins with RADIUS, and nothing else")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), endSignals...)
	defer stop()
	return scenario.Main("bench", os.Stderr, func(t scenario.TB) {
		measure := o.run
		switch {
		case o.logins:
			measure = o.onlyLogins
		case o.onlyEthernet:
			measure = o.runEthernet
		}
		r := measure(ctx, t)
		if ctx.Err() != nil {
			t.Fatalf("interrupted")
		}
		r.print(os.Stdout)
		if o.out != "" {
			if err := r.write(o.out); err != nil {
				t.Fatalf("%v", err)
			}
		}
	})
}

// prepare installs what is lacking and chooses the processors.
func (o *options) prepare(ctx context.Context, t scenario.TB) *bench {
	b := &bench{TB: t, sessions: o.sessions, setups: map[string]float64{}}
	err := lab.InstallPrograms(ctx, os.Stderr, "ip", "ping", "taskset")
	if err == nil {
		b.adit, err = filepath.Abs(o.adit)
	}
	if err == nil {
		_, err = os.Stat(b.adit)
	}
	if err == nil {
		b.self, err = os.Executable()
	}
	if err != nil {
		t.Fatalf("%v", err)
	}
	scenario.NeedNative(t)
	if !strings.Contains(o.skip, "l2tpns") {
		if b.l2tpnsTree, err = lab.Unpack(ctx, os.Stderr, lab.Need{Program: "l2tpns", Package: "l2tpns"}); err != nil {
			t.Logf("bench: without l2tpns: %v", err)
		}
	}
	cpus, err := processors()
	if err != nil {
		t.Fatalf("%v", err)
	}
	if len(cpus) < 2 {
		t.Fatalf("a server and what sends to it need a processor each, and this process may use %d", len(cpus))
	}
	b.generator, b.measured = cpus[0], cpus[len(cpus)-1]
	return b
}

// memory runs the test of 100,000 sessions and returns the octets of one.
func memory(ctx context.Context) (octets float64, err error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^TestManyBuiltinSessions$", "-count=1", "-v", "./internal/engine")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return memoryLine(string(out))
}

// memoryLine finds the figure in what the test logged.
func memoryLine(text string) (octets float64, err error) {
	for line := range strings.Lines(text) {
		_, rest, found := strings.Cut(line, "builtin sessions at each end: ")
		if !found {
			continue
		}
		if _, err := fmt.Sscanf(rest, "%f octets", &octets); err != nil {
			return 0, fmt.Errorf("%q: %w", strings.TrimSpace(line), err)
		}
		return octets, nil
	}
	return 0, fmt.Errorf("the test said nothing of memory: %s", text)
}
