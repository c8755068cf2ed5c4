package engine

import (
	"crypto/rand"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/pppbridge"
	"adit/proto/ppp"
)

// End is who we are in a call, to our own PPP endpoint.
type End struct {
	LNS  bool
	Name string // in PPP's challenges and requests
	// Secrets answer a peer that wants to know who we are; nil: we have nothing
	// to say. A pointer, so that it can be compared.
	Secrets ppp.Secrets
}

// endpoint is what the calls of one profile and one End share.
type endpoint struct {
	config ppp.Config
	grant  ppp.Grant
}

type endpointKey struct {
	profile *config.Profile
	end     End
}

// CallSpec is what a profile says of a call; the role adds the addresses, and
// who decides about the peer. Profiles were checked with Choose at start-up.
func (p *Planes) CallSpec(name string, profile *config.Profile, options []string, end End) *CallSpec {
	choice, _ := p.Choose(profile)
	spec := &CallSpec{
		Name:      name,
		Profile:   profile.Name,
		Userspace: choice.Userspace,
		Bridge: pppbridge.Spec{
			Kind:        choice.Kind,
			LocalIP:     profile.LocalAddress,
			MTU:         profile.MTU,
			MRU:         profile.MTU,
			KernelDebug: profile.KernelDebug,
		},
		SendSequence:       profile.Sequencing != config.SequencingOff,
		SequencingRequired: profile.Sequencing == config.SequencingRequired,
		ReorderTimeout:     profile.ReorderTimeout,
	}
	b := &spec.Bridge
	if !choice.Builtin() {
		b.Options = append(append([]string(nil), profile.PPPDOptions...), options...)
		b.OptionsFile, b.Debug = profile.PPPDOptionsFile, profile.PPPDDebug
		return spec
	}
	// The kernel's L2TP is not known to take compressed fields.
	e := p.endpoint(profile, end, choice.Kind == circuit.Builtin)
	b.Endpoint, b.Grant = &e.config, &e.grant
	b.Interface, b.ClampMSS = profile.Builtin.Interface, profile.Builtin.ClampMSS
	b.MRU = profile.Builtin.MRU
	if b.MTU == 0 {
		b.MTU = b.MRU
	}
	return spec
}

// endpoint makes what the calls share, or finds it.
func (p *Planes) endpoint(profile *config.Profile, end End, compress bool) *endpoint {
	key := endpointKey{profile, end}
	if e, ok := p.endpoints.Load(key); ok {
		return e.(*endpoint)
	}
	e, _ := p.endpoints.LoadOrStore(key, newEndpoint(&profile.Builtin, end, compress))
	return e.(*endpoint)
}

func newEndpoint(b *config.Builtin, end End, compress bool) *endpoint {
	e := &endpoint{
		config: ppp.Config{
			Name: end.Name, MRU: uint16(b.MRU),
			IPv4: b.IPv4, IPv6: b.IPv6, Compress: compress,
			EchoInterval: b.EchoInterval, EchoFailures: b.EchoFailures,
			Rand: rand.Reader,
		},
		grant: ppp.Grant{IdleTimeout: b.IdleTimeout},
	}
	if b.Proxy == config.ProxyRenegotiate {
		e.config.Proxy = ppp.ProxyRenegotiate
	}
	if end.Secrets != nil {
		e.config.Answer, e.config.Secrets = methods(b.Answered()), end.Secrets
	}
	if end.LNS {
		e.config.Authenticate, e.config.Rechallenge = methods(b.Demanded()), b.Rechallenge
		e.grant.DNS, e.grant.WINS = b.DNS, b.WINS
	} else {
		// An LNS's role ends a session whose time is over.
		e.grant.Routes, e.grant.SessionTimeout = b.Routes, b.SessionTimeout
	}
	return e
}

func methods(all []config.Auth) []ppp.Method {
	var list []ppp.Method
	for _, a := range all {
		switch a {
		case config.AuthPAP:
			list = append(list, ppp.MethodPAP)
		case config.AuthCHAPMD5:
			list = append(list, ppp.MethodCHAP)
		case config.AuthMSCHAPv2:
			list = append(list, ppp.MethodMSCHAPv2)
		case config.AuthEAP:
			list = append(list, ppp.MethodEAP)
		}
	}
	return list
}
