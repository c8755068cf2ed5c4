package simnet

// Rounds is how often a randomised test repeats itself: full times, or a tenth of
// that under the race detector, which makes such a test some ten times slower and
// finds nothing in code that starts no goroutine. The gate runs both.
func Rounds(full int) int {
	if raceDetector {
		return max(full/10, 1)
	}
	return full
}
