package l2tp

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestAppendMessageErrors(t *testing.T) {
	long := strings.Repeat("a", maxValueLen+1)
	many := make([]AVP, 65)
	for i := range many {
		many[i] = AVP{Vendor: 9, Value: make([]byte, maxValueLen)}
	}
	for _, test := range []struct {
		name string
		msg  Message
		want error
	}{
		{"no host name", &SCCRQ{AssignedTunnelID: 1}, ErrValueMissing},
		{"host name too long", &SCCRQ{AssignedTunnelID: 1, HostName: long}, ErrValueTooLong},
		{"empty challenge", &SCCRP{AssignedTunnelID: 1, HostName: "a", Challenge: []byte{}}, ErrValueMissing},
		{"calling number too long", &ICRQ{AssignedSessionID: 1, CallingNumber: long}, ErrValueTooLong},
		{"CONFREQ too long", &ICCN{ProxyLCP: &ProxyLCP{LastSent: []byte(long)}}, ErrValueTooLong},
		{"extra too long", &HELLO{Unparsed{Extra: []AVP{{Value: []byte(long)}}}}, ErrValueTooLong},
		{"message too long", &HELLO{Unparsed{Extra: many}}, ErrMessageTooLong},
	} {
		dst := []byte{1, 2}
		b, err := AppendMessage(dst, test.msg, AppendOptions{})
		if !errors.Is(err, test.want) || !bytes.Equal(b, dst) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

// The longest values there are.
func TestLongestValue(t *testing.T) {
	long := strings.Repeat("a", maxValueLen)
	b, err := AppendMessage(nil, &SCCRQ{AssignedTunnelID: 1, HostName: long}, AppendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseMessage(Version, b, nil)
	if err != nil || m.(*SCCRQ).HostName != long {
		t.Errorf("%v", err)
	}
}

// An extra AVP that asks for the M bit gets it: some vendors' need it.
func TestExtraMandatory(t *testing.T) {
	m := &HELLO{Unparsed{Extra: []AVP{{Mandatory: true, Vendor: 9, Type: 1, Value: []byte{7}}}}}
	b, err := AppendMessage(nil, m, AppendOptions{})
	if err != nil || !bytes.Equal(b, octets(t, goodHELLO+"8007 0009 0001 07")) {
		t.Errorf("%x, %v", b, err)
	}
}
