package pppbridge

// packets are the IP packets of a Burst on their way into TUNs.
type packets struct{}

func (p *packets) flush() {}
