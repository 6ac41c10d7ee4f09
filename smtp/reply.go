package smtp

// Reply is one SMTP reply, as sent by an upstream or to a client (RFC 5321,
// section 4.2). Lines hold the texts without the code; an enhanced status code
// stays in the text, so that a reply passes through verbatim.
type Reply struct {
	Code  int
	Lines []string
}

// Class is the first digit of the code.
func (r Reply) Class() int { return r.Code / 100 }
