package ppp

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
)

// minMRU is the least MRU that makes sense: every packet of a negotiation fits.
const minMRU = 128

// lcpOptions are the options of LCP that one end asked for.
type lcpOptions struct {
	ACCM  uint32
	Magic uint32 // 0: none
	MRU   uint16
	Auth  Method // how the other end has to show who it is; 0: it need not
	PFC   bool
	ACFC  bool
}

// lcpOffer says which options our Configure-Request has.
type lcpOffer uint8

const (
	offerMRU lcpOffer = 1 << iota
	offerACCM
	offerMagic
	offerPFC
	offerACFC
)

// lcpLayer is LCP, RFC 1661 sections 5 and 6.
type lcpLayer struct {
	automaton
	ours, theirs lcpOptions
	nakMagic     uint32 // in our last Configure-Nak
	offer        lcpOffer
	refused      uint8 // methods that the peer does not do, a bit each
	theirAuthOff bool  // we rejected the authentication that the peer demands
}

var lcpDefaults = lcpOptions{ACCM: DefaultACCM, MRU: DefaultMRU}

func (l *lcpLayer) protocol() Protocol { return ProtocolLCP }

// reset asks for everything again, with a new Magic-Number.
func (l *lcpLayer) reset(e *Endpoint) {
	l.ours = lcpOptions{MRU: e.cfg.mru(), PFC: e.cfg.Compress, ACFC: e.cfg.Compress, Magic: e.newMagic()}
	l.offer = offerACCM | offerMagic
	if e.cfg.Compress {
		l.offer |= offerPFC | offerACFC
	}
	if l.ours.MRU != DefaultMRU {
		l.offer |= offerMRU
	}
	l.refused = 0
	if len(e.cfg.Authenticate) > 0 {
		l.ours.Auth = e.cfg.Authenticate[0]
	}
}

// newMagic makes a Magic-Number. RFC 1661 section 6.4: "A Magic-Number of zero is
// illegal".
func (e *Endpoint) newMagic() uint32 {
	return max(binary.BigEndian.Uint32(e.random(4)), 1)
}

func (c *Config) mru() uint16 { return max(cmp.Or(c.MRU, DefaultMRU), minMRU) }

// peerMRU returns the most that we send in an Information field.
func (l *lcpLayer) peerMRU() uint16 { return max(l.theirs.MRU, minMRU) }

// request appends our options. RFC 1661 section 5.1: "Configuration Options
// SHOULD NOT be included with default values."
func (l *lcpLayer) request(_ *Endpoint, b []byte) []byte {
	if l.offer&offerMRU != 0 {
		b = appendOption(b, OptionMRU, octets2(l.ours.MRU)...)
	}
	if l.offer&offerACCM != 0 {
		b = appendOption(b, OptionACCM, octets4(l.ours.ACCM)...)
	}
	if l.ours.Auth != 0 {
		b = appendOption(b, OptionAuth, l.ours.Auth.option()...)
	}
	if l.offer&offerMagic != 0 {
		b = appendOption(b, OptionMagic, octets4(l.ours.Magic)...)
	}
	if l.offer&offerPFC != 0 {
		b = appendOption(b, OptionPFC)
	}
	if l.offer&offerACFC != 0 {
		b = appendOption(b, OptionACFC)
	}
	return b
}

// judge takes over what the peer asks for, and says what is wrong with it.
func (l *lcpLayer) judge(e *Endpoint, list []byte, r *verdictOnOptions) {
	l.theirs, l.theirAuthOff = lcpDefaults, false
	looped := false
	for len(list) > 0 {
		o, rest, _ := NextOption(list)
		raw := list[:len(list)-len(rest)]
		list = rest
		switch o.Type {
		case OptionMRU:
			// Any size will do for what we send, if packets of a negotiation fit.
			if v, ok := uint16Of(o); ok && v >= minMRU {
				l.theirs.MRU = v
			} else {
				r.suggest(raw, OptionMRU, octets2(DefaultMRU))
			}
		case OptionACCM:
			if v, ok := uint32Of(o); ok {
				l.theirs.ACCM = v
			} else {
				r.suggest(raw, OptionACCM, octets4(0))
			}
		case OptionAuth:
			l.judgeAuth(e, o, raw, r)
		case OptionMagic:
			looped = l.judgeMagic(e, o, raw, r) || looped
		case OptionPFC, OptionACFC:
			// RFC 1661 section 5.3: "Options which have no value fields (boolean
			// options) MUST use the Configure-Reject reply instead."
			if len(o.Data) != 0 {
				r.rejectIt(raw)
				break
			}
			l.theirs.PFC = l.theirs.PFC || o.Type == OptionPFC
			l.theirs.ACFC = l.theirs.ACFC || o.Type == OptionACFC
		default:
			// Quality-Protocol, and what other RFCs have: callback, multilink,
			// numbered mode, compression.
			r.rejectIt(raw)
		}
	}
	if !looped {
		e.loops = 0
	} else {
		e.looped()
	}
}

