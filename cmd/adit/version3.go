package main

import (
	"slices"

	"github.com/sirupsen/logrus"

	"adit/internal/config"
	"adit/internal/kernel"
	"adit/proto/l2tp"
)

// openL2TP opens the kernel's L2TP for sessions of version 3, or says why it cannot be
// used; nil with an error. Where nobody may speak version 3 that is not worth a line.
func openL2TP(cfg *config.Config, log *logrus.Entry) (*kernel.L2TP, error) {
	k, err := kernel.OpenL2TP()
	if !speaks3(cfg) {
		return k, err
	}
	if err != nil {
		log.Infof("sessions of L2TPv3 whose data plane is auto are in userspace: %v", err)
		return nil, err
	}
	log.Info("the kernel has L2TPv3: sessions whose data plane is auto are there, where it knows their type")
	return k, nil
}

// speaks3 says whether a control connection may be one of version 3. (Static tunnels
// have their own line.)
func speaks3(cfg *config.Config) bool {
	return slices.ContainsFunc(cfg.LNS.Peers, func(p *config.Peer) bool { return p.V3.Has(l2tp.Version3) }) ||
		slices.ContainsFunc(cfg.LAC.Tunnels, func(t *config.Tunnel) bool { return t.V3.Has(l2tp.Version3) })
}
