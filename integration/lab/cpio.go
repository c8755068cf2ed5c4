package lab

import (
	"bytes"
	"fmt"
)

// cpioWriter writes the "newc" archive format that the kernel unpacks as its
// initial file system (Documentation/driver-api/early-userspace/buffer-format).
type cpioWriter struct {
	w     *bytes.Buffer
	inode int
}

const (
	cpioDir  = 0o040000
	cpioFile = 0o100000
)

func (c *cpioWriter) dir(name string) { c.entry(name, cpioDir|0o755, nil) }

func (c *cpioWriter) file(name string, mode int, data []byte) {
	c.entry(name, cpioFile|mode, data)
}

// close writes the entry that ends an archive.
func (c *cpioWriter) close() { c.entry("TRAILER!!!", 0, nil) }

func (c *cpioWriter) entry(name string, mode int, data []byte) {
	c.inode++
	links := 1
	// Magic, then 13 numbers of 8 hexadecimal digits: inode, mode, uid, gid,
	// nlink, mtime, filesize, device major and minor, special device major and
	// minor, length of the name with its NUL, checksum (unused).
	fmt.Fprintf(c.w, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		c.inode, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
	c.w.WriteString(name)
	c.w.WriteByte(0)
	c.pad()
	c.w.Write(data)
	c.pad()
}

// pad aligns to 4 bytes.
func (c *cpioWriter) pad() {
	for c.w.Len()%4 != 0 {
		c.w.WriteByte(0)
	}
}
