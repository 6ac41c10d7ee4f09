package smtp

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// maxCommand is the longest MAIL or RCPT that is sent.
const maxCommand = 8 << 10

// exchange is one mail transaction with a server. Until the message is on its
// way, a lost connection is replaced once: what was said is said again to a new
// one, and only if it is answered as before does the transaction go on.
type exchange struct {
	u    *Upstream
	c    *conversation // nil once there is none
	mail envelopeLine
	to   []envelopeLine // accepted recipients

	replayed bool
	over     bool // the message was answered, or torn
}

// envelopeLine is the argument of MAIL or RCPT, as the client wrote it, and the
// code it was answered with.
type envelopeLine struct {
	path, params string // "<a@b>", "SIZE=1 BODY=8BITMIME"
	code         int
}

func (l envelopeLine) command(verb string) string {
	if l.params == "" {
		return verb + l.path
	}
	return verb + l.path + " " + l.params
}

// check refuses what could break out of its command.
func (l envelopeLine) check() error {
	if len(l.path) < 2 || l.path[0] != '<' || strings.IndexByte(l.path, '>') != len(l.path)-1 || strings.LastIndexByte(l.path, '<') != 0 {
		return errBadPath
	}
	for _, s := range []string{l.path, l.params} {
		if strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 {
			return errBadOption
		}
	}
	if len(l.path)+len(l.params) > maxCommand {
		return errLongPath
	}
	return nil
}

// fit brings the parameters in line with what the server offers. SIZE, AUTH and
// BODY=7BIT speak to the next server alone and say nothing to one that does not
// know them (RFC 1870, section 5; RFC 4954, section 5; RFC 6152, section 2): they
// are left out. Every other parameter is a wish about the message, and no server that
// cannot grant it gets the message.
func (l envelopeLine) fit(c *conversation) (envelopeLine, error) {
	var kept []string
	for _, word := range strings.Fields(l.params) {
		extension, optional := extensionOf(word)
		if extension == "" || c.offers(extension) {
			kept = append(kept, word)
		} else if !optional {
			return l, &UpstreamError{Server: c.server.String(), Step: "envelope",
				Class: &MissingExtensionError{extension}}
		}
	}
	if len(kept) < len(strings.Fields(l.params)) {
		l.params = strings.Join(kept, " ")
	}
	return l, nil
}

// extensionOf names the extension that a parameter belongs to; "" if it is none
// we know, which the server may judge. optional ones may be left out.
func extensionOf(word string) (extension string, optional bool) {
	keyword, value, _ := strings.Cut(word, "=")
	switch strings.ToUpper(keyword) {
	case "SIZE":
		return "SIZE", true
	case "AUTH":
		return "AUTH", true
	case "BODY":
		switch strings.ToUpper(value) {
		case "7BIT":
			return "8BITMIME", true
		case "BINARYMIME":
			return "BINARYMIME", false
		}
		return "8BITMIME", false
	case "SMTPUTF8":
		return "SMTPUTF8", false
	case "RET", "ENVID", "NOTIFY", "ORCPT":
		return "DSN", false
	case "BY":
		return "DELIVERBY", false
	case "MT-PRIORITY":
		return "MT-PRIORITY", false
	case "RRVS":
		return "RRVS", false
	case "REQUIRETLS":
		return "REQUIRETLS", false
	}
	return "", false
}

// Begin is BeginAll without recipients.
func (u *Upstream) Begin(ctx context.Context, path, params string) (transaction, Reply, error) {
	x, r, _, err := u.BeginAll(ctx, envelopeLine{path: path, params: params}, nil)
	return x, r, err
}