// judgeAuth looks at how the peer wants us to show who we are.
//
// RFC 1661 section 6.2: "If an implementation sends a Configure-Ack, then it is
// agreeing to authenticate with the specified protocol."
func (l *lcpLayer) judgeAuth(e *Endpoint, o Option, raw []byte, r *verdictOnOptions) {
	able := len(e.cfg.Answer) > 0 && e.cfg.Secrets != nil
	if m := methodOf(o); able && slices.Contains(e.cfg.Answer, m) {
		l.theirs.Auth = m
		return
	}
	if !able || r.convert {
		l.theirAuthOff = true
		r.rejectIt(raw)
		return
	}
	// A peer that does not take the first of ours may take another.
	n := min(int(r.failures), len(e.cfg.Answer)-1)
	r.suggest(raw, OptionAuth, e.cfg.Answer[n].option())
}

// judgeMagic looks at the peer's Magic-Number and says whether it is ours.
//
// RFC 1661 section 6.4: "If the two Magic-Numbers are equal, then it is possible,
// but not certain, that the link is looped-back and that this Configure-Request
// is actually the one last sent. To determine this, a Configure-Nak MUST be sent
// specifying a different Magic-Number value." "A Magic-Number of zero is illegal
// and MUST always be Nak'd, if it is not Rejected outright."
func (l *lcpLayer) judgeMagic(e *Endpoint, o Option, raw []byte, r *verdictOnOptions) bool {
	v, ok := uint32Of(o)
	same := ok && v == l.ours.Magic && l.offer&offerMagic != 0
	if ok && v != 0 && !same {
		l.theirs.Magic = v
		return false
	}
	l.nakMagic = e.newMagic()
	for l.nakMagic == l.ours.Magic && !e.has(flagNoRandom) {
		l.nakMagic++
	}
	r.suggest(raw, OptionMagic, octets4(l.nakMagic))
	return same
}

// naked takes what the peer suggests.
func (l *lcpLayer) naked(e *Endpoint, o Option) {
	switch o.Type {
	case OptionMRU:
		// RFC 1661 section 6.1: "an implementation MUST still be able to receive
		// the full 1500 octet information field".
		if v, ok := uint16Of(o); ok && v >= minMRU && v <= max(e.cfg.mru(), DefaultMRU) {
			l.ours.MRU = v
			l.offer |= offerMRU
		}
	case OptionACCM:
		if v, ok := uint32Of(o); ok && l.offer&offerACCM != 0 {
			// RFC 1662 section 7.1: the peer answers "with the logical union of the
			// sets of mapped octets", its own and ours.
			l.ours.ACCM |= v
		}
	case OptionAuth:
		if l.ours.Auth != 0 {
			l.nextMethod(e, methodOf(o))
		}
	case OptionMagic:
		l.nakedMagic(e)
	case OptionPFC, OptionACFC:
		l.rejected(e, o)
	}
}

// nakedMagic chooses another Magic-Number. It is ours and not the peer's idea:
// that may be our own Nak, come back.
//
// RFC 1661 section 6.4: "In either case, a new Configure-Request SHOULD be sent
// with the new Magic-Number."
func (l *lcpLayer) nakedMagic(e *Endpoint) {
	if l.offer&offerMagic == 0 {
		return
	}
	old := l.ours.Magic
	for l.ours.Magic = e.newMagic(); l.ours.Magic == old && !e.has(flagNoRandom); {
		l.ours.Magic++
	}
}

