// Package ppp is the Point-to-Point Protocol (RFC 1661): its frames, and the
// framing that carries them over an octet stream (RFC 1662).
//
// A frame, here and in every bridge, is what L2TP carries: Address and Control
// fields unless compressed, Protocol field, Information and Padding; neither
// flags nor transparency octets nor FCS.
package ppp
