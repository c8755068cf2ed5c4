package l2tp

import (
	"strings"
	"testing"
	"unicode/utf8"
)

var stopCCNSamples = []sample{
	{"StopCCN, result only", `
		8008 0000 0000 0004
		8008 0000 0009 0007
		8008 0000 0001 0001`,
		&StopCCN{AssignedTunnelID: 7, ResultCode: ResultCode{Result: StopCCNGeneral}}},
	{"StopCCN, result and error", `
		8008 0000 0000 0004
		8008 0000 0009 0007
		800a 0000 0001 0005 0100`,
		&StopCCN{AssignedTunnelID: 7, ResultCode: ResultCode{Result: StopCCNUnsupportedVersion, Error: 0x0100}}},
	{"StopCCN, result, error and message", `
		8008 0000 0000 0004
		8008 0000 0009 0000
		8010 0000 0001 0002 0004 67 72 c3 b6 c3 9f`,
		&StopCCN{ResultCode: ResultCode{Result: StopCCNGeneralError, Error: ErrorInsufficientResources, Message: "größ"}}},
}

func TestStopCCN(t *testing.T) { testSamples(t, stopCCNSamples) }

// A text that is too long is cut, between characters: the tunnel has to end.
func TestLongText(t *testing.T) {
	for _, hide := range []bool{false, true} {
		m := &CDN{
			ResultCode:    ResultCode{Result: 2, Error: 6, Message: strings.Repeat("ö", 600)},
			Q931Cause:     &Q931Cause{Advisory: strings.Repeat("a", 2000)},
			PPPDisconnect: &PPPDisconnect{Message: "x" + strings.Repeat("ö", 600)},
		}
		b, err := AppendMessage(nil, m, AppendOptions{Hide: hide, Secret: secret, Rand: zeros{}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseMessage(Version, b, secret)
		if err != nil {
			t.Fatal(err)
		}
		cdn := got.(*CDN)
		for _, s := range []string{cdn.ResultCode.Message, cdn.Q931Cause.Advisory, cdn.PPPDisconnect.Message} {
			if len(s) < 1000 || len(s) > maxHiddenLen || !utf8.ValidString(s) {
				t.Errorf("hide %v: text of %d octets, valid %v", hide, len(s), utf8.ValidString(s))
			}
		}
	}
}
