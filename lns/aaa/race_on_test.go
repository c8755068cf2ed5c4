//go:build race

package aaa

// modelSlowdown is by how much less the model test does with the race detector.
const modelSlowdown = 5
