package lns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
	"layeh.com/radius"

	"adit/internal/config"
	"adit/internal/engine"
	"adit/lns/aaa"
	"adit/lns/autoconf"
	"adit/lns/coa"
	"adit/lns/companion"
	"adit/lns/dhcp"
	"adit/lns/hooks"
	"adit/lns/pool"
	"adit/lns/radattr"
	lnsradius "adit/lns/radius"
	"adit/lns/subscriber"
	"adit/lns/users"
)

// parts are the AAA layer and what it decides with.
type parts struct {
	layer     *aaa.Layer
	users     *users.Set
	pools     *pool.Set
	hooks     *hooks.Runner
	radius    *lnsradius.Client
	dhcp      *dhcp.Client
	autoconf  *autoconf.Service
	companion *companion.Responder
	coa       *coa.Server
	lock      *os.File // of the state directory
}

// open makes what the configuration needs. An error says what to do, and leaves
// nothing open.
func open(cfg *config.Config, planes *engine.Planes, log *logrus.Entry) (_ *parts, err error) {
	p := &parts{users: users.New(cfg.Users), hooks: hooks.New(cfg.Hooks, log)}
	defer func() {
		if err != nil {
			// What servers have not taken is on disk, for the next start.
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = p.close(ctx)
		}
	}()
	if p.lock, err = lockState(cfg.StateDir); err != nil {
		return nil, err
	}
	if p.pools, err = pool.Open(filepath.Join(cfg.StateDir, "leases"), cfg.Pools, log); err != nil {
		return nil, err
	}
	layer := aaa.Parts{Users: p.users, Pools: p.pools, Hooks: p.hooks}
	if len(cfg.RADIUS.Groups) > 0 {
		if err = p.openRADIUS(cfg, log); err != nil {
			return nil, err
		}
		layer.RADIUS = p.radius
	}
	if len(cfg.DHCP) > 0 {
		if p.dhcp, err = dhcp.New(cfg.DHCP, log); err != nil {
			return nil, err
		}
		layer.DHCP = p.dhcp
	}
	duid, err := loadDUID(filepath.Join(cfg.StateDir, "duid"))
	if err != nil {
		return nil, err
	}
	if p.autoconf, err = autoconf.New(autoconf.Config{DUID: duid}, log); err != nil {
		return nil, err
	}
	layer.Autoconf = p.autoconf
	p.layer = aaa.New(cfg, layer, log)
	if a := cfg.RADIUS.DynamicAuth; a.IsValid() {
		if p.coa, err = coa.Listen(&cfg.RADIUS, p.layer, log); err != nil {
			return nil, err
		}
	}
	if needsCompanion(cfg, planes) {
		if p.companion, err = companion.Start(companionDir(cfg), p.layer, log); err != nil {
			return nil, err
		}
	}
	if p.radius != nil {
		p.radius.On(accountingGroups(cfg)...) // last: what did not start has not begun
	}
	return p, nil
}

// companionDir is the run directory, which the control socket is in.
func companionDir(cfg *config.Config) string {
	return filepath.Join(filepath.Dir(cfg.Control.Socket), "pppd-"+filepath.Base(cfg.Control.Socket))
}

// openRADIUS makes the client.
func (p *parts) openRADIUS(cfg *config.Config, log *logrus.Entry) error {
	nas := radattr.NAS{Identifier: cfg.RADIUS.NASIdentifier, Address: cfg.RADIUS.NASAddress}
	var err error
	p.radius, err = lnsradius.New(&cfg.RADIUS, lnsradius.Options{
		Dir: filepath.Join(cfg.StateDir, "accounting"), Log: log,
		Encode: func(packet *radius.Packet, r *subscriber.Record) { radattr.Accounting(packet, nas, r, 0) },
	})
	return err
}

// accountingGroups are those that get records, in a fixed order.
func accountingGroups(cfg *config.Config) []*config.RADIUSGroup {
	var all []*config.RADIUSGroup
	add := func(g *config.RADIUSGroup) {
		if g != nil && !slices.Contains(all, g) {
			all = append(all, g)
		}
	}
	for _, p := range cfg.Profiles {
		add(p.AAA.Accounting)
	}
	for _, r := range cfg.Realms {
		add(r.Accounting)
	}
	slices.SortFunc(all, func(a, b *config.RADIUSGroup) int {
		return slices.Compare([]byte(a.Name), []byte(b.Name))
	})
	return all
}

// needsCompanion says whether a pppd may have to ask us.
func needsCompanion(cfg *config.Config, planes *engine.Planes) bool {
	for p, use := range cfg.Uses() {
		if !use.LNS || p.AAA.Sources == nil {
			continue
		}
		if c, err := planes.Choose(p); err == nil && !c.Builtin() {
			return true
		}
	}
	return false
}

// lockState makes the state directory ours alone: two daemons would give out one
// address twice.
func lockState(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state_dir cannot be made; choose another, or run adit as a user who may: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state_dir cannot be written to; choose another, or run adit as a user who may: %w", err)
	}
	if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("another adit uses state_dir %s; give each daemon its own", dir)
		}
		return nil, fmt.Errorf("lock state_dir %s: %w", dir, err)
	}
	return f, nil
}

// loadDUID reads our name in DHCPv6, or makes one.
//
// RFC 8415 section 11: "the DUID used by a client or server SHOULD NOT change over
// time if at all possible".
func loadDUID(path string) ([]byte, error) {
	duid, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		duid = autoconf.NewDUID()
		// A file that was torn would be another name.
		fresh := path + ".new"
		if err = os.WriteFile(fresh, duid, 0o600); err == nil {
			err = os.Rename(fresh, path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("our name in DHCPv6: %w", err)
	}
	return duid, nil
}

// close ends everything, the askers before the asked. The layer's sessions have
// ended, or are closed for the accounting by the next start.
func (p *parts) close(ctx context.Context) error {
	var errs []error
	if p.coa != nil {
		errs = append(errs, p.coa.Close())
	}
	if p.companion != nil {
		p.companion.Close()
	}
	if p.layer != nil {
		errs = append(errs, p.layer.Close(ctx))
	}
	if p.autoconf != nil {
		p.autoconf.Close()
	}
	if p.hooks != nil {
		errs = append(errs, p.hooks.Close(ctx))
	}
	if p.dhcp != nil {
		errs = append(errs, p.dhcp.Close(ctx))
	}
	if p.radius != nil {
		errs = append(errs, p.radius.Close(ctx))
	}
	if p.pools != nil {
		errs = append(errs, p.pools.Close())
	}
	if p.lock != nil {
		errs = append(errs, p.lock.Close())
	}
	return errors.Join(errs...)
}
