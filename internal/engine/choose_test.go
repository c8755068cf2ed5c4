package engine

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"adit/internal/circuit"
	"adit/internal/config"
)

// TestChoose goes through every profile on every machine: 4 speakers, 3 planes,
// and each of the five things that a machine may lack.
func TestChoose(t *testing.T) {
	for have := range 32 {
		m := machine{have&1 != 0, have&2 != 0, have&4 != 0, have&8 != 0, have&16 != 0}
		for _, ppp := range []config.PPP{config.PPPAuto, config.PPPPPPD, config.PPPBuiltin, config.PPPDiscard} {
			for _, plane := range []config.DataPlane{config.DataPlaneAuto, config.DataPlaneKernel, config.DataPlaneUserspace} {
				t.Run(fmt.Sprintf("%v/%v/%v", m, ppp, plane), func(t *testing.T) {
					checkChoice(t, m, &config.Profile{Name: "p", PPP: ppp, DataPlane: plane})
				})
			}
		}
	}
}

// machine is what there is.
type machine struct{ l2tp, plugin, devPPP, pppd, tun bool }

func (m machine) String() string {
	var all []string
	for name, has := range map[string]bool{"l2tp": m.l2tp, "plugin": m.plugin, "ppp": m.devPPP, "pppd": m.pppd, "tun": m.tun} {
		if has {
			all = append(all, name)
		}
	}
	return strings.Join(all, "+")
}

var (
	errNoL2TP   = errors.New("no l2tp_ppp")
	errNoPlugin = errors.New("no plugin")
	errNoDevPPP = errors.New("no /dev/ppp")
	errNoPPPD   = errors.New("no pppd")
	errNoTUN    = errors.New("no TUN")
)

func (m machine) planes() *Planes {
	lack := func(has bool, err error) error {
		if has {
			return nil
		}
		return err
	}
	return &Planes{kernel: lack(m.l2tp, errNoL2TP), pppdPPPoX: lack(m.plugin, errNoPlugin), ppp: lack(m.devPPP, errNoDevPPP),
		pppd: lack(m.pppd, errNoPPPD), tun: func() error { return lack(m.tun, errNoTUN) }}
}

// possible lists the kinds that the machine and the profile allow, best first:
// the kernel before userspace, and on each plane pppd before builtin.
func (m machine) possible(p *config.Profile) []circuit.Kind {
	var all []circuit.Kind
	add := func(has bool, ppp config.PPP, plane config.DataPlane, k circuit.Kind) {
		if has && (p.PPP == config.PPPAuto || p.PPP == ppp) && (p.DataPlane == config.DataPlaneAuto || p.DataPlane == plane) {
			all = append(all, k)
		}
	}
	add(m.l2tp && m.plugin, config.PPPPPPD, config.DataPlaneKernel, circuit.PPPDKernel)
	add(m.l2tp && m.devPPP, config.PPPBuiltin, config.DataPlaneKernel, circuit.BuiltinKernel)
	add(m.pppd, config.PPPPPPD, config.DataPlaneUserspace, circuit.PPPDAsync)
	add(m.tun, config.PPPBuiltin, config.DataPlaneUserspace, circuit.Builtin)
	return all
}

func checkChoice(t *testing.T, m machine, p *config.Profile) {
	choice, err := m.planes().Choose(p)
	if p.PPP == config.PPPDiscard {
		if err != nil || choice.Kind != circuit.Discard || choice.Userspace != nil {
			t.Errorf("%+v, %v", choice, err)
		}
		return
	}
	possible := m.possible(p)
	if len(possible) == 0 {
		if err == nil || !strings.HasPrefix(err.Error(), `profile "p": `) || strings.Contains(err.Error(), "\n") {
			t.Errorf("chose %v, error %v", choice.Kind, err)
		}
		return
	}
	if err != nil || choice.Kind != possible[0] || choice.Reason == "" {
		t.Fatalf("chose %+v (%v), want %v", choice, err, possible[0])
	}
	var standIn *circuit.Kind
	if p.DataPlane == config.DataPlaneAuto && choice.Kind.KernelPlane() {
		for _, k := range possible[1:] {
			if !k.KernelPlane() && (k == circuit.Builtin) == choice.Builtin() {
				standIn = &k
			}
		}
	}
	if (standIn == nil) != (choice.Userspace == nil) || standIn != nil && *standIn != *choice.Userspace {
		t.Errorf("%v has the stand-in %v, want %v", choice.Kind, choice.Userspace, standIn)
	}
	if got := m.planes().Kernel(p); got != choice.Kind.KernelPlane() {
		t.Errorf("Kernel says %v of %v", got, choice.Kind)
	}
	needed := choice.Kind == circuit.Builtin || standIn != nil && *standIn == circuit.Builtin
	if choice.TUN(p) != needed {
		t.Errorf("%v needs the shared TUN: %v", choice.Kind, choice.TUN(p))
	}
	own := *p
	own.Builtin.Interface = "sub%d"
	if choice.TUN(&own) {
		t.Errorf("%v with an interface of its own needs the shared TUN", choice.Kind)
	}
}

// TestChooseSaysWhy sees that what is missing is said to the operator, all of it.
func TestChooseSaysWhy(t *testing.T) {
	auto := &config.Profile{Name: "p"}
	choice, err := machine{pppd: true}.planes().Choose(auto)
	if want := "no kernel data plane: no l2tp_ppp; in userspace, pppd is installed and can be used there"; err != nil || choice.Reason != want {
		t.Errorf("reason %q (%v), want %q", choice.Reason, err, want)
	}
	choice, err = machine{l2tp: true, devPPP: true}.planes().Choose(auto)
	if want := "the kernel has PPPoL2TP, and the built-in endpoint stands in for pppd: no plugin"; err != nil || choice.Reason != want {
		t.Errorf("reason %q (%v), want %q", choice.Reason, err, want)
	}
	_, err = machine{}.planes().Choose(auto)
	for _, missing := range []error{errNoL2TP, errNoPPPD, errNoTUN} {
		if !errors.Is(err, missing) {
			t.Errorf("%q does not say %q", err, missing)
		}
	}
	kernel := &config.Profile{Name: "p", DataPlane: config.DataPlaneKernel}
	_, err = machine{l2tp: true}.planes().Choose(kernel)
	if !errors.Is(err, errNoPlugin) || !errors.Is(err, errNoDevPPP) || !strings.Contains(err.Error(), "the kernel data plane cannot be used") {
		t.Errorf("error %q", err)
	}
}

func TestChooseSync(t *testing.T) {
	p := &config.Profile{Name: "p", PTY: config.PTYSync, DataPlane: config.DataPlaneUserspace}
	if c, err := new(Planes).Choose(p); err != nil || c.Kind != circuit.PPPDSync {
		t.Errorf("%+v, %v", c, err)
	}
}
