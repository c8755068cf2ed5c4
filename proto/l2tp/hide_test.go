package l2tp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// zeros is a source of random octets that is not random.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// seeded is a source of random octets that can be repeated.
func seeded(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

const testVector = "8016 0000 0024 000102030405060708090a0b0c0d0e0f"

// hiddenICRQ was made by a program of a few lines of Python from the formulas of
// section 4.3, with padding of 12, 0 and 3 octets, and sent within a tunnel to
// xl2tpd 1.3.18, secret "sesame", which answered with an ICRP for session 0x7788.
const hiddenICRQ = "8008 0000 0000 000a" + testVector + `
	c016 0000 000e 88ecdb71ad372d5302f75a1f687e13b4
	c00c 0000 000f ea60f478dcfe
	c036 0000 0016 41c0db38131303b4384ab3125f00cef2 53492c98009341bcb1b37325b6171b44
	553f5d6eacdd0c76d6452527aa8420ec`

func TestHiddenFromElsewhere(t *testing.T) {
	m, err := ParseMessage(Version, octets(t, hiddenICRQ), secret)
	if err != nil {
		t.Fatal(err)
	}
	want := &ICRQ{
		AssignedSessionID: 0x7788, CallSerialNumber: 7,
		CallingNumber: "0123456789-0123456789-0123456789-0123456789",
	}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Error(diff)
	}
}

// The same octets come out of hide.
func TestHide(t *testing.T) {
	vector := octets(t, "000102030405060708090a0b0c0d0e0f")
	number := "0123456789-0123456789-0123456789-0123456789"
	sub := append([]byte{0, byte(len(number))}, number...)
	sub = append(sub, 0x55, 0x55, 0x55)
	hide(sub, AVPCallingNumber, secret, vector)
	want := "41c0db38131303b4384ab3125f00cef253492c98009341bcb1b37325b6171b44553f5d6eacdd0c76d6452527aa8420ec"
	if got := hex.EncodeToString(sub); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	value, ok := unhide(sub, AVPCallingNumber, secret, vector)
	if !ok || string(value) != number {
		t.Errorf("unhidden %q, %v", value, ok)
	}
}

// Every length that a hidden value can have, and one more.
func TestHideEveryLength(t *testing.T) {
	for n := range maxHiddenLen + 1 {
		value := bytes.Repeat([]byte{byte(n)}, n)
		want := &ICCN{PrivateGroupID: value}
		b, err := AppendMessage(nil, want, AppendOptions{Hide: true, Secret: secret, Rand: zeros{}})
		if err != nil {
			t.Fatalf("%d octets: %v", n, err)
		}
		m, err := ParseMessage(Version, b, secret)
		if err != nil {
			t.Fatalf("%d octets: %v", n, err)
		}
		if got := m.(*ICCN).PrivateGroupID; got == nil || !bytes.Equal(got, value) {
			t.Fatalf("%d octets: got %x", n, got)
		}
	}
	m := &ICCN{PrivateGroupID: make([]byte, maxHiddenLen+1)}
	if _, err := AppendMessage(nil, m, AppendOptions{Hide: true, Secret: secret, Rand: zeros{}}); !errors.Is(err, ErrValueTooLong) {
		t.Error(err)
	}
}

// Hidden, each message says the same, and shows nothing that may be hidden.
func TestHideSamples(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			b, err := AppendMessage(nil, s.msg, AppendOptions{Hide: true, Secret: secret, Rand: seeded(1)})
			if err != nil {
				t.Fatal(err)
			}
			got, err := ParseMessage(Version, b, secret)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(s.msg, got); diff != "" {
				t.Error(diff)
			}
			// "This AVP MUST precede the first AVP with the H bit set."
			vector := false
			for rest := b; len(rest) > 0; {
				var a rawAVP
				a, rest, _ = nextAVP(rest)
				vector = vector || a.Type == AVPRandomVector
				info := &avpInfo{MayHide: true} // as all of RFC 5515
				if a.Vendor == 0 {
					info = lookupAVP(a.Type)
				}
				if a.Hidden != info.MayHide {
					t.Errorf("%s: hidden %v", a.Type, a.Hidden)
				}
				if a.Hidden && !vector {
					t.Errorf("%s is hidden before the Random Vector", a.Type)
				}
				if a.Mandatory != info.Mandatory {
					t.Errorf("%s: M bit %v", a.Type, a.Mandatory)
				}
			}
		})
	}
}

