package pppbridge

import "adit/proto/ppp"

// Access decides which peers of the built-in endpoint may come in, and what
// they are given. A role implements it.
type Access interface {
	// Authenticate judges what a peer said to show who it is. It is called on
	// the goroutine of the session's owner and must not block; answer is called
	// at most once, at once or later, from any goroutine. An answer that never
	// comes ends the session by its time limit.
	Authenticate(spec *Spec, req ppp.AuthRequest, answer func(ppp.Verdict))
}
