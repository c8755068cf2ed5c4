package config

import (
	"strings"
	"testing"
)

// A key that a switched pseudowire has no use for is told with the name that its switch
// has in the file, also if there is no such pseudowire.
func TestSwitchedToNobody(t *testing.T) {
	_, err := load(t, "[[pseudowires]]\nname = \"a\"\nswitch = \"gone\"\nmtu = 1400\n", nil)
	for _, want := range []string{`pseudowires[0].switch: there is no pseudowire "gone"`, `pseudowires[0].mtu: does nothing, because frames are switched to "gone" as they are`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}

// A session of a tunnel that has no name of its own is called as its pseudowire is; a
// second one that wants the same, and may not have it, does not stand in for the name.
func TestNameOfPseudowireSession(t *testing.T) {
	const wires = "[[pseudowires]]\nname = \"a\"\n[[pseudowires]]\nname = \"b\"\n[[lac.tunnels]]\nname = \"t\"\nremote = \"192.0.2.1\"\nversions = [3]\nppp = false\n"
	cfg := mustLoad(t, wires+"sessions = [{pseudowire = \"b\"}, {name = \"own\", pseudowire = \"a\"}]\n", nil)
	if s := cfg.LAC.Tunnels[0].Sessions; s[0].Name != "b" || s[1].Name != "own" {
		t.Errorf("they are called %q and %q", s[0].Name, s[1].Name)
	}
	_, err := load(t, wires+"sessions = [{pseudowire = \"a\"}, {pseudowire = \"a\"}]\n", nil)
	if all, ok := err.(Errors); !ok || len(all) != 1 || !strings.Contains(all[0].Text, "only one session can have it") {
		t.Errorf("%v", err)
	}
}
