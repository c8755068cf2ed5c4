// Package hooks runs the operator's programs when a session comes up and when it
// goes down, with what is known of it in their environment. They are bounded in
// number and in time, and nobody waits for them.
package hooks
