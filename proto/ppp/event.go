package ppp

// Event is something that happened to an Endpoint's link: a frame from the
// peer, the passing of time, or a wish of the link's owner. Step takes one and
// returns what is to be done about it.
type Event interface{ event() }

type (
	// Start says that the link can carry frames: the lower layer is up, RFC
	// 1661 section 4.3. Proxy is what a LAC negotiated before us; nil: nothing.
	Start struct{ Proxy *Proxy }

	// Receive is a frame of a control protocol from the peer, without FCS, with
	// or without the Address and Control fields. It is not kept. A frame of a
	// network protocol may be given too: it is counted, and answered with a
	// Protocol-Reject where the RFC says so.
	Receive struct{ Frame []byte }

	// Tick says that Deadline has passed. An early Tick does nothing.
	Tick struct{}

	// Authenticated answers the Authenticate action of this number. A verdict on
	// an older one is ignored.
	Authenticated struct {
		Number  uint32
		Verdict Verdict
	}

	// Close ends the link in good order: Terminate-Request, then Finished.
	Close struct{ Cause Cause }
)

func (Start) event()         {}
func (Receive) event()       {}
func (Tick) event()          {}
func (Authenticated) event() {}
func (Close) event()         {}

// Action is something that the link's owner has to do.
type Action interface{ action() }

type (
	// Send puts a frame on the link, with Address, Control and Protocol fields,
	// which control protocols never compress, and without FCS. The owner may
	// keep it.
	Send struct{ Frame []byte }

	// LinkUp says that LCP has come to an agreement (again, after a
	// renegotiation). Network frames flow only between NetworkUp and
	// NetworkDown.
	LinkUp struct{ Link Link }

	// Authenticate asks who the peer is. Authenticated answers it, at once or
	// later; meanwhile the link is alive, and bounded by Config.AuthTimeout.
	Authenticate struct {
		Number  uint32
		Request AuthRequest
	}

	// NetworkUp says that packets of a family may flow.
	NetworkUp struct {
		Family Family
		// Network is what was negotiated for both families so far.
		Network Network
	}

	// NetworkDown says that packets of a family may not flow any more.
	NetworkDown struct{ Family Family }

	// Finished says that the link is over: nothing is sent any more and the
	// endpoint takes no events. It comes exactly once.
	Finished struct {
		Cause Cause
		// Text is a sentence for the log; the peer's own words, if it gave a
		// reason, are quoted in it.
		Text string
	}
)

func (Send) action()         {}
func (LinkUp) action()       {}
func (Authenticate) action() {}
func (NetworkUp) action()    {}
func (NetworkDown) action()  {}
func (Finished) action()     {}

// Link is what LCP agreed on.
type Link struct {
	// PeerMRU is the longest Information field in octets that we send: what the
	// peer takes, and not more than Config.MRU. LocalMRU is what we take.
	PeerMRU, LocalMRU uint16
	// PeerACCM is what we have to escape towards the peer on an asynchronous
	// line, LocalACCM what it escapes towards us.
	PeerACCM, LocalACCM uint32
	// PeerPFC and PeerACFC say that the peer takes compressed Protocol fields
	// and frames without Address and Control.
	PeerPFC, PeerACFC bool
	// Proxied: taken over from the LAC, without a negotiation of our own.
	Proxied bool
}

// Cause is why a link ended.
type Cause uint8

// The causes.
const (
	CauseNone           Cause = iota
	CausePeerTerminated       // the peer sent a Terminate-Request
	CauseAdministrative       // the owner closed it: an operator, a shut-down
	CauseLowerLayer           // the line under it went away
	CauseLCPFailed            // LCP came to no agreement in its time or its number of tries
	CauseLoop                 // the line is looped back: our own Magic-Number came back
	CauseEchoTimeout          // the peer does not answer Echo-Requests
	CauseAuthRefused          // the peer will not authenticate itself as we demand
	CauseAuthFailed           // the peer failed to authenticate itself
	CauseAuthTimeout          // the peer, or who decides about it, did not answer in time
	CauseOurAuthFailed        // the peer did not accept our authentication
	CauseOurAuthRefused       // the peer demands an authentication that we do not do
	CauseNoNetwork            // no network protocol came to an agreement
	CauseNoAddress            // IPCP failed: no acceptable address
	CauseSessionTimeout       // the time of the verdict is over
	CauseIdleTimeout          // no traffic for too long
)

// Family is a network protocol that runs over the link.
type Family uint8

// The families.
const (
	IPv4 Family = iota
	IPv6
)
