package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"adit/internal/config"
	"adit/internal/control"
)

func reloadCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Have the daemon read its configuration again",
		Long: `Have the daemon read its configuration again. What can change while sessions are
up does: the users with their files, the programs of [hooks], log.level,
radius.dynamic_authorization.clients, and the static tunnels of [l2tpv3]. All else
that is different is listed: it needs a restart. No session ends but the static ones
that changed. Where the configuration is wrong, nothing changes, every error is shown,
and the exit status is 2.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, args []string) error {
			err := asking(f, func(ctx context.Context, client *control.Client) (control.Reloaded, error) {
				return client.Reload(ctx)
			}, showReloaded)(c, args)
			return showProblems(f, c, err, control.Problem.Error)
		},
	}
}

func showReloaded(w io.Writer, r control.Reloaded) error {
	for _, p := range r.Warnings {
		fmt.Fprintf(w, "warning: %v\n", p)
	}
	_, err := fmt.Fprintln(w, sentenceOf(r))
	return err
}

// sentenceOf says what a reload did, for people and for the log.
func sentenceOf(r control.Reloaded) string {
	said := "nothing has changed"
	if len(r.Applied) > 0 {
		all := slices.Clone(r.Applied)
		if i := slices.Index(all, partUsers); i >= 0 {
			all[i] = fmt.Sprintf("users (%d added, %d removed, %d changed; %d now)", r.Users.Added, r.Users.Removed, r.Users.Changed, r.Users.Total)
		}
		if i := slices.Index(all, partStatic); i >= 0 && r.Static != nil {
			all[i] = fmt.Sprintf("%s (%d added, %d removed, %d replaced, %d adjusted)", partStatic,
				len(r.Static.Added), len(r.Static.Removed), len(r.Static.Replaced), len(r.Static.Adjusted))
		}
		said = "applied: " + strings.Join(all, ", ")
	}
	if len(r.NeedsRestart) > 0 {
		said += "; needs a restart: " + strings.Join(r.NeedsRestart, ", ")
	}
	return said
}

// The parts of a configuration that change while sessions are up.
const (
	partUsers          = "users"
	partHooks          = "hooks"
	partLogLevel       = "log.level"
	partStatic         = "l2tpv3.static"
	dynamicAuthClients = "radius.dynamic_authorization.clients"
)

// reloadable are those parts.
var reloadable = []string{partUsers, partHooks, partLogLevel, dynamicAuthClients, partStatic}

// reloader reads the configuration of a daemon again.
type reloader struct {
	// load reads the file, with what flags change in it.
	load func() (*config.Config, error)
	log  *logrus.Entry
	// turn is held by the one that reloads.
	turn chan struct{}
	// running is with what the daemon goes on, and added besides: static tunnels of
	// commands.
	running *config.Config
	added   []*config.Added
	// commanded are the names of those, a map[string]bool, for who does not wait for
	// his turn.
	commanded atomic.Value
}

func newReloader(running *config.Config, load func() (*config.Config, error), log *logrus.Entry) *reloader {
	return &reloader{load: load, log: log, turn: make(chan struct{}, 1), running: running}
}

// Reload is control.Daemon's.
func (d *daemon) Reload(ctx context.Context) (control.Reloaded, error) {
	r := d.reloader
	unlock, err := d.lock(ctx)
	if err != nil {
		return control.Reloaded{}, err
	}
	defer unlock()
	wanted, users, err := d.reread()
	if err != nil {
		wrong := wrongConfig(r.running.Path, err)
		r.log.WithError(wrong.Problems[0]).Errorf("reload: %s", wrong.Message)
		return control.Reloaded{}, wrong
	}
	next := *r.running
	next.Users, next.UsersFile, next.ChapSecrets = users, wanted.UsersFile, wanted.ChapSecrets
	next.Hooks, next.Log.Level = wanted.Hooks, wanted.Log.Level
	next.RADIUS.DynamicAuthClients = wanted.RADIUS.DynamicAuthClients
	next.L2TPv3.Static = wanted.L2TPv3.Static
	if err = d.fitAdded(&next); err != nil {
		wrong := wrongConfig(r.running.Path, err)
		wrong.Message = "the configuration does not go with static tunnels that were added by command; nothing has changed"
		r.log.WithError(wrong.Problems[0]).Errorf("reload: %s", wrong.Message)
		return control.Reloaded{}, wrong
	}
	static, err := d.reloadStatic(&next)
	if err != nil {
		wrong := wrongConfig(r.running.Path, err)
		wrong.Message = "the static tunnels cannot be had on this machine; nothing has changed"
		r.log.WithError(err).Errorf("reload: %s", wrong.Message)
		return control.Reloaded{}, wrong
	}

	answer := control.Reloaded{
		Applied: []string{}, NeedsRestart: []string{},
		Users: changeOf(r.running.Users, users), Static: static, Warnings: problems(wanted.Warnings),
	}
	for _, part := range differing(r.running, wanted) {
		if slices.Contains(reloadable, part) {
			answer.Applied = append(answer.Applied, part)
		} else {
			answer.NeedsRestart = append(answer.NeedsRestart, part)
		}
	}
	d.lns.Reload(&next)
	r.log.Logger.SetLevel(levelOf(next.Log.Level))
	r.running = &next
	for _, w := range wanted.Warnings {
		r.log.Warn(w.Error())
	}
	r.log.Info("reload: " + sentenceOf(answer))
	return answer, nil
}

// reloadStatic has the static tunnels become those of cfg, and those that commands have
// added; nil: they are the same.
func (d *daemon) reloadStatic(cfg *config.Config) (*control.StaticChange, error) {
	if d.lcce == nil {
		return nil, nil
	}
	c, err := d.lcce.Reload(d.withAdded(cfg))
	if err != nil || c.None() {
		return nil, err
	}
	return &control.StaticChange{Added: c.Added, Removed: c.Removed, Replaced: c.Replaced, Adjusted: c.Adjusted, Untouched: c.Untouched}, nil
}

// reread reads the file as it is now, and its users as those of the running
// configuration: what else has changed in the file does not count for them.
func (d *daemon) reread() (wanted *config.Config, users []*config.User, err error) {
	r := d.reloader
	if wanted, err = r.load(); err != nil {
		return nil, nil, err
	}
	if users, _, err = config.LoadUsers(r.running); err == nil {
		err = d.fit(r.running.WithUsers(users))
	}
	if err != nil {
		return nil, nil, &notUntilRestart{err}
	}
	return wanted, users, nil
}

// fit asks of the profiles that became an engine by "auto" what was asked at
// start-up, for the users of cfg.
func (d *daemon) fit(cfg *config.Config) error {
	var missing []error
	for p, use := range cfg.Uses() {
		if !use.LNS {
			continue
		}
		choice, ok := d.choices[p]
		var err error
		if !ok { // a user has brought it into use
			choice, err = d.planes.Choose(p)
		}
		if err == nil {
			err = checkChoice(cfg, p, choice)
		}
		missing = append(missing, err)
	}
	return errors.Join(missing...)
}

// notUntilRestart says that a file is good, but that its users do not go with
// what only a restart changes.
type notUntilRestart struct{ error }

func (e *notUntilRestart) Unwrap() error { return e.error }

// wrongConfig puts what is wrong into the form of the control interface.
func wrongConfig(path string, err error) *control.Error {
	wrong := &control.Error{Problems: problemsOf(path, err)}
	var later *notUntilRestart
	what := "the configuration has " + count(len(wrong.Problems), "error")
	if errors.As(err, &later) {
		what = "the users do not go with the rest of the running configuration; restart adit, or take back what needs a restart"
	}
	wrong.Message = what + "; nothing has changed"
	return wrong
}

// problemsOf has one problem at least.
func problemsOf(path string, err error) []control.Problem {
	var errs config.Errors
	if errors.As(err, &errs) && len(errs) > 0 {
		return problems(errs)
	}
	var all []control.Problem
	for line := range strings.Lines(err.Error()) {
		all = append(all, control.Problem{File: path, Text: strings.TrimSuffix(line, "\n")})
	}
	return all
}

// changeOf counts what became of the users.
func changeOf(before, after []*config.User) control.UsersChange {
	change := control.UsersChange{Total: len(after)}
	old := make(map[string]*config.User, len(before))
	for _, u := range before {
		old[u.Name] = u
	}
	for _, u := range after {
		was, ok := old[u.Name]
		switch {
		case !ok:
			change.Added++
		case !same(reflect.ValueOf(*was), reflect.ValueOf(*u)):
			change.Changed++
		}
		delete(old, u.Name)
	}
	change.Removed = len(old)
	return change
}

// reloadBy reloads for each signal until ctx ends. What comes meanwhile is one.
// The log says what became of it.
func (d *daemon) reloadBy(ctx context.Context, hangups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			_, _ = d.Reload(ctx)
		}
	}
}
