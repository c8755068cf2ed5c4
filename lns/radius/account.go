package radius

import (
	"time"

	"adit/internal/config"
	"adit/internal/loop"
)

// account is the records of one group of servers.
type account struct {
	name        string
	chains      map[string]*chain
	ready       deque[*chain] // whose first record may be sent
	again       deque[*chain] // the same, if it was sent in vain before
	held        []*chain      // whose first record a barrier holds up, or which is one
	delayed     loop.Deadlines[*chain]
	backlog     int // records to be sent
	underWay    int
	againOut    int       // those under way that were sent in vain before
	taken       uint64    // records that a server has taken
	answering   bool      // the record that came back last was taken
	pausedUntil time.Time // no server is alive before
	barriers    []*entry  // that are not settled
	unsettled   int
	lastTaken   uint64 // number of the newest record that was taken
}

func newAccount(name string) *account {
	return &account{name: name, chains: make(map[string]*chain)}
}

// group is that of a configuration, nil if it has none of that name.
func (a *account) group(cfg *config.RADIUS) *config.RADIUSGroup { return cfg.Groups[a.name] }

// expect notes a new record.
func (a *account) expect(e *entry) {
	if e.barrier() {
		e.waits = a.unsettled
		a.barriers = append(a.barriers, e)
	}
	a.unsettled++
}

// settle notes that a record was taken, dropped, or tried so often that it holds
// up others no longer.
func (a *account) settle(e *entry) {
	if e.settled {
		return
	}
	e.settled = true
	a.unsettled--
	free := false
	for i := 0; i < len(a.barriers); i++ {
		switch barrier := a.barriers[i]; {
		case barrier == e:
			a.barriers = append(a.barriers[:i], a.barriers[i+1:]...)
			i--
			free = true
		case e.number < barrier.number:
			barrier.waits--
			free = free || barrier.waits == 0
		}
	}
	if free {
		for _, c := range a.held {
			a.enqueue(c)
		}
		a.held = nil
	}
}

// enqueue has the first record of a chain sent when its turn comes.
func (a *account) enqueue(c *chain) {
	if c.queue[0].rounds > 0 {
		a.again.pushBack(c)
		return
	}
	a.ready.pushBack(c)
}

// back gives a chain its turn back.
func (a *account) back(c *chain) {
	if c.queue[0].rounds > 0 {
		a.again.pushFront(c)
		return
	}
	a.ready.pushFront(c)
}

// turn takes the chain that is next; nil: none may be sent. A record that was sent
// in vain does not find out whether a server lives again, if there is another.
func (a *account) turn() *chain {
	again := a.again.len() > 0 && a.againOut < againWindow
	switch {
	case a.underWay >= window:
		return nil
	case again && (a.answering || a.ready.len() == 0):
		return a.again.popFront()
	case a.ready.len() > 0:
		return a.ready.popFront()
	}
	return nil
}

// mayGo says whether a record is held up by no other.
func (a *account) mayGo(e *entry) bool {
	if e.barrier() && !e.settled {
		return e.waits == 0
	}
	return len(a.barriers) == 0 || e.number < a.barriers[0].number
}

// pause has nothing sent until then, or for a while if that is not known.
func (a *account) pause(until, at time.Time) {
	switch {
	case until.IsZero():
		until = at.Add(lastBackoff)
	case until.Before(at.Add(time.Second)):
		until = at.Add(time.Second)
	}
	a.pausedUntil = until
}

// dispatch sends what may be sent.
func (b *books) dispatch(a *account, at time.Time) {
	for {
		c, ok := a.delayed.Due(at)
		if !ok {
			break
		}
		a.enqueue(c)
	}
	if at.Before(a.pausedUntil) {
		return
	}
	a.pausedUntil = time.Time{}
	if g := a.group(b.cfg); g == nil || len(g.Servers) == 0 {
		return
	}
	for c := a.turn(); c != nil; c = a.turn() {
		e := c.queue[0]
		switch {
		case e.barrier() && e.settled && e.number < a.lastTaken:
			// RFC 2866 section 5.1: Accounting-On is to "mark the start of
			// accounting". Late it would end the sessions that have begun since.
			b.drop(e, "the servers do not answer Accounting-On or Accounting-Off")
			b.next(c)
		case !a.mayGo(e):
			a.held = append(a.held, c)
		case !b.send(e):
			b.next(c)
		default:
			e.before = a.taken
			a.underWay++
			if e.rounds > 0 {
				a.againOut++
			}
		}
	}
}

// deque is a queue with two ends.
type deque[T any] struct {
	items []T
	first int
}

func (d *deque[T]) len() int { return len(d.items) - d.first }

func (d *deque[T]) pushBack(item T) {
	if d.first > 0 && d.first >= len(d.items)/2 && len(d.items) == cap(d.items) {
		n := copy(d.items, d.items[d.first:])
		clear(d.items[n:])
		d.items, d.first = d.items[:n], 0
	}
	d.items = append(d.items, item)
}

func (d *deque[T]) pushFront(item T) {
	if d.first == 0 {
		room := max(16, len(d.items))
		items := make([]T, room+len(d.items), room+2*len(d.items)+16)
		copy(items[room:], d.items)
		d.items, d.first = items, room
	}
	d.first--
	d.items[d.first] = item
}

// popFront takes the first item; there is one.
func (d *deque[T]) popFront() T {
	var none T
	item := d.items[d.first]
	d.items[d.first] = none
	d.first++
	return item
}
