package ppp

import (
	"net/netip"
	"testing"
)

func TestUsableIPv4(t *testing.T) {
	for addr, want := range map[string]bool{
		"0.0.0.0":         false,
		"0.255.255.255":   false,
		"1.0.0.0":         true,
		"10.0.0.1":        true,
		"126.255.255.255": true,
		"127.0.0.0":       false,
		"127.255.255.255": false,
		"128.0.0.0":       true,
		"223.255.255.255": true,
		"224.0.0.0":       false,
		"240.0.0.1":       false,
		"255.255.255.255": false,
		"2001:db8::1":     false,
		"::ffff:10.0.0.1": true,
	} {
		if got := UsableIPv4(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v, want %v", addr, got, want)
		}
	}
	if UsableIPv4(netip.Addr{}) {
		t.Error("no address is usable")
	}
}
