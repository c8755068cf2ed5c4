package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// runVM prepares and boots the virtual machine and follows its command.
func runVM(ctx context.Context, o *Options, argv []string) (int, error) {
	image, err := Prepare(ctx, o.Log, false)
	if err != nil {
		return -1, err
	}
	qemu, err := lookTool("qemu-system-x86_64")
	if err != nil {
		return -1, err
	}
	accel, err := chooseAccelerator(ctx, o.Log, qemu, image)
	if err != nil {
		return -1, err
	}
	script := guestScript(image, o, argv)
	if err = os.WriteFile(o.privatePath("guest.sh"), []byte(script), 0o755); err != nil {
		return -1, err
	}
	status, err := boot(ctx, o, qemu, image, accel)
	if accel == kvm && errors.Is(err, errNoBoot) {
		// The probe was too optimistic; do not try again next time.
		o.logf("the guest did not boot under KVM; emulating the processor")
		file, e := acceleratorFile(qemu)
		if e == nil {
			e = rememberAccelerator(file, emulated)
		}
		if e != nil {
			return -1, e
		}
		status, err = boot(ctx, o, qemu, image, emulated)
	}
	return status, err
}

// errNoBoot: the guest never came to its script.
var errNoBoot = fmt.Errorf("%w: it did not boot", ErrGuest)

