//go:build !race

package autoconf

const raceDetector = false
