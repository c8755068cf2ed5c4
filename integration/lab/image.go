package lab

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// bootModules are what the guest needs to reach its root file system.
var bootModules = []string{"virtio_pci", "9pnet_virtio", "9p", "overlay"}

// modules are loaded before the command starts; the kernel finds others by
// itself when they are asked for.
var modules = []string{
	"ppp_async", "ppp_synctty", "ppp_mppe", "ppp_deflate", "bsd_comp", "n_hdlc", "pppoe",
	"l2tp_ppp", "l2tp_eth", "l2tp_ip", "l2tp_ip6", "l2tp_netlink",
	"veth", "tun", "bridge", "8021q", "dummy", "sch_netem", "esp4", "esp6", "xfrm_user", "vrf", "nf_tables",
}

// Image is a kernel and an initial file system, ready to boot.
type Image struct {
	// Version of the kernel, as uname -r prints it in the guest.
	Version string
	// Kernel and Initrd are files for qemu.
	Kernel, Initrd string
	// Tree holds lib/modules.
	Tree string
	// Tools are folders to add to the guest's PATH.
	Tools []string
}

// Prepare installs what is missing and returns the newest cached kernel; if
// there is none, or refresh is set, it downloads Debian's current one first.
// Runs at the same time wait for each other.
func Prepare(ctx context.Context, log io.Writer, refresh bool) (*Image, error) {
	if runtime.GOARCH != "amd64" {
		return nil, fmt.Errorf("lab: the virtual machine is for amd64 only; on %s load the kernel's l2tp_ppp module and run as root", runtime.GOARCH)
	}
	if err := Install(ctx, log, true); err != nil {
		return nil, err
	}
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	unlock, err := lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	tree, err := newestTree(cache)
	if err != nil {
		return nil, err
	}
	if tree == "" || refresh {
		if tree, err = downloadKernel(ctx, log, cache); err != nil {
			return nil, err
		}
	}
	image, err := openTree(tree)
	if err != nil {
		return nil, err
	}
	busybox, err := staticBusybox(ctx, log, cache)
	if err != nil {
		return nil, err
	}
	if image.Initrd, err = initrd(ctx, image, busybox); err != nil {
		return nil, err
	}
	image.Tools, err = unpackTools(ctx, log, cache)
	return image, err
}

// newestTree is the cached kernel that was unpacked last, or "".
func newestTree(cache string) (string, error) {
	trees, err := filepath.Glob(filepath.Join(cache, "linux-image-*"))
	if err != nil {
		return "", err
	}
	newest, when := "", int64(0)
	for _, tree := range trees {
		info, err := os.Stat(filepath.Join(tree, "ready"))
		if err != nil {
			continue
		}
		if t := info.ModTime().UnixNano(); t > when {
			newest, when = tree, t
		}
	}
	return newest, nil
}

// downloadKernel fetches what linux-image-amd64 depends on now. A kernel that
// is in the cache already is not fetched again.
func downloadKernel(ctx context.Context, log io.Writer, cache string) (string, error) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return "", errors.New("lab: the virtual machine's kernel comes from a Debian package, and this machine has no apt-get to fetch it with")
	}
	pkg, err := kernelPackage(ctx, log)
	if err != nil {
		return "", err
	}
	tree := filepath.Join(cache, pkg)
	ready := filepath.Join(tree, "ready")
	if exists(ready) {
		return tree, nil
	}
	fmt.Fprintf(log, "lab: downloading %s (some 70 MB, once)\n", pkg)
	if err = unpack(ctx, log, tree, pkg); err != nil {
		return "", err
	}
	if !exists(filepath.Join(tree, "lib")) {
		// Releases with a merged /usr put the modules under usr/lib.
		if err = os.Symlink("usr/lib", filepath.Join(tree, "lib")); err != nil {
			return "", err
		}
	}
	image, err := openTree(tree)
	if err != nil {
		return "", err
	}
	depmod, err := lookTool("depmod")
	if err != nil {
		return "", err
	}
	if msg, err := exec.CommandContext(ctx, depmod, "-b", tree, image.Version).CombinedOutput(); err != nil {
		return "", fmt.Errorf("lab: depmod: %w: %s", err, msg)
	}
	return tree, os.WriteFile(ready, nil, 0o644)
}

