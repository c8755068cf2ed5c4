package l2tp

import "testing"

var sliSamples = []sample{
	{"SLI", `8008 0000 0000 0010 8010 0000 0023 0000 ffffffff 000a0000`,
		&SLI{SendACCM: 0xffffffff, RecvACCM: 0x000a0000}},
}

func TestSLI(t *testing.T) { testSamples(t, sliSamples) }
