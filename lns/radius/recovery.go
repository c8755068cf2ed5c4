package radius

import "github.com/sirupsen/logrus"

// recover takes up what the files have: what is to be sent, and what was open. It
// runs before the loop.
func (b *books) recover(found []*entry) {
	for _, e := range found {
		b.enlist(e)
	}
	for _, a := range b.accounts {
		for _, c := range a.chains {
			if c.last != nil {
				b.bury(c)
			}
		}
		b.warnOrphan(a)
	}
	b.flush()
	if n := b.count.recovered.Load(); n > 0 {
		b.log.WithField("sessions", n).Warn("sessions were open when the daemon ended; their accounting is closed now")
	}
	b.store.found = nil
}

// orphan says whether there is nobody to send a group's records to: the
// configuration does not have it any more.
func (b *books) orphan(a *account) bool { return a.group(b.cfg) == nil }

func (b *books) warnOrphan(a *account) {
	if b.orphan(a) && len(a.chains) > 0 {
		b.log.WithFields(logrus.Fields{"group": a.name, "records": a.backlog}).Warn("accounting records wait on disk for a RADIUS group that is not in the configuration any more: they are sent if it comes back, and dropped when there is no room for those of others")
	}
}

// dropOrphans drops the records that there is nobody to send to, to make room for
// others.
func (b *books) dropOrphans() {
	for name, a := range b.accounts {
		if !b.orphan(a) || a.underWay > 0 {
			continue
		}
		b.log.WithFields(logrus.Fields{"group": name, "records": a.backlog}).Error("accounting records of a RADIUS group that is not in the configuration any more are dropped to make room for others")
		for _, c := range a.chains {
			for _, e := range c.queue {
				b.countDropped(e)
				b.done(e)
			}
			b.forgetLast(c)
		}
		delete(b.accounts, name)
	}
}

// bury ends what was open when the daemon was killed.
func (b *books) bury(c *chain) {
	last, err := b.store.content(c.last)
	if err == nil {
		last, err = lastRites(last)
	}
	var octets []byte
	if err == nil {
		octets, err = last.append(nil)
	}
	if err != nil {
		b.lost(c.last, "the accounting of a session that was open cannot be closed: "+err.Error())
		b.forgetLast(c)
		b.tidy(c)
		return
	}
	b.count.recovered.Add(1)
	b.store.last++
	e := &entry{number: b.store.last, kind: last.kind, group: last.group, id: last.id}
	b.store.put(e, frameRecord, octets)
	b.enlist(e)
}