// kernelPackage is the name that Debian's meta package points to.
func kernelPackage(ctx context.Context, log io.Writer) (string, error) {
	depends := func() string {
		out, err := exec.CommandContext(ctx, "apt-cache", "depends", "linux-image-amd64").Output()
		if err != nil {
			return ""
		}
		for line := range strings.Lines(string(out)) {
			if name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: "); ok && strings.HasPrefix(name, "linux-image-") {
				return name
			}
		}
		return ""
	}
	if name := depends(); name != "" {
		return name, nil
	}
	if os.Geteuid() == 0 {
		if err := aptGet(ctx, log, "", "update", "-qq"); err != nil {
			return "", err
		}
		if name := depends(); name != "" {
			return name, nil
		}
	}
	return "", errors.New("lab: apt knows no package linux-image-amd64 (run apt-get update; the lab's kernel is Debian's)")
}

// openTree looks into an unpacked kernel package.
func openTree(tree string) (*Image, error) {
	kernels, err := filepath.Glob(filepath.Join(tree, "boot", "vmlinuz-*"))
	if err != nil || len(kernels) != 1 {
		return nil, fmt.Errorf("lab: %s holds %d kernels, want 1", tree, len(kernels))
	}
	version := strings.TrimPrefix(filepath.Base(kernels[0]), "vmlinuz-")
	return &Image{Version: version, Kernel: kernels[0], Tree: tree}, nil
}

// bootScript is /init of the initial file system. With adit.probe on the
// kernel's command line it only says that the processor works.
const bootScript = `#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc /sys /dev /lower /over /new
$b mount -t proc proc /proc
if $b grep -q adit.probe /proc/cmdline; then
	echo ` + probeWord + `
	$b poweroff -f
fi
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for f in /m/*; do $b insmod $f; done
$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=loose,ro root /lower
$b mount -t tmpfs -o size=80% tmpfs /over
$b mkdir /over/upper /over/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/over/upper,workdir=/over/work root /new
$b mount -t tmpfs tmpfs /new/run
$b mkdir /new/run/adit-lab
$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 out /new/run/adit-lab
exec $b switch_root /new /bin/bash /run/adit-lab/` + private + `/guest.sh
`

const probeWord = "adit-lab-probe-reached-init"

// initrd builds the initial file system, unless this version of it exists.
func initrd(ctx context.Context, image *Image, busybox string) (string, error) {
	program, err := os.ReadFile(busybox)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintln(sum, bootScript, bootModules)
	sum.Write(program)
	name := filepath.Join(image.Tree, "initrd-"+hex.EncodeToString(sum.Sum(nil)[:6]))
	if exists(name) {
		return name, nil
	}
	var raw bytes.Buffer
	archive := cpioWriter{w: &raw}
	archive.dir("bin")
	archive.dir("m")
	archive.file("init", 0o755, []byte(bootScript))
	archive.file("bin/busybox", 0o755, program)
	files, err := moduleFiles(ctx, image)
	if err != nil {
		return "", err
	}
	for i, file := range files {
		data, err := readModule(ctx, file)
		if err != nil {
			return "", err
		}
		archive.file(fmt.Sprintf("m/%03d.ko", i), 0o644, data)
	}
	archive.close()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	if _, err := zip.Write(raw.Bytes()); err != nil {
		return "", err
	}
	if err := zip.Close(); err != nil {
		return "", err
	}
	tmp := name + ".tmp"
	if err := os.WriteFile(tmp, packed.Bytes(), 0o644); err != nil {
		return "", err
	}
	return name, os.Rename(tmp, name)
}

// moduleFiles lists bootModules and what they depend on, in loading order.
func moduleFiles(ctx context.Context, image *Image) ([]string, error) {
	modprobe, err := lookTool("modprobe")
	if err != nil {
		return nil, err
	}
	var files []string
	for _, module := range bootModules {
		out, err := exec.CommandContext(ctx, modprobe, "-d", image.Tree, "-S", image.Version, "--show-depends", module).Output()
		if err != nil {
			return nil, fmt.Errorf("lab: modprobe --show-depends %s: %w", module, err)
		}
		for line := range strings.Lines(string(out)) {
			// "insmod PATH [PARAMETER...]", or "builtin NAME".
			words := strings.Fields(line)
			if len(words) >= 2 && words[0] == "insmod" && !slices.Contains(files, words[1]) {
				files = append(files, words[1])
			}
		}
	}
	return files, nil
}

// readModule reads a module and undoes the compression that newer releases use,
// which the initial file system's insmod may not know.
func readModule(ctx context.Context, file string) ([]byte, error) {
	if !strings.HasSuffix(file, ".xz") {
		return os.ReadFile(file)
	}
	data, err := exec.CommandContext(ctx, "xz", "-dc", file).Output()
	if err != nil {
		return nil, fmt.Errorf("lab: xz -dc %s: %w", file, err)
	}
	return data, nil
}
