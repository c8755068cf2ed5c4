// Package lcce is the role of an L2TP Control Connection Endpoint (RFC 3931 section
// 1.3) that is neither an LNS nor a LAC of PPP: static tunnels, which have no control
// connection and are kept up and repaired, and the circuits of L2TPv3 sessions, each of
// which one session has at a time, whether it is static or was asked for by a peer.
//
// One goroutine, the Role's, owns the static tunnels. It waits for the kernel's netlink
// sockets, some milliseconds at most, and for nothing else. What happens elsewhere (an
// event of the kernel's, the end of a session, an answer to an echo request) is mail
// for it.
package lcce
