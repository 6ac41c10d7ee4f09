// Package smtptest holds the other sides of SMTP for tests: an upstream that
// keeps what it is given, or fails at a chosen step in a chosen way; a client
// that says exactly what it is told; certificates that live as long as a test;
// and a private Postfix.
//
// Everything a test starts here ends with the test. Nothing sleeps: a test
// waits for an event with Upstream.Await, and fails after Patience.
package smtptest

import "time"

// Patience is how long a test waits for what should come at once.
const Patience = 10 * time.Second
