// Package l2tp reads and writes the packets of L2TP version 2 (RFC 2661) and
// version 3 (RFC 3931): the header of control and data messages, the
// attribute-value pairs (AVPs), their hiding, the digests of version 3, and one
// type for each control message, which has the fields of both versions.
//
// Everything in it is pure: it takes octets and returns values, or takes values
// and returns octets. It holds no state, reads no clock and keeps none of the
// slices it was given, so a caller may reuse a receive buffer at once.
//
// A control message that cannot be used comes back as an *Error that says how
// far the damage reaches (message, session or tunnel) and which Result Code the
// peer is to be told. What the RFCs allow to be ignored is ignored, and listed
// in the Unparsed part of the message.
package l2tp
