package chap

import (
	"layeh.com/radius/rfc2759"
	"layeh.com/radius/rfc3079"
)

// ntResponseLen is the length of the NT-Response field in octets, RFC 2759 section
// 4.
const ntResponseLen = ntResponseEnd - ntResponseAt

// MPPEKeys returns the master session keys of MPPE after MS-CHAPv2, of 16 octets,
// as the authenticator (the LNS) sends and receives: RFC 3079 section 3.3. They are
// what MS-MPPE-Send-Key and -Recv-Key of RFC 2548 carry; those of 40 and 56 bits
// are their first 8 octets. The peer's are the same the other way round.
//
// RFC 3079 section 3.3: "The master session keys are never used to encrypt or
// decrypt data; they are only used in the derivation of transient session keys."
func MPPEKeys(hash NTHash, ntResponse [ntResponseLen]byte) (send, recv []byte, ok bool) {
	hashHash := rfc2759.NTPasswordHash(hash[:])
	master := rfc3079.GetMasterKey(hashHash, ntResponse[:])
	send, err := rfc3079.GetAsymmetricStartKey(master, rfc3079.KeyLength128Bit, true)
	if err != nil {
		return nil, nil, false
	}
	recv, err = rfc3079.GetAsymmetricStartKey(master, rfc3079.KeyLength128Bit, false)
	return send, recv, err == nil
}
