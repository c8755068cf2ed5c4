package reliable

// congestion is the slow start and congestion avoidance of RFC 2661
// appendix A. All sizes are in messages.
type congestion struct {
	cwnd     int
	ssthresh int
	acks     int  // new acknowledgements since cwnd last grew, in avoidance
	lossy    bool // a retransmission has happened
}

// newCongestion starts with the given peer's window.
//
// RFC 2661 appendix A: "CWND is initialized to one packet, and SSHTRESH is
// initialized to the advertised window (obtained from the Receive Window AVP)."
func newCongestion(window int) congestion {
	return congestion{cwnd: 1, ssthresh: window}
}

// setWindow takes the advertised window once it is known, or when it changes.
//
// RFC 2661 appendix A: "CWND is never allowed to exceed the size of the
// advertised window".
func (g *congestion) setWindow(window int) {
	if !g.lossy {
		g.ssthresh = window
	}
	g.cwnd = min(g.cwnd, window)
}

// acknowledged takes one packet that acknowledged something new.
//
// RFC 2661 appendix A: "During slow start, CWND is increased by one packet each
// time an ACK (explicit ZLB or piggybacked) is received." "When the value of
// CWND reaches SSHTRESH, the slow start phase ends". "During congestion
// avoidance, [...] CWND is increased by one packet after CWND new ACKs have
// been received."
func (g *congestion) acknowledged(window int) {
	if g.cwnd >= window {
		g.acks = 0
		return
	}
	if g.cwnd < g.ssthresh {
		g.cwnd++
		return
	}
	if g.acks++; g.acks >= g.cwnd {
		g.cwnd++
		g.acks = 0
	}
}

// lost takes the triggering of a retransmission.
//
// RFC 2661 appendix A: "When congestion occurs (indicated by the triggering of
// a retransmission) one half of the CWND is saved in SSTHRESH, and CWND is set
// to one. The sender then reenters the slow start phase."
//
// The book that the appendix follows keeps SSTHRESH at two or more; without
// that, the second loss in a row would leave no slow start to reenter.
func (g *congestion) lost() {
	g.ssthresh = max(g.cwnd/2, 2)
	g.cwnd = 1
	g.acks = 0
	g.lossy = true
}
