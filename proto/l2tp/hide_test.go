package l2tp

import "testing"

// zeros is a source of random octets that is not random.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

var _ testing.TB
