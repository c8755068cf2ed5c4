package l2tp

import (
	"bytes"
	"errors"
	"testing"
)

var scccnSamples = []sample{
	{"SCCCN", `8008 0000 0000 0003`, &SCCCN{}},
	{"SCCCN with response", `
		8008 0000 0000 0003
		8016 0000 000d 000102030405060708090a0b0c0d0e0f`,
		&SCCCN{ChallengeResponse: []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}}},
}

func TestSCCCN(t *testing.T) { testSamples(t, scccnSamples) }

// "The Response is a 16 octet value"
func TestResponseLength(t *testing.T) {
	for _, n := range []int{0, 15, 17} {
		_, err := AppendMessage(nil, &SCCCN{ChallengeResponse: bytes.Repeat([]byte{1}, n)}, AppendOptions{})
		if err == nil {
			t.Errorf("response of %d octets written", n)
		}
	}
	_, err := ParseMessage(Version, octets(t, `8008 0000 0000 0003 8015 0000 000d 000102030405060708090a0b0c0d0e`), nil)
	if !errors.Is(err, ErrAVPLength) {
		t.Error(err)
	}
}
