package l2tp

import "testing"

var wenSamples = []sample{
	{"WEN", `
		8008 0000 0000 000f
		8020 0000 0022 0000 00000001 00000002 00000003 00000004 00000005 ffffffff`,
		&WEN{CallErrors: CallErrors{
			CRCErrors: 1, FramingErrors: 2, HardwareOverruns: 3,
			BufferOverruns: 4, TimeoutErrors: 5, AlignmentErrors: 0xffffffff,
		}}},
}

func TestWEN(t *testing.T) { testSamples(t, wenSamples) }
