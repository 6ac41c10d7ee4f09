package smtp

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// naming are the mechanisms that tell the user's name in a form that is read
// here. Where users are bound to sender domains no other is offered.
var naming = []string{"PLAIN", "LOGIN", "XOAUTH2"}

// passing is the company whose upstream logs this client in; nil for none.
func (s *session) passing() *company { return s.proxy.directory.Load().passing(s.client) }

// passMechanisms are the ways to log in at the company's upstream that this
// client may use now: in clear only on this machine.
func (s *session) passMechanisms(c *company) []string {
	if !s.encrypted && !s.client.addr.IsLoopback() || s.loggedIn() || s.certificateMissing() {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.hard, s.proxy.o.Timeouts.Handshake)
	defer cancel()
	all, err := c.Upstream.Mechanisms(ctx)
	if err != nil {
		s.log.Warn("cannot ask upstream for its logins", slog.String("company", c.ID), slog.Any("err", err))
		return nil
	}
	if len(c.Users) > 0 {
		all = slices.DeleteFunc(all, func(m string) bool { return !slices.Contains(naming, m) })
	}
	return all
}

// passLogin is one login that is handed on to the upstream.
type passLogin struct {
	s         *session
	company   *company
	mechanism string
	name      string // of the user, once it was said
	named     bool
}

// Errors of the client's side of a login that is handed on.
var (
	errStranger  = errors.New("user is not on the list")
	errCancelled = errors.New("client ended the login") // and has its answer
)

// passAuth hands an AUTH command on to the upstream of company c, whose answer
// is the answer (RFC 4954). After 235 the connection belongs to this session.
func (s *session) passAuth(c *company, arg string) {
	arg = strings.TrimSpace(arg)
	mechanism, initial, given := strings.Cut(arg, " ")
	l := &passLogin{s: s, company: c, mechanism: strings.ToUpper(mechanism)}
	switch {
	case !slices.Contains(s.passMechanisms(c), l.mechanism):
		s.wrong(504, "5.5.4 Mechanism not supported")
		return
	case given && !isBase64(initial):
		s.wrong(501, "5.5.2 Not base64")
		return
	case len(arg) > maxAuthCommand-len("AUTH \r\n"):
		s.wrong(500, "5.5.6 Authentication exchange line is too long")
		return
	}
	if given && l.read(initial) != nil {
		s.loginFailed(wrongLogin())
		return
	}
	own, reply, err := c.Upstream.LogIn(s.hard, arg, l.ask)
	switch {
	case errors.Is(err, errCancelled):
	case errors.Is(err, errStranger):
		s.loginFailed(wrongLogin())
	case err != nil:
		s.log.Warn("cannot hand a login on", slog.String("company", c.ID), slog.Any("err", err))
		s.answer(replyFor(err))
	case own != nil:
		s.own, s.client.user, s.client.passed = own, l.name, c.ID
		s.answer(reply)
	case reply.Class() == 5:
		s.loginFailed(reply)
	case reply.Class() == 4:
		s.answer(reply)
	default:
		s.answer(replyFor(errNonsense))
	}
}

// wrongLogin does not tell what was wrong.
func wrongLogin() Reply { return say(535, "5.7.8 Authentication failed") }

// ask hands a challenge to the client and brings the response.
func (l *passLogin) ask(challenge Reply) (string, error) {
	l.s.wire.reply(challenge)
	l.s.commandBy = time.Now().Add(l.s.proxy.o.Timeouts.Command)
	line, err := l.s.wire.readLine(maxAuthLine)
	if err != nil {
		l.s.parting(err)
		l.s.closing = true
		return "", errCancelled
	}
	response := string(line)
	switch {
	case response == "*":
		l.s.wrong(501, "5.7.0 Authentication cancelled")
		return "", errCancelled
	case !isBase64(response):
		l.s.wrong(501, "5.5.2 Not base64")
		return "", errCancelled
	}
	return response, l.read(response)
}

// read finds the user's name in the client's first response, and checks it where
// the company has a list of users.
func (l *passLogin) read(response string) error {
	if l.named {
		return nil
	}
	l.named = true
	name, ok := userIn(l.mechanism, response)
	if ok {
		l.name = name
	}
	if len(l.company.Users) > 0 && (!ok || l.company.user(name) == nil) {
		return errStranger
	}
	return nil
}

// userIn is the name in the first response of a mechanism. An authorisation
// identity of its own would send under another name than the one it is checked
// for: not ok.
func userIn(mechanism, response string) (name string, ok bool) {
	raw, err := base64.StdEncoding.DecodeString(response)
	if err != nil {
		return "", false
	}
	switch text := string(raw); mechanism {
	case "PLAIN": // RFC 4616, section 2
		words := strings.Split(text, "\x00")
		return words[min(1, len(words)-1)], len(words) == 3 && (words[0] == "" || words[0] == words[1])
	case "LOGIN":
		return text, true
	case "XOAUTH2":
		user, found := strings.CutPrefix(text, "user=")
		user, _, ended := strings.Cut(user, "\x01")
		return user, found && ended
	}
	return "", false
}

// isBase64 accepts what may stand in a line of AUTH; "=" is an empty first
// response (RFC 4954, section 4).
func isBase64(word string) bool {
	if word == "=" {
		return true
	}
	_, err := base64.StdEncoding.DecodeString(word)
	return err == nil && !strings.ContainsAny(word, "\r\n") // which the decoder skips
}

// loggedIn tells whether the client proved a name, to us or to the upstream.
func (s *session) loggedIn() bool { return s.client.user != "" || s.own != nil }

// dropOwn ends the connection on which the client logged in.
func (s *session) dropOwn() {
	if s.own != nil {
		s.own.Close()
		s.own, s.client.user, s.client.passed = nil, "", ""
	}
}
