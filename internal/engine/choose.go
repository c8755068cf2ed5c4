package engine

import (
	"fmt"
	"sync"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/internal/kernel"
	"adit/pppbridge"
)

// Planes knows what this machine can do, and so what "auto" in a profile means.
// It is made once, at start-up. The zero Planes can do everything. It is safe
// for use by every shard at once.
type Planes struct {
	kernel    error        // why the kernel cannot move the data; nil if it can
	pppd      error        // why pppd cannot run behind a PTY
	pppdPPPoX error        // why pppd cannot run on the kernel plane
	ppp       error        // why our own endpoint cannot have interfaces of the kernel's PPP
	tun       func() error // why our own endpoint cannot have a TUN; nil: it can

	endpoints sync.Map // of endpointKey to *endpoint
}

// ProbePlanes looks at the kernel and at the pppd of that path.
func ProbePlanes(pppdPath string) *Planes {
	return &Planes{
		kernel:    kernel.Probe(),
		pppd:      pppbridge.CheckPPPD(pppdPath, circuit.PPPDAsync),
		pppdPPPoX: pppbridge.CheckPPPD(pppdPath, circuit.PPPDKernel),
		ppp:       kernel.ProbePPP(),
		tun:       sync.OnceValue(probeTUN),
	}
}

// probeTUN makes an interface and takes it away: nothing less says whether we
// may. So it is asked for once, and only if it matters.
func probeTUN() error {
	t, err := kernel.OpenTUN(kernel.TUNOptions{Name: "adit%d"})
	if err != nil {
		return err
	}
	t.Close()
	return nil
}

// Choice is what was chosen for a profile, and why.
type Choice struct {
	Kind   circuit.Kind
	Reason string // a sentence
	// Userspace stands in for a Kind of the kernel plane where the kernel cannot
	// serve a tunnel; nil: nothing may.
	Userspace *circuit.Kind
}

// Builtin says whether our own endpoint speaks PPP.
func (c Choice) Builtin() bool {
	return c.Kind == circuit.Builtin || c.Kind == circuit.BuiltinKernel
}

// TUN says whether sessions may need the TUN that they share.
func (c Choice) TUN(profile *config.Profile) bool {
	return profile.Builtin.Interface == "" &&
		(c.Kind == circuit.Builtin || c.Userspace != nil && *c.Userspace == circuit.Builtin)
}

// Choose decides who speaks PPP and who moves the data for a profile, or says
// what is missing.
func (p *Planes) Choose(profile *config.Profile) (Choice, error) {
	if profile.PPP == config.PPPDiscard {
		return Choice{Kind: circuit.Discard, Reason: "the profile throws frames away"}, nil
	}
	var choice Choice
	var err error
	switch profile.DataPlane {
	case config.DataPlaneKernel:
		if choice, err = p.kernelPlane(profile); err != nil {
			err = fmt.Errorf("the kernel data plane cannot be used: %w", err)
		}
	case config.DataPlaneUserspace:
		choice, err = p.userspacePlane(profile)
	case config.DataPlaneAuto:
		choice, err = p.anyPlane(profile)
	}
	if err != nil {
		return Choice{}, fmt.Errorf("profile %q: %w", profile.Name, err)
	}
	return choice, nil
}

// anyPlane takes the kernel if it can move the data and somebody can speak PPP
// on it, else userspace.
func (p *Planes) anyPlane(profile *config.Profile) (Choice, error) {
	choice, unusable := p.kernelPlane(profile)
	if unusable != nil {
		second, err := p.userspacePlane(profile)
		if err != nil {
			return second, fmt.Errorf("no data plane can be used: %w; and in userspace: %w", unusable, err)
		}
		second.Reason = fmt.Sprintf("no kernel data plane: %v; in userspace, %s", unusable, second.Reason)
		return second, nil
	}
	// A session that the kernel cannot serve goes by userspace, but to the same
	// speaker of PPP, so that its users and addresses are the same.
	same := *profile
	same.PPP = config.PPPPPPD
	if choice.Builtin() {
		same.PPP = config.PPPBuiltin
	}
	if other, err := p.userspacePlane(&same); err == nil {
		choice.Userspace = &other.Kind
	}
	choice.Reason = "the kernel has PPPoL2TP, and " + choice.Reason
	return choice, nil
}

func (p *Planes) kernelPlane(profile *config.Profile) (Choice, error) {
	if p.kernel != nil {
		return Choice{}, p.kernel
	}
	return speaker(profile.PPP,
		candidate{circuit.PPPDKernel, func() error { return p.pppdPPPoX }},
		candidate{circuit.BuiltinKernel, func() error { return p.ppp }})
}

func (p *Planes) userspacePlane(profile *config.Profile) (Choice, error) {
	pty := circuit.PPPDAsync
	if profile.PTY == config.PTYSync {
		pty = circuit.PPPDSync
	}
	return speaker(profile.PPP,
		candidate{pty, func() error { return p.pppd }},
		candidate{circuit.Builtin, p.probedTUN})
}

func (p *Planes) probedTUN() error {
	if p.tun == nil {
		return nil
	}
	return p.tun()
}

// candidate is who might speak PPP on a plane.
type candidate struct {
	kind   circuit.Kind
	usable func() error
}

// speaker decides between pppd and our own endpoint on one plane.
func speaker(ppp config.PPP, pppd, builtin candidate) (Choice, error) {
	if ppp != config.PPPAuto {
		chosen := pppd
		if ppp == config.PPPBuiltin {
			chosen = builtin
		}
		return Choice{Kind: chosen.kind, Reason: "the profile says who speaks PPP"}, chosen.usable()
	}
	noPPPD := pppd.usable()
	if noPPPD == nil {
		return Choice{Kind: pppd.kind, Reason: "pppd is installed and can be used there"}, nil
	}
	if noBuiltin := builtin.usable(); noBuiltin != nil {
		return Choice{}, fmt.Errorf("%w; and the built-in endpoint: %w", noPPPD, noBuiltin)
	}
	return Choice{Kind: builtin.kind, Reason: "the built-in endpoint stands in for pppd: " + noPPPD.Error()}, nil
}

// Kernel says whether calls of the profile are on the kernel plane.
func (p *Planes) Kernel(profile *config.Profile) bool {
	choice, err := p.Choose(profile)
	return err == nil && choice.Kind.KernelPlane()
}
