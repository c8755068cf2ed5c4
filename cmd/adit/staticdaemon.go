package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"adit/internal/config"
	"adit/internal/control"
	"adit/lcce"
)

// Static is control.Daemon.
func (d *daemon) Static(context.Context) ([]control.Static, error) {
	commanded, _ := d.commanded.Load().(map[string]bool)
	infos := d.statics()
	all := make([]control.Static, len(infos))
	for i := range infos {
		all[i] = staticView(&infos[i], commanded[infos[i].Name])
	}
	return all, nil
}

// statics are the static tunnels as they are now.
func (d *daemon) statics() []lcce.StaticInfo {
	if d.lcce == nil {
		return nil
	}
	return d.lcce.Statics()
}

func staticView(i *lcce.StaticInfo, commanded bool) control.Static {
	v := control.Static{
		Name: i.Name, Origin: control.OriginConfiguration, DataPlane: i.Plane.String(), Encapsulation: i.Encapsulation.String(),
		LocalAddress: i.Local, PeerAddress: i.Peer, ID: i.ID, PeerID: i.PeerID,
		State: i.State.String(), Since: i.Since.Round(0), Problem: i.Problem, Adopted: i.Adopted,
		Repairs: i.Repairs, Probes: i.Probes, Answers: i.Answers, LastHeard: i.LastHeard.Round(0),
		Sessions: make([]control.StaticSession, len(i.Sessions)),
	}
	if commanded {
		v.Origin = control.OriginCommand
	}
	for n, s := range i.Sessions {
		v.Sessions[n] = control.StaticSession{
			Name: s.Name, Pseudowire: s.Pseudowire, Type: s.Type.String(), ID: s.ID, PeerID: s.PeerID,
			CookieLength: s.Cookie, PeerCookieLength: s.PeerCookie, Up: s.Up, Problem: s.Problem,
			Interface: s.Interface, Sublayer: s.Sublayer.String(), Sequencing: s.Sequencing.String(),
			Traffic: control.Traffic{
				RxPackets: s.RxPackets, RxBytes: s.RxBytes, RxErrors: s.RxDropped, TxPackets: s.TxPackets, TxBytes: s.TxBytes, TxErrors: s.TxDropped,
			},
			RxOutOfOrder: s.RxOutOfOrder,
		}
		if s.Up {
			v.Sessions[n].Bridge = s.Kind.String()
		}
	}
	return v
}

// staticCounts says how many static tunnels are in each state; nil: there are none.
func staticCounts(all []lcce.StaticInfo) *control.StaticCounts {
	if len(all) == 0 {
		return nil
	}
	c := &control.StaticCounts{}
	for i := range all {
		switch all[i].State {
		case lcce.Up:
			c.Up++
		case lcce.Dead:
			c.Dead++
		case lcce.Down:
			c.Down++
		}
	}
	return c
}

// AddStatic is control.Daemon.
func (d *daemon) AddStatic(ctx context.Context, doc control.StaticDocument) (control.StaticAdded, error) {
	unlock, err := d.lock(ctx)
	if err != nil {
		return control.StaticAdded{}, err
	}
	defer unlock()
	added, err := config.ParseStatic(d.withAdded(d.running), doc.File, doc.Document)
	if err != nil {
		return control.StaticAdded{}, wrongStatic(doc.File, err)
	}
	if _, err := d.setAdded(append(slices.Clone(d.added), added)); err != nil {
		return control.StaticAdded{}, err
	}
	answer := control.StaticAdded{Names: []string{}, Warnings: problems(added.Warnings)}
	for _, t := range added.Static {
		answer.Names = append(answer.Names, t.Name)
		d.log.WithField("tunnel_name", t.Name).Info("a static tunnel is added by command; it lives as long as this daemon")
	}
	return answer, nil
}

// wrongStatic puts what is wrong with a document into the form of the control
// interface.
func wrongStatic(file string, err error) *control.Error {
	all := problemsOf(file, err)
	return &control.Error{Message: "the static tunnels have " + count(len(all), "error") + "; nothing has changed", Problems: all}
}

// RemoveStatic is control.Daemon.
func (d *daemon) RemoveStatic(ctx context.Context, name string) (control.StaticRemoved, error) {
	unlock, err := d.lock(ctx)
	if err != nil {
		return control.StaticRemoved{}, err
	}
	defer unlock()
	named := func(t *config.StaticTunnel) bool { return t.Name == name }
	for i, a := range d.added {
		n := slices.IndexFunc(a.Static, named)
		if n < 0 {
			continue
		}
		gone := a.Static[n]
		if _, err := d.setAdded(slices.Replace(slices.Clone(d.added), i, i+1, without(a, gone)...)); err != nil {
			return control.StaticRemoved{}, err
		}
		d.log.WithField("tunnel_name", name).Info("a static tunnel is removed by command")
		return control.StaticRemoved{Name: name, Sessions: len(gone.Sessions)}, nil
	}
	if slices.ContainsFunc(d.running.L2TPv3.Static, named) {
		return control.StaticRemoved{}, fmt.Errorf("static tunnel %q is not of a command: %w", name, control.ErrConfigured)
	}
	return control.StaticRemoved{}, fmt.Errorf("static tunnel %q: %w; \"adit static\" lists what there is", name, control.ErrNotFound)
}

// without is what is left of the tunnels that were added together.
func without(a *config.Added, gone *config.StaticTunnel) []*config.Added {
	left := &config.Added{}
	for _, t := range a.Static {
		if t != gone {
			left.Static = append(left.Static, t)
		}
	}
	if len(left.Static) == 0 {
		return nil
	}
	return []*config.Added{left}
}

// lock waits for its turn to change or to read what is configured.
func (d *daemon) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case d.turn <- struct{}{}:
		return func() { <-d.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// withAdded is a configuration with what commands have added. The caller has the lock.
func (d *daemon) withAdded(cfg *config.Config) *config.Config {
	for _, a := range d.added {
		cfg = cfg.WithStatic(a)
	}
	return cfg
}

// setAdded has the daemon go on with these static tunnels besides those of its
// configuration; on an error nothing has changed. The caller has the lock.
func (d *daemon) setAdded(added []*config.Added) (*control.StaticChange, error) {
	if d.lcce == nil {
		return nil, errors.New("adit is stopping")
	}
	before := d.added
	d.added = added
	change, err := d.reloadStatic(d.running)
	if err != nil {
		d.added = before
		return nil, err
	}
	names := make(map[string]bool)
	for _, a := range added {
		for _, t := range a.Static {
			names[t.Name] = true
		}
	}
	d.commanded.Store(names)
	return change, nil
}

// fitAdded says what of the static tunnels that commands have added does not go with a
// configuration. The caller has the lock.
func (d *daemon) fitAdded(cfg *config.Config) error {
	var all config.Errors
	for _, a := range d.added {
		var errs config.Errors
		if errors.As(cfg.FitStatic(a), &errs) {
			all = append(all, errs...)
		}
	}
	if len(all) > 0 {
		return all
	}
	return nil
}
