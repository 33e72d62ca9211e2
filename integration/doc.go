// Package integration tests the gate from outside: a real Caddy process in
// front of a real upstream, spoken to over the network and in a real browser.
// It is a module of its own so that nobody who builds the gate downloads what
// only its tests need.
//
// The tests know the secret that they configure, and read the answer of a
// challenge with it; the gate itself has no such hook.
package integration
