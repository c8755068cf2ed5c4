package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/config"
	"adit/internal/control"
	"adit/internal/engine"
	"adit/internal/kernel"
	"adit/lac"
	"adit/lcce"
	"adit/lns"
	"adit/pppbridge"
)

// goodbye bounds the end of the daemon beyond the time that pppds may take:
// for the peers to acknowledge our StopCCNs.
const goodbye = 5 * time.Second

// runDaemon runs adit until ctx ends, and then ends every tunnel and pppd. With
// each of hangups, and when it is asked to, it has load read the configuration
// again.
func runDaemon(ctx context.Context, cfg *config.Config, load func() (*config.Config, error), hangups <-chan os.Signal, log *logrus.Entry) error {
	planes := engine.ProbePlanes(cfg.PPPD.Path)
	choices, err := choosePlanes(cfg, planes, log)
	if err != nil {
		return err
	}
	kernelL2TP, noKernel := openL2TP(cfg, log)
	if kernelL2TP != nil {
		defer kernelL2TP.Close()
	}
	circuits := lcce.NewCircuits(noKernel)
	role, err := lns.New(cfg, planes, circuits, log)
	if err != nil {
		return err
	}
	e, err := newEngine(cfg, role, kernelL2TP, log)
	if err != nil {
		return errors.Join(err, role.Close(ctx))
	}
	d := &daemon{
		cfg: cfg, engine: e, planes: planes, circuits: circuits, lns: role, choices: choices,
		started: time.Now(), reloader: newReloader(cfg, load, log),
	}
	if d.lcce, err = lcce.New(cfg, e, circuits, log); err == nil {
		err = d.serve(ctx, hangups, log)
		d.lcce.Close()
	}
	log.Info("shutting down")
	bound, cancel := context.WithTimeout(context.Background(), cfg.PPPD.StopTimeout+goodbye)
	defer cancel()
	role.Leave()
	e.Close(bound)
	if bound.Err() != nil {
		log.Warn("some peers did not acknowledge the end, some pppds did not stop, or some devices did not go, in time")
	}
	last, cancelLast := context.WithTimeout(context.Background(), goodbye)
	defer cancelLast()
	if left := role.Close(last); left != nil {
		log.WithError(left).Warn("the AAA layer did not end in good order; what it has to say is kept for the next start")
	}
	return err
}

func newEngine(cfg *config.Config, role *lns.Role, kernelL2TP *kernel.L2TP, log *logrus.Entry) (*engine.Engine, error) {
	opt := engine.Options{
		Shards: shards(),
		Limits: engine.Limits{
			Tunnels: cfg.Limits.Tunnels, Sessions: cfg.Limits.Sessions,
			HalfOpen: cfg.Limits.HalfOpen, TunnelsPerPeer: cfg.Limits.TunnelsPerPeer,
		},
		Log: log,
		PPPD: pppbridge.Config{
			Path: cfg.PPPD.Path, StopTimeout: cfg.PPPD.StopTimeout,
			Starts: cfg.Limits.PPPDStarts, MaxWaiting: cfg.Limits.Sessions, Log: log,
		},
	}
	if len(cfg.LNS.Peers) > 0 {
		opt.Acceptor = role
	}
	if kernelL2TP != nil { // a nil in an interface is something
		opt.L2TP = kernelL2TP
	}
	return engine.New(opt)
}

// serve opens the TUN and the sockets, begins to dial, and answers the control
// socket.
func (d *daemon) serve(ctx context.Context, hangups <-chan os.Signal, log *logrus.Entry) error {
	if tun := d.tun(); tun != nil {
		if err := d.engine.OpenTUN(*tun); err != nil {
			return err
		}
	}
	if err := listen(d.cfg.Listen, d.engine.Listen, log); err != nil {
		return err
	}
	for _, addr := range d.cfg.L2TPv3.ListenIP {
		if err := d.engine.ListenIP(addr); err != nil {
			return err
		}
		log.WithField("address", addr.String()).Info("listening for L2TP over IP, protocol 115")
	}
	socket, err := control.Listen(d.cfg.Control.Socket, d.cfg.Control.Group)
	if err != nil {
		return err
	}
	complaints := log.WriterLevel(logrus.WarnLevel)
	defer complaints.Close()
	d.lcce.Start()
	lac.Start(ctx, d.cfg, d.engine, d.planes, d.circuits, d.lns, log)
	go d.reloadBy(ctx, hangups)
	log.WithField("control", d.cfg.Control.Socket).Info("adit is ready")
	return control.NewServer(d, complaints).Serve(ctx, socket)
}

// listen opens the addresses on which tunnels are accepted.
func listen(all []config.Listen, open func(netip.AddrPort) (netip.AddrPort, error), log *logrus.Entry) error {
	opened := 0
	for _, l := range all {
		bound, err := open(l.Address)
		if l.Default && errors.Is(err, kernel.ErrNotSupported) {
			log.WithField("address", l.Address.String()).Info("not listening: this machine has no such version of IP")
			continue
		}
		if err != nil {
			return err
		}
		opened++
		log.WithField("address", bound.String()).Info("listening")
	}
	if opened == 0 && len(all) > 0 {
		return errors.New("this machine has neither IPv4 nor IPv6 to listen on")
	}
	return nil
}

// shards is the largest power of two that the processors can keep busy.
func shards() int {
	n := 1
	for n*2 <= runtime.GOMAXPROCS(0) && n < 64 {
		n *= 2
	}
	return n
}

// disconnectMessage is what the peer is told when an operator disconnects it.
func disconnectMessage(reason string) string {
	if reason == "" {
		return "disconnected by the operator"
	}
	return fmt.Sprintf("disconnected by the operator: %s", reason)
}
