// Package smtp speaks SMTP on both sides and carries one message across.
//
// The way of one message is one straight line, in relay.go:
//
//	accept → inspect → decide → record → splice → prove → forward → confirm
//
// The client gets 250 only after the upstream gave 250 for the whole message;
// every refusal is the upstream's own words or an honest 4xx. There is no queue.
//
// # The client's side
//
// Proxy serves listeners and holds the companies; a reload swaps them at once. A
// session is one client's conversation. MAIL and RCPT go upstream as they come, as
// the client wrote them; DATA and BDAT go when the whole message has been read
// into a spool and decided about. The octets pass through a wire, which never
// reads on after its first error, and a decoder, which alone knows where a
// message ends. replyFor is the one place where an error becomes a reply.
//
// # The upstream's side
//
// An Upstream keeps connections to the servers of a company and begins
// transactions on them, with a client of our own that closes on any doubt.
//
// # Caveats
//
// A message can be doubled, never lost: in the window between the upstream's 250
// and the client hearing of it (RFC 1047). docs/failures.md has every step with
// every fault.
package smtp
