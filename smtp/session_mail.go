package smtp

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// mail is one transaction: the envelope, and the transaction upstream that goes
// with it step by step.
type mail struct {
	id         string
	from       command
	recipients []command // those the upstream accepted
	company    *company
	via        upstream // the company's, or the connection that the client logged in on
	up         transaction
	ahead      []Reply // upstream's answers to the next RCPTs, which the client has sent already
	broken     error   // the transaction upstream is of no use any more
	chunks     *chunk  // nil before the first BDAT
}

// reset ends the transaction, if there is one.
func (s *session) reset() {
	if s.mail == nil {
		return
	}
	s.mail.end()
	if s.mail.chunks != nil {
		s.mail.chunks.raw.Close()
	}
	s.mail = nil
}

// end lets the transaction upstream go.
func (m *mail) end() {
	if m.up != nil {
		m.up.End()
		m.up = nil
	}
}

// mailFrom begins a transaction, with the upstream's own answer.
func (s *session) mailFrom(arg string) {
	switch {
	case s.helo == "":
		s.wrong(503, "5.5.1 EHLO first")
		return
	case s.mail != nil:
		s.wrong(503, "5.5.1 One transaction at a time")
		return
	case s.serve.Err() != nil:
		s.answer(replyFor(errDraining))
		return
	}
	from, err := s.parse(arg, "FROM", mailOptions)
	var who login
	if err == nil {
		who, err = s.sender(from)
	}
	if err != nil {
		s.errors++
		s.wire.reply(senderReply(replyFor(err)))
		return
	}
	s.mails++
	m := &mail{id: s.transactionID(), from: from, company: who.company, via: who.company.upstream}
	if s.own != nil {
		m.via = s.own
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(s.hard, s.proxy.o.Timeouts.Transaction)
	defer cancel()
	s.mail = m
	up, reply, answers, err := m.via.BeginAll(ctx, from.line(), s.pipelined())
	s.proxy.metrics.upstream.WithLabelValues("mail").Observe(time.Since(began).Seconds())
	m.up, m.ahead = up, answers
	if err != nil {
		s.log.Warn("cannot begin at upstream", slog.String("company", m.company.ID), slog.Any("err", err))
		reply = replyFor(err)
	}
	if reply = sensible(reply); reply.Class() != 2 {
		s.reset()
	}
	s.answer(reply)
}

// pipelined is the recipients that the client has named behind MAIL without
// waiting (RFC 2920, section 3.1). The commands stay where they are, to be
// answered in their turn; the first that is not right ends the list.
func (s *session) pipelined() []envelopeLine {
	var all []envelopeLine
	for rest := s.wire.buffered(); len(all) < min(maxBatch, s.proxy.o.Limits.Recipients); {
		line, after, found := bytes.Cut(rest, []byte{'\n'})
		verb, arg, _ := strings.Cut(string(bytes.TrimSuffix(line, []byte{'\r'})), " ")
		if !found || !strings.EqualFold(verb, "RCPT") {
			break
		}
		to, err := s.recipient(arg)
		if err != nil {
			break
		}
		all, rest = append(all, to.line()), after
	}
	return all
}

// recipient reads the argument of RCPT.
func (s *session) recipient(arg string) (command, error) {
	to, err := s.parse(arg, "TO", rcptOptions)
	if err == nil && to.path == "<>" {
		err = errBadPath
	}
	return to, err
}

// senderReply turns the code for a wrong recipient address into the one for a
// wrong sender address (RFC 3463, section 3.2).
func senderReply(r Reply) Reply {
	if text, found := strings.CutPrefix(r.Lines[0], "5.1.3 "); found {
		return say(r.Code, "5.1.7 "+text)
	}
	return r
}

// sender finds the company the client sends for, and checks that it may.
func (s *session) sender(from command) (login, error) {
	if s.certificateMissing() {
		return login{}, errCertificateNeeded
	}
	who, err := s.proxy.directory.Load().lookup(s.client)
	if err != nil {
		return login{}, err
	}
	if from.path != "<>" && !who.mayBe(from.domain) {
		return login{}, errNotOwnSender
	}
	return who, nil
}

// mayBe tells whether the client may send from a domain.
func (l login) mayBe(domain string) bool {
	if l.user != nil {
		return len(l.user.Domains) == 0 || inDomains(l.user.Domains, domain)
	}
	return !l.company.OwnSenders || l.company.owns(domain)
}

// rcptTo hands one recipient to the upstream, whose answer is the answer.
func (s *session) rcptTo(arg string) {
	m := s.mail
	if m == nil {
		s.wrong(503, "5.5.1 MAIL first")
		return
	}
	to, err := s.recipient(arg)
	if err != nil {
		s.errors++
		s.wire.reply(replyFor(err))
		return
	}
	if len(m.recipients) >= s.proxy.o.Limits.Recipients {
		s.wire.reply(replyFor(errTooManyRecipients))
		return
	}
	s.answer(s.offerRecipient(m, to))
}

func (s *session) offerRecipient(m *mail, to command) Reply {
	if m.broken != nil {
		return replyFor(m.broken)
	}
	reply, err := s.askRecipient(m, to)
	if err != nil {
		m.broken = err
		s.log.Warn("recipient got no answer", slog.String("company", m.company.ID), slog.Any("err", err))
		return replyFor(err)
	}
	if reply = sensible(reply); reply.Class() == 2 {
		m.recipients = append(m.recipients, to)
	}
	if reply.Code == 421 {
		m.broken = errLost
	}
	return reply
}

// askRecipient is the upstream's answer, which may be there already.
func (s *session) askRecipient(m *mail, to command) (Reply, error) {
	if len(m.ahead) > 0 {
		reply := m.ahead[0]
		m.ahead = m.ahead[1:]
		return reply, nil
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(s.hard, s.proxy.o.Timeouts.Transaction)
	defer cancel()
	reply, err := m.up.Rcpt(ctx, to.path, to.params)
	s.proxy.metrics.upstream.WithLabelValues("rcpt").Observe(time.Since(began).Seconds())
	return reply, err
}

// sensible refuses to hand on what is no final answer to a command.
func sensible(r Reply) Reply {
	if c := r.Class(); c != 2 && c != 4 && c != 5 {
		return replyFor(errNonsense)
	}
	return r
}

// parameter tells which extension a parameter belongs to, and how its value is
// checked; everything else about it is the upstream's affair.
type parameter struct {
	extension string // "" is always accepted
	check     func(s *session, o option) error
}

var (
	mailOptions = map[string]parameter{
		"SIZE":        {"SIZE", checkSize},
		"BODY":        {"8BITMIME", checkBody},
		"SMTPUTF8":    {"SMTPUTF8", checkNoValue},
		"RET":         {"DSN", nil},
		"ENVID":       {"DSN", nil},
		"BY":          {"DELIVERBY", nil},
		"MT-PRIORITY": {"MT-PRIORITY", nil},
		"REQUIRETLS":  {"REQUIRETLS", checkNoValue},
		// RFC 4954, section 5. A mail system in front of us may have logged its
		// client in: the word goes on, whether we offer logins ourselves or not.
		"AUTH": {"", nil},
	}
	rcptOptions = map[string]parameter{
		"NOTIFY": {"DSN", nil},
		"ORCPT":  {"DSN", nil},
		"RRVS":   {"RRVS", nil},
	}
)

// parse reads the argument of MAIL or RCPT and checks it against what was
// offered.
func (s *session) parse(arg, word string, known map[string]parameter) (command, error) {
	c, err := parsePath(arg, word)
	if err != nil {
		return command{}, err
	}
	for _, o := range c.options {
		p, found := known[o.keyword]
		if _, offered := s.offered[p.extension]; !found || p.extension != "" && !offered {
			return command{}, errUnknownOption
		}
		if p.check != nil {
			if err := p.check(s, o); err != nil {
				return command{}, err
			}
		}
	}
	utf8 := s.mail != nil && s.mail.utf8()
	if _, given := c.option("SMTPUTF8"); !given && !utf8 && !c.ascii() {
		return command{}, errNotASCII
	}
	return c, nil
}

// utf8 tells whether the client asked for SMTPUTF8.
func (m *mail) utf8() bool {
	_, given := m.from.option("SMTPUTF8")
	return given
}

func checkSize(s *session, o option) error {
	n, err := strconv.ParseInt(o.value, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return errTooLarge
	case err != nil || n < 0:
		return errBadOption
	case n > s.sizeLimit():
		return errTooLarge
	}
	return nil
}

func checkBody(_ *session, o option) error {
	switch strings.ToUpper(o.value) {
	case "7BIT", "8BITMIME":
		return nil
	case "BINARYMIME": // RFC 3030: only after an offer that we never make
		return errUnknownOption
	}
	return errBadOption
}

func checkNoValue(_ *session, o option) error {
	if o.valued {
		return errBadOption
	}
	return nil
}
