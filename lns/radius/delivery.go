package radius

import (
	"errors"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2866"
)

// send gives a record to the transport.
func (b *books) send(e *entry) bool {
	what, err := b.store.content(e)
	var attributes radius.Attributes
	if err == nil {
		attributes, err = radius.ParseAttributes(what.attributes)
	}
	if err != nil {
		b.drop(e, "they cannot be read from disk: "+err.Error())
		return false
	}
	b.transport.submit(&request{
		kind: accounting, servers: e.chain.account.group(b.cfg).Servers,
		build: func(p *radius.Packet) error {
			p.Attributes = append(make(radius.Attributes, 0, len(attributes)+1), attributes...)
			delay := max(0, now().Sub(what.time)/time.Second)
			p.Add(rfc2866.AcctDelayTime_Type, number(uint32(delay)))
			return nil
		},
		done: func(_ *Reply, err error) {
			b.inbox.Put(func() { b.returned(e, err) })
		},
	})
	return true
}

// returned serves the outcome of a record that was under way: the first of its
// chain.
func (b *books) returned(e *entry, err error) {
	c, a := e.chain, e.chain.account
	a.underWay--
	if e.rounds > 0 {
		a.againOut--
	}
	a.answering = err == nil
	var dead noServer
	switch {
	case err == nil:
		b.count.delivered.Add(1)
		a.taken++
		a.pausedUntil = time.Time{}
		a.lastTaken = max(a.lastTaken, e.number)
		b.next(c)
	case errors.As(err, &dead):
		a.back(c)
		a.pause(dead.retryAt, now())
	case errors.Is(err, ErrClosed):
		a.back(c)
	case errors.Is(err, ErrNoAnswer), errors.Is(err, ErrBusy):
		b.count.failures.Add(1)
		e.rounds++
		// It is this one record that the server will not have, or nobody answers for
		// long.
		if a.taken != e.before || e.rounds >= patientRounds {
			a.settle(e)
		}
		rest := min(lastBackoff, firstBackoff<<min(e.rounds-1, 16))
		a.delayed.Set(&c.deadline, now().Add(rest))
	default:
		b.count.unfit.Add(1)
		b.drop(e, err.Error())
		b.next(c)
	}
}

// next is done with the first record of a chain and gets the next one ready.
func (b *books) next(c *chain) {
	e := c.queue[0]
	c.queue = c.queue[1:]
	b.done(e)
	if len(c.queue) > 0 {
		c.account.enqueue(c)
	}
	b.tidy(c)
}
