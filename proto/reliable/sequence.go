package reliable

// Sequence numbers are free-running counters modulo 65536, compared over half
// of that range.

// before says whether a comes before b.
//
// RFC 2661 section 5.8: "The sequence number in the header of a received
// message is considered less than or equal to the last received number if its
// value lies in the range of the last received number and the preceding 32767
// values, inclusive."
//
// With b the number that is expected next, one more than the last received,
// these are the 32768 values before b.
func before(a, b uint16) bool { return a-b >= 0x8000 }

// maxWindow is the largest window that leaves no doubt whether a number is old
// or new.
const maxWindow = 0x7fff
