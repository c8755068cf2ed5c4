package engine

import (
	"adit/internal/config"
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
