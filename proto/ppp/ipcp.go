package ppp

// The Configuration Options of IPCP, RFC 1332 section 3 and RFC 1877 section 1.
const (
	optionIPAddress     uint8 = 3
	optionPrimaryDNS    uint8 = 129
	optionPrimaryWINS   uint8 = 130 // NBNS
	optionSecondaryDNS  uint8 = 131
	optionSecondaryWINS uint8 = 132
)

// serverOptions are the options of name servers, in the order of
// ipcpLayer.servers.
var serverOptions = [4]uint8{optionPrimaryDNS, optionSecondaryDNS, optionPrimaryWINS, optionSecondaryWINS}

// ipcpOffer says which options our Configure-Request has: bit 0 IP-Address, then
// the servers.
type ipcpOffer uint8

// ipcpLayer is IPCP, RFC 1332.
type ipcpLayer struct {
	automaton
	local, peer ipv4
	servers     [4]ipv4 // that the peer told us, by serverOptions
	offer       ipcpOffer
	noAddress   bool // it failed for want of one
	refusedAny  bool // we rejected the peer's IP-Address: it does not come without
}

func (l *ipcpLayer) protocol() Protocol { return ProtocolIPCP }

// reset asks for everything again.
func (l *ipcpLayer) reset(e *Endpoint) {
	l.local, l.servers, l.offer = e.granted.local, [4]ipv4{}, 1
	l.noAddress, l.refusedAny = false, false
	if e.cfg.RequestDNS {
		l.offer |= 1<<1 | 1<<2
	}
	if e.cfg.RequestWINS {
		l.offer |= 1<<3 | 1<<4
	}
}

// request appends our options.
//
// RFC 1332 section 3.3: "If all four octets are set to zero, it indicates a
// request that the peer provide the IP-Address information." RFC 1877 has the
// same for its servers.
func (l *ipcpLayer) request(_ *Endpoint, b []byte) []byte {
	if l.offer&1 != 0 {
		b = appendOption(b, optionIPAddress, l.local.octets()...)
	}
	for i, typ := range serverOptions {
		if l.offer&(2<<i) != 0 {
			b = appendOption(b, typ, l.servers[i].octets()...)
		}
	}
	return b
}

// judge takes over what the peer asks for, and says what is wrong with it.
func (l *ipcpLayer) judge(e *Endpoint, list []byte, r *verdictOnOptions) {
	l.peer = 0
	told := false
	for len(list) > 0 {
		o, rest, _ := NextOption(list)
		raw := list[:len(list)-len(rest)]
		list = rest
		switch o.Type {
		case optionIPAddress:
			told = true
			l.judgeAddress(e, o, raw, r)
		case optionPrimaryDNS:
			judgeServer(e.granted.dns[0], o, raw, r)
		case optionSecondaryDNS:
			judgeServer(e.granted.dns[1], o, raw, r)
		case optionPrimaryWINS:
			judgeServer(e.granted.wins[0], o, raw, r)
		case optionSecondaryWINS:
			judgeServer(e.granted.wins[1], o, raw, r)
		default:
			// IP-Addresses, which is deprecated; IP-Compression-Protocol; Mobile-IPv4.
			r.rejectIt(raw)
		}
	}
	if told {
		return
	}
	// RFC 1332 section 3.3: "If negotiation about the remote IP-address is
	// required, and the peer did not provide the option in its Configure-Request,
	// the option SHOULD be appended to a Configure-Nak. The value of the
	// IP-address given must be acceptable as the remote IP-address, or indicate a
	// request that the peer provide the information."
	if g := e.granted.peer; g != 0 || l.needsPeer(e) && !l.refusedAny {
		r.prompt(optionIPAddress, g.octets())
	}
	l.peer = e.granted.peer
}

// needsPeer says whether a peer without an address is of no use: to one that has
// its own from the peer, the peer is the way to everywhere.
func (l *ipcpLayer) needsPeer(e *Endpoint) bool { return e.granted.local != 0 }

// judgeAddress looks at the address that the peer wants for itself.
func (l *ipcpLayer) judgeAddress(e *Endpoint, o Option, raw []byte, r *verdictOnOptions) {
	v, ok := uint32Of(o)
	a, g := ipv4(v), e.granted.peer
	switch {
	case g != 0 && (!ok || a != g):
		r.suggest(raw, optionIPAddress, g.octets())
	case g != 0, ok && a.usable() && a != l.local:
		l.peer = a
	default:
		// There is none to give.
		l.refusedAny = true
		r.rejectIt(raw)
	}
}

// judgeServer looks at the name server that the peer asks for.
func judgeServer(g ipv4, o Option, raw []byte, r *verdictOnOptions) {
	v, ok := uint32Of(o)
	switch {
	case g == 0:
		r.rejectIt(raw)
	case !ok || ipv4(v) != g:
		r.suggest(raw, o.Type, g.octets())
	}
}

// naked takes what the peer suggests. An address of our own that is configured
// stays.
func (l *ipcpLayer) naked(e *Endpoint, o Option) {
	v, ok := uint32Of(o)
	a := ipv4(v)
	if !ok {
		return
	}
	if o.Type == optionIPAddress {
		if e.granted.local == 0 && a.usable() {
			l.local = a
			l.offer |= 1
		}
		return
	}
	for i, typ := range serverOptions {
		if bit := ipcpOffer(2) << i; typ == o.Type && l.offer&bit != 0 {
			if l.servers[i] = a; !a.usable() {
				l.servers[i] = 0
				l.offer &^= bit // it has none
			}
		}
	}
}

// rejected drops an option.
func (l *ipcpLayer) rejected(_ *Endpoint, o Option) {
	if o.Type == optionIPAddress {
		l.offer &^= 1
	}
	for i, typ := range serverOptions {
		if typ == o.Type {
			l.offer &^= 2 << i
			l.servers[i] = 0
		}
	}
}

// layerUp lets packets flow, if both ends have the addresses that they need.
func (l *ipcpLayer) layerUp(e *Endpoint) {
	if l.local == 0 || l.peer == 0 && l.needsPeer(e) {
		l.noAddress = true
		e.giveUp(l, "")
		return
	}
	for i := range l.servers {
		if !l.servers[i].usable() {
			l.servers[i] = 0
		}
	}
	e.networkUp(IPv4)
}

func (l *ipcpLayer) layerDown(e *Endpoint)     { e.networkDown(IPv4) }
func (l *ipcpLayer) layerFinished(e *Endpoint) { e.checkNetworks() }
