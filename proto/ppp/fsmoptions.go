package ppp

import "encoding/binary"

// optionsOK says whether list can be taken apart.
func optionsOK(list []byte) bool {
	for len(list) > 0 {
		_, rest, err := NextOption(list)
		if err != nil {
			return false
		}
		list = rest
	}
	return true
}

// verdictOnOptions collects what is to be said about the options of a
// Configure-Request.
type verdictOnOptions struct {
	nak, reject []byte
	// convert: RFC 1661 section 4.6, of Max-Failure: "Any further Configure-Nak
	// packets for peer requested options are converted to Configure-Reject
	// packets, and locally desired options are no longer appended."
	convert  bool
	failures uint8 // Configure-Naks so far
}

// rejectIt refuses an option, whose octets are raw.
func (r *verdictOnOptions) rejectIt(raw []byte) { r.reject = append(r.reject, raw...) }

// suggest refuses the value of an option and tells a better one. An option that
// comes several times is answered once.
func (r *verdictOnOptions) suggest(raw []byte, typ uint8, value []byte) {
	if r.convert {
		r.rejectIt(raw)
		return
	}
	r.add(typ, value)
}

// prompt appends an option that we miss.
//
// RFC 1661 section 5.3: "If that option is not listed, then that option MAY be
// appended to the list of Nak'd Configuration Options, in order to prompt the
// peer to include that option in its next Configure-Request packet."
func (r *verdictOnOptions) prompt(typ uint8, value []byte) {
	if !r.convert {
		r.add(typ, value)
	}
}

func (r *verdictOnOptions) add(typ uint8, value []byte) {
	for list := r.nak; len(list) > 0; {
		o, rest, _ := NextOption(list)
		if o.Type == typ {
			return
		}
		list = rest
	}
	r.nak = appendOption(r.nak, typ, value...)
}

// result returns the reply to a Configure-Request.
//
// RFC 1661 section 5.4: "The Options field is filled with only the unacceptable
// Configuration Options from the Configure-Request. All recognizable and
// negotiable Configuration Options are filtered out of the Configure-Reject, but
// otherwise the Configuration Options MUST NOT be reordered or modified in any
// way."
func (r *verdictOnOptions) result(request []byte) (Code, []byte) {
	switch {
	case len(r.reject) > 0:
		return ConfigureReject, r.reject
	case len(r.nak) > 0:
		return ConfigureNak, r.nak
	}
	return ConfigureAck, request
}

// appendOption appends a Configuration Option.
func appendOption(dst []byte, typ uint8, value ...byte) []byte {
	return append(append(dst, typ, byte(optionHeadsize+len(value))), value...)
}

func octets2(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }
func octets4(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
func octets8(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }
