package pool

// fresh is what nobody has had: all from next on that is not in a run, and what
// was put back. It may name a prefix that somebody has meanwhile, so whoever
// takes one looks; it never leaves one out.
type fresh struct {
	next, size uint64

	// Runs of numbers from next on that somebody has or had, by a Claim or before
	// the restart, each from its first to its last and the other way round, so
	// that the next one is found without a search.
	lastOf, firstOf map[uint64]uint64

	back []span // in the order of their coming back
}

// span is the numbers from first to last, both included.
type span struct{ first, last uint64 }

// enoughBack is how many spans may come back before they are used again, rather
// than what is still untouched: a bound for the memory of a pool without an end.
const enoughBack = 1 << 16

// peek is the numbers to be given out next, none of them in a run known to begin
// there.
func (f *fresh) peek() (span, bool) {
	if f.untouched() {
		return span{f.next, f.size - 1}, true
	}
	if len(f.back) > 0 {
		return f.back[0], true
	}
	return span{}, false
}

// untouched says that peek is about next, not about what came back.
func (f *fresh) untouched() bool { return f.next < f.size && len(f.back) < enoughBack }

// pass takes those up to last out of what peek gave.
func (f *fresh) pass(last uint64) {
	if f.untouched() {
		f.next = last + 1
		f.hop()
		return
	}
	if last < f.back[0].last {
		f.back[0].first = last + 1
		return
	}
	f.back = f.back[1:]
}

// hop goes to the end of the run that begins at next.
func (f *fresh) hop() {
	if last, ok := f.lastOf[f.next]; ok {
		delete(f.lastOf, f.next)
		delete(f.firstOf, last)
		f.next = last + 1
	}
}

// touch says that somebody has i now. Of neighbours one run is made.
func (f *fresh) touch(i uint64) {
	switch {
	case i < f.next:
		return
	case i == f.next:
		f.next++
		f.hop()
		return
	}
	first, last := i, i
	if a, ok := f.firstOf[i-1]; ok {
		delete(f.firstOf, i-1)
		first = a
	}
	if b, ok := f.lastOf[i+1]; ok {
		delete(f.lastOf, i+1)
		last = b
	}
	if f.lastOf == nil {
		f.lastOf, f.firstOf = make(map[uint64]uint64), make(map[uint64]uint64)
	}
	f.lastOf[first], f.firstOf[last] = last, first
}

// putBack takes in what nobody remembers having had.
func (f *fresh) putBack(s span) {
	if n := len(f.back); n > 0 && f.back[n-1].last+1 == s.first {
		f.back[n-1].last = s.last
		return
	}
	f.back = append(f.back, s)
}
