package companion

import (
	"errors"

	"layeh.com/radius"

	"adit/lns/subscriber"
	"adit/proto/ppp"
)

// errMapping stands here until the mapping of attributes is there.
var errMapping = errors.New("no attributes are known")

func parseAccess(*radius.Packet) (string, ppp.AuthRequest, error) {
	return "", ppp.AuthRequest{}, errMapping
}

func fillAnswer(_, _ *radius.Packet, v ppp.Verdict, _ *subscriber.Service) error {
	if v.Accept {
		return errMapping
	}
	return nil
}
