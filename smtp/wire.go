package smtp

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

const (
	idleBuffer  = 1 << 10  // what a connection that says nothing holds
	maxLine     = 8 << 10  // longest command line, CRLF included (RFC 5321 asks 512; DSN and AUTH need more)
	maxAuthLine = 16 << 10 // longest line inside AUTH (RFC 4954, section 4: 12288)
	dataBuffer  = 64 << 10 // one read while a message comes in
	readsToEnd  = time.Second
)

// dataBuffers lends read buffers to connections that are receiving a message.
type dataBuffers struct{ pool sync.Pool }

func (d *dataBuffers) get() []byte {
	if b, ok := d.pool.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, dataBuffer)
}

func (d *dataBuffers) put(b []byte) { d.pool.Put(&b) }

var errLineTooLong = errors.New("command line is too long")

// wire is the client's connection: lines and octets in, replies out. Its first
// read error is kept for ever, so that after a broken transfer nothing that
// arrives later can be taken for a command.
type wire struct {
	conn net.Conn
	buf  []byte // bytes read; those from r to w were not consumed yet
	r, w int
	out  []byte // replies that wait for flush
	err  error  // first error of reading or writing; final

	// deadline sets the read deadline before each read that may block. It may
	// refuse (the relay is stopping).
	deadline func() error
	// writing is how long the client may take to accept our replies.
	writing time.Duration
}

func newWire(conn net.Conn, writing time.Duration) *wire {
	return &wire{conn: conn, writing: writing}
}

// buffered returns what was read and not consumed.
func (c *wire) buffered() []byte { return c.buf[c.r:c.w] }

// fill reads more bytes behind those that were not consumed. Replies that wait
// are sent first: the client may be waiting for them (RFC 2920, section 3.2).
func (c *wire) fill() error {
	if c.err != nil {
		return c.err
	}
	if err := c.flush(); err != nil {
		return err
	}
	c.makeRoom()
	if c.deadline != nil {
		if err := c.deadline(); err != nil {
			return err
		}
	}
	n, err := c.conn.Read(c.buf[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	c.err = err
	return err
}

// makeRoom moves the rest to the front, gives up a large buffer that is empty,
// and grows a full one.
func (c *wire) makeRoom() {
	if c.r == c.w {
		c.r, c.w = 0, 0
		if len(c.buf) != idleBuffer && len(c.buf) != dataBuffer {
			c.buf = make([]byte, idleBuffer)
		}
		return
	}
	if c.r > 0 {
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
	if c.w == len(c.buf) {
		bigger := make([]byte, 2*len(c.buf))
		copy(bigger, c.buf)
		c.buf = bigger
	}
}

// readLine returns the next line without its end. CRLF and a lone LF end a
// command; the line is valid until the next call.
func (c *wire) readLine(limit int) ([]byte, error) {
	seen := 0
	for {
		if i := bytes.IndexByte(c.buf[c.r+seen:c.w], '\n'); i >= 0 {
			if seen+i >= limit {
				return nil, errLineTooLong
			}
			line := c.buf[c.r : c.r+seen+i]
			c.r += seen + i + 1
			return bytes.TrimSuffix(line, []byte{'\r'}), nil
		}
		if seen = c.w - c.r; seen >= limit {
			return nil, errLineTooLong
		}
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
}

// lendBuffer makes reads large while a message comes in; takeBack ends that.
func (c *wire) lendBuffer(b []byte) {
	if len(c.buffered()) > len(b) {
		return // pipelined beyond the buffer's size: the own one is larger already
	}
	n := copy(b, c.buffered())
	c.buf, c.r, c.w = b, 0, n
}

// takeBack returns the lent buffer b, keeping what was not consumed.
func (c *wire) takeBack(b []byte) {
	if len(c.buf) == 0 || &c.buf[0] != &b[0] {
		return
	}
	rest := c.buffered()
	own := make([]byte, max(idleBuffer, len(rest)))
	n := copy(own, rest)
	c.buf, c.r, c.w = own, 0, n
}

// reply queues a reply.
func (c *wire) reply(r Reply) { c.out = r.append(c.out) }

// flush sends the queued replies.
func (c *wire) flush() error {
	if len(c.out) == 0 {
		return c.err
	}
	if err := c.conn.SetWriteDeadline(time.Now().Add(c.writing)); err != nil {
		c.err = err
		return err
	}
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	if cap(c.out) > 4*idleBuffer {
		c.out = nil
	}
	if err != nil && c.err == nil {
		c.err = err
	}
	return c.err
}

// discardPlaintext forgets what came in before the TLS handshake and changes to
// the encrypted connection (RFC 3207, section 5: injected commands).
func (c *wire) discardPlaintext(encrypted net.Conn) {
	c.conn, c.r, c.w = encrypted, 0, 0
}

// close ends the connection so that the last reply arrives: a close with unread
// input would send a reset, and that can overtake the reply. Bounded in time and
// bytes.
func (c *wire) close() {
	_ = c.flush() // the client may be gone: nothing to do about it
	defer c.conn.Close()
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok || c.err != nil || half.CloseWrite() != nil {
		return
	}
	if c.conn.SetReadDeadline(time.Now().Add(readsToEnd)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, c.conn, 4*dataBuffer)
}
