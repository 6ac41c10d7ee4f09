package smtp

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

// TestReplyFor pins the reply table: what happened, and what the client hears.
func TestReplyFor(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		want string
	}{
		{"cannot connect", errUnreachable, "451 4.4.1 Next server cannot be reached"},
		{"TLS not verified", errUntrusted, "451 4.7.5 Next server cannot be verified"},
		{"upstream refuses our login", errRefusedLogin, "451 4.7.0 Next server refused our login"},
		{"lost in mid-transaction", errLost, "451 4.4.2 Connection to the next server lost"},
		{"silent after the final dot", errOutcomeUnknown, "451 4.4.2 Connection to the next server lost, outcome unknown"},
		{"silent after the final dot until the budget ended", fmt.Errorf("%w: %w", errOutcomeUnknown, context.DeadlineExceeded),
			"451 4.4.2 Connection to the next server lost, outcome unknown"},
		{"budget", context.DeadlineExceeded, "451 4.4.5 Next server took too long"},
		{"nonsense", errNonsense, "451 4.3.0 Unexpected answer from the next server"},
		{"too large", errTooLarge, "552 5.3.4 Message too large"},
		{"loop", errLoop, "554 5.4.6 Mail loop detected"},
		{"not allowed", errNotAllowed, "550 5.7.1 Not allowed to send through this relay"},
		{"no login", errAuthNeeded, "530 5.7.0 Authentication required"},
		{"draining", errDraining, "421 4.3.2 Relay is restarting, try again"},
		{"too many connections", errTooMany, "421 4.7.0 Too many connections, try again later"},
		{"bare CR", errBareCR, "550 5.6.11 Message contains a bare CR"},
		{"wrapped twice", fmt.Errorf("a: %w", fmt.Errorf("b: %w", errLost)), "451 4.4.2 Connection to the next server lost"},
		{"anything else says nothing about us", errors.New("open /var/lib/x: no space for a@b"),
			"451 4.3.0 Temporary trouble in the relay, try again later"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := string(replyFor(tc.err).append(nil)); got != tc.want+"\r\n" {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestReplyLines(t *testing.T) {
	for _, tc := range []struct {
		name string
		r    Reply
		want string
	}{
		{"one line", say(250, "2.0.0 OK"), "250 2.0.0 OK\r\n"},
		{"several", Reply{550, []string{"5.7.1 a", "5.7.1 b"}}, "550-5.7.1 a\r\n550 5.7.1 b\r\n"},
		{"none", Reply{Code: 250}, "250 \r\n"},
		{"a text cannot break out", say(250, "OK\r\n221 Bye"), "250 OK  221 Bye\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := string(tc.r.append(nil)); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
