// Package smtp speaks SMTP on both sides and carries one message across.
//
// The way of one message is one straight line, in relay.go:
//
//	accept → inspect → decide → record → splice → prove → forward → confirm
//
// The client gets 250 only after the upstream gave 250 for the whole message;
// every refusal is the upstream's own words or an honest 4xx. There is no queue.
package smtp
