package radius

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
	"layeh.com/radius"

	"adit/internal/config"
	"adit/internal/need"
)

// answerBut has every server answer each record but those of sessions whose ID
// begins so.
func (r *rig) answerBut(prefix string) {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	r.net.on = func(p packetIn) {
		if !strings.HasPrefix(saidBy(r.t, p).id, prefix) {
			p.answer(r.t, "secret of "+p.server, radius.CodeAccountingResponse, false)
		}
	}
}

// forgetPackets has the memory of what was sent begin anew.
func (r *rig) forgetPackets() {
	synctest.Wait()
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	r.net.all = nil
}

// What a server never answers, be it thousands of records as of a realm whose home
// server is down, does not stand in the way of the records of others: not of those
// that come with it, and not after hours.
func TestPoison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		r.answerBut("poison")
		const poison = 8 * window
		for i := range poison {
			r.Account(r.group, record(start, fmt.Sprint("poison ", i), 0))
			r.Account(r.group, record(start, fmt.Sprint("good ", i), 0))
		}
		time.Sleep(5 * time.Minute)
		if n := r.Counts()["radius_accounting_delivered"]; n != poison {
			t.Fatalf("%d of %d good ones were delivered", n, poison)
		}
		time.Sleep(2 * time.Hour)
		r.forgetPackets()
		before := r.Counts()["radius_accounting_delivered"]
		const rate, seconds = 100, 60
		for range seconds {
			for i := range rate {
				r.Account(r.group, record(interim, fmt.Sprint("good ", i), 1))
			}
			time.Sleep(time.Second)
		}
		if n := r.Counts()["radius_accounting_delivered"] - before; n != rate*seconds {
			t.Errorf("%d of %d good ones were delivered in their time", n, rate*seconds)
		}
		if n := r.Counts()["radius_accounting_backlog"]; n != poison {
			t.Errorf("%d wait, want %d", n, poison)
		}
		r.answerAll()
		time.Sleep(time.Hour)
		if n := r.Counts()["radius_accounting_backlog"]; n != 0 {
			t.Errorf("%d wait still", n)
		}
	})
}

// A record that is never answered holds Accounting-Off up no longer than it takes
// to find out, while others are answered.
func TestPoisonAndOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		r.answerBut("poison")
		r.On(r.group)
		r.Account(r.group, record(start, "poison", 0))
		time.Sleep(time.Second)
		r.Account(r.group, record(start, "good", 0))
		began := time.Now()
		r.Account(r.group, record(off, "", 0))
		time.Sleep(9 * time.Second)
		synctest.Wait()
		for _, p := range r.net.packets("only") {
			if saidBy(t, p).kind == off {
				return
			}
		}
		t.Errorf("no Accounting-Off after %v", time.Since(began))
	})
}

// Records of a group that the configuration has no more are said once, wait for its
// return, do not hold up the end of the daemon, and go before those of others do.
func TestGroupRenamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		for i := range 3 {
			r.Account(r.group, record(start, fmt.Sprint("old ", i), 0))
		}
		dir := r.snapshot()
		renamed := &config.RADIUSGroup{Name: "renamed", Servers: r.group.Servers}
		old := r.group
		r.cfg = &config.RADIUS{Servers: r.cfg.Servers, Groups: map[string]*config.RADIUSGroup{"renamed": renamed}}
		r.revive(dir)
		r.answerAll()
		r.Account(renamed, record(start, "new", 0))
		time.Sleep(3 * time.Second)
		r.wantSaid(said{kind: start, id: "new"})
		if lines := r.lines.all(); strings.Count(strings.Join(lines, ""), "not in the configuration any more") != 1 {
			t.Errorf("%q", lines)
		}
		r.Account(renamed, record(stop, "new", 1))
		if err := r.Close(t.Context()); err != nil {
			t.Errorf("the end waits for who is not there: %v", err)
		}
		// The group comes back.
		dir = r.snapshot()
		r.cfg = &config.RADIUS{Servers: r.cfg.Servers, Groups: map[string]*config.RADIUSGroup{"group": old, "renamed": renamed}}
		r.forgetPackets()
		r.start(dir, 0)
		r.answerAll()
		time.Sleep(3 * time.Second)
		if got := r.said(); len(got) != 6 {
			t.Errorf("the servers were told %+v", got)
		}
	})
}

func TestGroupRenamedFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		_ = kill(r.Client)
		dir := t.TempDir()
		const limit = 1 << 18
		r.start(dir, limit)
		for i := range 2000 {
			r.Account(r.group, record(start, fmt.Sprint("old ", i), 0))
			synctest.Wait()
		}
		if n := r.Counts()["radius_accounting_dropped_records"]; n == 0 {
			t.Fatal("the files are not full")
		}
		_ = kill(r.Client)
		renamed := &config.RADIUSGroup{Name: "renamed", Servers: r.group.Servers}
		r.cfg = &config.RADIUS{Servers: r.cfg.Servers, Groups: map[string]*config.RADIUSGroup{"renamed": renamed}}
		r.forgetPackets()
		r.start(dir, limit)
		r.answerAll()
		r.Account(renamed, record(start, "new", 0))
		time.Sleep(3 * time.Second)
		r.wantSaid(said{kind: start, id: "new"})
		if lines := strings.Join(r.lines.all(), ""); strings.Count(lines, "dropped to make room") != 1 {
			t.Errorf("%q", r.lines.all())
		}
		if c := r.Counts(); c["radius_accounting_dropped_records"] == 0 || c["radius_accounting_backlog"] != 0 || c["radius_accounting_open_sessions"] != 1 {
			t.Errorf("%v", c)
		}
	})
}

