package smtp

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
)

// transferBuffer is how much of a message goes into one write.
const transferBuffer = 64 << 10

// afterBreak is how long an answer may take after the line broke in the middle
// of a message: if the server refused first, its words are on their way.
const afterBreak = time.Second

// errInterrupted stops a transfer that was answered before its end.
var errInterrupted = errors.New("answered before the end")

// transfer is the sending of one message. While it writes, it listens: a server
// that refuses in the middle, and then reads no more, is heard (RFC 5321 has no
// such reply, servers do). The end of the message is set free by one write, in finish,
// and only after the content was whole.
type transfer struct {
	ctx context.Context
	c   *conversation
	err error // first error of writing

	answers     chan answer // nil as long as nobody listens
	ended       atomic.Bool // the end of the message may be on its way
	interrupted atomic.Bool // answered, or lost, while we wrote
}

// answer is a reply, or why there is none.
type answer struct {
	reply Reply
	err   error
	early bool // it came before the end of the message was sent
}

// Write sends a part of the message that is not its end.
func (t *transfer) Write(p []byte) (int, error) {
	if t.answers == nil {
		t.answers = make(chan answer, 1)
		if err := t.c.conn.SetReadDeadline(until(t.ctx, t.c.timeouts.Data)); err != nil {
			t.err = err
			return 0, err
		}
		go t.listen()
	}
	return t.write(p)
}

func (t *transfer) write(p []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	n := 0
	if t.err = t.c.conn.SetWriteDeadline(until(t.ctx, t.c.timeouts.Block)); t.err != nil {
		return 0, t.err
	}
	if t.interrupted.Load() { // looked at after the deadline was set: see listen
		t.err = errInterrupted
		return 0, t.err
	}
	n, t.err = t.c.conn.Write(p)
	if t.err != nil && t.interrupted.Load() && !t.ended.Load() {
		t.err = errInterrupted // the answer says more than the broken write
	}
	return n, t.err
}

// listen waits for the answer while the message is being written, and stops
// the writing, even in the middle of a write, when one comes.
func (t *transfer) listen() {
	r, err := readReply(t.c.in)
	a := answer{r, err, !t.ended.Load()}
	if a.early || err != nil || r.Class() != 2 {
		t.interrupted.Store(true)
		_ = t.c.conn.SetWriteDeadline(time.Unix(1, 0)) // a closed connection writes no more either
	}
	t.answers <- a
}

// answer waits for the reply, for as long as within.
func (t *transfer) answer(within time.Duration) answer {
	if err := t.c.conn.SetReadDeadline(until(t.ctx, within)); err != nil && t.answers == nil {
		return answer{err: err}
	}
	if t.answers == nil {
		r, err := readReply(t.c.in)
		return answer{reply: r, err: err}
	}
	a := <-t.answers
	t.answers = nil
	return a
}

// data sends the message by DATA after its 354. A last CRLF is added if the
// message has none.
func (c *conversation) data(ctx context.Context, m Content, buf []byte) (Reply, error) {
	t := &transfer{ctx: ctx, c: c}
	w := newDotWriter(t, buf)
	if err := t.fill(w, m, &w.n); err != nil {
		return t.torn(err)
	}
	end, err := w.end()
	if err != nil {
		return t.torn(err)
	}
	return t.finish(end)
}

// fill writes the message, all of it or with an error.
func (t *transfer) fill(w interface{ Write([]byte) (int, error) }, m Content, written *int64) error {
	_, err := m.WriteTo(w)
	switch {
	case t.err != nil:
		return t.err
	case errors.Is(err, errBareNewline):
		return errBareNewline
	case err != nil:
		return fmt.Errorf("%w: %w", errContent, err)
	case *written != m.Size():
		return fmt.Errorf("%w: it has %d octets instead of %d", errContent, *written, m.Size())
	}
	return nil
}

