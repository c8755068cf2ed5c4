package tunnel

import "errors"

// Why input was ignored (Drop), or why a call or tunnel ended (Cause.Err).
var (
	// ErrUnreachable: the peer acknowledged nothing through all retransmissions.
	ErrUnreachable = errors.New("the peer does not answer")
	// ErrSetupTimeout: the tunnel was not established in time.
	ErrSetupTimeout = errors.New("the tunnel was not established in time")
	// ErrCallTimeout: a call waited too long for the peer or for its owner.
	ErrCallTimeout = errors.New("the call was not established in time")
	// ErrAuthentication: tunnel authentication failed or was not possible.
	ErrAuthentication = errors.New("tunnel authentication failed")
	// ErrDigest: a Message Digest is missing or wrong; the message was dropped.
	ErrDigest = errors.New("message digest missing or wrong")
	// ErrWrongVersion: the message or event belongs to another version of L2TP
	// than the tunnel has.
	ErrWrongVersion = errors.New("message or event of another L2TP version")
	// ErrPseudowire: one end does not have that pseudowire type.
	ErrPseudowire = errors.New("pseudowire type not available")
	// ErrSublayer: sequence numbers are wanted without a sublayer to carry them, or
	// the sublayer is unknown.
	ErrSublayer = errors.New("unusable sublayer")
	// ErrCookie: a cookie is not 0, 4 or 8 octets long.
	ErrCookie = errors.New("unusable cookie")
	// ErrSessionTie: both ends asked for a session for one circuit, and the peer's
	// won the tie breaker, or none did. If none did, it may be placed again.
	ErrSessionTie = errors.New("the session lost the tie breaker")
	// ErrTieLost: another tunnel to the same peer won the tie breaker. Calls
	// that ended for it may be placed again, on the other tunnel.
	ErrTieLost = errors.New("another tunnel to this peer won the tie breaker")
	// ErrTunnelDown: the call ended because its tunnel did.
	ErrTunnelDown = errors.New("the tunnel is down")
	// ErrOverload: the peer acknowledges our messages too slowly.
	ErrOverload = errors.New("too many messages wait for the peer's acknowledgement")
	// ErrUnexpected: a message came in a state that has no place for it.
	ErrUnexpected = errors.New("message in a wrong state")
	// ErrUnknownSession: the message or event names a session that is not there.
	ErrUnknownSession = errors.New("no such session")
	// ErrSessionID: an Assigned Session ID is 0 or in use.
	ErrSessionID = errors.New("unusable assigned session ID")
	// ErrWrongDirection: SLI that did not come from the LNS, or WEN that did
	// not come from the LAC, or our owner wants to send one so.
	ErrWrongDirection = errors.New("message in the wrong direction")
	// ErrTooOften: the owner wants to send a WEN sooner than the RFC allows.
	ErrTooOften = errors.New("WEN within 60 seconds of the last")
	// ErrWrongTunnel: the header or the Assigned Tunnel ID names another tunnel.
	ErrWrongTunnel = errors.New("the message is for another tunnel")
	// ErrRestarted: an SCCRQ with the ID of this live tunnel that is not the
	// SCCRQ that began it; the peer is probed to see whether it has restarted.
	ErrRestarted = errors.New("the peer seems to have restarted")
	// ErrNotFirst: the packet that should begin a tunnel is not a first SCCRQ.
	ErrNotFirst = errors.New("not a first SCCRQ")
	// ErrNotAllowed: configuration forbids it.
	ErrNotAllowed = errors.New("not allowed by configuration")
	// ErrFacilities: the line or framing type is not one the other end has.
	ErrFacilities = errors.New("bearer or framing type not available")
	// ErrTooManySessions: MaxSessions are there, or no Session ID is free.
	ErrTooManySessions = errors.New("too many sessions")
	// ErrRandom: Config.Rand failed.
	ErrRandom = errors.New("no random numbers to be had")
	// ErrEncode: a message of ours could not be encoded, as a value in it is
	// longer than an AVP can be.
	ErrEncode = errors.New("message cannot be encoded")
	// ErrClosed: the tunnel is dead.
	ErrClosed = errors.New("the tunnel is closed")
	// ErrWrongState: the owner's event does not fit the state.
	ErrWrongState = errors.New("event does not fit the state")
)
