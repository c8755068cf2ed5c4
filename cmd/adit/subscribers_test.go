package main

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"adit/internal/control"
	"adit/lns/aaa"
	"adit/lns/subscriber"
)

// TestAdmitted: a pppd's session shows what the layer knows; what our own endpoint
// knows already stays.
func TestAdmitted(t *testing.T) {
	then := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	v := &aaa.View{ID: "m1-000001", User: "alice", Profile: "gold", Method: subscriber.MethodRADIUS, Leased: true,
		Addresses: subscriber.Addresses{IPv4: netip.MustParseAddr("10.0.0.2"), IPv6: netip.MustParseAddr("2001:db8::2"),
			Prefixes:  []netip.Prefix{netip.MustParsePrefix("2001:db8:0:1::/64")},
			Delegated: []netip.Prefix{netip.MustParsePrefix("2001:db8:100::/56")}},
		Started: then, Ends: then.Add(time.Hour), FilterID: []string{"f"}, Rates: []string{"up=1"}}
	want := control.Session{User: "alice", AcctSessionID: "m1-000001", ServiceProfile: "gold", AuthMethod: "radius", Leased: true,
		IPv6Address: v.Addresses.IPv6, IPv6Prefixes: v.Addresses.Prefixes, DelegatedPrefixes: v.Addresses.Delegated,
		NetworkSince: then, Ends: v.Ends, FilterIDs: v.FilterID, Rates: v.Rates}
	var got control.Session
	admitted(&got, v)
	same := cmp.Options{cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })}
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Error(diff)
	}
	own := control.Session{User: "alice@example.net", RemoteAddress: netip.MustParseAddr("10.0.0.3")}
	admitted(&own, v)
	if own.User != "alice@example.net" || own.RemoteAddress != netip.MustParseAddr("10.0.0.3") {
		t.Errorf("%+v", own)
	}
	var nobody control.Session
	if admitted(&nobody, nil); !cmp.Equal(nobody, control.Session{}, same) {
		t.Errorf("%+v", nobody)
	}
	for m, want := range map[subscriber.Method]string{subscriber.MethodLocal: "local", subscriber.MethodRemote: "remote", 0: ""} {
		if got := authMethod(m); got != want {
			t.Errorf("%d is %q", m, got)
		}
	}
}
