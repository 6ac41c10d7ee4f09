package smtp

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"log/slog"
	"strings"
	"time"
)

// startTLS changes to TLS. Whatever came in behind the command before the
// handshake is forgotten, and a handshake that fails ends the connection.
func (s *session) startTLS(arg string) {
	switch {
	case s.proxy.o.TLS == nil || s.encrypted:
		s.wrong(503, "5.5.1 TLS is not offered")
		return
	case strings.TrimSpace(arg) != "":
		s.wrong(501, "5.5.4 STARTTLS has no argument")
		return
	}
	s.reset()
	s.say(220, "2.0.0 Ready to start TLS")
	if s.wire.flush() != nil {
		s.closing = true
		return
	}
	conn := tls.Server(s.wire.conn, s.proxy.o.TLS)
	s.mu.Lock() // interrupt uses the connection
	s.wire.discardPlaintext(conn)
	s.mu.Unlock()
	if !s.handshake(conn) {
		s.closing = true
	}
}

// handshake runs the TLS handshake. RFC 3207, section 4.2: all that was known of
// the client before it is forgotten.
func (s *session) handshake(conn *tls.Conn) bool {
	ctx, cancel := context.WithTimeout(s.hard, s.proxy.o.Timeouts.Handshake)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		s.log.Info("TLS handshake failed", slog.Any("err", err))
		s.wire.err = err // nothing may be read or said in plain text any more
		s.wire.out = nil
		return false
	}
	s.dropOwn()
	s.encrypted, s.helo, s.esmtp, s.offered, s.client.user = true, "", false, nil, ""
	if chains := conn.ConnectionState().VerifiedChains; len(chains) > 0 {
		s.client.names, s.client.certified = chains[0][0].DNSNames, true
	}
	return true
}

// certificateMissing tells whether the client came through a door that asks for
// a certificate and has shown none that is believed.
func (s *session) certificateMissing() bool { return s.door.Certified && !s.client.certified }

// mayLogIn: only under TLS, where users exist, and once.
func (s *session) mayLogIn() bool {
	return s.encrypted && s.client.user == "" && !s.certificateMissing() && len(s.proxy.directory.Load().users) > 0
}

// mechanisms are those of AUTH that are offered now.
func (s *session) mechanisms() []string {
	if c := s.passing(); c != nil {
		return s.passMechanisms(c)
	}
	if s.mayLogIn() {
		return []string{"PLAIN", "LOGIN"}
	}
	return nil
}

// auth logs a client in (RFC 4954).
func (s *session) auth(arg string) {
	passing := s.passing()
	switch {
	case !s.esmtp:
		s.wrong(503, "5.5.1 EHLO first")
		return
	case s.mail != nil || s.loggedIn():
		s.wrong(503, "5.5.1 Not now")
		return
	case passing != nil && (s.encrypted || s.client.addr.IsLoopback()):
		s.passAuth(passing, arg)
		return
	case passing != nil && s.proxy.o.TLS != nil:
		s.wrong(538, "5.7.11 Encryption required")
		return
	case !s.encrypted && s.proxy.o.TLS != nil && len(s.proxy.directory.Load().users) > 0:
		s.wrong(538, "5.7.11 Encryption required")
		return
	case !s.mayLogIn():
		s.wrong(502, "5.5.1 Authentication is not offered")
		return
	}
	mechanism, initial, given := strings.Cut(strings.TrimSpace(arg), " ")
	var name, password string
	var ok bool
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		name, password, ok = s.plain(initial, given)
	case "LOGIN":
		name, password, ok = s.login(initial, given)
	default:
		s.wrong(504, "5.5.4 Mechanism not supported")
		return
	}
	if ok {
		s.checkLogin(name, password)
	}
}

// plain is RFC 4616: authorisation identity, name, password.
func (s *session) plain(initial string, given bool) (name, password string, ok bool) {
	text, ok := initial, true
	if given {
		text, ok = s.decoded(initial)
	} else {
		text, ok = s.challenge("")
	}
	if !ok {
		return "", "", false
	}
	words := strings.Split(text, "\x00")
	if len(words) != 3 || words[0] != "" && words[0] != words[1] {
		s.wrong(501, "5.5.2 Malformed credentials")
		return "", "", false
	}
	return words[1], words[2], true
}

// login is the mechanism that never became a standard, as Outlook and most job
// systems speak it.
func (s *session) login(initial string, given bool) (name, password string, ok bool) {
	if given {
		name, ok = s.decoded(initial)
	} else {
		name, ok = s.challenge("Username:")
	}
	if !ok {
		return "", "", false
	}
	password, ok = s.challenge("Password:")
	return name, password, ok
}

// challenge asks and waits for one line of base64. It has answered when ok is
// false.
func (s *session) challenge(text string) (response string, ok bool) {
	s.say(334, base64.StdEncoding.EncodeToString([]byte(text)))
	s.commandBy = time.Now().Add(s.proxy.o.Timeouts.Command)
	line, err := s.wire.readLine(maxAuthLine)
	if err != nil {
		s.parting(err)
		s.closing = true
		return "", false
	}
	return s.decoded(string(line))
}

func (s *session) decoded(word string) (string, bool) {
	switch word {
	case "*":
		s.wrong(501, "5.7.0 Authentication cancelled")
		return "", false
	case "=": // RFC 4954, section 4: an empty initial response
		return "", true
	}
	b, err := base64.StdEncoding.DecodeString(word)
	if err != nil {
		s.wrong(501, "5.5.2 Not base64")
		return "", false
	}
	return string(b), true
}

// checkLogin compares name and password, and does not tell which was wrong.
func (s *session) checkLogin(name, password string) {
	if s.proxy.rightPassword(s.hard, name, password) {
		s.client.user = name
		s.say(235, "2.7.0 Authentication successful")
		return
	}
	s.loginFailed(wrongLogin())
}

// loginFailed answers a login that was refused, by us or by the upstream. It
// costs time, more each time, and the connection at last.
func (s *session) loginFailed(reply Reply) {
	s.proxy.metrics.loginsFailed.Inc()
	s.log.Warn("login failed")
	pause := time.NewTimer(s.proxy.o.Timeouts.AuthDelay << s.authFailures)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-s.serve.Done():
	}
	s.authFailures++
	if s.authFailures >= s.proxy.o.Limits.AuthFailures {
		s.close(421, "4.7.0 Too many failed logins")
		return
	}
	s.errors++
	s.answer(reply)
}
