package chap

import (
	"bytes"
	"crypto/rc4"
	"crypto/sha1"
	"testing"

	"adit/proto/ppp"
)

// RFC 3079 section 3.5.3, whose password, challenges and NT-Response are those of
// RFC 2759 section 9.2. The RFC has the server's send key alone. The other one was
// made with Python's hashlib of the octets of GetAsymmetricStartKey, section 3.4.
const (
	rfcSendStartKey   = "8B 7C DC 14 9B 99 3A 1B A1 18 CB 15 3F 56 DC CB"
	rfcSendSessionKey = "40 5C B2 24 7A 79 56 E6 E2 11 00 7A E2 7B 22 D4"
	rfcEncrypted      = "81 84 83 17 DF 68 84 62 72 FB 5A BE" // of "test message"
	recvStartKey      = "d5f0e9521e3ea9589645e86051c82226"
)

// newKeyFromSHA is GetNewKeyFromSHA of RFC 3078 section 7.3, with both keys alike.
func newKeyFromSHA(key []byte) []byte {
	h := sha1.New()
	h.Write(key)
	h.Write(make([]byte, 40))
	h.Write(key)
	h.Write(bytes.Repeat([]byte{0xf2}, 40))
	return h.Sum(nil)[:len(key)]
}

func TestMPPEKeysRFC3079(t *testing.T) {
	hash := HashNT([]byte("clientPass"))
	send, recv, ok := MPPEKeys(hash, [ntResponseLen]byte(unhex(t, rfcNTResponse)))
	if !ok || !bytes.Equal(send, unhex(t, rfcSendStartKey)) || !bytes.Equal(recv, unhex(t, recvStartKey)) {
		t.Fatalf("send %x, receive %x, %v", send, recv, ok)
	}
	session := newKeyFromSHA(send)
	if !bytes.Equal(session, unhex(t, rfcSendSessionKey)) {
		t.Errorf("session key %x", session)
	}
	c, err := rc4.NewCipher(session)
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("test message")
	c.XORKeyStream(message, message)
	if !bytes.Equal(message, unhex(t, rfcEncrypted)) {
		t.Errorf("message %x", message)
	}
}

// A Secret has keys for the request that it let in, whatever is known of the
// password, and for nothing else.
func TestSecretMPPEKeys(t *testing.T) {
	good := rfcRequest(t, "User")
	for _, s := range []*Secret{OfPassword([]byte("clientPass")), OfHash(HashNT([]byte("clientPass")))} {
		send, recv, ok := s.MPPEKeys(good)
		if !ok || !bytes.Equal(send, unhex(t, rfcSendStartKey)) || !bytes.Equal(recv, unhex(t, recvStartKey)) {
			t.Errorf("%v: send %x, receive %x, %v", s, send, recv, ok)
		}
		for n := range 60 {
			r := good
			r.Response = append(bytes.Clone(good.Response), make([]byte, 20)...)[:n]
			if _, _, ok := s.MPPEKeys(r); ok != (n == responseLen) {
				t.Errorf("%v: a response of %d octets: %v", s, n, ok)
			}
		}
		for _, m := range []ppp.Method{0, ppp.MethodPAP, ppp.MethodCHAP, ppp.MethodEAP} {
			r := good
			r.Method = m
			if _, _, ok := s.MPPEKeys(r); ok {
				t.Errorf("%v: keys of method %d", s, m)
			}
		}
	}
	for _, s := range []*Secret{Nobody(), {}} {
		if _, _, ok := s.MPPEKeys(good); ok {
			t.Error("nobody has keys")
		}
	}
}
