package engine

import "sync/atomic"

// callSerial numbers the calls that we place, on all tunnels; one that is placed
// again is another call.
//
// RFC 2661 section 4.4.4: "The Call Serial Number is intended to be an easy
// reference for administrators on both ends of a tunnel to use when
// investigating call failure problems. Call Serial Numbers should be set to
// progressively increasing values, which are likely to be unique for a
// significant period of time across all interconnected LNSs and LACs."
type callSerial struct{ last atomic.Uint32 }

func (s *callSerial) next() uint32 { return s.last.Add(1) }
