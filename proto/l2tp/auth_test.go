package l2tp

import "testing"

// Challenges and responses of two ends of xl2tpd 1.3.18 whose secret was
// "sesame", as they passed over the wire.
func TestChallengeResponse(t *testing.T) {
	for _, test := range []struct {
		answer              MessageType
		challenge, response string
	}{
		{TypeSCCRP, "a978ceb977c56a99227fd3ab502821ce", "59ebe4f11a2711acc5f0a1c9edcbcdd1"},
		{TypeSCCCN, "03bc2bc7615775495ea52fc84443383d", "5827c1072d703b9e41de0fab98a40d75"},
		{TypeSCCRP, "878e46443be10cd3dbb4452bc412887f", "1ece281ebd37037646d5d3dd857a3fd6"},
		{TypeSCCCN, "a9fc9548e153486e103402b46e1b2ca0", "7927c168875a397d176a71fe3faf57c6"},
	} {
		challenge, response := octets(t, test.challenge), octets(t, test.response)
		if got := ChallengeResponse(test.answer, secret, challenge); [16]byte(response) != got {
			t.Errorf("%s: %x, want %x", test.answer, got, response)
		}
		if !CheckChallengeResponse(test.answer, secret, challenge, response) {
			t.Errorf("%s: right response refused", test.answer)
		}
		// "the value of the Message Type AVP for this message is used"
		if CheckChallengeResponse(TypeSCCRP+TypeSCCCN-test.answer, secret, challenge, response) {
			t.Errorf("%s: response taken from the other message", test.answer)
		}
		if CheckChallengeResponse(test.answer, []byte("Sesame"), challenge, response) ||
			CheckChallengeResponse(test.answer, secret, challenge[1:], response) ||
			CheckChallengeResponse(test.answer, secret, challenge, response[:15]) ||
			CheckChallengeResponse(test.answer, secret, challenge, nil) {
			t.Errorf("%s: wrong response taken", test.answer)
		}
	}
}