// nextMethod chooses how to authenticate a peer that does not do it the way we
// asked for: as it would, or else the next way in the order configured.
//
// RFC 1661 section 6.2: "If that protocol is Configure-Nak'd, then the
// implementation SHOULD attempt the next most desirable protocol in the next
// Configure-Request."
func (l *lcpLayer) nextMethod(e *Endpoint, wish Method) {
	l.refused |= 1 << l.ours.Auth
	next := Method(0)
	for _, m := range e.cfg.Authenticate {
		if l.refused&(1<<m) != 0 {
			continue
		}
		if m == wish {
			next = m
			break
		}
		if next == 0 {
			next = m
		}
	}
	if next == 0 {
		e.fail(e.time(), CauseAuthRefused, "the peer does none of the authentication protocols that we ask for")
		return
	}
	l.ours.Auth = next
}

// rejected drops an option.
//
// RFC 1661 section 5.4: "when a new Configure-Request is sent, it MUST NOT
// include any of the Configuration Options listed in the Configure-Reject."
func (l *lcpLayer) rejected(e *Endpoint, o Option) {
	switch o.Type {
	case OptionMRU:
		l.offer &^= offerMRU
		l.ours.MRU = DefaultMRU
	case OptionACCM:
		l.offer &^= offerACCM
		l.ours.ACCM = DefaultACCM
	case OptionAuth:
		if l.ours.Auth != 0 {
			e.fail(e.time(), CauseAuthRefused, "the peer refuses to authenticate itself")
		}
	case OptionMagic:
		l.offer &^= offerMagic
		l.ours.Magic = 0
	case OptionPFC:
		l.offer &^= offerPFC
		l.ours.PFC = false
	case OptionACFC:
		l.offer &^= offerACFC
		l.ours.ACFC = false
	}
}

// link is what was agreed on.
func (l *lcpLayer) link(e *Endpoint) Link {
	return Link{
		PeerMRU:   min(l.theirs.MRU, e.cfg.mru()),
		LocalMRU:  l.ours.MRU,
		PeerACCM:  l.theirs.ACCM,
		LocalACCM: l.ours.ACCM,
		PeerPFC:   l.theirs.PFC,
		PeerACFC:  l.theirs.ACFC,
		Proxied:   e.has(flagProxied),
	}
}

func (l *lcpLayer) layerUp(e *Endpoint)   { e.linkUp() }
func (l *lcpLayer) layerDown(e *Endpoint) { e.linkDown() }

// layerFinished ends the link.
func (l *lcpLayer) layerFinished(e *Endpoint) {
	switch {
	case e.cause != CauseNone:
	case l.theirAuthOff:
		e.setCause(CauseOurAuthRefused, CauseOurAuthRefused.String())
	case l.last:
		e.setCause(e.hungUp(e.text))
	default:
		e.setCause(CauseLCPFailed, fmt.Sprintf("%s: no answer to %d Configure-Requests",
			CauseLCPFailed, small(cmp.Or(e.cfg.MaxConfigure, maxConfigure))))
	}
	e.finish()
}

// The algorithms of CHAP, RFC 1994 section 3 and RFC 2759 section 3.
const (
	algorithmMD5      = 5
	algorithmMSCHAPv2 = 0x81
)

// option returns the value of the Authentication-Protocol option.
func (m Method) option() []byte {
	p := m.protocol()
	b := []byte{byte(p >> 8), byte(p)}
	switch m {
	case MethodCHAP:
		b = append(b, algorithmMD5)
	case MethodMSCHAPv2:
		b = append(b, algorithmMSCHAPv2)
	case MethodPAP, MethodEAP:
	}
	return b
}

// methodOf returns the method that an Authentication-Protocol option names; 0: none
// of ours.
func methodOf(o Option) Method {
	for m := MethodPAP; m <= MethodEAP; m++ {
		if string(m.option()) == string(o.Data) {
			return m
		}
	}
	return 0
}

func uint16Of(o Option) (uint16, bool) {
	if len(o.Data) != 2 {
		return 0, false
	}
	return binary.BigEndian.Uint16(o.Data), true
}

func uint32Of(o Option) (uint32, bool) {
	if len(o.Data) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(o.Data), true
}
