package l2tp

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"slices"
	"testing"
)

// The digests were made by a program of a few lines of Python (hmac, hashlib) from the
// formulas of RFC 3931 section 5.4.1, with the secrets "sesame" and "open".
const (
	noMD5  = "00000000000000000000000000000000"
	noSHA1 = noMD5 + "00000000"

	helloMD5   = "0bf17ccdbdd74130d1799e97a9093471"
	helloPlain = "e2a33ed3a82469079b96831971e13cf4" // no secret, no nonces
	twoMD5     = "58753f9a20fe7d72a2af75e8b7cb2dec"
	twoSHA1    = "34a080f00171988785b7b3477e7ab48dbf0d8087"
	twoOther   = "4ac679e1d8cc7d61de870d918b2b1ae6b345daa2" // the SHA-1 of "open"
	sccrqSHA1  = "2acf79a7ae0f348ded6525a15481940ed57f327f"

	helloStart = "c803 002b 01020304 0005 0006 8008 0000 0000 0006 8017 0000 003b 00"
	twoStart   = "c803 0046 01020304 0005 0006 8008 0000 0000 0006 8017 0000 003b 00"
	twoNext    = "801b 0000 003b 01"
	sccrqStart = "c803 006a 00000000 0000 0000 8008 0000 0000 0001 801b 0000 003b 01"
	sccrqEnd   = `8009 0000 0007 6c6163 800a 0000 003c 0a000001
		8016 0000 0049 101112131415161718191a1b1c1d1e1f 800a 0000 003d 12345678 8008 0000 003e 0005`
)

// The nonces of both ends, of different lengths, as the sender of the packets sees them.
var (
	senders   = []byte{0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f}
	receivers = []byte{
		0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29,
		0x2a, 0x2b, 0x2c, 0x2d, 0x2e, 0x2f, 0x30, 0x31, 0x32, 0x33,
	}
	otherSecret = []byte("open")
)

func TestSharedKey(t *testing.T) {
	for _, test := range []struct {
		key  []byte
		want string
	}{
		{SharedKey(secret), "552d92e4a7a06609c4250b8d34613d98"},
		{SharedKey(nil), "7b6085fbf45933670abcb07a27fcea5e"},
		{hidingKey(Version3, secret), "a69f0bd446c6e1d18d7d0d6b2bf976eb"},
	} {
		if got := hex.EncodeToString(test.key); got != test.want {
			t.Errorf("%s, want %s", got, test.want)
		}
	}
}

func TestSign(t *testing.T) {
	key, other := SharedKey(secret), SharedKey(otherSecret)
	for _, test := range []struct {
		name, blank, want string
		keys              [][]byte
		local, remote     []byte
	}{
		{"HMAC-MD5", helloStart + noMD5, helloStart + helloMD5, [][]byte{key}, senders, receivers},
		{"HMAC-MD5 over what stood there before", helloStart + helloPlain, helloStart + helloMD5, [][]byte{key}, senders, receivers},
		// "The integrity check is calculated as in Section 5.4.3, with an empty
		// zero-length shared secret, local nonce, and remote nonce."
		{"integrity check alone", helloStart + noMD5, helloStart + helloPlain, [][]byte{SharedKey(nil)}, nil, nil},
		{"two algorithms", twoStart + noMD5 + twoNext + noSHA1, twoStart + twoMD5 + twoNext + twoSHA1, [][]byte{key}, senders, receivers},
		{"two secrets", twoStart + noMD5 + twoNext + noSHA1, twoStart + twoMD5 + twoNext + twoOther, [][]byte{key, other}, senders, receivers},
		{"SCCRQ, without nonces", sccrqStart + noSHA1 + sccrqEnd, sccrqStart + sccrqSHA1 + sccrqEnd, [][]byte{key}, senders, nil},
	} {
		packet := octets(t, test.blank)
		if err := Sign(packet, test.keys, test.local, test.remote); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if !bytes.Equal(packet, octets(t, test.want)) {
			t.Errorf("%s: %x", test.name, packet)
		}
		// "with the local_nonce and remote_nonce reversed"
		for _, k := range test.keys {
			if err := Verify(packet, [][]byte{k}, test.remote, test.local); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
		}
		if !HasDigest(packet) {
			t.Errorf("%s: no digest", test.name)
		}
	}
}

