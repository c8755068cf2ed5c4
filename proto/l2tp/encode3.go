package l2tp

import (
	"encoding/binary"
	"fmt"
	"math"
)

// v3 says whether the message is written in version 3.
func (e *encoder) v3() bool { return e.opt.Version == Version3 }

// put3 writes an AVP of version 3, also into a message of version 2 that offers it.
func (e *encoder) put3(t AVPType, value []byte) { e.putAs(lookupAVP3(t), value) }

func (e *encoder) uint64(t AVPType, v uint64) {
	e.put3(t, binary.BigEndian.AppendUint64(make([]byte, 0, 8), v))
}

// speed writes a connect speed, in bits per second. Version 2 has 32 bits for it, of
// which a faster line gets the highest.
func (e *encoder) speed(t2, t3 AVPType, bps uint64) {
	if e.v3() {
		if bps != 0 {
			e.uint64(t3, bps)
		}
		return
	}
	e.uint32(t2, uint32(min(bps, math.MaxUint32)))
}

// endpoint writes what an SCCRQ and an SCCRP of version 3 have in common. id is the
// Assigned Control Connection ID.
func (e *encoder) endpoint(routerID, id uint32, pseudowires []PseudowireType, nonce []byte, language string) {
	e.put3(AVPRouterID, binary.BigEndian.AppendUint32(nil, routerID))
	if id == 0 {
		e.fail(fmt.Errorf("%s is 0: %w", AVPAssignedControlConnectionID, ErrValueMissing))
	}
	// The nonce comes before what may be hidden, beside the Random Vector.
	if nonce != nil {
		e.put3(AVPNonce, nonce)
	}
	e.put3(AVPAssignedControlConnectionID, binary.BigEndian.AppendUint32(nil, id))
	list := make([]byte, 0, 2*len(pseudowires))
	for _, t := range pseudowires {
		list = binary.BigEndian.AppendUint16(list, uint16(t))
	}
	e.put3(AVPPseudowireCapabilities, list)
	if language != "" {
		e.put3(AVPPreferredLanguage, []byte(language))
	}
}

// sessionIDs writes the IDs of a message of version 3. RFC 3931 section 5.4.4: "The
// Remote Session ID AVP MUST be present in all session-level control messages."
func (e *encoder) sessionIDs(local, remote uint32) {
	e.nonzeroID(AVPAssignedSessionID, local)
	e.uint32(AVPRemoteSessionID, remote)
}

// callUint32 writes a value of a telephone call, which version 3 has no need of if it
// is 0.
func (e *encoder) callUint32(t AVPType, v uint32) {
	if v != 0 || !e.v3() {
		e.uint32(t, v)
	}
}
