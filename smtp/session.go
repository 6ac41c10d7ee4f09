package smtp

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// session is one client's conversation. One goroutine runs it; only interrupt
// is called from others.
type session struct {
	proxy  *Proxy
	wire   *wire
	log    *slog.Logger
	id     string
	client client
	door   Door
	own    *personal       // connection upstream that the client logged in on; nil: none
	serve  context.Context // ends when the relay begins to stop
	hard   context.Context // ends when it stops at once; all work upstream runs under it

	encrypted    bool
	helo         string // "" before EHLO or HELO
	esmtp        bool
	offered      map[string]string // what EHLO promised, keyword to parameters
	mail         *mail             // nil: no transaction
	mails        int               // transactions begun
	errors       int               // commands that were wrong
	authFailures int
	closing      bool // after the current reply the connection is closed
	receiving    bool // octets of a message are awaited, not a command

	mu        sync.Mutex // guards idle and the read deadline of wire.conn
	idle      bool       // waiting for a command, with no transaction open
	commandBy time.Time  // when the command that is awaited must be complete
}

func newSession(p *Proxy, serve, hard context.Context, conn net.Conn, addr netip.Addr, d Door) *session {
	s := &session{proxy: p, serve: serve, hard: hard, id: newID(), client: client{addr: addr}, door: d}
	s.log = p.log.With(slog.String("session", s.id), slog.String("client", addr.String()))
	s.wire = newWire(conn, p.o.Timeouts.Write)
	s.wire.deadline = s.deadline
	return s
}

// newID names a session in log and Received lines: 64 random bits.
func newID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}

// run speaks until the client leaves, breaks a rule too often, or the relay
// stops.
func (s *session) run() {
	defer s.wire.close()
	defer s.dropOwn()
	defer s.reset()
	defer context.AfterFunc(s.serve, s.interrupt)()
	if conn, ok := s.wire.conn.(*tls.Conn); ok && !s.handshake(conn) {
		return
	}
	s.say(220, s.proxy.o.Hostname+" ESMTP Career Relay")
	for !s.closing {
		line, err := s.readCommand()
		if err != nil {
			s.parting(err)
			return
		}
		s.command(line)
		if s.errors >= s.proxy.o.Limits.Errors && !s.closing {
			s.close(421, "4.7.0 Too many errors")
		}
	}
}

// readCommand waits for one command line. Its time runs from the beginning, so
// that a client cannot stretch it octet by octet.
func (s *session) readCommand() ([]byte, error) {
	s.commandBy = time.Now().Add(s.proxy.o.Timeouts.Command)
	return s.wire.readLine(maxLine)
}

// deadline is asked before each read from the client.
func (s *session) deadline() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = !s.receiving && s.mail == nil
	if s.idle && s.serve.Err() != nil {
		return errDraining
	}
	by := s.commandBy
	if s.receiving {
		by = time.Now().Add(s.proxy.o.Timeouts.Data)
	}
	return s.wire.conn.SetReadDeadline(by)
}

// interrupt wakes a session that waits for a command, when the relay begins to
// stop.
func (s *session) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle {
		_ = s.wire.conn.SetReadDeadline(time.Unix(1, 0)) // closed already: the session is ending anyway
	}
}

// parting says the last word when no command could be read.
func (s *session) parting(err error) {
	switch {
	case errors.Is(err, errDraining), errors.Is(err, os.ErrDeadlineExceeded) && s.serve.Err() != nil:
		s.wire.reply(replyFor(errDraining))
	case errors.Is(err, errLineTooLong):
		s.say(500, "5.5.2 Line too long")
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.say(421, "4.4.2 Timeout")
	}
}

func (s *session) say(code int, text string) { s.wire.reply(say(code, text)) }

// answer sends a reply. A 421 says that the connection will be closed (RFC 5321,
// section 3.8), whoever said it.
func (s *session) answer(r Reply) {
	s.wire.reply(r)
	if r.Code == 421 {
		s.closing = true
	}
}

// wrong answers a command that was not right, and counts it.
func (s *session) wrong(code int, text string) {
	s.errors++
	s.say(code, text)
}

func (s *session) close(code int, text string) {
	s.say(code, text)
	s.closing = true
}

// command carries out one command line.
func (s *session) command(line []byte) {
	verb, arg, _ := strings.Cut(string(line), " ")
	if len(line) > 0 && line[0] == 0x16 {
		s.closing = true // a TLS handshake: no text of ours would be understood
		return
	}
	switch strings.ToUpper(verb) {
	case "EHLO":
		s.hello(arg, true)
	case "HELO":
		s.hello(arg, false)
	case "MAIL":
		s.mailFrom(arg)
	case "RCPT":
		s.rcptTo(arg)
	case "DATA":
		s.data(arg)
	case "BDAT":
		s.bdat(arg)
	case "RSET":
		s.reset()
		s.say(250, "2.0.0 Reset")
	case "NOOP":
		s.say(250, "2.0.0 OK")
	case "QUIT":
		s.reset()
		s.close(221, "2.0.0 Bye")
	case "STARTTLS":
		s.startTLS(arg)
	case "AUTH":
		s.auth(arg)
	case "VRFY": // RFC 5321, section 3.5.3: 252 reveals nothing
		s.say(252, "2.5.0 Cannot verify, send some mail")
	case "EXPN": // RFC 5321, section 3.5.3: a server need not tell who is on a list
		s.wrong(502, "5.5.1 Command not implemented")
	case "HELP":
		s.say(214, "2.0.0 See RFC 5321")
	case "GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "PATCH", "DELETE":
		// A browser that was led here: what follows are words of somebody else.
		s.close(421, "4.7.0 This is a mail server")
	default:
		s.wrong(500, "5.5.2 Command not recognised")
	}
}

