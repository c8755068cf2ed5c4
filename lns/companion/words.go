package companion

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"adit/internal/config"
)

// requireWords are pppd's words for the protocols by which a peer may show who it
// is.
var requireWords = map[config.Auth]string{
	config.AuthPAP:      "require-pap",
	config.AuthCHAPMD5:  "require-chap",
	config.AuthMSCHAPv2: "require-mschap-v2",
}

// refuseAll: as our own endpoint at the LNS's end of a call, pppd does not show
// who it is.
var refuseAll = []string{"refuse-pap", "refuse-chap", "refuse-mschap", "refuse-mschap-v2", "refuse-eap"}

// Usable says whether what the profile demands can be had of pppd and radius.so:
// nil, or one sentence with what to do.
func Usable(profile *config.Profile) error {
	demanded := profile.Builtin.Demanded()
	for _, a := range demanded {
		if _, ok := requireWords[a]; ok {
			return nil
		}
	}
	if len(demanded) == 0 {
		return nil
	}
	return fmt.Errorf("profile %q: pppd's radius.so knows no EAP: let auth name pap, chap-md5 or mschapv2 too, or use ppp = \"builtin\"", profile.Name)
}

// Words are the options that a pppd needs so that the profile means to it what it
// means to our own endpoint, and so that it asks us. token names the session: it
// has to be of letters, digits and hyphens, and used once. It is known from now
// on, until Forget. The words are to come after those of the operator.
//
// Where the profile demands EAP beside others, pppd does without; where it
// demands nothing else (see Usable), MS-CHAPv2 stands in, so that nobody comes in
// unasked.
//
// Session-Timeout is not among them: the layer ends sessions itself.
func (r *Responder) Words(token string, profile *config.Profile) []string {
	r.mu.Lock()
	r.tokens[token] = struct{}{}
	r.mu.Unlock()
	b := &profile.Builtin
	words := []string{"remotenumber", token}
	if demanded := b.Demanded(); len(demanded) == 0 {
		words = append(words, "noauth")
	} else {
		words = append(words, "plugin", "radius.so", "radius-config-file", r.path(configFile), "plugin", "radattr.so", "auth")
		words = append(words, authWords(demanded)...)
	}
	words = append(words, refuseAll...)
	return append(words, linkWords(b)...)
}

func authWords(demanded []config.Auth) (words []string) {
	for _, a := range demanded {
		if w, ok := requireWords[a]; ok && !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	if words == nil {
		words = []string{requireWords[config.AuthMSCHAPv2]}
	}
	return words
}

// linkWords are what a profile says beyond authentication.
func linkWords(b *config.Builtin) (words []string) {
	for _, a := range b.DNS {
		if a.IsValid() {
			words = append(words, "ms-dns", a.Unmap().String())
		}
	}
	for _, a := range b.WINS {
		if a.IsValid() {
			words = append(words, "ms-wins", a.Unmap().String())
		}
	}
	if !b.IPv4 {
		words = append(words, "noip")
	}
	if b.IPv6 {
		words = append(words, "+ipv6")
	} else {
		words = append(words, "noipv6")
	}
	words = append(words, "lcp-echo-interval", seconds(b.EchoInterval))
	if b.EchoInterval > 0 {
		words = append(words, "lcp-echo-failure", strconv.Itoa(b.EchoFailures))
	}
	if b.Rechallenge > 0 {
		words = append(words, "chap-interval", seconds(b.Rechallenge))
	}
	if b.IdleTimeout > 0 {
		words = append(words, "idle", seconds(b.IdleTimeout))
	}
	return words
}

// seconds is a time in pppd's unit; what is more than nothing is a second at
// least.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
