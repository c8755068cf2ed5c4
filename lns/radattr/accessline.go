package radattr

import (
	"encoding/binary"
	"math"

	"layeh.com/radius"

	"adit/proto/l2tp"
)

// form is how the value of an AVP of RFC 5515 becomes one of RFC 4679.
type form uint8

const (
	formSame form = iota + 1
	formRate      // 8 octets in L2TP, 4 in RADIUS
	formFlag      // a number in L2TP; in RADIUS it is there or not
)

// accessLine are the attributes of RFC 4679, by their types, which are those of
// RFC 5515. request says whether an Access-Request has it: RFC 4679 section 4.
// RFC 5515's ANCP Access Line Type is not among them.
var accessLine = map[l2tp.AVPType]struct {
	form    form
	request bool
}{
	1:   {formSame, true},  // Agent-Circuit-Id
	2:   {formSame, true},  // Agent-Remote-Id
	129: {formRate, true},  // Actual-Data-Rate-Upstream
	130: {formRate, true},  // Actual-Data-Rate-Downstream
	131: {formRate, false}, // Minimum-Data-Rate-Upstream
	132: {formRate, false}, // Minimum-Data-Rate-Downstream
	133: {formRate, false}, // Attainable-Data-Rate-Upstream
	134: {formRate, false}, // Attainable-Data-Rate-Downstream
	135: {formRate, false}, // Maximum-Data-Rate-Upstream
	136: {formRate, false}, // Maximum-Data-Rate-Downstream
	137: {formRate, false}, // Minimum-Data-Rate-Upstream-Low-Power
	138: {formRate, false}, // Minimum-Data-Rate-Downstream-Low-Power
	139: {formSame, false}, // Maximum-Interleaving-Delay-Upstream
	140: {formSame, false}, // Actual-Interleaving-Delay-Upstream
	141: {formSame, false}, // Maximum-Interleaving-Delay-Downstream
	142: {formSame, false}, // Actual-Interleaving-Delay-Downstream
	144: {formSame, true},  // Access-Loop-Encapsulation
	254: {formFlag, true},  // IWF-Session
}

// access adds what the LAC told of the access line, to a packet of this code.
func (w *writer) access(avps []l2tp.AccessLineAVP, code radius.Code) {
	for _, a := range avps {
		known, ok := accessLine[a.Type]
		if !ok || code == radius.CodeAccessRequest && !known.request {
			continue
		}
		switch known.form {
		case formSame:
			if len(a.Value) > 0 {
				w.vendor(vendorADSLForum, uint8(a.Type), a.Value)
			}
		case formRate:
			w.rate(uint8(a.Type), a.Value)
		case formFlag:
			w.iwf(uint8(a.Type), a.Value)
		}
	}
}

// rate adds a data rate, in bits per second; one that RADIUS has no room for is
// the greatest that it can say.
//
// RFC 5515 section 5: "all new AVPs specifying a data rate or speed expressed in
// bits per second (bps) will be sent as 64-bits to provide extensibility to support
// future increases in subscriber connection speeds."
func (w *writer) rate(t uint8, value []byte) {
	if len(value) == 8 {
		n := binary.BigEndian.Uint64(value)
		w.vendor(vendorADSLForum, t, radius.NewInteger(uint32(min(n, math.MaxUint32))))
	}
}

// iwf says that an Interworking Function was performed. In RFC 5515 section 5.19
// it is the number 1, and 0 where it was not.
//
// RFC 4679 section 3.3.18: "The presence of this Attribute indicates that the IWF
// has been performed with respect to the subscriber's session; note that no data
// field is necessary."
func (w *writer) iwf(t uint8, value []byte) {
	if len(value) == 4 && binary.BigEndian.Uint32(value) == 1 {
		w.vendor(vendorADSLForum, t, nil)
	}
}
