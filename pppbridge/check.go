package pppbridge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/circuit"
	"adit/internal/kernel"
)

// Line disciplines that pppd sets on its side of a PTY.
const (
	ldiscPPP     = 3  // N_PPP
	ldiscSyncPPP = 14 // N_SYNC_PPP
)

// FindPPPD looks for pppd where distributions put it. It returns the path, or
// "/usr/sbin/pppd" if there is none, so that errors can name a file.
func FindPPPD() string {
	for _, dir := range [...]string{"/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/bin"} {
		path := filepath.Join(dir, "pppd")
		if executable(path) == nil {
			return path
		}
	}
	if path, err := exec.LookPath("pppd"); err == nil {
		return path
	}
	return "/usr/sbin/pppd"
}

// CheckPPPD says whether the pppd at path (empty: FindPPPD's) can be used for
// that kind of bridge on this machine now: nil, or one sentence with what is
// missing. It may run pppd for its version and have the kernel load a module.
func CheckPPPD(path string, kind circuit.Kind) error {
	if path == "" {
		path = FindPPPD()
	}
	if err := executable(path); err != nil {
		return err
	}
	if err := mayRun(path); err != nil {
		return err
	}
	if err := kernelPPP(); err != nil {
		return err
	}
	switch kind {
	case circuit.PPPDKernel:
		if err := kernel.Probe(); err != nil {
			return err
		}
		return findPlugin(path, "pppol2tp.so", kernelPlaneNeeds, pluginDirs())
	case circuit.PPPDAsync:
		return lineDiscipline(ldiscPPP, "ppp_async", false)
	case circuit.PPPDSync:
		return lineDiscipline(ldiscSyncPPP, "ppp_synctty", true)
	case circuit.Discard, circuit.Builtin, circuit.BuiltinKernel, circuit.Relay, circuit.EthernetTAP, circuit.EthernetKernel, circuit.IPTUN:
	}
	return nil
}

// CheckRADIUS says whether the pppd at path (empty: FindPPPD's) has the plugins
// by which it asks adit who its peers are: nil, or one sentence with what is
// missing.
func CheckRADIUS(path string) error {
	if path == "" {
		path = FindPPPD()
	}
	for _, plugin := range [...]string{"radius.so", "radattr.so"} {
		if err := findPlugin(path, plugin, radiusNeeds, pluginDirs()); err != nil {
			return err
		}
	}
	return nil
}

// What a plugin is for, and what to do without it.
const (
	kernelPlaneNeeds = `, which the kernel data plane needs: install the whole ppp package, or use dataplane = "userspace"`
	radiusNeeds      = `, by which it asks adit who its peers are: install the whole ppp package, or use ppp = "builtin"`
)

func executable(path string) error {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("there is no pppd at %s; install the ppp package, or set pppd.path: %w", path, err)
	case err != nil:
		return fmt.Errorf("look at pppd: %w", err)
	case st.IsDir():
		return fmt.Errorf("%s is a directory, not pppd: %w", path, unix.EISDIR)
	case unix.Access(path, unix.X_OK) != nil:
		return fmt.Errorf("%s may not be executed by this user: %w", path, unix.EACCES)
	}
	return nil
}

func mayRun(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("look at pppd: %w", err)
	}
	if os.Geteuid() != 0 && st.Mode()&os.ModeSetuid == 0 {
		return fmt.Errorf("pppd has to run as root: run adit as root, or %s setuid root: %w", path, unix.EPERM)
	}
	return nil
}

// kernelPPP opens /dev/ppp, which makes the kernel load ppp_generic.
func kernelPPP() error {
	fd, err := unix.Open("/dev/ppp", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		return unix.Close(fd)
	}
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		return fmt.Errorf("open /dev/ppp: %w; pppd needs root or CAP_NET_ADMIN", err)
	}
	return fmt.Errorf("the kernel has no PPP (open /dev/ppp: %w); load it by `modprobe ppp_generic`", err)
}

// lineDiscipline tries on a PTY of its own what pppd will do to its one.
func lineDiscipline(number int, module string, hdlc bool) error {
	pty, err := kernel.OpenPTY()
	if err != nil {
		return err
	}
	defer pty.Close()
	if hdlc {
		if err := pty.SetHDLC(); err != nil {
			return err
		}
	}
	if err := unix.IoctlSetPointerInt(pty.Slave, unix.TIOCSETD, number); err != nil {
		return fmt.Errorf("the kernel has no PPP for terminals (set line discipline %d: %w); load it by `modprobe %s`", number, err, module)
	}
	return nil
}

// pluginDirs are the patterns of where distributions keep pppd's plugins, a
// folder for each version.
func pluginDirs() []string {
	return []string{
		"/usr/lib/pppd/*", "/usr/lib64/pppd/*", "/usr/local/lib/pppd/*", "/usr/lib/*-linux-*/pppd/*", "/usr/lib32/pppd/*",
	}
}

// findPlugin looks for a plugin of the pppd's own version. needs says what it is
// for.
func findPlugin(path, plugin, needs string, dirs []string) error {
	version := pppdVersion(path)
	var others []string
	for _, pattern := range dirs {
		found, _ := filepath.Glob(filepath.Join(pattern, plugin)) // the patterns are good
		for _, f := range found {
			dir := filepath.Base(filepath.Dir(f))
			if version == "" || dir == version {
				return nil
			}
			others = append(others, dir)
		}
	}
	if len(others) > 0 {
		return fmt.Errorf("pppd %s has no plugin %s, only version %s has it: reinstall the ppp package: %w",
			version, plugin, strings.Join(others, ", "), os.ErrNotExist)
	}
	return fmt.Errorf("pppd has no plugin %s%s: %w", plugin, needs, os.ErrNotExist)
}

var versionPattern = regexp.MustCompile(`pppd version (\S+)`)

// pppdVersion is what pppd says of itself, as "2.4.9"; empty if it does not.
func pppdVersion(path string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env, cmd.WaitDelay = environment, time.Second
	out, _ := cmd.CombinedOutput() // old versions exit with an error after it
	m := versionPattern.FindSubmatch(out)
	if m == nil {
		return ""
	}
	return string(m[1])
}
