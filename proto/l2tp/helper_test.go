package l2tp

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The golden octets in the tests of the messages were written by hand from the
// figures of RFC 2661, and dissected once with tshark 4 (Wireshark), which
// showed every field with the value the test expects and no expert warning.

// secret is the shared secret of the tests, and of the xl2tpd they caught.
var secret = []byte("sesame")

// octets reads hex with blanks and line ends in it.
func octets(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ptr[T any](v T) *T { return &v }

// sample is a payload and what it says.
type sample struct {
	name string
	hex  string
	msg  Message
}

// samples are those of all messages.
func samples() []sample {
	var all []sample
	for _, s := range [][]sample{
		sccrqSamples, sccrpSamples, scccnSamples, stopCCNSamples, helloSamples,
		icrqSamples, accessSamples, icrpSamples, iccnSamples, ocrqSamples, ocrpSamples,
		occnSamples, cdnSamples, wenSamples, sliSamples,
	} {
		all = append(all, s...)
	}
	return all
}

// testSamples checks both directions, octet by octet.
func testSamples(t *testing.T, list []sample) {
	t.Helper()
	testSamplesVersion(t, Version, list)
}

func testSamplesVersion(t *testing.T, version uint8, list []sample) {
	t.Helper()
	for _, s := range list {
		t.Run(s.name, func(t *testing.T) {
			wire := octets(t, s.hex)
			got, err := ParseMessage(version, wire, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(s.msg, got); diff != "" {
				t.Errorf("parsed (-want +got):\n%s", diff)
			}
			out, err := AppendMessage([]byte{0xff}, s.msg, AppendOptions{Version: version})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(hex.EncodeToString(wire), hex.EncodeToString(out[1:])); diff != "" {
				t.Errorf("written (-want +got):\n%s", diff)
			}
			testTruncated(t, version, wire)
		})
	}
}

// testTruncated cuts the message at every octet. A cut between two AVPs may
// leave a message that lacks only optional ones; any other must be refused, by
// a typed error.
func testTruncated(t *testing.T, version uint8, wire []byte) {
	t.Helper()
	whole := map[int]bool{}
	for rest := wire; len(rest) > 0; {
		whole[len(wire)-len(rest)] = true
		var ok bool
		if _, rest, ok = nextAVP(rest); !ok {
			t.Fatal("sample is not framed")
		}
	}
	for n := range wire {
		m, err := ParseMessage(version, wire[:n:n], nil)
		if err != nil {
			checkTyped(t, err)
			if m != nil {
				t.Errorf("cut at %d: message beside the error", n)
			}
			if !whole[n] && !errors.Is(err, ErrFraming) {
				t.Errorf("cut at %d: %v, want %v", n, err, ErrFraming)
			}
			continue
		}
		if !whole[n] {
			t.Errorf("cut at %d, within an AVP: accepted", n)
		}
	}
}

// extraAVP finds the first extra AVP of that vendor (0: IETF) and type.
func extraAVP(u *Unparsed, vendor uint16, t AVPType) (AVP, bool) {
	for _, a := range u.Extra {
		if a.Vendor == vendor && a.Type == t {
			return a, true
		}
	}
	return AVP{}, false
}

// checkTyped says whether err is an *Error with all it needs.
func checkTyped(t testing.TB, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v is a %T", err, err)
	}
	if e.Err == nil || e.Error() == "" {
		t.Errorf("error without a kind: %#v", e)
	}
	switch {
	case e.Scope == ScopeMessage && e.Result != ResultCode{}:
		t.Errorf("%v: result %v for a message to be ignored", e, e.Result)
	case e.Scope != ScopeMessage && e.Result.Result == 0:
		t.Errorf("%v: no result to send", e)
	case e.Scope == ScopeSession && !e.Message.SessionLevel():
		t.Errorf("%v: ends a session, but %s belongs to the tunnel", e, e.Message)
	}
	return e
}

// typeAVP is the Message Type AVP, for messages put together by hand.
func typeAVP(m MessageType) string {
	return hex.EncodeToString([]byte{0x80, 8, 0, 0, 0, 0, byte(m >> 8), byte(m)})
}
