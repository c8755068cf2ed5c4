//go:build !race

package aaa

const modelSlowdown = 1
