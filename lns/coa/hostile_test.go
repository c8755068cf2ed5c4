package coa

import (
	"net/netip"
	"testing"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2869"
)

// RFC 5176 section 6.3: "the ability to detect replay within the time window is
// dependent on support for duplicate detection within that same window." Where
// several addresses share a secret, a copy from another of them is a replay too.
func TestReplayFromElsewhere(t *testing.T) {
	h := &sessions{result: Result{Sessions: 1}}
	s := listen(t, h)
	now := uint32(time.Now().Unix())
	b := disconnectRequest(t, 7, radius.AVP{Type: rfc2869.EventTimestamp_Type, Attribute: radius.NewInteger(now)})
	for _, from := range []string{"127.0.0.1:0", "127.0.0.2:0", "127.9.9.9:0"} {
		c := client(t, from)
		send(t, c, s.Addr(), b)
		if answer, _ := receive(t, c); !radius.IsAuthenticResponse(answer, b, []byte("s3cret")) {
			t.Errorf("from %s: answer %x", from, answer)
		}
	}
	if n := h.count(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	if n := s.Counts()["coa_duplicates"]; n != 2 {
		t.Errorf("%d duplicates", n)
	}
}

// A storm of requests, each for a session of its own and with its time, is carried
// out; and what its answers need is bounded.
func TestStorm(t *testing.T) {
	h := &sessions{result: Result{Sessions: 1}}
	s := listen(t, h)
	const storm = 10000
	now := time.Now()
	for i := range storm {
		stamp := now.Add(-time.Duration(i/256%200) * time.Second)
		b := disconnectRequest(t, byte(i),
			radius.AVP{Type: rfc2869.EventTimestamp_Type, Attribute: radius.NewInteger(uint32(stamp.Unix()))},
			radius.AVP{Type: 44, Attribute: []byte{'s', byte(i >> 8), byte(i)}})
		s.receive(b, netip.MustParseAddrPort("127.0.0.1:9"), destination{}, now)
	}
	if n := h.count(); n != storm {
		t.Errorf("%d of %d were carried out; %v", n, storm, s.Counts())
	}
	if c := s.Counts(); c["coa_acks"] != storm || c["coa_naks_overload"] != 0 {
		t.Errorf("%v", c)
	}
}
