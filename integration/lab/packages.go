package lab

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// packageOf names the Debian package that brings a program which InstallPrograms can
// install: none of them starts a daemon.
var packageOf = map[string]string{
	"depmod":             "kmod",
	"gcc":                "build-essential",
	"ip":                 "iproute2",
	"modprobe":           "kmod",
	"openssl":            "openssl",
	"ping":               "iputils-ping",
	"pppd":               "ppp",
	"qemu-system-x86_64": "qemu-system-x86",
	"radclient":          "freeradius-utils",
	"radsniff":           "freeradius-utils",
	"taskset":            "util-linux",
	"tc":                 "iproute2",
	"tcpdump":            "tcpdump",
	"tshark":             "tshark",
}

var (
	// guestPrograms are used by the scenarios, in the machine or natively.
	guestPrograms = []string{"ip", "tc", "ping", "pppd", "tcpdump", "modprobe", "radclient"}
	// machinePrograms are used to build and boot the virtual machine.
	machinePrograms = []string{"qemu-system-x86_64", "depmod"}
)

// Need is a program and the Debian package that it is taken out of.
type Need struct{ Program, Package string }

// unpackedNeeds are taken out of their package without installing it, because
// installing would start a daemon on the user's machine.
var unpackedNeeds = []Need{
	{"xl2tpd", "xl2tpd"},
}

// lookTool finds a program also in the system folders, which are not in an
// ordinary user's PATH on Debian.
func lookTool(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("lab: %s: %w", name, exec.ErrNotFound)
}

// missing are the packages of those programs that this machine lacks.
func missing(programs []string) []string {
	var pkgs []string
	for _, program := range programs {
		if _, err := lookTool(program); err != nil && !slices.Contains(pkgs, packageOf[program]) {
			pkgs = append(pkgs, packageOf[program])
		}
	}
	return pkgs
}

// Install brings the programs that the lab needs, those of the virtual machine
// only if machine is set. See InstallPrograms.
func Install(ctx context.Context, log io.Writer, machine bool) error {
	programs := guestPrograms
	if machine {
		programs = slices.Concat(programs, machinePrograms)
	}
	return InstallPrograms(ctx, log, programs...)
}

// InstallPrograms installs with apt-get the packages of those programs that are
// missing. Where that cannot be done (not root, not Debian) the error says in
// one sentence what to install.
func InstallPrograms(ctx context.Context, log io.Writer, programs ...string) error {
	for _, program := range programs {
		if packageOf[program] == "" {
			return fmt.Errorf("lab: no package is known to bring %s", program)
		}
	}
	pkgs := missing(programs)
	if len(pkgs) == 0 {
		return nil
	}
	_, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("lab: please install these Debian packages (or what your distribution calls them): apt-get install %s",
			strings.Join(pkgs, " "))
	}
	unlock, err := lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if pkgs = missing(programs); len(pkgs) == 0 {
		return nil // another run did it while this one waited
	}
	fmt.Fprintf(log, "lab: apt-get install %s\n", strings.Join(pkgs, " "))
	args := append([]string{"install", "-qqy", "--no-install-recommends"}, pkgs...)
	if err := aptGet(ctx, log, "", args...); err != nil {
		return err
	}
	if pkgs = missing(programs); len(pkgs) > 0 {
		return fmt.Errorf("lab: apt-get succeeded, yet the programs of %s are not found", strings.Join(pkgs, " "))
	}
	return nil
}