// torn ends a transfer whose end was not sent. The connection is closed, which
// is the only way to take a message back. If the server refused meanwhile, that
// is the answer.
func (t *transfer) torn(err error) (Reply, error) {
	if t.err == nil { // our own trouble: the line is good, and nobody may listen any more
		t.c.spoil(err)
		if t.answers != nil {
			t.answer(afterBreak)
		}
		return Reply{}, t.failure(err, err)
	}
	a := t.answer(afterBreak)
	t.c.spoil(err)
	switch {
	case a.err == nil && (a.reply.Class() == 4 || a.reply.Class() == 5):
		return a.reply, nil
	case a.err == nil: // 2xx for half a message
		return Reply{}, t.failure(errNonsense, nil)
	case errors.Is(err, errInterrupted):
		err = a.err
	}
	return Reply{}, t.failure(classOf(t.ctx, err), err)
}

func (t *transfer) failure(class, cause error) error {
	if class == cause {
		cause = nil
	}
	return &UpstreamError{Server: t.c.server.String(), Step: "message", Class: class, Cause: cause}
}

// finish sends the end of the message and waits for the reply. From here on
// only a reply tells what became of the message.
func (t *transfer) finish(end []byte) (Reply, error) {
	t.ended.Store(true)
	within := t.c.timeouts.FinalDot
	switch _, err := t.write(end); {
	case errors.Is(err, errInterrupted): // before a single octet of the end was written
		return t.torn(err)
	case err != nil:
		within = afterBreak
	}
	return t.outcome(t.answer(within))
}

// outcome judges the reply to a message whose end was sent.
func (t *transfer) outcome(a answer) (Reply, error) {
	refused := a.err == nil && (a.reply.Class() == 4 || a.reply.Class() == 5)
	accepted := a.err == nil && a.reply.Class() == 2 && !a.early && t.err == nil
	if !accepted && (!refused || t.err != nil || a.early) || a.reply.Code == 421 {
		t.c.spoil(errOutcomeUnknown)
	}
	if accepted || refused {
		return a.reply, nil
	}
	cause := a.err
	if cause == nil {
		cause = errNonsense
	}
	if t.err != nil {
		cause = t.err
	}
	return Reply{}, t.failure(errOutcomeUnknown, cause)
}

// chunks sends the message, to the octet, by BDAT (RFC 3030). Its octets go as a
// chunk that is not the last one: there are servers that take a torn last chunk
// for the whole, and none that takes anything before "BDAT 0 LAST".
func (c *conversation) chunks(ctx context.Context, m Content, buf []byte) (Reply, error) {
	t := &transfer{ctx: ctx, c: c}
	w := &chunkWriter{t: t, buf: buf[:0]}
	w.put([]byte("BDAT " + strconv.FormatInt(m.Size(), 10) + "\r\n"))
	if err := t.fill(w, m, &w.n); err != nil {
		return t.torn(err)
	}
	const last = "BDAT 0 LAST\r\n"
	if c.offers("PIPELINING") {
		w.buf = append(w.buf, last...)
	}
	t.ended.Store(true)
	within := c.timeouts.FinalDot
	switch _, err := t.write(w.buf); {
	case errors.Is(err, errInterrupted):
		return t.torn(err)
	case err != nil:
		within = afterBreak
	}
	a := t.answer(within)
	if a.err != nil || a.reply.Class() != 2 || a.early || t.err != nil {
		r, err := t.outcome(a)
		c.spoil(errOutcomeUnknown) // an answer to the last chunk may follow
		return r, err
	}
	if !c.offers("PIPELINING") {
		return t.finish([]byte(last))
	}
	return t.outcome(t.answer(within))
}

// chunkWriter gathers octets for large writes.
type chunkWriter struct {
	t   *transfer
	buf []byte
	n   int64 // octets of the message
}

func (w *chunkWriter) Write(p []byte) (int, error) {
	if err := w.put(p); err != nil {
		return 0, err
	}
	w.n += int64(len(p))
	return len(p), nil
}

func (w *chunkWriter) put(p []byte) error {
	full := cap(w.buf) - len("BDAT 0 LAST\r\n")
	for len(p) > 0 {
		if len(w.buf) == full {
			if _, err := w.t.Write(w.buf); err != nil {
				return err
			}
			w.buf = w.buf[:0]
		}
		n := copy(w.buf[len(w.buf):full], p)
		w.buf = w.buf[:len(w.buf)+n]
		p = p[n:]
	}
	return nil
}