// smallDisk is a file system with so many octets. fill leaves no room on it, and
// returns what makes room again.
func smallDisk(t *testing.T, size int) (dir string, fill func() (free func())) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("adit-test", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", size)); err != nil {
		need.Lack(t, "needs to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir, func() func() {
		name := filepath.Join(dir, "filler")
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for n := size; n > 0; n /= 2 {
			for {
				if _, err = f.Write(make([]byte, n)); err != nil {
					break
				}
			}
		}
		return func() {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A disk that was full and has room again gets what it missed: after kill -9 nothing
// is lost, no session is ended that has ended, and nothing is sent that was taken.
func TestDiskFull(t *testing.T) {
	disk, fill := smallDisk(t, 1<<20)
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		_ = kill(r.Client)
		r.start(filepath.Join(disk, "records"), 0)
		r.answerAll()
		r.Account(r.group, record(start, "ends meanwhile", 0))
		time.Sleep(time.Second)
		r.silence()
		r.Account(r.group, record(start, "taken meanwhile", 0))
		synctest.Wait()
		free := fill()
		// What is left of the last page of the file is used up first.
		for i := 0; r.Counts()["radius_accounting_write_errors"] == 0; i++ {
			if i == 10000 {
				t.Fatal("the disk is not full")
			}
			r.Account(r.group, record(stop, fmt.Sprint("filler ", i), 0))
			synctest.Wait()
		}
		r.answerAll()
		r.Account(r.group, record(stop, "ends meanwhile", 7))
		r.Account(r.group, record(start, "begins meanwhile", 0))
		time.Sleep(20 * time.Second)
		if n := r.Counts()["radius_accounting_backlog"]; n != 0 {
			t.Fatalf("%d wait", n)
		}
		r.silence()
		r.Account(r.group, record(start, "waits meanwhile", 0))
		synctest.Wait()
		free()
		r.Account(r.group, record(start, "after", 0))
		synctest.Wait()
		if n := len(r.books.store.unsaved) + len(r.books.store.owed); n != 0 {
			t.Fatalf("%d are not written yet", n)
		}
		r.revive(r.snapshot())
		r.answerAll()
		time.Sleep(10 * time.Second)
		got := map[string]int{}
		for _, s := range r.said() {
			got[fmt.Sprint(s.kind, " ", s.id)]++
		}
		want := []string{ // Starts that nobody had taken, and a Stop for each that was open
			"1 waits meanwhile", "1 after",
			"2 taken meanwhile", "2 begins meanwhile", "2 waits meanwhile", "2 after",
		}
		for _, w := range want {
			if got[w] != 1 {
				t.Errorf("%q was said %d times", w, got[w])
			}
			delete(got, w)
		}
		if len(got) != 0 {
			t.Errorf("said too: %v", got)
		}
	})
}

// A file that cannot be removed, as on a disk that has become read-only, brings
// nothing back: those that say what became of its records stay as long as it does.
func TestFileStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		_ = kill(r.Client)
		dir := t.TempDir()
		r.start(dir, 1<<20)
		r.silence()
		r.Account(r.group, record(start, "long ago", 0))
		synctest.Wait()
		first := r.books.store.files[0].name
		if r.books.store.files[0] != r.books.store.current() && r.books.store.files[0].size == 0 {
			t.Fatal("the record is elsewhere")
		}
		aside := filepath.Join(t.TempDir(), "aside")
		if err := os.Rename(first, aside); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(first, "in the way"), 0o700); err != nil {
			t.Fatal(err)
		}
		for i := range 100 { // the next file
			r.Account(r.group, record(start, fmt.Sprint("before ", i), 0))
			r.Account(r.group, record(stop, fmt.Sprint("before ", i), 1))
			r.Account(r.group, record(interim, "long ago", uint64(i)))
			synctest.Wait()
		}
		for len(r.books.store.files) < 3 {
			r.Account(r.group, record(interim, "long ago", 1))
			synctest.Wait()
		}
		r.answerAll()
		r.Account(r.group, record(stop, "long ago", 1000))
		for i := range 4000 {
			r.Account(r.group, record(start, fmt.Sprint("session ", i), 0))
			r.Account(r.group, record(stop, fmt.Sprint("session ", i), 1))
			if i%50 == 0 {
				time.Sleep(5 * time.Second)
			}
		}
		time.Sleep(time.Minute)
		if c := r.Counts(); c["radius_accounting_backlog"] != 0 || c["radius_accounting_write_errors"] == 0 {
			t.Fatalf("%v", c)
		}
		if err := os.RemoveAll(first); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(aside, first); err != nil {
			t.Fatal(err)
		}
		r.revive(r.snapshot())
		r.answerAll()
		time.Sleep(10 * time.Second)
		r.wantSaid()
	})
}

// A file that cannot be read costs its records and a line, and keeps nobody out.
func TestUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "only")
		r.Account(r.group, record(start, "a", 0))
		dir := r.snapshot()
		if err := os.Mkdir(filepath.Join(dir, segmentName(0)), 0o700); err != nil { // reading it fails
			t.Fatal(err)
		}
		r.revive(dir)
		r.answerAll()
		time.Sleep(3 * time.Second)
		r.wantSaid(said{kind: start, id: "a"}, said{kind: stop, id: "a", cause: 11})
		if !strings.Contains(strings.Join(r.lines.all(), ""), "see to the disk") {
			t.Errorf("%q", r.lines.all())
		}
	})
}
