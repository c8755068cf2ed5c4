package engine

import (
	"fmt"

	"adit/internal/config"
	"adit/internal/kernel"
	"adit/pppbridge"
	"adit/proto/l2tp"
	"adit/proto/reliable"
	"adit/proto/tunnel"
)

// TunnelIdentity is what we say and demand when a tunnel is set up.
type TunnelIdentity struct {
	HostName, VendorName string
	Secret               []byte
	Challenge, HideAVPs  bool
}

// TunnelConfig puts a configured control channel into the words of the state
// machine.
func TunnelConfig(cc config.ControlChannel, id TunnelIdentity) tunnel.Config {
	c := tunnel.Config{
		HostName: id.HostName, VendorName: id.VendorName,
		Secret: id.Secret, Challenge: id.Challenge, HideAVPs: id.HideAVPs,
		ReceiveWindow: cc.ReceiveWindowSize,
		Framing:       l2tp.FramingAsync | l2tp.FramingSync,
		Bearer:        l2tp.BearerDigital | l2tp.BearerAnalog,
		HelloInterval: cc.HelloInterval,
		SetupTimeout:  cc.SetupTimeout,
		Reliable: reliable.Config{
			ReceiveWindow:     cc.ReceiveWindowSize,
			RetransmitInitial: cc.RetransmitInitial,
			RetransmitCap:     cc.RetransmitCap,
			MaxRetransmits:    cc.MaxRetransmits,
			AckDelay:          cc.AckDelay,
		},
	}
	if cc.HelloInterval == 0 {
		c.HelloInterval = -1 // the configuration's "never"
	}
	return c
}

// Planes knows what this machine can do, and so what "auto" in a profile means.
// It is made once, at start-up.
type Planes struct {
	kernel    error // why the kernel cannot move the data; nil if it can
	pppd      error // why pppd cannot run behind a PTY
	pppdPPPoX error // why pppd cannot run on the kernel plane
}

// ProbePlanes looks at the kernel and at the pppd of that path.
func ProbePlanes(pppdPath string) *Planes {
	return &Planes{
		kernel:    kernel.Probe(),
		pppd:      pppbridge.CheckPPPD(pppdPath, pppbridge.PPPDAsync),
		pppdPPPoX: pppbridge.CheckPPPD(pppdPath, pppbridge.PPPDKernel),
	}
}

// Choice is what was chosen for a profile, and why.
type Choice struct {
	Kind   pppbridge.Kind
	Reason string // a sentence
	// Userspace stands in for a Kind of the kernel plane where the kernel cannot
	// serve a tunnel; nil: nothing may.
	Userspace *pppbridge.Kind
}

// Choose decides who speaks PPP and who moves the data for a profile, or says
// what is missing.
func (p *Planes) Choose(profile *config.Profile) (Choice, error) {
	if profile.PPP == config.PPPDiscard {
		return Choice{Kind: pppbridge.Discard, Reason: "the profile throws frames away"}, nil
	}
	pty := pppbridge.PPPDAsync
	if profile.PTY == config.PTYSync {
		pty = pppbridge.PPPDSync
	}
	switch profile.DataPlane {
	case config.DataPlaneKernel:
		if err := p.kernelPlane(); err != nil {
			return Choice{}, fmt.Errorf("profile %q: the kernel data plane cannot be used: %w", profile.Name, err)
		}
		return Choice{Kind: pppbridge.PPPDKernel, Reason: "the profile says so"}, nil
	case config.DataPlaneUserspace:
		if p.pppd != nil {
			return Choice{}, fmt.Errorf("profile %q: %w", profile.Name, p.pppd)
		}
		return Choice{Kind: pty, Reason: "the profile says so"}, nil
	case config.DataPlaneAuto:
	}
	unusable := p.kernelPlane()
	if unusable == nil {
		choice := Choice{Kind: pppbridge.PPPDKernel, Reason: "the kernel has PPPoL2TP, and pppd its plugin"}
		if p.pppd == nil {
			choice.Userspace = &pty
		}
		return choice, nil
	}
	if p.pppd != nil {
		return Choice{}, fmt.Errorf("profile %q: %w", profile.Name, p.pppd)
	}
	return Choice{Kind: pty, Reason: "no kernel data plane: " + unusable.Error()}, nil
}

func (p *Planes) kernelPlane() error {
	if p.kernel != nil {
		return p.kernel
	}
	return p.pppdPPPoX
}

// Kernel says whether calls of the profile are on the kernel plane.
func (p *Planes) Kernel(profile *config.Profile) bool {
	choice, err := p.Choose(profile)
	return err == nil && choice.Kind.KernelPlane()
}

// CallSpec is what a profile says of a call; the role adds the addresses.
// Profiles were checked with Choose at start-up.
func (p *Planes) CallSpec(name string, profile *config.Profile, options []string) *CallSpec {
	choice, _ := p.Choose(profile)
	words := append(append([]string(nil), profile.PPPDOptions...), options...)
	return &CallSpec{
		Name:      name,
		Profile:   profile.Name,
		Userspace: choice.Userspace,
		Bridge: pppbridge.Spec{
			Kind:        choice.Kind,
			OptionsFile: profile.PPPDOptionsFile,
			Options:     words,
			Debug:       profile.PPPDDebug,
			LocalIP:     profile.LocalAddress,
			MTU:         profile.MTU,
			MRU:         profile.MTU,
			KernelDebug: profile.KernelDebug,
		},
		SendSequence:       profile.Sequencing != config.SequencingOff,
		SequencingRequired: profile.Sequencing == config.SequencingRequired,
		ReorderTimeout:     profile.ReorderTimeout,
	}
}
