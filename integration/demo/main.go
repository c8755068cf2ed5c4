// Command demo shows adit at work: an LNS and a LAC in two network namespaces,
// real pppds, one session, and packets through it. It runs under this machine's
// kernel if that has L2TP, else in a virtual machine (see package lab).
//
//	go run ./integration/demo -adit bin/adit
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"adit/integration/lab"
	"adit/integration/scenario"
)

func main() {
	binary := flag.String("adit", "bin/adit", "the adit `binary`, static")
	verbose := flag.Bool("v", false, "show the guest's console")
	flag.Parse()
	if scenario.InLab() {
		os.Exit(scenario.Main("demo", os.Stdout, show))
	}
	status, err := outside(*binary, *verbose)
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
	os.Exit(status)
}

// outside runs this program again, inside the lab.
func outside(binary string, verbose bool) (int, error) {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	out, err := os.MkdirTemp("", "adit-demo-")
	if err != nil {
		return 1, err
	}
	o := lab.Options{Out: out, Timeout: 10 * time.Minute, Stdout: os.Stdout, Stderr: os.Stderr, Log: os.Stdout}
	if verbose {
		o.Console = os.Stderr
	}
	o.Env = []string{scenario.BinaryVariable + "=" + filepath.Join(out, "bin", "adit")}
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	// Copies, because the originals may be where the guest cannot see them.
	if err = os.Mkdir(filepath.Join(out, "bin"), 0o755); err != nil {
		return 1, err
	}
	if err = copyFile(filepath.Join(out, "bin", "adit"), binary); err != nil {
		return 1, errors.Join(errors.New("there is no adit to show; run make build"), err)
	}
	program := filepath.Join(out, "bin", "demo")
	if err = copyFile(program, self); err != nil {
		return 1, err
	}
	fmt.Println("The demo runs " + o.Describe() + ".")
	status, err := lab.Run(ctx, o, program)
	if err != nil || status != 0 {
		fmt.Println("logs of the daemons:", filepath.Join(out, "demo"))
		return status, errors.Join(err, os.RemoveAll(filepath.Join(out, "bin")))
	}
	return 0, os.RemoveAll(out)
}

func copyFile(to, from string) (err error) {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	_, err = io.Copy(w, r)
	return err
}
