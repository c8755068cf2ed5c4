// Package loop is what the loop of an owner is made of: a mailbox for functions
// that others want run in it, and a queue of deadlines with one entry for each
// object. One owner for a state, one deadline for an object, one timer
// for a loop.
package loop
