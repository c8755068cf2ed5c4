package kernel

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// All octets pass both ways unchanged, and nothing is echoed: the terminal is
// raw from the start.
func TestPTYIsRaw(t *testing.T) {
	p, err := OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	checkFlags(t, p.Master)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for _, d := range []struct {
		name     string
		from, to int
	}{{"master to slave", p.Master, p.Slave}, {"slave to master", p.Slave, p.Master}} {
		if n, err := unix.Write(d.from, all); n != 256 || err != nil {
			t.Fatal(n, err)
		}
		var got []byte
		for len(got) < 256 && waitReadable(d.to, 5000) {
			buf := make([]byte, 512)
			n, err := unix.Read(d.to, buf)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, buf[:n]...)
		}
		if !bytes.Equal(got, all) {
			t.Errorf("%s: got %x", d.name, got)
		}
	}
	if waitReadable(p.Master, 20) {
		t.Error("something was echoed")
	}
}

func TestPTYHangUp(t *testing.T) {
	p, err := OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if fl, err := unix.FcntlInt(uintptr(p.Slave), unix.F_GETFD, 0); err != nil || fl&unix.FD_CLOEXEC == 0 {
		t.Errorf("the slave is not close-on-exec")
	}
	if _, err := unix.Read(p.Master, make([]byte, 1)); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("an idle master: %v", err)
	}
	p.CloseSlave()
	if _, err := unix.Read(p.Master, make([]byte, 1)); !errors.Is(err, unix.EIO) {
		t.Errorf("a master without slave: %v", err)
	}
	if p.Slave != -1 {
		t.Errorf("slave is %d", p.Slave)
	}
	p.Close()
	p.Close()
}

// A master whose slave nobody reads gets full without blocking.
func TestPTYFull(t *testing.T) {
	p, err := OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	buf := make([]byte, 1024)
	for total := 0; total < 1<<20; {
		n, err := unix.Write(p.Master, buf)
		if errors.Is(err, unix.EAGAIN) {
			if total == 0 {
				t.Error("full from the start")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		total += n
	}
	t.Error("a terminal took a MiB that nobody read")
}

func TestSetHDLC(t *testing.T) {
	p, err := OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	err = p.SetHDLC()
	d, derr := p.LineDiscipline()
	switch {
	case derr != nil:
		t.Error(derr)
	case err == nil && d != ldiscHDLC:
		t.Errorf("line discipline is %d", d)
	case err != nil && (!errors.Is(err, ErrNotSupported) || d != ldiscNTTY):
		t.Errorf("%v, line discipline %d", err, d)
	case err != nil && inLab():
		t.Errorf("the lab has N_HDLC: %v", err)
	}
}
