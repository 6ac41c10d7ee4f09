package smtptest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// errOver ends a connection; nothing more is said.
var errOver = errors.New("connection is over")

// serving is one connection to an Upstream.
type serving struct {
	u      *Upstream
	raw    net.Conn // below TLS
	conn   net.Conn
	in     *bufio.Reader
	peer   string // name in the client's certificate
	secure bool
	msg    *Message
	body   bytes.Buffer
	size   int64 // octets of the message so far
}

func newServing(u *Upstream, c net.Conn) *serving {
	return &serving{u: u, raw: c, conn: c, in: bufio.NewReaderSize(c, 64<<10)}
}

// run serves until the connection is over. A message that was begun and not
// ended by then is torn.
func (s *serving) run() {
	err := s.open()
	for err == nil {
		var line string
		if line, err = s.in.ReadString('\n'); err == nil {
			line = strings.TrimRight(line, "\r\n")
			s.u.note(func() { s.u.commands = append(s.u.commands, line) })
			err = s.command(line)
		}
	}
	if s.msg != nil && s.size > 0 {
		s.tear()
	}
}

func (s *serving) tear() {
	m := *s.msg
	m.Body = s.body.String()
	s.u.note(func() { s.u.torn = append(s.u.torn, m) })
	s.msg = nil
}

func (s *serving) open() error {
	switch f := s.u.reach(Connect); f.kind {
	case 0:
	case breaksTLS:
		return s.fault(f, "")
	default:
		return s.fault(f, "220 upstream.example ESMTP\r\n")
	}
	if s.u.o.Implicit {
		if err := s.encrypt(); err != nil {
			return err
		}
	}
	return s.step(Greeting, "220 upstream.example ESMTP")
}

func (s *serving) encrypt() error {
	c := tls.Server(s.raw, s.u.o.TLS)
	if err := c.Handshake(); err != nil {
		return err
	}
	if certs := c.ConnectionState().PeerCertificates; len(certs) > 0 {
		s.peer = certs[0].Subject.CommonName
	}
	s.conn, s.in, s.secure = c, bufio.NewReaderSize(c, 64<<10), true
	return nil
}

// step does the duty of a step, which is to say reply, or the fault that is due.
func (s *serving) step(at Step, reply string) error {
	return s.fault(s.u.reach(at), reply)
}

func (s *serving) fault(f Fault, reply string) error {
	switch f.kind {
	case says:
		return s.say(f.text)
	case saysAndHangs:
		if err := s.say(f.text); err != nil {
			return err
		}
		<-s.u.done
		return errOver
	case closes, refuses:
		return errOver
	case resets:
		if tcp, ok := s.raw.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
		s.raw.Close()
		return errOver
	case hangs:
		<-s.u.done
		return errOver
	case garbles:
		_, err := s.conn.Write([]byte("\x00\xff\x80 what is this\r\n"))
		return err
	case breaksTLS:
		if _, err := s.raw.Write([]byte("this is not TLS at all\r\n")); err != nil {
			return err
		}
		return errOver
	case drips:
		return s.drip(reply, f.pause)
	}
	return s.say(reply)
}

func (s *serving) say(text string) error {
	if text == "" {
		return nil
	}
	text = strings.TrimSuffix(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	_, err := io.WriteString(s.conn, strings.ReplaceAll(text, "\n", "\r\n")+"\r\n")
	return err
}

func (s *serving) drip(text string, pause time.Duration) error {
	for _, c := range []byte(strings.ReplaceAll(text, "\n", "\r\n") + "\r\n") {
		wait := time.NewTimer(pause)
		select {
		case <-s.u.done:
			wait.Stop()
			return errOver
		case <-wait.C:
		}
		if _, err := s.conn.Write([]byte{c}); err != nil {
			return err
		}
	}
	return nil
}

func (s *serving) command(line string) error {
	verb, arg, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO":
		s.msg = nil
		return s.step(Hello, s.hello())
	case "HELO":
		return s.step(Hello, "250 upstream.example")
	case "STARTTLS":
		return s.startTLS()
	case "AUTH":
		return s.auth(arg)
	case "MAIL":
		return s.mail(arg)
	case "RCPT":
		return s.rcpt(arg)
	case "DATA":
		return s.data()
	case "BDAT":
		return s.bdat(arg)
	case "RSET":
		s.msg = nil
		return s.step(Reset, "250 2.0.0 Ok")
	case "NOOP":
		return s.say("250 2.0.0 Ok")
	case "QUIT":
		if err := s.step(Quit, "221 2.0.0 Bye"); err != nil {
			return err
		}
		return errOver
	}
	return s.say("500 5.5.1 Command unknown")
}

