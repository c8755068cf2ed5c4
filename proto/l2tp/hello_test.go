package l2tp

import "testing"

var helloSamples = []sample{
	{"HELLO", `8008 0000 0000 0006`, &HELLO{}},
}

func TestHELLO(t *testing.T) { testSamples(t, helloSamples) }
