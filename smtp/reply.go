package smtp

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"unicode"
)

// Reply is one SMTP reply, as sent by an upstream or to a client (RFC 5321,
// section 4.2). Lines hold the texts without the code; an enhanced status code
// stays in the text, so that a reply passes through verbatim.
type Reply struct {
	Code  int
	Lines []string
}

// Class is the first digit of the code.
func (r Reply) Class() int { return r.Code / 100 }

// say makes a reply of ours: short, constant, nothing of our hosts, paths or
// addresses in it.
func say(code int, text string) Reply { return Reply{Code: code, Lines: []string{text}} }

// append writes the reply as it goes over the line. A text cannot break out of
// its line, whoever wrote it.
func (r Reply) append(b []byte) []byte {
	lines := r.Lines
	if len(lines) == 0 {
		lines = []string{""}
	}
	for i, text := range lines {
		b = strconv.AppendInt(b, int64(r.Code), 10)
		if i < len(lines)-1 {
			b = append(b, '-')
		} else {
			b = append(b, ' ')
		}
		b = append(b, printable(text)...)
		b = append(b, crlf...)
	}
	return b
}

func printable(text string) string {
	if strings.IndexFunc(text, unicode.IsControl) < 0 {
		return text
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}

// replyFor is the one place where an error becomes a reply. What is not known
// here is our own trouble: temporary, and nothing is said about it.
func replyFor(err error) Reply {
	for _, row := range replies {
		if errors.Is(err, row.err) {
			return row.reply
		}
	}
	return say(451, "4.3.0 Temporary trouble in the relay, try again later")
}

// replies is the reply table; the first error that matches decides.
var replies = []struct {
	err   error
	reply Reply
}{
	{errTooLarge, say(552, "5.3.4 Message too large")},
	{errBareCR, say(550, "5.6.11 Message contains a bare CR")},
	{errBareLF, say(550, "5.6.11 Message contains a bare LF")},
	{errLoop, say(554, "5.4.6 Mail loop detected")},
	{errNotAllowed, say(550, "5.7.1 Not allowed to send through this relay")},
	{errNotOwnSender, say(550, "5.7.1 Sender not allowed for this user")},
	{errAuthNeeded, say(530, "5.7.0 Authentication required")},
	{errCertificateNeeded, say(530, "5.7.0 TLS with a client certificate required")},
	{errDraining, say(421, "4.3.2 Relay is restarting, try again")},
	{errTooMany, say(421, "4.7.0 Too many connections, try again later")},
	{errStalled, say(451, "4.4.2 Timeout while receiving the message")},
	{errSpool, say(452, "4.3.1 Not enough storage, try again later")},
	{errNotASCII, say(553, "5.6.7 Address needs SMTPUTF8")},
	{errUnknownOption, say(555, "5.5.4 Parameter not supported")},
	{errBadOption, say(501, "5.5.4 Malformed parameter")},
	{errLongPath, say(501, "5.1.3 Address too long")},
	{errBadPath, say(501, "5.1.3 Malformed address")},
	{errSyntax, say(501, "5.5.2 Syntax error")},
	{errTooManyRecipients, say(452, "4.5.3 Too many recipients")},
	{errNonsense, say(451, "4.3.0 Unexpected answer from the next server")},
	{errUnreachable, say(451, "4.4.1 Next server cannot be reached")},
	{errUntrusted, say(451, "4.7.5 Next server cannot be verified")},
	{errRefusedLogin, say(451, "4.7.0 Next server refused our login")},
	{errOutcomeUnknown, say(451, "4.4.2 Connection to the next server lost, outcome unknown")},
	{errLoginLost, say(421, "4.4.2 Connection to the next server lost, log in again")},
	{errLost, say(451, "4.4.2 Connection to the next server lost")},
	{context.DeadlineExceeded, say(451, "4.4.5 Next server took too long")},
}