func (s *serving) hello() string {
	lines := append([]string{"upstream.example"}, s.u.o.Extensions...)
	if s.u.o.TLS != nil && !s.secure {
		lines = append(lines, "STARTTLS")
	}
	if s.u.o.Auth != "" {
		lines = append(lines, "AUTH "+s.u.o.Auth)
	}
	return "250-" + strings.Join(lines[:len(lines)-1], "\n250-") + "\n250 " + lines[len(lines)-1]
}

func (s *serving) startTLS() error {
	if s.u.o.TLS == nil || s.secure {
		return s.say("502 5.5.1 Not now")
	}
	f := s.u.reach(StartTLS)
	if f.kind == breaksTLS {
		if err := s.say("220 2.0.0 Ready"); err != nil {
			return err
		}
		return s.fault(f, "")
	}
	if err := s.fault(f, "220 2.0.0 Ready"); err != nil || f.kind != 0 && f.kind != drips {
		return err
	}
	return s.encrypt()
}

// auth plays the server's side of the mechanisms that a relay may use.
func (s *serving) auth(arg string) error {
	f := s.u.reach(Auth)
	if f.kind != 0 && f.kind != drips {
		return s.fault(f, "")
	}
	mechanism, initial, _ := strings.Cut(arg, " ")
	user, secret, err := s.credentials(strings.ToUpper(mechanism), initial)
	if err != nil {
		return err
	}
	if s.u.o.Login != nil && !s.u.o.Login(strings.ToUpper(mechanism), user, secret) {
		if strings.EqualFold(mechanism, "XOAUTH2") {
			if _, err := s.ask(`{"status":"401"}`); err != nil {
				return err
			}
		}
		return s.say("535 5.7.8 Authentication credentials invalid")
	}
	return s.fault(f, "235 2.7.0 Authentication successful")
}

func (s *serving) credentials(mechanism, initial string) (user, secret string, err error) {
	if mechanism == "LOGIN" {
		if user, err = decoded(initial); initial == "" {
			user, err = s.ask("Username:")
		}
		if err == nil {
			secret, err = s.ask("Password:")
		}
		return user, secret, err
	}
	for mechanism == "ENDLESS" {
		if _, err := s.ask("and then?"); err != nil {
			return "", "", err
		}
	}
	if mechanism == "CRAM-MD5" { // or any other with one question and no first response
		secret, err = s.ask("<1.2@upstream.example>")
		return "", secret, err
	}
	text, err := decoded(initial)
	if err == nil && initial == "" {
		text, err = s.ask("")
	}
	if err != nil {
		return "", "", err
	}
	switch mechanism {
	case "PLAIN":
		if words := strings.Split(text, "\x00"); len(words) == 3 {
			return words[1], words[2], nil
		}
	case "XOAUTH2":
		user, rest, _ := strings.Cut(strings.TrimPrefix(text, "user="), "\x01auth=Bearer ")
		return user, strings.TrimRight(rest, "\x01"), nil
	case "EXTERNAL":
		return text, "", nil
	}
	return "", "", errOver
}

func (s *serving) ask(question string) (string, error) {
	if err := s.say("334 " + base64.StdEncoding.EncodeToString([]byte(question))); err != nil {
		return "", err
	}
	line, err := s.in.ReadString('\n')
	if err != nil {
		return "", err
	}
	return decoded(strings.TrimRight(line, "\r\n"))
}

func decoded(text string) (string, error) {
	if text == "=" {
		return "", nil
	}
	b, err := base64.StdEncoding.DecodeString(text)
	return string(b), err
}

