package radattr

// Microsoft's attributes, by their numbers of RFC 2548.
const (
	msCHAPError            = 2
	msMPPEEncryptionPolicy = 7
	msMPPEEncryptionTypes  = 8
	msCHAPChallenge        = 11
	msMPPESendKey          = 16
	msMPPERecvKey          = 17
	msCHAP2Response        = 25
	msCHAP2Success         = 26
	msPrimaryDNSServer     = 28
	msSecondaryDNSServer   = 29
	msPrimaryNBNSServer    = 30
	msSecondaryNBNSServer  = 31
)
