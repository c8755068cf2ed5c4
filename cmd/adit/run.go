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

func runCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run the daemon in the foreground",
		Long: `Run the daemon in the foreground until SIGTERM, SIGINT or SIGHUP. The log goes to
standard error, in the format and from the level that [log] in the
configuration says; --json asks for JSON whatever it says. --socket stands in
for control.socket.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
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
			return runDaemon(c.Context(), cfg, log)
		},
	}
}

// loadConfig loads the configuration with what the flags change in it. Its
// errors are on stderr already, one on each line.
func loadConfig(f *flags, stderr io.Writer) (*config.Config, error) {
	cfg, err := config.Load(f.config)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return nil, errors.Join(err, &saidError{exitUsage})
	}
	if f.socket != "" {
		cfg.Control.Socket = f.socket
	}
	if f.json {
		cfg.Log.Format = config.LogJSON
	}
	return cfg, nil
}

// newLog makes the daemon's log.
func newLog(cfg config.Log, w io.Writer) *logrus.Entry {
	logger := logrus.New()
	logger.SetOutput(w)
	logger.SetLevel(map[config.LogLevel]logrus.Level{
		config.LogError:   logrus.ErrorLevel,
		config.LogWarning: logrus.WarnLevel,
		config.LogInfo:    logrus.InfoLevel,
		config.LogDebug:   logrus.DebugLevel,
		config.LogTrace:   logrus.TraceLevel,
	}[cfg.Level])
	if cfg.Format == config.LogJSON {
		logger.SetFormatter(&logrus.JSONFormatter{})
	} else {
		logger.SetFormatter(&logrus.TextFormatter{FullTimestamp: true})
	}
	return logrus.NewEntry(logger)
}