// boot runs qemu once. The guest's script reports through files in the private
// folder: booted, stdout, stderr and status.
func boot(ctx context.Context, o *Options, qemu string, image *Image, accel accelerator) (int, error) {
	for _, name := range []string{"booted", "stdout", "stderr", "status"} {
		if err := os.Remove(o.privatePath(name)); err != nil && !os.IsNotExist(err) {
			return -1, err
		}
	}
	begin := time.Now()
	o.logf("booting Linux %s (%s, %d CPUs, %d MiB)", image.Version, accel, o.CPUs, o.Memory)
	console := &console{out: o.Console}
	cmd := exec.Command(qemu, qemuArgs(o, image, accel)...)
	cmd.Stdout, cmd.Stderr = console, console
	cmd.WaitDelay = 2 * time.Second
	if err := startBound(cmd); err != nil {
		return -1, fmt.Errorf("lab: starting qemu: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	out := &follower{path: o.privatePath("stdout"), to: o.Stdout}
	diag := &follower{path: o.privatePath("stderr"), to: o.Stderr}
	defer out.close()
	defer diag.close()
	err := followGuest(ctx, o, accel, begin, ended, out, diag)
	if err != nil {
		_ = cmd.Process.Kill() // it may have ended by itself
		select {
		case <-ended:
		case <-time.After(10 * time.Second): // stuck in the kernel; Pdeathsig remains
		}
	}
	out.copy()
	diag.copy()
	if err != nil {
		return -1, fmt.Errorf("%w\n%s", err, console.tail())
	}
	text, err := os.ReadFile(o.privatePath("status"))
	if err != nil {
		return -1, fmt.Errorf("%w before its command ended\n%s", ErrGuest, console.tail())
	}
	status, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return -1, fmt.Errorf("%w: its exit status is %q", ErrGuest, text)
	}
	return status, nil
}

// powerOffLimit is how long the guest may take to end after its command.
const powerOffLimit = 20 * time.Second

// followGuest copies output as it comes until qemu has ended. It returns an
// error if qemu must be killed for a reason that spoils the run.
func followGuest(ctx context.Context, o *Options, accel accelerator, begin time.Time, ended <-chan error, out, diag *follower) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	booted := false
	var done time.Time
	for {
		select {
		case err := <-ended:
			if !booted && !exists(o.privatePath("booted")) {
				return fmt.Errorf("%w: qemu ended (%v)", errNoBoot, err)
			}
			return nil
		case <-ctx.Done():
			cause := context.Cause(ctx)
			if errors.Is(cause, ErrTimeout) {
				cause = fmt.Errorf("%w: the command did not end within %s", ErrTimeout, o.Timeout)
			}
			return cause
		case <-tick.C:
		}
		if !exists(o.privatePath("guest.sh")) {
			// The guest cannot report any more: do not wait for the timeout.
			return fmt.Errorf("%w: its folder %s was removed while it ran", ErrGuest, o.Out)
		}
		out.copy()
		diag.copy()
		if !booted {
			if booted = exists(o.privatePath("booted")); booted {
				o.logf("the guest is up after %.1f s", time.Since(begin).Seconds())
			} else if time.Since(begin) > accel.bootLimit() {
				return fmt.Errorf("%w within %s", errNoBoot, accel.bootLimit())
			}
			continue
		}
		if done.IsZero() && exists(o.privatePath("status")) {
			done = time.Now()
		}
		if !done.IsZero() && time.Since(done) > powerOffLimit {
			o.logf("the guest does not power off; ending it")
			return nil
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func qemuArgs(o *Options, image *Image, accel accelerator) []string {
	// A comma inside a value is written twice.
	escape := func(path string) string { return strings.ReplaceAll(path, ",", ",,") }
	args := append(accel.args(), "-M", "q35",
		"-smp", strconv.Itoa(o.CPUs), "-m", strconv.Itoa(o.Memory),
		"-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio",
		"-kernel", image.Kernel, "-initrd", image.Initrd,
		"-append", "console=ttyS0 quiet panic=-1 mitigations=off",
		"-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap",
		"-device", "virtio-9p-pci,fsdev=root,mount_tag=root",
		"-fsdev", "local,id=out,path="+escape(o.Out)+",security_model=none",
		"-device", "virtio-9p-pci,fsdev=out,mount_tag=out")
	return args
}

// guestScript is what the guest's first process runs.
func guestScript(image *Image, o *Options, argv []string) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	share := "/run/adit-lab"
	p("mount -t proc proc /proc; mount -t sysfs sys /sys")
	p("export PATH=%s", searchPath())
	p("mountpoint -q /dev || mount -t devtmpfs dev /dev")
	p("mkdir -p /dev/pts /dev/shm")
	p("mount -t devpts -o ptmxmode=0666 devpts /dev/pts; mount -t tmpfs tmpfs /dev/shm")
	p("ln -sfn pts/ptmx /dev/ptmx 2>/dev/null")
	p("mkdir -p %s; mount --bind %s %s", quote(o.Out), share, quote(o.Out))
	p("mkdir -p /lib/modules; mount --bind %s /lib/modules", quote(image.Tree+"/lib/modules"))
	p("touch %s/%s/booted", share, private)
	p("modprobe -qa %s", strings.Join(modules, " "))
	b.WriteString(commonSetup)
	p("hostname adit-lab; echo 127.0.1.1 adit-lab >>/etc/hosts")
	writeCommand(&b, o, searchPath(image.Tools...), argv, fmt.Sprintf("</dev/null >>%s/%s/stdout 2>>%[1]s/%[2]s/stderr", share, private))
	p("echo $status >%s/%s/status.new; mv %[1]s/%[2]s/status.new %[1]s/%[2]s/status", share, private)
	p("sync; echo o >/proc/sysrq-trigger; sleep 60")
	return b.String()
}

// commonSetup is done in both modes: a pppd with no options, secrets or scripts
// but those of the tests, run-time folders, and a loopback interface.
const commonSetup = `mkdir -p /etc/ppp && mount -t tmpfs -o mode=0755 tmpfs /etc/ppp && mkdir -p /etc/ppp/peers
touch /etc/ppp/options; (umask 077; touch /etc/ppp/pap-secrets /etc/ppp/chap-secrets)
mkdir -p /run/netns /run/lock /run/xl2tpd /run/pppd/lock
ip link set lo up
`

// writeCommand appends the command to a script, with exactly its environment,
// and leaves its exit status in $status.
func writeCommand(b *strings.Builder, o *Options, path string, argv []string, redirect string) {
	words := []string{"env", "-i"}
	for _, v := range o.environment(path) {
		words = append(words, quote(v))
	}
	for _, a := range argv {
		words = append(words, quote(a))
	}
	fmt.Fprintf(b, "cd %s && %s %s\nstatus=$?\n", quote(o.Dir), strings.Join(words, " "), redirect)
}

// quote makes one word of the shell's language.
func quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// follower copies what was appended to a file since the last time.
type follower struct {
	path string
	to   interface{ Write([]byte) (int, error) }
	file *os.File
}

func (f *follower) copy() {
	if f.file == nil {
		file, err := os.Open(f.path)
		if err != nil {
			return // not there yet
		}
		f.file = file
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := f.file.Read(buf)
		if n > 0 {
			// A reader who went away must not end the run.
			_, _ = f.to.Write(buf[:n])
		}
		if err != nil || n == 0 {
			return // up to date; a real failure shows when the status is read
		}
	}
}

func (f *follower) close() {
	if f.file != nil {
		f.file.Close()
	}
}

// console keeps the last lines of the kernel's console.
type console struct {
	out   interface{ Write([]byte) (int, error) }
	part  []byte
	lines [][]byte
}

const consoleTail = 40

func (c *console) Write(p []byte) (int, error) {
	c.part = append(c.part, p...)
	for {
		line, rest, ok := bytes.Cut(c.part, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		line = append([]byte("console| "), bytes.TrimRight(line, "\r")...)
		c.part = bytes.Clone(rest)
		c.lines = append(c.lines, line)
		if len(c.lines) > consoleTail {
			c.lines = c.lines[1:]
		}
		if c.out != nil {
			_, _ = c.out.Write(append(bytes.Clone(line), '\n'))
		}
	}
}

// tail is safe to call once qemu is gone.
func (c *console) tail() string {
	lines := c.lines
	if len(c.part) > 0 {
		lines = append(lines, append([]byte("console| "), c.part...))
	}
	if len(lines) == 0 {
		return "console| (silent)"
	}
	return string(bytes.Join(lines, []byte("\n")))
}
