package radius

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"layeh.com/radius"

	"adit/internal/config"
	"adit/internal/loop"
	"adit/internal/sparing"
	"adit/lns/subscriber"
)

const (
	// window is how many records of a group are under way at one time.
	// More a server might have no room for in the buffer of its socket.
	window = identifiers / 2
	// againWindow is how many of them may be such as no server has answered before,
	// while it did answer others. What a server will never answer must not stand in
	// the way of what it will.
	againWindow = window / 4
	// patientRounds is after how many rounds over all servers a record that none
	// takes holds up others no longer than those of its own session.
	patientRounds = 3
	// firstBackoff, doubled for each round, is how long such a record rests; at
	// most lastBackoff.
	firstBackoff = 2 * time.Second
	lastBackoff  = 5 * time.Minute
	// maxQueued bounds the records that wait to be written to disk: interim ones;
	// others four times as many.
	maxQueued = 1 << 16
	// maxMemory bounds the records that could not be written to disk.
	maxMemory = 1 << 15
)

// entry is a record: one that is to be sent, or the last known of a session that
// is open.
type entry struct {
	number  uint64
	kind    subscriber.RecordKind
	group   string
	id      string
	chain   *chain
	where   location
	memory  []byte // what is not on disk, or not yet
	taken   bool   // a server has it, or it was dropped
	rounds  int    // how often all servers were asked in vain
	before  uint64 // how many others of its group were taken before it was sent
	settled bool   // it does not hold up barriers any longer
	waits   int    // of a barrier: how many before it are not settled
}

// barrier says whether a record is about all sessions: what came before is sent
// before it, and what comes after is sent after it.
func (e *entry) barrier() bool {
	return e.kind == subscriber.RecordOn || e.kind == subscriber.RecordOff
}

// frame is what an entry is in a file.
func (e *entry) frame() frameType {
	if e.taken {
		return frameOpen
	}
	return frameRecord
}

// chain is the records of one session, which are sent one after the other.
type chain struct {
	key      string
	account  *account
	queue    []*entry // to be sent
	last     *entry   // of a session that is open; nil: it is not
	deadline loop.Deadline[*chain]
}

// books is the accounting records: its loop owns the store, and what is to be
// sent to whom.
type books struct {
	cfg       *config.RADIUS
	store     *store
	transport *transport
	log       *logrus.Entry
	lines     sparing.Lines
	inbox     *loop.Mailbox
	quit      chan struct{}
	ended     chan struct{}
	accounts  map[string]*account // by the group's name
	backlog   int                 // records to be sent
	drained   chan struct{}       // closed when the backlog is gone; nil: nobody waits for it
	queued    atomic.Int64        // records in the inbox
	count     bookCounters

	mu sync.Mutex
	on map[string]bool // groups that have had Accounting-On
}

// bookCounters count accounting records.
type bookCounters struct {
	records, delivered, recovered, superseded atomic.Uint64
	droppedInterims, droppedRecords, unfit    atomic.Uint64
	damaged, writeErrors, failures            atomic.Uint64
	backlog, open, octets                     atomic.Uint64 // as they are now
}

func newBooks(cfg *config.RADIUS, s *store, t *transport, log *logrus.Entry) *books {
	return &books{
		cfg: cfg, store: s, transport: t, log: log, inbox: loop.NewMailbox(), quit: make(chan struct{}),
		ended: make(chan struct{}), accounts: make(map[string]*account), on: make(map[string]bool),
	}
}

func (b *books) counts(all map[string]uint64) {
	c := &b.count
	for name, n := range map[string]*atomic.Uint64{
		"radius_accounting_records":             &c.records,
		"radius_accounting_delivered":           &c.delivered,
		"radius_accounting_recovered":           &c.recovered,
		"radius_accounting_superseded_interims": &c.superseded,
		"radius_accounting_dropped_interims":    &c.droppedInterims,
		"radius_accounting_dropped_records":     &c.droppedRecords,
		"radius_accounting_unfit":               &c.unfit,
		"radius_accounting_damaged_octets":      &c.damaged,
		"radius_accounting_write_errors":        &c.writeErrors,
		"radius_accounting_failed_rounds":       &c.failures,
		"radius_accounting_backlog":             &c.backlog,
		"radius_accounting_open_sessions":       &c.open,
		"radius_accounting_disk_octets":         &c.octets,
	} {
		all[name] = n.Load()
	}
}

