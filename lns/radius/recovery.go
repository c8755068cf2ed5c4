package radius

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
		if a.group(b.cfg) == nil && a.unsettled > 0 {
			b.log.WithField("group", a.name).Warn("accounting records wait on disk for a RADIUS group that is not in the configuration any more")
		}
	}
	b.flush()
	if n := b.count.recovered.Load(); n > 0 {
		b.log.WithField("sessions", n).Warn("sessions were open when the daemon ended; their accounting is closed now")
	}
	b.store.found = nil
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
