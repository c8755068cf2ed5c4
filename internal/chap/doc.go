// Package chap is the arithmetic of passwords for PPP, for both ends of a link:
// who checks a password (PAP, CHAP with MD5, MS-CHAPv2, EAP with MD5-Challenge)
// and who has one. The packets are proto/ppp's.
//
// Not here: the keys that MPPE would make of MS-CHAPv2 (RFC 3079), since no
// endpoint of ours encrypts.
package chap
