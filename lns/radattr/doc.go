// Package radattr says in RADIUS attributes what adit knows of a subscriber, and
// in adit's words what a RADIUS server says. It maps, and does nothing else: it
// sends nothing, waits for nothing and decides about nobody.
//
// Two directions. AccessRequest and Accounting fill a packet for a server, and
// Accept, Reject and Challenge read what it answers. ParseAccess and Answer are
// for the responder that pppd's radius.so asks: they read its Access-Request, and
// fill the answer.
//
// The Message-Authenticator, Proxy-State and the header are the transport's.
package radattr
