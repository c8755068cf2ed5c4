package control

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestStatic: what the daemon tells passes through in its order, with no field left
// out.
func TestStatic(t *testing.T) {
	then := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	full := Static{
		Name: "z", Origin: OriginCommand, DataPlane: "userspace", Encapsulation: "ip",
		LocalAddress: netip.MustParseAddrPort("[2001:db8::1]:0"), PeerAddress: netip.MustParseAddrPort("192.0.2.1:5000"),
		ID: 1 << 31, PeerID: 1<<32 - 1, State: "dead", Since: then, Problem: "p", Adopted: true, Repairs: 1, Probes: 2, Answers: 3, LastHeard: then,
		Sessions: []StaticSession{{Name: "s", Pseudowire: "z/s", Type: "ethernet", ID: 1 << 31, PeerID: 1<<32 - 1, CookieLength: 4, PeerCookieLength: 8,
			Up: true, Problem: "q", Bridge: "ethernet/tap", Interface: "l2tpeth0", Sublayer: "default", Sequencing: "all",
			Traffic: Traffic{1, 2, 3, 4, 5, 6}, RxOutOfOrder: 7}},
	}
	for _, v := range []any{full, full.Sessions[0]} {
		for i := range reflect.TypeOf(v).NumField() {
			if reflect.ValueOf(v).Field(i).IsZero() {
				t.Errorf("the test does not set %T.%s", v, reflect.TypeOf(v).Field(i).Name)
			}
		}
	}
	d := &fakeDaemon{static: []Static{full, {Name: "a", Sessions: []StaticSession{}}}}
	socket, _ := serve(t, d)
	got, err := client(t, socket).Static(t.Context())
	addr := cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
	if diff := cmp.Diff(d.static, got, addr); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestAddAndRemoveStatic(t *testing.T) {
	d := &fakeDaemon{}
	socket, _ := serve(t, d)
	c := client(t, socket)
	doc := StaticDocument{Document: "[[l2tpv3.static]]\n" + strings.Repeat("# ä\n", 1<<16), File: "/etc/x.toml"}
	added, err := c.AddStatic(t.Context(), doc)
	if diff := cmp.Diff(StaticAdded{[]string{"a", "b"}, []Problem{{File: "/etc/x.toml", Text: "odd"}}}, added); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	const odd = "a b&name=c/ü#?%"
	removed, err := c.RemoveStatic(t.Context(), odd)
	if want := (StaticRemoved{odd, 2}); err != nil || removed != want {
		t.Errorf("%v, %v", removed, err)
	}
	if diff := cmp.Diff([]StaticDocument{doc}, d.added); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{odd}, d.removed); diff != "" {
		t.Error(diff)
	}

	d.err = fmt.Errorf("static tunnel: %w", ErrNotFound)
	if _, err := c.RemoveStatic(t.Context(), "x"); !errors.Is(err, ErrNotFound) {
		t.Errorf("one that is not there: %v", err)
	}
	d.err = fmt.Errorf("static tunnel: %w", ErrConfigured)
	if status, body := request(t, socket, "DELETE /v1/static?name=x HTTP/1.0\r\n\r\n"); status != http.StatusConflict || !strings.Contains(body, "take it out there") {
		t.Errorf("one of the configuration: %d %s", status, body)
	}
	d.err = &Error{Message: "2 errors", Problems: []Problem{{File: "f", Line: 1, Key: "k", Text: "t"}, {File: "f", Text: "u"}}}
	_, err = c.AddStatic(t.Context(), doc)
	var wrong *Error
	if !errors.As(err, &wrong) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d.err, error(wrong)); diff != "" {
		t.Error(diff)
	}
}
