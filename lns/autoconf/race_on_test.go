//go:build race

package autoconf

// raceDetector says that this test binary is slow and its allocations are not
// those of the real thing.
const raceDetector = true