// add takes a record. Any goroutine.
func (b *books) add(group string, r *subscriber.Record, p *radius.Packet) {
	interim := r.Kind == subscriber.RecordInterim
	c := content{group: group, kind: r.Kind, time: r.Time}
	if r.Session != nil {
		c.id = r.Session.Line.ID
	}
	e := &entry{kind: r.Kind, group: group, id: c.id}
	var octets []byte
	var err error
	if c.attributes, err = encodeAttributes(p); err == nil {
		octets, err = c.append(nil)
	}
	if err != nil {
		b.count.unfit.Add(1)
		b.lost(e, "an accounting record was left out: "+err.Error())
		return
	}
	if n := b.queued.Load(); n >= 4*maxQueued || interim && n >= maxQueued {
		b.drop(e, "the disk is too slow for them")
		return
	}
	b.queued.Add(1)
	if !b.inbox.Put(func() { b.enter(e, octets) }) {
		b.queued.Add(-1)
		b.drop(e, "the RADIUS client is closed")
	}
}

// drop counts a record that is not kept, and says so.
func (b *books) drop(e *entry, why string) {
	b.countDropped(e)
	b.lost(e, "accounting records are lost: "+why)
}

func (b *books) countDropped(e *entry) {
	if e.kind == subscriber.RecordInterim {
		b.count.droppedInterims.Add(1)
	} else {
		b.count.droppedRecords.Add(1)
	}
}

// lost says that a record is gone.
func (b *books) lost(e *entry, line string) {
	b.lines.Log(b.log.WithFields(logrus.Fields{"session": e.id, "group": e.group, "record": uint8(e.kind)}), logrus.ErrorLevel, line)
}

// enter puts a record into the store.
func (b *books) enter(e *entry, octets []byte) {
	b.queued.Add(-1)
	interim := e.kind == subscriber.RecordInterim
	if b.store.tight() {
		b.dropOrphans()
	}
	switch {
	case b.store.full(), interim && b.store.scarce():
		b.drop(e, "their files are full; see that a RADIUS server takes them")
		return
	case len(b.store.unsaved) >= maxMemory:
		b.drop(e, "they cannot be written to disk, and there are too many to keep in memory")
		return
	}
	b.count.records.Add(1)
	b.store.last++
	e.number = b.store.last
	b.store.put(e, frameRecord, octets)
	b.enlist(e)
}

// enlist adds an entry to the chain of its session.
func (b *books) enlist(e *entry) {
	a := b.accounts[e.group]
	if a == nil {
		a = newAccount(e.group)
		b.accounts[e.group] = a
	}
	life := lifetimeOf(e.kind)
	key := string(life.class) + e.id
	c := a.chains[key]
	if c == nil {
		c = &chain{key: key, account: a}
		c.deadline.Owner = c
		a.chains[key] = c
	}
	e.chain = c
	b.forgetLast(c)
	if life.opens {
		c.last = e
		b.count.open.Add(1)
	}
	if !e.taken {
		b.supersede(c, e)
		c.queue = append(c.queue, e)
		b.backlog++
		a.backlog++
		a.expect(e)
		if len(c.queue) == 1 {
			a.enqueue(c)
		}
	} else if c.last != e {
		b.release(e)
	}
	b.tidy(c)
}

