package config

import "fmt"

// hidden is what a secret looks like to everybody but the protocol.
const hidden = "(secret)"

// String tells nothing but whether there is a secret.
func (s Secret) String() string {
	if len(s) == 0 {
		return "(none)"
	}
	return hidden
}

// Format keeps the octets out of every verb, %x and %d too.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// MarshalText keeps the octets out of JSON and TOML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