func (s *serving) mail(arg string) error {
	f := s.u.reach(Mail)
	if f.kind == 0 || f.kind == drips || f.kind == says && f.text[0] == '2' {
		s.msg = &Message{Mail: arg, TLS: s.secure, Peer: s.peer}
		s.body.Reset()
		s.size = 0
	}
	return s.fault(f, "250 2.1.0 Sender ok")
}

func (s *serving) rcpt(arg string) error {
	if s.msg == nil {
		return s.say("503 5.5.1 MAIL first")
	}
	f := s.u.reach(Rcpt)
	if f.kind == 0 || f.kind == drips || f.kind == says && f.text[0] == '2' {
		s.msg.Rcpt = append(s.msg.Rcpt, arg)
	}
	return s.fault(f, "250 2.1.5 Recipient ok")
}

func (s *serving) data() error {
	if s.msg == nil || len(s.msg.Rcpt) == 0 {
		return s.say("503 5.5.1 RCPT first")
	}
	f := s.u.reach(Data)
	if err := s.fault(f, "354 Go ahead"); err != nil {
		return err
	}
	if f.kind != 0 && f.kind != drips && f.text[:min(1, len(f.text))] != "3" {
		s.msg = nil
		return nil
	}
	early, err := s.readDots()
	if err != nil || early {
		return err
	}
	return s.keep()
}

// readDots reads up to CRLF.CRLF and nothing else that looks like it. early
// tells that a reply was given before the end.
func (s *serving) readDots() (early bool, err error) {
	lineStart := true
	for {
		line, err := s.in.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return early, err
		}
		if lineStart && string(line) == ".\r\n" {
			return early, nil
		}
		if lineStart && line[0] == '.' {
			line = line[1:]
		}
		lineStart = bytes.HasSuffix(line, []byte("\r\n"))
		replied, err := s.take(line)
		if err != nil {
			return early, err
		}
		early = early || replied
	}
}

// take adds octets to the message and does the faults that are due within it.
func (s *serving) take(p []byte) (replied bool, err error) {
	before := s.size
	s.size += int64(len(p))
	if !s.u.o.Discard {
		s.body.Write(p)
	}
	if before == 0 && s.size > 0 {
		if replied, err = s.within(FirstByte); err != nil {
			return replied, err
		}
	}
	if mid := s.u.o.MidBody; before < mid && s.size >= mid {
		again, err := s.within(MidBody)
		return replied || again, err
	}
	return replied, nil
}

func (s *serving) within(at Step) (replied bool, err error) {
	f := s.u.reach(at)
	if f.kind == 0 || f.kind == drips {
		return false, nil
	}
	return true, s.fault(f, "")
}

// keep ends a whole message.
func (s *serving) keep() error {
	m := *s.msg
	s.msg = nil
	m.Body = s.body.String()
	if f := s.u.reach(FinalDot); f.kind != 0 && f.kind != drips {
		return s.fault(f, "")
	}
	var n int
	s.u.note(func() {
		s.u.messages = append(s.u.messages, m)
		n = len(s.u.messages)
	})
	return s.step(AfterDot, "250 2.0.0 Ok: queued as M"+strconv.Itoa(n))
}

func (s *serving) bdat(arg string) error {
	word, last, _ := strings.Cut(arg, " ")
	size, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		return s.say("501 5.5.4 Malformed BDAT")
	}
	if s.msg == nil || len(s.msg.Rcpt) == 0 {
		if _, err := io.CopyN(io.Discard, s.in, size); err != nil {
			return err
		}
		return s.say("503 5.5.1 RCPT first")
	}
	s.msg.BDAT = true
	early, err := s.readChunk(size)
	if err != nil || early {
		return err
	}
	if strings.EqualFold(last, "LAST") {
		return s.keep()
	}
	return s.say("250 2.0.0 " + word + " octets received")
}

func (s *serving) readChunk(size int64) (early bool, err error) {
	buf := make([]byte, 16<<10)
	for size > 0 {
		n, err := s.in.Read(buf[:min(size, int64(len(buf)))])
		if err != nil {
			return early, err
		}
		size -= int64(n)
		replied, err := s.take(buf[:n])
		if err != nil {
			return early, err
		}
		early = early || replied
	}
	return early, nil
}