// "a hidden AVP uses the Random Vector AVP most closely preceding it"
func TestLatestRandomVector(t *testing.T) {
	one, two := []byte("first vector"), []byte{}
	hidden := func(a AVPType, value, vector []byte) []byte {
		sub := append([]byte{0, byte(len(value))}, value...)
		hide(sub, a, secret, vector)
		return append(appendAVPHeader(nil, true, true, 0, a, len(sub)), sub...)
	}
	vector := func(v []byte) []byte {
		return append(appendAVPHeader(nil, true, false, 0, AVPRandomVector, len(v)), v...)
	}
	b := octets(t, typeAVP(TypeICRQ))
	b = append(b, vector([]byte("not used"))...)
	b = append(b, vector(one)...)
	b = append(b, hidden(AVPAssignedSessionID, []byte{1, 2}, one)...)
	b = append(b, vector(two)...)
	b = append(b, hidden(AVPCallSerialNumber, []byte{0, 0, 0, 9}, two)...)
	m, err := ParseMessage(Version, b, secret)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&ICRQ{AssignedSessionID: 0x102, CallSerialNumber: 9}, m); diff != "" {
		t.Error(diff)
	}
}

func TestHiddenRefused(t *testing.T) {
	const start = "8008 0000 0000 000a"
	const sessionID = "c016 0000 000e 88ecdb71ad372d5302f75a1f687e13b4"
	const plain = "8008 0000 000e 0001 800a 0000 000f 00000001"
	for _, test := range []struct {
		name, wire string
		secret     []byte
		kind       error
		code       ErrorCode
	}{
		{"no secret", start + testVector + sessionID, nil, ErrHiddenNoSecret, ErrorVendorSpecific},
		// "This AVP MUST precede the first AVP with the H bit set."
		{"no random vector", start + sessionID, secret, ErrHiddenNoVector, ErrorValue},
		{"random vector too late", start + sessionID + testVector, secret, ErrHiddenNoVector, ErrorValue},
		{"another secret", start + testVector + sessionID, []byte("else"), ErrUnhide, ErrorLength},
		{"no room for the length", start + testVector + "c007 0000 000e 88", secret, ErrUnhide, ErrorLength},
		{"empty", start + testVector + "c006 0000 000e", secret, ErrUnhide, ErrorLength},
		// "This AVP MUST NOT be hidden (the H-bit MUST be 0)."
		{"hidden random vector", start + plain + "c016 0000 0024 88ecdb71ad372d5302f75a1f687e13b4", secret, ErrAVPValue, ErrorValue},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseMessage(Version, octets(t, test.wire), test.secret)
			if !errors.Is(err, test.kind) {
				t.Fatalf("%v, want %v", err, test.kind)
			}
			e := checkTyped(t, err)
			if e.Scope != ScopeSession || e.Result.Result != CDNGeneralError || e.Result.Error != test.code {
				t.Errorf("%v: %s, %v", e, e.Scope, e.Result)
			}
		})
	}
}

// An optional AVP that cannot be unhidden is left; the rest is used.
func TestHiddenOptional(t *testing.T) {
	const start = "8008 0000 0000 000a 8008 0000 000e 0001 800a 0000 000f 00000001"
	for _, hidden := range []string{
		"400c 0000 0019 ea60f478dcfe", // Physical Channel ID
		"400c 0009 0019 ea60f478dcfe", // of a vendor
	} {
		m, err := ParseMessage(Version, octets(t, start+hidden), nil)
		if err != nil {
			t.Fatal(err)
		}
		icrq := m.(*ICRQ)
		if icrq.PhysicalChannelID != nil || icrq.Extra != nil || len(icrq.Ignored) != 1 ||
			!errors.Is(icrq.Ignored[0], ErrHiddenNoSecret) {
			t.Errorf("%+v", icrq)
		}
	}
}

// An extra AVP goes out hidden as it came in.
func TestHiddenExtra(t *testing.T) {
	want := &HELLO{Unparsed{Extra: []AVP{
		{Hidden: true, Vendor: 9, Type: 1, Value: []byte("inside")},
		{Vendor: 9, Type: 2, Value: []byte{}},
	}}}
	b, err := AppendMessage(nil, want, AppendOptions{Hide: true, Secret: secret, Rand: zeros{}})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "inside") {
		t.Error("written in the clear")
	}
	m, err := ParseMessage(Version, b, secret)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Error(diff)
	}
}

func TestHideErrors(t *testing.T) {
	for name, opt := range map[string]AppendOptions{
		"no secret": {Hide: true, Rand: zeros{}},
		"no source": {Hide: true, Secret: secret},
	} {
		if b, err := AppendMessage(nil, &ICRP{AssignedSessionID: 1}, opt); !errors.Is(err, ErrNoSecret) || b != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A source that fails, in the vector or in the padding.
	for n := range randomVectorLen + 12 {
		opt := AppendOptions{Hide: true, Secret: secret, Rand: bytes.NewReader(make([]byte, n))}
		dst := []byte{1}
		b, err := AppendMessage(dst, &ICRP{AssignedSessionID: 1}, opt)
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d octets: %v", n, err)
		}
		if !bytes.Equal(b, dst) {
			t.Errorf("%d octets: left %x", n, b)
		}
	}
}
