// Package kernel is adit's door to Linux: PPPoX sockets of the kernel's L2TP
// driver, UDP sockets for L2TP, batches of datagrams, pseudo-terminals, and an
// epoll loop that serves them all from one goroutine.
//
// Nothing here knows the protocol. Every descriptor that leaves this package is
// close-on-exec, so that none leaks into a pppd.
package kernel