func TestVerifyErrors(t *testing.T) {
	key := [][]byte{SharedKey(secret)}
	for _, test := range []struct {
		name, wire string
		want       error
	}{
		{"no digest", "c803 0014 01020304 0005 0006 8008 0000 0000 0006", ErrNoDigest},
		{"ZLB", "c803 000c 01020304 0005 0006", ErrNoDigest},
		{"header cut", "c803 000c 01020304 0005 00", ErrShortHeader},
		{"Length longer than the packet", "c803 002c 01020304 0005 0006 8008 0000 0000 0006 8017 0000 003b 00" + helloMD5, ErrLengthTooLong},
		{"Length that leaves the digest out", "c803 0014 01020304 0005 0006 8008 0000 0000 0006 8017 0000 003b 00" + helloMD5, ErrNoDigest},
		{"digest first", "c803 002b 01020304 0005 0006 8017 0000 003b 00" + helloMD5 + "8008 0000 0000 0006", ErrNoDigest},
		// "MUST be placed immediately after the Message Type AVP"
		{"digest third", "c803 0033 01020304 0005 0006 8008 0000 0000 0006 8008 0000 0024 0000 8017 0000 003b 00" + helloMD5, ErrNoDigest},
		// "This AVP MUST NOT be hidden (the H bit MUST be 0)."
		{"hidden", "c803 002b 01020304 0005 0006 8008 0000 0000 0006 c017 0000 003b 00" + helloMD5, ErrNoDigest},
		{"reserved bit", "c803 002b 01020304 0005 0006 8008 0000 0000 0006 a017 0000 003b 00" + helloMD5, ErrNoDigest},
		{"of a vendor", "c803 002b 01020304 0005 0006 8008 0000 0000 0006 8017 0009 003b 00" + helloMD5, ErrNoDigest},
		{"empty", "c803 001a 01020304 0005 0006 8008 0000 0000 0006 8006 0000 003b", ErrNoDigest},
		{"unknown type", "c803 002b 01020304 0005 0006 8008 0000 0000 0006 8017 0000 003b 02" + helloMD5, ErrDigestType},
		// "the length of the digest MUST be 16 bytes", "MUST be 20 bytes"
		{"MD5 of 15 octets", "c803 002a 01020304 0005 0006 8008 0000 0000 0006 8016 0000 003b 00" + helloMD5[:30], ErrDigest},
		{"MD5 of 20 octets", "c803 002f 01020304 0005 0006 8008 0000 0000 0006 801b 0000 003b 00" + helloMD5 + "00000000", ErrDigest},
		{"SHA-1 of 16 octets", "c803 002b 01020304 0005 0006 8008 0000 0000 0006 8017 0000 003b 01" + helloMD5, ErrDigest},
		{"a type alone", "c803 001b 01020304 0005 0006 8008 0000 0000 0006 8007 0000 003b 00", ErrDigest},
		{"zeros", helloStart + noMD5, ErrDigest},
		{"the digest of a message without nonces", helloStart + helloPlain, ErrDigest},
		{"both wrong", twoStart + helloMD5 + twoNext + noSHA1, ErrDigest},
		{"wrong, and one of an unknown type", twoStart + helloMD5 + "801b 0000 003b 02" + noSHA1, ErrDigest},
	} {
		packet := octets(t, test.wire)
		if err := Verify(packet, key, receivers, senders); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		if HasDigest(packet) == (test.want == ErrNoDigest || test.want == ErrShortHeader || test.want == ErrLengthTooLong) {
			t.Errorf("%s: HasDigest %v", test.name, HasDigest(packet))
		}
	}
	for _, keys := range [][][]byte{nil, {}} {
		packet := octets(t, helloStart+helloMD5)
		if err := Verify(packet, keys, receivers, senders); !errors.Is(err, ErrNoKey) {
			t.Errorf("no key: %v", err)
		}
		if err := Sign(packet, keys, receivers, senders); !errors.Is(err, ErrNoKey) {
			t.Errorf("no key: %v", err)
		}
	}
	for _, test := range []struct {
		wire string
		want error
	}{
		{"c803 0014 01020304 0005 0006 8008 0000 0000 0006", ErrNoDigest},
		{"c803 002b 01020304 0005 0006 8008 0000 0000 0006 8017 0000 003b 02" + helloMD5, ErrDigestType},
	} {
		packet := octets(t, test.wire)
		if err := Sign(packet, key, senders, receivers); !errors.Is(err, test.want) || !bytes.Equal(packet, octets(t, test.wire)) {
			t.Errorf("signed %s: %v, want %v", test.wire, err, test.want)
		}
	}
}

// "If two Message Digest AVPs are received in a control message, the message MUST be
// accepted if either Message Digest is valid. If two shared secrets are configured,
// each (separately) MUST be used".
func TestVerifyEither(t *testing.T) {
	key, other, stranger := SharedKey(secret), SharedKey(otherSecret), SharedKey([]byte("stranger"))
	first := twoStart + twoMD5 + twoNext + noSHA1
	second := twoStart + noMD5 + twoNext + twoOther
	unknown := "c803 0046 01020304 0005 0006 8008 0000 0000 0006 8017 0000 003b 02" + noMD5 + twoNext
	signed := octets(t, unknown+noSHA1)
	mac := hmac.New(sha1.New, key)
	mac.Write(slices.Concat(senders, receivers, signed))
	copy(signed[len(signed)-sha1.Size:], mac.Sum(nil))
	for _, test := range []struct {
		name   string
		packet []byte
		keys   [][]byte
		ok     bool
	}{
		{"the first of two digests", octets(t, first), [][]byte{key}, true},
		{"the second of two digests", octets(t, second), [][]byte{other}, true},
		{"the first of two keys", octets(t, first), [][]byte{key, stranger}, true},
		{"the second of two keys", octets(t, second), [][]byte{stranger, other}, true},
		{"neither", octets(t, first), [][]byte{other, stranger}, false},
		{"one of an unknown type, and a good one", signed, [][]byte{key}, true},
		{"one of an unknown type, and a bad one", octets(t, unknown+noSHA1), [][]byte{key}, false},
		{"nonces in the wrong order", octets(t, first), nil, false},
	} {
		local, remote := receivers, senders
		if test.keys == nil {
			local, remote, test.keys = remote, local, [][]byte{key}
		}
		before := bytes.Clone(test.packet)
		if err := Verify(test.packet, test.keys, local, remote); (err == nil) != test.ok || err != nil && !errors.Is(err, ErrDigest) {
			t.Errorf("%s: %v", test.name, err)
		}
		if !bytes.Equal(before, test.packet) {
			t.Errorf("%s: the packet was changed", test.name)
		}
	}
}

