// Package ip is what adit does to IPv4 and IPv6 packets on their way between a
// session and a TUN: it reads their headers, computes and verifies the Internet
// checksum (RFC 1071), joins packets of one flow into a super packet and takes
// super packets apart (the kernel's words are GRO and GSO), clamps the MSS of
// TCP, fragments (RFC 791), and builds the ICMP messages that a router owes to
// a sender (RFC 1812, RFC 4443).
//
// Nothing here allocates on the way of a packet, and no octets of a packet, and
// no description of it by the kernel, make anything here panic.
package ip
