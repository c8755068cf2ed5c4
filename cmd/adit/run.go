package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"adit/internal/config"
)

// runName is the command that is the daemon.
const runName = "run"

func runCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use:   runName,
		Short: "Run the daemon in the foreground",
		Long: `Run the daemon in the foreground until SIGTERM or SIGINT. SIGHUP has it read its
configuration again, like adit reload. The log goes to standard error, in the
format and from the level that [log] in the configuration says; --json asks for
JSON whatever it says. --socket stands in for control.socket.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			hangups, stop := hangups()
			defer stop()
			cfg, err := loadConfig(f, c.ErrOrStderr())
			if err != nil {
				return err
			}
			// Whoever reads the log may go away; by default the next line would
			// end the daemon. A handler, and not signal.Ignore, because pppd
			// and its scripts would inherit that.
			signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
			log := newLog(cfg.Log, c.ErrOrStderr())
			for _, w := range cfg.Warnings {
				log.Warn(w.Error())
			}
			return runDaemon(c.Context(), cfg, f.load, hangups, log)
		},
	}
}

// hangups are the SIGHUPs that have the configuration read again. Who started adit
// by nohup wants them ignored.
func hangups() (signals <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1) // several at one time are one
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(c, syscall.SIGHUP)
	}
	return c, func() { signal.Stop(c) }
}

// loadConfig is load for a command that ends if that fails. The
// errors are on stderr already, one on each line.
func loadConfig(f *flags, stderr io.Writer) (*config.Config, error) {
	cfg, err := f.load()
	if err != nil {
		fmt.Fprintln(stderr, err)
		return nil, errors.Join(err, &saidError{exitUsage})
	}
	return cfg, nil
}

// load loads the configuration with what the flags change in it.
func (f *flags) load() (*config.Config, error) {
	cfg, err := config.Load(f.config)
	if err != nil {
		return nil, err
	}
	if f.socket != "" {
		cfg.Control.Socket = f.socket
	}
	if f.json {
		cfg.Log.Format = config.LogJSON
	}
	return cfg, nil
}

// levelOf is a level of the configuration.
func levelOf(l config.LogLevel) logrus.Level {
	return map[config.LogLevel]logrus.Level{
		config.LogError:   logrus.ErrorLevel,
		config.LogWarning: logrus.WarnLevel,
		config.LogInfo:    logrus.InfoLevel,
		config.LogDebug:   logrus.DebugLevel,
		config.LogTrace:   logrus.TraceLevel,
	}[l]
}

// newLog makes the daemon's log.
func newLog(cfg config.Log, w io.Writer) *logrus.Entry {
	logger := logrus.New()
	logger.SetOutput(w)
	logger.SetLevel(levelOf(cfg.Level))
	if cfg.Format == config.LogJSON {
		logger.SetFormatter(&logrus.JSONFormatter{})
	} else {
		logger.SetFormatter(&logrus.TextFormatter{FullTimestamp: true})
	}
	return logrus.NewEntry(logger)
}
