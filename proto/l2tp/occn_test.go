package l2tp

import "testing"

var occnSamples = []sample{
	{"OCCN with what it must have", `
		8008 0000 0000 0009 800a 0000 0018 0000e100 800a 0000 0013 00000002`,
		&OCCN{TxConnectSpeed: 57600, FramingType: FramingAsync}},
	{"OCCN with everything", `
		8008 0000 0000 0009 800a 0000 0018 0000e100 800a 0000 0013 00000002
		000a 0000 0026 00007080 8006 0000 0027`,
		&OCCN{TxConnectSpeed: 57600, FramingType: FramingAsync, RxConnectSpeed: 28800, SequencingRequired: true}},
}

func TestOCCN(t *testing.T) { testSamples(t, occnSamples) }