// supersede drops an interim record that waits while a newer record of its
// session comes, if space is tight: its counters are in the newer one.
func (b *books) supersede(c *chain, newer *entry) {
	if len(c.queue) < 2 || !b.store.tight() {
		return // the first may be under way
	}
	older := c.queue[len(c.queue)-1]
	if older.kind != subscriber.RecordInterim || newer.kind == subscriber.RecordStart {
		return
	}
	c.queue = c.queue[:len(c.queue)-1]
	b.count.superseded.Add(1)
	b.done(older)
}

// done notes that an entry needs no sending any more; it is out of its queue.
func (b *books) done(e *entry) {
	e.taken = true
	b.backlog--
	e.chain.account.backlog--
	b.store.taken(e.number)
	e.chain.account.settle(e)
	if e.chain.last != e {
		b.release(e)
	}
}

// release frees what an entry has in the store.
func (b *books) release(e *entry) {
	e.memory = nil
	b.store.release(e)
}

// forgetLast ends what was the last known of a session.
func (b *books) forgetLast(c *chain) {
	if c.last == nil {
		return
	}
	last := c.last
	c.last = nil
	b.count.open.Add(^uint64(0))
	if last.taken {
		b.release(last)
	}
}

// tidy forgets a chain that has nothing any more.
func (b *books) tidy(c *chain) {
	if len(c.queue) == 0 && c.last == nil {
		delete(c.account.chains, c.key)
	}
}

// flush writes what is to be written.
func (b *books) flush() {
	err := b.store.flush()
	if err == nil {
		err = b.store.clean()
	}
	if err != nil {
		b.count.writeErrors.Add(1)
		b.lines.Log(b.log, logrus.ErrorLevel, "accounting records cannot be written to disk, and would not survive an end of the daemon: "+err.Error())
	}
	b.count.damaged.Store(b.store.damaged)
	b.count.octets.Store(uint64(b.store.size))
	b.count.backlog.Store(uint64(b.backlog))
}

// replace has other servers asked.
func (b *books) replace(cfg *config.RADIUS) {
	b.inbox.Put(func() {
		b.cfg = cfg
		for _, a := range b.accounts {
			b.warnOrphan(a)
			a.pausedUntil = time.Time{}
		}
	})
}

// turnOn notes that a group has had Accounting-On; false: it has had it before.
func (b *books) turnOn(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.on[name]
	b.on[name] = true
	return !was
}

// turnOff returns the groups that have had Accounting-On.
func (b *books) turnOff() (names []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name := range b.on {
		names = append(names, name)
	}
	clear(b.on)
	return names
}

// drain waits until all records are sent that there are servers for.
func (b *books) drain(ctx context.Context) error {
	gone := make(chan struct{})
	b.inbox.Put(func() { b.drained = gone })
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d accounting records are left on disk for the next start: %w",
			b.count.backlog.Load(), context.Cause(ctx))
	}
}

// stop ends the loop and closes the files.
func (b *books) stop() error {
	close(b.quit)
	<-b.ended
	return b.store.close()
}

func (b *books) run() {
	defer close(b.ended)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		at := now()
		for _, a := range b.accounts {
			b.dispatch(a, at)
		}
		timer.Reset(b.sleep(at))
		select {
		case <-b.inbox.Ready():
			b.inbox.Run()
		case <-timer.C:
		case <-b.quit:
			b.inbox.Close()
			b.flush()
			return
		}
		b.flush()
		if b.drained != nil && b.deliverable() == 0 {
			close(b.drained)
			b.drained = nil
		}
	}
}

// deliverable is how many records wait for servers that there are.
func (b *books) deliverable() (n int) {
	for _, a := range b.accounts {
		if !b.orphan(a) {
			n += a.backlog
		}
	}
	return n
}

// sleep is until something wants attention.
func (b *books) sleep(at time.Time) time.Duration {
	wait := time.Hour
	for _, a := range b.accounts {
		for _, t := range []time.Time{a.delayed.Next(), a.pausedUntil} {
			if !t.IsZero() {
				wait = min(wait, max(0, t.Sub(at)))
			}
		}
	}
	return wait
}
