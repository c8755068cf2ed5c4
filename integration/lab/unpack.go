package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Unpack takes a program out of its Debian package, with the libraries of the
// package's direct dependencies that this machine has not, into a tree in the
// cache. Nothing is installed, so no daemon starts and nothing changes outside
// the cache. The tree is as from the root folder: TREE/usr/sbin/PROGRAM.
func Unpack(ctx context.Context, log io.Writer, n Need) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	unlock, err := lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	tree := filepath.Join(cache, "tree-"+n.Package)
	if _, err = os.Stat(filepath.Join(tree, "usr", "sbin", n.Program)); err == nil {
		return tree, nil
	}
	if _, err = exec.LookPath("apt-get"); err != nil {
		return "", fmt.Errorf("lab: %s is taken from a Debian package: %w", n.Program, err)
	}
	fmt.Fprintf(log, "lab: unpacking %s\n", n.Package)
	tmp, err := os.MkdirTemp(cache, ".unpack-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	whole := filepath.Join(tmp, "whole")
	// First the package: apt-get knows its dependencies after it was found.
	if err = unpackInto(ctx, log, tmp, whole, n.Package); err != nil {
		return "", err
	}
	libraries, err := lackedLibraries(ctx, n.Package)
	if err != nil {
		return "", err
	}
	for _, pkg := range libraries {
		if err = unpackInto(ctx, log, tmp, whole, pkg); err != nil {
			return "", err
		}
	}
	if err = os.RemoveAll(tree); err != nil {
		return "", err
	}
	return tree, os.Rename(whole, tree)
}

// unpackInto adds what a package holds to the tree at whole.
func unpackInto(ctx context.Context, log io.Writer, tmp, whole, pkg string) error {
	part := filepath.Join(tmp, pkg)
	if err := unpack(ctx, log, part, pkg); err != nil {
		return err
	}
	if err := os.MkdirAll(whole, 0o755); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "cp", "-a", part+"/.", whole).CombinedOutput(); err != nil {
		return fmt.Errorf("lab: cp -a: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// lackedLibraries lists the libraries that a package depends on and that are not
// installed here.
func lackedLibraries(ctx context.Context, pkg string) ([]string, error) {
	out, err := exec.CommandContext(ctx, "apt-cache", "depends", "--no-recommends", "--no-suggests", pkg).Output()
	if err != nil {
		return nil, fmt.Errorf("lab: apt-cache depends %s: %w", pkg, err)
	}
	var all []string
	for line := range strings.Lines(string(out)) {
		kind, name, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if kind != "Depends" || !strings.HasPrefix(name, "lib") {
			continue
		}
		if err := exec.CommandContext(ctx, "dpkg", "-s", name).Run(); err != nil {
			all = append(all, name)
		}
	}
	return all, nil
}
