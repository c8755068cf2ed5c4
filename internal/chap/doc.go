// Package chap is the arithmetic of passwords for PPP, for both ends of a link:
// who checks a password (PAP, CHAP with MD5, MS-CHAPv2, EAP with MD5-Challenge) or
// has its NT hash alone, and who has one. The packets are proto/ppp's.
//
// Also the keys of MPPE that come of MS-CHAPv2 (RFC 3079): our own endpoint does
// not encrypt, but a pppd does.
package chap