// BeginAll implements upstream.
func (u *Upstream) BeginAll(ctx context.Context, mail envelopeLine, to []envelopeLine) (transaction, Reply, []Reply, error) {
	for _, line := range append([]envelopeLine{mail}, to...) {
		if err := line.check(); err != nil {
			return nil, Reply{}, nil, fmt.Errorf("check envelope: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, u.o.Timeouts.Begin)
	defer cancel()
	if err := u.enter(ctx); err != nil {
		return nil, Reply{}, nil, err
	}
	x := &exchange{u: u, mail: mail}
	r, answers, err := x.begin(ctx, to)
	if isMissing(err) && x.c != nil && len(to) > 0 { // one recipient's wish, maybe: it shall hear so itself
		r, answers, err = x.again(ctx)
	}
	if err != nil {
		x.End()
		return nil, Reply{}, nil, err
	}
	x.accepted(to, answers)
	return x, r, answers, nil
}

// again says MAIL alone on a connection on which nothing was said so far.
func (x *exchange) again(ctx context.Context) (Reply, []Reply, error) {
	r, _, err := x.c.envelope(ctx, x.mail, nil)
	x.mail.code = r.Code
	return r, nil, err
}

// accepted notes the recipients that the server took.
func (x *exchange) accepted(to []envelopeLine, answers []Reply) {
	for i, a := range answers {
		if a.Class() == 2 {
			line := to[i]
			line.code = a.Code
			x.to = append(x.to, line)
		}
	}
}

// begin says the envelope to the first server that answers. A connection out of
// the pool that turns out dead is replaced by a new one to the same server; a
// new one that fails makes way for the next server.
func (x *exchange) begin(ctx context.Context, to []envelopeLine) (Reply, []Reply, error) {
	var problems []error
	var parting Reply // 421
	for from, fresh := 0, false; from < len(x.u.o.Servers); {
		c, err := x.u.take(ctx, from, fresh)
		if err != nil {
			problems = append(problems, err)
			break
		}
		stale := c.messages > 0
		r, answers, err := c.envelope(ctx, x.mail, to)
		if err == nil && !c.over || isMissing(err) {
			x.c, x.mail.code = c, r.Code
			x.u.breakers[c.index].succeeded()
			return r, answers, err
		}
		if stale {
			x.u.forgetIdle(c.index)
			fresh = true
		} else {
			from = c.index + 1
			x.u.failed(ctx, c.index)
			if err != nil {
				problems = append(problems, err)
			}
			parting = r
		}
		x.u.park(c)
		if ctx.Err() != nil {
			break
		}
	}
	if parting.Code != 0 { // the last server's own word
		return parting, nil, nil
	}
	return Reply{}, nil, errors.Join(problems...)
}

func isMissing(err error) bool {
	var missing *MissingExtensionError
	return errors.As(err, &missing)
}

// maxBatch is how many commands are sent before their answers are read: so few
// that neither side's buffers fill up.
const maxBatch = 100

// envelope begins a transaction on c, with RSET before it if there was one
// before.
func (c *conversation) envelope(ctx context.Context, mail envelopeLine, to []envelopeLine) (Reply, []Reply, error) {
	commands, err := c.commands(mail, to)
	if err != nil {
		return Reply{}, nil, err
	}
	defer c.guard(ctx)()
	again := c.messages > 0
	c.messages++
	gates := 1
	if again {
		commands, gates = append([]string{"RSET"}, commands...), 2
	}
	answers, err := c.series(ctx, commands, gates)
	if err != nil {
		return Reply{}, nil, err
	}
	if again {
		if err := expect(answers[0], nil); err != nil {
			return Reply{}, nil, c.trouble(ctx, "RSET", c.spoil(err))
		}
		answers = answers[1:]
	}
	switch {
	case answers[0].Class() != 2:
		return answers[0], nil, nil
	case c.over: // 421 to a recipient
		return Reply{}, nil, c.trouble(ctx, "RCPT", &ReplyError{answers[len(answers)-1]})
	}
	return answers[0], answers[1:], nil
}

// commands writes the envelope as the server can take it.
func (c *conversation) commands(mail envelopeLine, to []envelopeLine) ([]string, error) {
	mail, err := mail.fit(c)
	if err != nil {
		return nil, err
	}
	commands := []string{mail.command("MAIL FROM:")}
	for _, line := range to {
		if line, err = line.fit(c); err != nil {
			return nil, err
		}
		commands = append(commands, line.command("RCPT TO:"))
	}
	return commands, nil
}

// series sends commands and reads their answers, many in one round trip if the
// server lets. It goes no further once one of the first answers, as many as
// there are gates, is not 2xx, or the connection is over.
func (c *conversation) series(ctx context.Context, commands []string, gates int) ([]Reply, error) {
	batch := 1
	if c.offers("PIPELINING") {
		batch = maxBatch
	}
	var answers []Reply
	for len(commands) > 0 {
		now := commands[:min(batch, len(commands))]
		commands = commands[len(now):]
		if err := c.say(ctx, c.timeouts.Command, now...); err != nil {
			return nil, c.trouble(ctx, now[0][:4], err)
		}
		for _, command := range now {
			r, err := c.listen(ctx, c.timeouts.Command)
			if err != nil {
				return nil, c.trouble(ctx, command[:4], err)
			}
			answers = append(answers, r)
			if c.over {
				return answers, nil
			}
		}
		for _, r := range answers[:min(gates, len(answers))] {
			if r.Class() != 2 {
				return answers, nil
			}
		}
	}
	return answers, nil
}

// step is ask with errors that have a class.
func (c *conversation) step(ctx context.Context, name, command string) (Reply, error) {
	r, err := c.ask(ctx, command)
	if err != nil {
		return Reply{}, c.trouble(ctx, name, err)
	}
	return r, nil
}

func (c *conversation) trouble(ctx context.Context, step string, err error) error {
	return &UpstreamError{Server: c.server.String(), Step: step, Class: classOf(ctx, err), Cause: err}
}

// Rcpt implements transaction.
func (x *exchange) Rcpt(ctx context.Context, path, params string) (Reply, error) {
	line := envelopeLine{path: path, params: params}
	if err := line.check(); err != nil {
		return Reply{}, fmt.Errorf("check RCPT: %w", err)
	}
	r, err := x.persist(ctx, "RCPT", func(c *conversation) (Reply, error) {
		fitting, err := line.fit(c)
		if err != nil {
			return Reply{}, err
		}
		return c.step(ctx, "RCPT", fitting.command("RCPT TO:"))
	})
	if err == nil && r.Class() == 2 {
		line.code = r.Code
		x.to = append(x.to, line)
	}
	return r, err
}

// persist runs a step that comes before the message. If the connection turns
// out to be gone, the step runs once more on a new one.
func (x *exchange) persist(ctx context.Context, step string, run func(c *conversation) (Reply, error)) (Reply, error) {
	if x.c == nil || x.over {
		return Reply{}, &UpstreamError{Step: step, Class: errLost}
	}
	r, err := x.on(ctx, run)
	if !x.c.over || x.replayed || x.mail.code/100 != 2 || errors.Is(err, errNonsense) || errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return r, err
	}
	if again := x.replay(ctx); again != nil {
		if err == nil { // 421 is the server's own word, and there is none better
			return r, nil
		}
		return Reply{}, fmt.Errorf("%w (%w)", err, again)
	}
	return x.on(ctx, run)
}

func (x *exchange) on(ctx context.Context, run func(c *conversation) (Reply, error)) (Reply, error) {
	if x.c.over {
		return Reply{}, &UpstreamError{Server: x.c.server.String(), Step: "connection", Class: errLost}
	}
	defer x.c.guard(ctx)()
	return run(x.c)
}

// replay brings a new connection to where the lost one was.
func (x *exchange) replay(ctx context.Context) error {
	x.replayed = true
	x.u.forgetIdle(x.c.index)
	ctx, cancel := context.WithTimeout(ctx, x.u.o.Timeouts.Begin)
	defer cancel()
	c, err := x.u.take(ctx, 0, true)
	if err != nil {
		return err
	}
	if err := x.repeat(ctx, c); err != nil {
		if c.over {
			x.u.failed(ctx, c.index)
		} else {
			x.u.breakers[c.index].succeeded()
		}
		x.u.park(c)
		return err
	}
	x.u.breakers[c.index].succeeded()
	x.u.park(x.c)
	x.c = c
	return nil
}

// repeat says MAIL and every accepted RCPT again; each must be answered as before.
func (x *exchange) repeat(ctx context.Context, c *conversation) error {
	r, answers, err := c.envelope(ctx, x.mail, x.to)
	if err != nil {
		return err
	}
	if r.Code != x.mail.code {
		return &UpstreamError{Server: c.server.String(), Step: "MAIL again", Class: errLost, Cause: &ReplyError{r}}
	}
	for i, r := range answers {
		if r.Code != x.to[i].code {
			return &UpstreamError{Server: c.server.String(), Step: "RCPT again", Class: errLost, Cause: &ReplyError{r}}
		}
	}
	return nil
}

// Data implements transaction. By DATA the message gets a last CRLF if it has
// none; by BDAT it goes to the octet. BDAT is used where DATA cannot carry the message:
// with BODY=BINARYMIME, or if a CR or LF in it is not part of CRLF.
func (x *exchange) Data(ctx context.Context, m Content) (Reply, error) {
	if len(x.to) == 0 {
		return Reply{}, &UpstreamError{Step: "DATA", Class: errNonsense, Cause: errors.New("no recipient was accepted")}
	}
	ctx, cancel := context.WithTimeout(ctx, x.u.o.Timeouts.Data)
	defer cancel()
	chunked := x.u.o.PreferChunking || strings.Contains(strings.ToUpper(" "+x.mail.params+" "), " BODY=BINARYMIME ")
	if x.c != nil && chunked && x.c.offers("CHUNKING") {
		return x.chunks(ctx, m)
	}
	r, err := x.persist(ctx, "DATA", func(c *conversation) (Reply, error) { return c.step(ctx, "DATA", "DATA") })
	if err != nil || r.Class() != 3 {
		return x.refusedData(r, err)
	}
	r, err = x.transfer(ctx, m, (*conversation).data)
	if errors.Is(err, errBareNewline) && x.c.offers("CHUNKING") && !x.c.private {
		if again := x.replay(ctx); again != nil {
			return Reply{}, again
		}
		x.over = false
		return x.chunks(ctx, m)
	}
	return r, err
}

// refusedData judges an answer to DATA that is not 354.
func (x *exchange) refusedData(r Reply, err error) (Reply, error) {
	if err != nil {
		return Reply{}, err
	}
	if c := r.Class(); c != 4 && c != 5 {
		x.c.spoil(errMalformed) // it may be waiting for a message now
		return Reply{}, &UpstreamError{Server: x.c.server.String(), Step: "DATA", Class: errNonsense, Cause: &ReplyError{r}}
	}
	return r, nil
}

func (x *exchange) chunks(ctx context.Context, m Content) (Reply, error) {
	if x.c.over {
		return Reply{}, &UpstreamError{Server: x.c.server.String(), Step: "BDAT", Class: errLost}
	}
	return x.transfer(ctx, m, (*conversation).chunks)
}

// transfer sends the message. It happens once: nothing is tried again after the first
// octet, but for a message that was taken back before its end.
func (x *exchange) transfer(ctx context.Context, m Content, send func(*conversation, context.Context, Content, []byte) (Reply, error)) (Reply, error) {
	x.over = true
	buf := x.u.buffer()
	defer x.u.buffers.Put(buf)
	defer x.c.guard(ctx)()
	return send(x.c, ctx, m, *buf)
}

// End implements transaction. What is left of a transaction that was given up
// is cleared by the RSET before the next one.
func (x *exchange) End() {
	if x.c != nil && !x.c.private { // a private one stays with its client
		x.u.park(x.c)
	}
	x.c = nil
	x.u.exit()
}
