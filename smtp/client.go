package smtp

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// UpstreamTimeouts bound each step; a zero takes the default in brackets. RFC 5321, section
// 4.5.3.2 asks for minutes, but our own client waits meanwhile: Postfix gives a
// before-queue proxy 100 s.
type UpstreamTimeouts struct {
	Dial     time.Duration // TCP connection to one server [10 s]
	TLS      time.Duration // handshake [15 s]
	Greeting time.Duration // [30 s]
	Command  time.Duration // EHLO, AUTH, MAIL, RCPT, RSET, and DATA up to 354 [40 s]
	Block    time.Duration // for the server to take the next octets of a message [40 s]
	FinalDot time.Duration // from the end of the message to its reply [80 s]
	Begin    time.Duration // all of Begin: waiting for a place, all servers, MAIL [60 s]
	Data     time.Duration // all of Data [10 min]
}

func (t UpstreamTimeouts) withDefaults() UpstreamTimeouts {
	t.Dial = or(t.Dial, 10*time.Second)
	t.TLS = or(t.TLS, 15*time.Second)
	t.Greeting = or(t.Greeting, 30*time.Second)
	t.Command = or(t.Command, 40*time.Second)
	t.Block = or(t.Block, 40*time.Second)
	t.FinalDot = or(t.FinalDot, 80*time.Second)
	t.Begin = or(t.Begin, 60*time.Second)
	t.Data = or(t.Data, 10*time.Minute)
	return t
}

// conversation is one connection to a server. It is a line of commands and
// replies that either is in step or is over: after any doubt it is closed, and
// never mended by RSET or QUIT, which within DATA would complete a torn message.
// Not for concurrent use, but for cut.
type conversation struct {
	server   Server
	index    int      // of server among the Upstream's
	raw      net.Conn // below TLS; never changes
	conn     net.Conn // TLS once that is up
	in       *bufio.Reader
	timeouts UpstreamTimeouts

	extensions Extensions // as announced in the last EHLO, STARTTLS and AUTH left out
	mechanisms []string   // of AUTH, upper case; nil if AUTH is not offered
	secure     *tls.ConnectionState
	startTLS   bool        // STARTTLS was announced
	messages   int         // transactions begun
	over       bool        // closed; nothing more is said or read
	private    bool        // a client logged in on it: never pooled
	parked     *time.Timer // ends the time in the pool; nil in use
}

// offers tells whether the server announced an extension.
func (c *conversation) offers(keyword string) bool {
	if keyword == "AUTH" {
		return c.mechanisms != nil
	}
	_, found := c.extensions[keyword]
	return found
}

// mostMessages is how many messages the server takes on one connection (RFC 9422,
// section 4.2), or most.
func (c *conversation) mostMessages(most int) int {
	n, err := strconv.Atoi(limitIn(c.extensions["LIMITS"], "MAILMAX"))
	if err != nil {
		return most
	}
	return min(n, most)
}

// cut closes the connection at once. It may be called from any goroutine.
func (c *conversation) cut() { c.raw.Close() }

// leave ends an idle conversation politely; the answer to QUIT is not awaited.
// Only for one with no message under way.
func (c *conversation) leave() {
	if c.over {
		return
	}
	c.over = true
	if c.conn.SetDeadline(time.Now().Add(time.Second)) == nil {
		_, _ = io.WriteString(c.conn, "QUIT\r\n") // nobody is left to care
	}
	c.conn.Close() // through TLS, which says goodbye too
	c.cut()
}

// guard bounds what follows by ctx: when it ends, the connection is cut. Call
// the returned function when done.
func (c *conversation) guard(ctx context.Context) (release func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	stop := context.AfterFunc(ctx, c.cut)
	return func() { stop() }
}

// until is the deadline for a step that may take d.
func until(ctx context.Context, d time.Duration) time.Time {
	t := time.Now().Add(d)
	if limit, set := ctx.Deadline(); set && limit.Before(t) {
		return limit
	}
	return t
}

// say sends lines, without their CRLF, in one write.
func (c *conversation) say(ctx context.Context, within time.Duration, lines ...string) error {
	if c.over {
		return net.ErrClosed
	}
	if c.in.Buffered() > 0 { // an answer to a question that was not asked
		return c.spoil(errMalformed)
	}
	if err := c.conn.SetWriteDeadline(until(ctx, within)); err != nil {
		return c.spoil(err)
	}
	if _, err := io.WriteString(c.conn, strings.Join(lines, "\r\n")+"\r\n"); err != nil {
		return c.spoil(err)
	}
	return nil
}

// listen reads one reply.
func (c *conversation) listen(ctx context.Context, within time.Duration) (Reply, error) {
	if c.over {
		return Reply{}, net.ErrClosed
	}
	if err := c.conn.SetReadDeadline(until(ctx, within)); err != nil {
		return Reply{}, c.spoil(err)
	}
	r, err := readReply(c.in)
	if err != nil {
		return Reply{}, c.spoil(err)
	}
	if r.Code == 421 { // the server is closing the connection (RFC 5321, section 3.8)
		c.over = true
		c.cut()
	}
	return r, nil
}

// ask sends a command and reads its reply.
func (c *conversation) ask(ctx context.Context, command string) (Reply, error) {
	if err := c.say(ctx, c.timeouts.Command, command); err != nil {
		return Reply{}, err
	}
	return c.listen(ctx, c.timeouts.Command)
}

