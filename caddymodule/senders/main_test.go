package senders_test

import (
	"testing"

	"go.uber.org/goleak"
)

// Connections and what waits on them must be gone when a sender is.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}
