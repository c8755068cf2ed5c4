package subscriber

import (
	"testing"

	"layeh.com/radius/rfc2866"
)

// RFC 2866 section 5.10 as layeh's dictionary has it.
func TestTerminateCause(t *testing.T) {
	for n := range 20 {
		want := rfc2866.AcctTerminateCause(n).String()
		if got := TerminateCause(n).String(); got != want && len(got) > 2 {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for c, want := range map[TerminateCause]string{
		UserRequest: "User-Request", LostCarrier: "Lost-Carrier", NASReboot: "NAS-Reboot",
		ServiceUnavailable: "Service-Unavailable", UserError: "User-Error", 0: "0", 12: "12", 255: "255",
	} {
		if got := c.String(); got != want {
			t.Errorf("%d: %s, want %s", uint8(c), got, want)
		}
	}
}