// aptGet runs apt-get quietly in a folder. A failure is tried once more after
// an update, for fresh containers have no package lists.
func aptGet(ctx context.Context, log io.Writer, dir string, args ...string) error {
	run := func(args ...string) error {
		// The sandbox user cannot write to a cache under /root, which apt
		// would say on every download.
		args = append([]string{"-o", "APT::Sandbox::User=root", "-o", "DPkg::Lock::Timeout=120"}, args...)
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("lab: apt-get %s: %w\n%s", strings.Join(args[4:], " "), err, bytes.TrimSpace(out.Bytes()))
		}
		return nil
	}
	err := run(args...)
	if err == nil || os.Geteuid() != 0 || ctx.Err() != nil {
		return err
	}
	fmt.Fprintln(log, "lab: apt-get update")
	if e := run("update", "-qq"); e != nil {
		return errors.Join(err, e)
	}
	return run(args...)
}

// unpackTools takes the programs of unpackedNeeds out of their packages into
// the cache and returns the folders to add to PATH. A program that is installed
// is left as it is. The caller holds the cache lock.
func unpackTools(ctx context.Context, log io.Writer, cache string) ([]string, error) {
	var dirs []string
	for _, n := range unpackedNeeds {
		if _, err := lookTool(n.Program); err == nil {
			continue
		}
		tree := filepath.Join(cache, "tool-"+n.Package)
		bin := filepath.Join(tree, "usr", "sbin")
		if _, err := os.Stat(filepath.Join(bin, n.Program)); err != nil {
			fmt.Fprintf(log, "lab: unpacking %s\n", n.Package)
			if err := unpack(ctx, log, tree, n.Package); err != nil {
				return nil, err
			}
		}
		dirs = append(dirs, bin)
	}
	return dirs, nil
}

// staticBusybox finds a busybox that runs where there is no C library. Debian's
// static and ordinary ones exclude each other, so it is not installed but
// unpacked into the cache. The caller holds the cache lock.
func staticBusybox(ctx context.Context, log io.Writer, cache string) (string, error) {
	if path, err := lookTool("busybox"); err == nil && isStatic(path) {
		return path, nil
	}
	tree := filepath.Join(cache, "tool-busybox-static")
	for range 2 {
		for _, path := range []string{filepath.Join(tree, "bin", "busybox"), filepath.Join(tree, "usr", "bin", "busybox")} {
			if isStatic(path) {
				return path, nil
			}
		}
		fmt.Fprintln(log, "lab: unpacking busybox-static")
		if err := unpack(ctx, log, tree, "busybox-static"); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("lab: %s has no static busybox", tree)
}

// isStatic reports whether a program needs no dynamic loader.
func isStatic(path string) bool {
	file, err := elf.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	return !slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
}

// unpack downloads a Debian package and extracts it to the folder tree, which
// exists either whole or not at all.
func unpack(ctx context.Context, log io.Writer, tree, pkg string) error {
	tmp, err := os.MkdirTemp(filepath.Dir(tree), ".unpack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err = aptGet(ctx, log, tmp, "download", "-qq", pkg); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("lab: apt-get download %s left %d files", pkg, len(debs))
	}
	out := filepath.Join(tmp, "tree")
	if msg, err := exec.CommandContext(ctx, "dpkg-deb", "-x", debs[0], out).CombinedOutput(); err != nil {
		return fmt.Errorf("lab: dpkg-deb -x %s: %w: %s", filepath.Base(debs[0]), err, msg)
	}
	if err := os.RemoveAll(tree); err != nil {
		return err
	}
	return os.Rename(out, tree)
}

// CacheDir is where kernels and unpacked tools are kept between runs:
// $XDG_CACHE_HOME/adit-lab, or ~/.cache/adit-lab.
func CacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("lab: no cache directory: %w", err)
	}
	dir := filepath.Join(base, "adit-lab")
	return dir, os.MkdirAll(dir, 0o755)
}

// lock keeps two runs from preparing the cache at once.
func lock(ctx context.Context) (unlock func(), err error) {
	dir, err := CacheDir()
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			file.Close()
			return nil, fmt.Errorf("lab: locking %s: %w", file.Name(), err)
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("lab: waiting for %s: %w", file.Name(), context.Cause(ctx))
		case <-time.After(200 * time.Millisecond):
		}
	}
}
