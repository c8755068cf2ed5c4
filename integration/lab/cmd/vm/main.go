// Command vm runs a command as root under a kernel with PPP and L2TP:
//
//	go run ./integration/lab/cmd/vm -- ip l2tp show tunnel
//	go run ./integration/lab/cmd/vm -out /tmp/results -- ./my-test
//
// The command sees this machine's files; what it writes is gone when it ends,
// except in the folder given by -out (also $ADIT_LAB_OUT inside).
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"adit/integration/lab"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(125)
	}
}

func run() error {
	var o lab.Options
	flag.StringVar(&o.Out, "out", "", "`folder` that outlives the run")
	flag.StringVar(&o.Dir, "dir", "", "working `folder` of the command")
	flag.DurationVar(&o.Timeout, "timeout", 10*time.Minute, "end the run by force after this time")
	flag.IntVar(&o.CPUs, "cpus", 2, "processors of the guest")
	flag.IntVar(&o.Memory, "memory", 2048, "`MiB` of memory of the guest")
	native := flag.Bool("native", false, "do not boot a machine: use this kernel, in namespaces of its own")
	machine := flag.Bool("machine", false, "always boot a machine")
	refresh := flag.Bool("refresh", false, "fetch Debian's current kernel first")
	verbose := flag.Bool("v", false, "show the guest's console")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	o.Stdout, o.Stderr, o.Log = os.Stdout, os.Stderr, os.Stderr
	if *verbose {
		o.Console = os.Stderr
	}
	switch {
	case *native:
		o.Mode = lab.Native
	case *machine:
		o.Mode = lab.VM
	}
	if *refresh {
		if _, err := lab.Prepare(ctx, os.Stderr, true); err != nil {
			return err
		}
	}
	argv := flag.Args()
	if len(argv) == 0 {
		if *refresh {
			return nil
		}
		flag.Usage()
		return fmt.Errorf("vm: no command")
	}
	status, err := lab.Run(ctx, o, argv...)
	if err != nil {
		return err
	}
	os.Exit(status)
	return nil
}
