package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// accelerator is how qemu runs the guest's processor.
type accelerator int

const (
	emulated accelerator = iota // any machine; some ten times slower
	kvm
)

func (a accelerator) String() string {
	switch a {
	case emulated:
		return "tcg"
	case kvm:
		return "kvm"
	}
	return fmt.Sprintf("accelerator(%d)", int(a))
}

func (a accelerator) args() []string {
	if a == kvm {
		return []string{"-accel", "kvm", "-cpu", "host"}
	}
	return []string{"-accel", "tcg,thread=multi", "-cpu", "max"}
}

// bootLimit is the longest time from qemu's start to the guest's script.
func (a accelerator) bootLimit() time.Duration {
	if a == kvm {
		return 60 * time.Second
	}
	return 5 * time.Minute
}

// probeLimit is how long a guest may take to reach its init under KVM. A sound
// one needs about a second.
const probeLimit = 10 * time.Second

// chooseAccelerator picks KVM only where a guest really boots under it: in some
// nested machines /dev/kvm opens but guests hang or abort. The answer is kept in
// the cache for this host kernel and this qemu.
func chooseAccelerator(ctx context.Context, log io.Writer, qemu string, image *Image) (accelerator, error) {
	device, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return emulated, nil
	}
	device.Close()
	file, err := acceleratorFile(qemu)
	if err != nil {
		return emulated, err
	}
	if known, err := os.ReadFile(file); err == nil {
		if strings.TrimSpace(string(known)) == kvm.String() {
			return kvm, nil
		}
		return emulated, nil
	}
	answer := emulated
	if probeKVM(ctx, qemu, image) {
		answer = kvm
	}
	if ctx.Err() != nil {
		return emulated, context.Cause(ctx)
	}
	if answer == emulated {
		fmt.Fprintln(log, "lab: a guest does not boot under this machine's KVM; the processor will be emulated")
	}
	return answer, rememberAccelerator(file, answer)
}

func rememberAccelerator(file string, a accelerator) error {
	tmp := fmt.Sprintf("%s.%d", file, os.Getpid())
	if err := os.WriteFile(tmp, []byte(a.String()+"\n"), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}

// acceleratorFile is where the answer for this host kernel and qemu is kept.
func acceleratorFile(qemu string) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	var uts unix.Utsname
	if err = unix.Uname(&uts); err != nil {
		return "", fmt.Errorf("lab: uname: %w", err)
	}
	info, err := os.Stat(qemu)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintln(sum, unix.ByteSliceToString(uts.Release[:]), unix.ByteSliceToString(uts.Version[:]),
		info.Size(), info.ModTime().UnixNano(), os.Geteuid())
	return filepath.Join(cache, "accelerator-"+hex.EncodeToString(sum.Sum(nil)[:6])), nil
}

// probeKVM boots only as far as init and looks for its word on the console.
func probeKVM(ctx context.Context, qemu string, image *Image) bool {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	args := append(kvm.args(), "-M", "q35", "-smp", "2", "-m", "512", "-nodefaults", "-no-reboot", "-display", "none",
		"-serial", "stdio", "-kernel", image.Kernel, "-initrd", image.Initrd,
		"-append", "console=ttyS0 quiet panic=-1 adit.probe")
	cmd := exec.CommandContext(ctx, qemu, args...)
	seen := &wordWatcher{word: []byte(probeWord), found: cancel}
	cmd.Stdout = seen
	cmd.WaitDelay = time.Second
	if err := startBound(cmd); err != nil {
		return false
	}
	// The exit status says nothing: the guest is killed as soon as it spoke.
	_ = cmd.Wait()
	return seen.ok
}

// wordWatcher calls found once its word was written to it.
type wordWatcher struct {
	word  []byte
	found func()
	tail  []byte
	ok    bool
}

func (w *wordWatcher) Write(p []byte) (int, error) {
	w.tail = append(w.tail, p...)
	if !w.ok && bytes.Contains(w.tail, w.word) {
		w.ok = true
		w.found()
	}
	if extra := len(w.tail) - len(w.word); extra > 0 {
		w.tail = w.tail[extra:]
	}
	return len(p), nil
}