// spoil closes the conversation because of err, which it returns.
func (c *conversation) spoil(err error) error {
	c.over = true
	c.cut()
	return err
}

// open brings a new connection to the point where MAIL may follow: greeting,
// EHLO, STARTTLS, EHLO again, AUTH.
func (c *conversation) open(ctx context.Context, o *UpstreamOptions) error {
	if c.server.Security == ImplicitTLS {
		if err := c.encrypt(ctx, o); err != nil {
			return c.fail("TLS", err)
		}
	}
	if err := expect(c.listen(ctx, c.timeouts.Greeting)); err != nil {
		return c.fail("greeting", err)
	}
	if err := c.hello(ctx, o.Hostname); err != nil {
		return c.fail("EHLO", err)
	}
	if c.server.Security == VerifiedSTARTTLS {
		if err := c.upgrade(ctx, o); err != nil {
			return c.fail("STARTTLS", err)
		}
		if err := c.hello(ctx, o.Hostname); err != nil {
			return c.fail("EHLO", err)
		}
	}
	if o.Auth != nil {
		if err := c.logIn(ctx, o.Auth); err != nil {
			return c.fail("AUTH", err)
		}
	}
	return nil
}

// expect makes a refusal an error.
func expect(r Reply, err error) error {
	if err == nil && r.Class() != 2 {
		return &ReplyError{r}
	}
	return err
}

// fail closes a conversation that never came to MAIL, and says what class of
// trouble that is.
func (c *conversation) fail(step string, err error) error {
	c.over = true
	c.cut()
	class := errUnreachable
	var op *net.OpError
	switch {
	case errors.Is(err, errUntrusted), errors.As(err, &op) && op.Op == "remote error": // TLS 1.3 tells late that our certificate is refused
		class = errUntrusted
	case errors.Is(err, errRefusedLogin):
		class = errRefusedLogin
	}
	return &UpstreamError{Server: c.server.String(), Step: step, Class: class, Cause: err}
}

// hello says EHLO and notes what the server offers. A server that knows no
// EHLO gets HELO, unless TLS or a login is needed (RFC 5321, section 3.2).
func (c *conversation) hello(ctx context.Context, name string) error {
	r, err := c.ask(ctx, "EHLO "+name)
	if err == nil && r.Class() == 5 && c.server.Security == Plaintext {
		r, err = c.ask(ctx, "HELO "+name)
		r.Lines = r.Lines[:min(1, len(r.Lines))]
	}
	if err := expect(r, err); err != nil {
		return err
	}
	c.extensions, c.mechanisms, c.startTLS = readExtensions(r)
	if c.secure == nil { // RFC 8689, section 2: it means nothing in clear
		delete(c.extensions, "REQUIRETLS")
	}
	return nil
}

// readExtensions reads the lines of an EHLO reply behind the first. Keywords are
// case-blind; "AUTH=PLAIN" is an old spelling of "AUTH PLAIN".
func readExtensions(r Reply) (e Extensions, mechanisms []string, startTLS bool) {
	e = make(Extensions)
	for i, line := range r.Lines {
		if i == 0 {
			continue
		}
		if len(line) > 5 && strings.EqualFold(line[:5], "AUTH=") {
			line = "AUTH " + line[5:]
		}
		keyword, params, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch keyword = strings.ToUpper(keyword); keyword {
		case "":
		case "STARTTLS":
			startTLS = true
		case "AUTH":
			mechanisms = append(mechanisms, strings.Fields(strings.ToUpper(params))...)
		default:
			e[keyword] = strings.TrimSpace(params)
		}
	}
	return e, mechanisms, startTLS
}

// upgrade does STARTTLS (RFC 3207). What the server said in plaintext counts no
// more, and nothing it said behind its 220 is read as if it came through TLS.
func (c *conversation) upgrade(ctx context.Context, o *UpstreamOptions) error {
	if !c.startTLS {
		return untrusted{errors.New("STARTTLS is not offered; smtp+insecure:// would do without")}
	}
	r, err := c.ask(ctx, "STARTTLS")
	if err != nil {
		return err
	}
	if r.Code != 220 {
		return untrusted{&ReplyError{r}}
	}
	if c.in.Buffered() > 0 {
		return untrusted{errors.New("octets before the handshake")}
	}
	return c.encrypt(ctx, o)
}

// encrypt does the handshake and verifies the certificate for the server's name.
func (c *conversation) encrypt(ctx context.Context, o *UpstreamOptions) error {
	encrypted := tls.Client(c.conn, o.tlsConfig(c.server))
	if err := c.conn.SetDeadline(until(ctx, c.timeouts.TLS)); err != nil {
		return err
	}
	if err := encrypted.HandshakeContext(ctx); err != nil {
		var op *net.OpError
		if errors.Is(err, io.EOF) || ctx.Err() != nil || errors.As(err, &op) && (op.Op == "read" || op.Op == "write") {
			return err // the line, not the certificate
		}
		return untrusted{err}
	}
	state := encrypted.ConnectionState()
	c.secure = &state
	c.conn = encrypted
	c.in.Reset(encrypted)
	return nil
}

// untrusted marks an error as one of verification.
type untrusted struct{ error }

func (u untrusted) Unwrap() error        { return u.error }
func (u untrusted) Is(target error) bool { return target == errUntrusted }