// Any bit that changes, in the header or the body, is noticed, except in the octets
// behind the Length.
func TestVerifyDamage(t *testing.T) {
	packet := octets(t, sccrqStart+sccrqSHA1+sccrqEnd)
	key := [][]byte{SharedKey(secret)}
	if err := Verify(append(bytes.Clone(packet), 1, 2, 3), key, nil, nil); err != nil {
		t.Errorf("with padding: %v", err)
	}
	for i := range 8 * len(packet) {
		packet[i/8] ^= 1 << (i % 8)
		if err := Verify(packet, key, nil, nil); err == nil {
			t.Errorf("bit %d of octet %d changed unnoticed", i%8, i/8)
		}
		packet[i/8] ^= 1 << (i % 8)
	}
	for n := range packet {
		if err := Verify(packet[:n:n], key, nil, nil); err == nil {
			t.Errorf("cut at %d: accepted", n)
		}
	}
}

// What AppendMessage leaves room for, Sign fills: of every message, in the formula of
// the RFC computed apart.
func TestDigestOfEveryMessage(t *testing.T) {
	key := SharedKey(secret)
	for _, s := range samples3 {
		payload, err := AppendMessage(nil, s.msg, AppendOptions{Version: Version3, Digests: []DigestType{DigestMD5, DigestSHA1}})
		if err != nil {
			t.Fatal(err)
		}
		packet := AppendControl3(nil, 0x01020304, 5, 6, payload)
		blank := bytes.Clone(packet)
		if err := Sign(packet, [][]byte{key}, senders, receivers); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		over := slices.Concat(senders, receivers, blank)
		if s.msg.Type() == TypeSCCRQ {
			over = blank
		}
		for _, h := range []struct {
			mac   []byte
			start int
		}{{hmacOf(DigestMD5, key, over), 27}, {hmacOf(DigestSHA1, key, over), 50}} {
			if got := packet[h.start : h.start+len(h.mac)]; !bytes.Equal(got, h.mac) {
				t.Errorf("%s: %x, want %x", s.name, got, h.mac)
			}
		}
		if err := Verify(packet, [][]byte{key}, receivers, senders); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		if _, err := ParseMessage(Version3, packet[ControlHeaderLen:], nil); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
	}
}

func hmacOf(d DigestType, key, b []byte) []byte {
	mac := hmac.New(md5.New, key)
	if d == DigestSHA1 {
		mac = hmac.New(sha1.New, key)
	}
	mac.Write(b)
	return mac.Sum(nil)
}

func TestFindNonce(t *testing.T) {
	for _, test := range []struct {
		name, wire, want string
	}{
		{"after others", sccrqEnd, "101112131415161718191a1b1c1d1e1f"},
		{"none", "8009 0000 0007 6c6163", ""},
		{"hidden, of a vendor, reserved, empty", "c008 0000 0049 abcd 8008 0009 0049 abcd a008 0000 0049 abcd 8006 0000 0049", ""},
		{"behind what is not framed", "8005 0000 0007 8008 0000 0049 abcd", ""},
		{"empty message", "", ""},
	} {
		nonce, ok := FindNonce(octets(t, test.wire))
		if hex.EncodeToString(nonce) != test.want || ok != (test.want != "") {
			t.Errorf("%s: %x, %v", test.name, nonce, ok)
		}
	}
}

func TestDigestOptions(t *testing.T) {
	for _, test := range []struct {
		digests []DigestType
		want    error
	}{
		{[]DigestType{DigestMD5, DigestMD5, DigestMD5}, ErrValueTooLong},
		{[]DigestType{7}, ErrDigestType},
	} {
		if _, err := AppendMessage(nil, &HELLO{}, AppendOptions{Version: Version3, Digests: test.digests}); !errors.Is(err, test.want) {
			t.Errorf("%v: %v, want %v", test.digests, err, test.want)
		}
	}
	if DigestMD5.Len() != 16 || DigestSHA1.Len() != 20 || DigestType(2).Len() != 0 {
		t.Error("lengths of digests")
	}
}

func BenchmarkVerify(b *testing.B) {
	packet := octets(b, helloStart+helloMD5)
	keys := [][]byte{SharedKey(secret)}
	b.ReportAllocs()
	for b.Loop() {
		if err := Verify(packet, keys, receivers, senders); err != nil {
			b.Fatal(err)
		}
	}
}