// hello answers EHLO and HELO. Both end a transaction (RFC 5321, section 4.1.4).
func (s *session) hello(arg string, esmtp bool) {
	name := strings.TrimSpace(arg)
	if name == "" {
		s.wrong(501, "5.5.4 Name yourself")
		return
	}
	s.reset()
	s.helo, s.esmtp = name, esmtp
	if !esmtp {
		s.offered = nil
		s.say(250, s.proxy.o.Hostname)
		return
	}
	s.offered = s.extensions()
	lines := []string{s.proxy.o.Hostname}
	for _, keyword := range slices.Sorted(maps.Keys(s.offered)) {
		lines = append(lines, strings.TrimSpace(keyword+" "+s.offered[keyword]))
	}
	s.wire.reply(Reply{Code: 250, Lines: lines})
}

// mirrored are the extensions that are offered when the upstream has them. Each
// lives in parameters alone, which go on as they came. BINARYMIME is never
// offered: an edit needs lines.
var mirrored = []string{"8BITMIME", "DSN", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DELIVERBY", "MT-PRIORITY", "RRVS", "REQUIRETLS"}

// extensions is what this client may be promised now.
func (s *session) extensions() map[string]string {
	limits := s.proxy.o.Limits
	own := map[string]string{
		"PIPELINING": "", "CHUNKING": "",
		"SIZE":   strconv.FormatInt(limits.MessageSize, 10),
		"LIMITS": "RCPTMAX=" + strconv.Itoa(limits.Recipients),
	}
	for i, theirs := range s.upstreamExtensions() {
		mirror(own, theirs, i == 0)
	}
	if s.proxy.o.TLS != nil && !s.encrypted {
		own["STARTTLS"] = ""
	}
	if !s.encrypted { // RFC 8689, section 2: only within TLS
		delete(own, "REQUIRETLS")
	}
	if mechanisms := s.mechanisms(); len(mechanisms) > 0 {
		own["AUTH"] = strings.Join(mechanisms, " ")
	}
	return own
}

// upstreamExtensions asks the upstreams of all companies this client may send
// for. One that cannot be asked promises nothing.
func (s *session) upstreamExtensions() []Extensions {
	if s.own != nil {
		return []Extensions{s.own.c.extensions}
	}
	var all []Extensions
	for _, c := range s.proxy.directory.Load().possible(s.client) {
		ctx, cancel := context.WithTimeout(s.hard, s.proxy.o.Timeouts.Handshake)
		theirs, err := c.upstream.Extensions(ctx)
		cancel()
		if err != nil {
			s.log.Warn("cannot ask upstream for its extensions", slog.String("company", c.ID), slog.Any("err", err))
		}
		all = append(all, theirs)
	}
	return all
}

// mirror narrows own to what theirs can keep too.
func mirror(own map[string]string, theirs Extensions, first bool) {
	for _, keyword := range mirrored {
		params, found := theirs[keyword]
		switch _, offered := own[keyword]; {
		case found && first:
			own[keyword] = params
		case !found && offered:
			delete(own, keyword)
		}
	}
	own["SIZE"] = smaller(own["SIZE"], theirs["SIZE"])
	own["LIMITS"] = narrowed(own["LIMITS"], theirs["LIMITS"])
}

// narrowed is the limits of one envelope that keep within both (RFC 9422, section
// 4). How many messages one connection takes (MAILMAX) is the pool's affair.
func narrowed(own, theirs string) string {
	var all []string
	for _, name := range []string{"RCPTMAX", "RCPTDOMAINMAX"} {
		if n := smaller(limitIn(own, name), limitIn(theirs, name)); n != "" {
			all = append(all, name+"="+n)
		} else if n = limitIn(theirs, name); n != "" {
			all = append(all, name+"="+n)
		}
	}
	return strings.Join(all, " ")
}

// limitIn is the value of one limit in the parameters of LIMITS; "" for none and
// for what is no number.
func limitIn(params, name string) string {
	for _, limit := range strings.Fields(params) {
		key, value, _ := strings.Cut(limit, "=")
		if n, err := strconv.Atoi(value); strings.EqualFold(key, name) && err == nil && n > 0 {
			return value
		}
	}
	return ""
}

// smaller is the smaller bound; 0 and what is no number bound nothing (RFC 1870,
// section 4).
func smaller(a, b string) string {
	y, err := strconv.ParseInt(b, 10, 64)
	if err != nil || y <= 0 {
		return a
	}
	if x, err := strconv.ParseInt(a, 10, 64); err == nil && x > 0 && x <= y {
		return a
	}
	return b
}

// sizeLimit is the size that EHLO promised, or our own.
func (s *session) sizeLimit() int64 {
	if n, err := strconv.ParseInt(s.offered["SIZE"], 10, 64); err == nil && n > 0 {
		return n
	}
	return s.proxy.o.Limits.MessageSize
}

// transactionID names one transaction in the log and in its Received line.
func (s *session) transactionID() string { return fmt.Sprintf("%s.%d", s.id, s.mails) }
