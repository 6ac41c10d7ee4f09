package smtp

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// quietAfterFault is how long a client may be silent once its message is known
// to be bad: it may believe that it has ended the message, as one that sends
// CR . CR does, and waits for the answer.
const quietAfterFault = 5 * time.Second

// newSpool makes the place for one message.
func (s *session) newSpool() *spool {
	return &spool{memory: &s.proxy.memory, window: s.proxy.o.Limits.Window, limit: s.sizeLimit()}
}

func (s *session) newDecoder(raw *spool, dots bool) *decoder {
	d := &decoder{dots: dots, emit: func(run []byte) error {
		_, err := raw.Write(run)
		return err
	}}
	if s.proxy.o.RejectBareLF {
		d.lf = errBareLF
	}
	return d
}

// ready refuses DATA and BDAT where there is nothing to send, or nobody to.
func (s *session) ready() (Reply, bool) {
	switch m := s.mail; {
	case m == nil:
		return say(503, "5.5.1 MAIL first"), false
	case m.broken != nil:
		return replyFor(m.broken), false
	case len(m.recipients) == 0:
		return say(554, "5.5.1 No valid recipients"), false
	}
	return Reply{}, true
}

// data takes one message and carries it upstream.
func (s *session) data(arg string) {
	if strings.TrimSpace(arg) != "" {
		s.wrong(501, "5.5.4 DATA has no argument")
		return
	}
	if r, ok := s.ready(); !ok {
		s.errors++
		s.answer(r)
		return
	}
	if s.mail.chunks != nil { // RFC 3030, section 2
		s.wrong(503, "5.5.1 BDAT was begun")
		return
	}
	s.say(354, "End with CRLF.CRLF")
	s.carry(s.receiveData)
}

// carry runs the line for the message that receive brings. After a torn one the
// session ends without a word more.
func (s *session) carry(receive func() (*spool, error)) {
	m := s.mail
	err := s.proxy.relay(s.hard, &transit{
		mail:    m,
		receive: receive,
		answer: func(r Reply) error {
			s.answer(r)
			return s.wire.flush()
		},
		hop: hop{
			helo: s.helo, client: s.client.addr, hostname: s.proxy.o.Hostname, id: m.id,
			protocol: protocolName(s.esmtp, m.utf8(), s.encrypted, s.loggedIn()),
		},
		log: s.log,
	})
	if err != nil {
		s.closing = true
	}
	s.reset()
}

// receiveData reads a message up to CRLF.CRLF.
func (s *session) receiveData() (*spool, error) {
	raw := s.newSpool()
	if err := s.receiveDots(raw); err != nil {
		raw.Close()
		return nil, err
	}
	return raw, nil
}

func (s *session) receiveDots(raw *spool) error {
	buf := s.proxy.buffers.get()
	defer s.proxy.buffers.put(buf)
	s.wire.lendBuffer(buf)
	defer s.wire.takeBack(buf)
	s.receiving = true
	defer func() { s.receiving = false }()

	d := s.newDecoder(raw, true)
	var seen int64
	for {
		n, end := d.decode(s.wire.buffered())
		s.wire.r += n
		seen += int64(n)
		if end {
			return d.err
		}
		if seen > 2*raw.limit+dataBuffer { // it was told the limit and goes on all the same
			s.closing = true
			return d.err
		}
		if err := s.fillMessage(d.err); err != nil {
			return err
		}
	}
}

// fillMessage reads more octets of a message; fault is what is known to be
// wrong with it.
func (s *session) fillMessage(fault error) error {
	if fault == nil {
		return s.brokenTransfer(s.wire.fill())
	}
	patient := s.wire.deadline
	wait := min(quietAfterFault, s.proxy.o.Timeouts.Data)
	s.wire.deadline = func() error { return s.wire.conn.SetReadDeadline(time.Now().Add(wait)) }
	defer func() { s.wire.deadline = patient }()
	err := s.wire.fill()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.closing = true
		return fault
	}
	return s.brokenTransfer(err)
}

// brokenTransfer names what ended a transfer. A client that fell silent is
// still there to hear of it; nothing it sends later is taken for a command.
func (s *session) brokenTransfer(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.closing = true
		return errStalled
	}
	return fmt.Errorf("%w: %w", errTorn, err)
}

// chunk is a message that comes in by BDAT.
type chunk struct {
	raw     *spool
	decoder *decoder
}

// bdat takes one chunk (RFC 3030, section 2). Its octets follow the command
// whether it is accepted or not, so a length that cannot be read ends the
// session.
func (s *session) bdat(arg string) {
	size, last, err := parseBDAT(arg)
	if err != nil {
		s.close(501, "5.5.4 Malformed BDAT")
		return
	}
	if size > 2*s.sizeLimit() { // not worth the reading
		s.answer(replyFor(errTooLarge))
		s.closing = true
		return
	}
	if r, ok := s.ready(); !ok {
		s.errors++
		if s.receiveChunk(size, func([]byte) {}) != nil {
			s.closing = true
			return
		}
		s.answer(r)
		return
	}
	c := s.mail.chunks
	if c == nil {
		c = &chunk{raw: s.newSpool()}
		c.decoder = s.newDecoder(c.raw, false)
		s.mail.chunks = c
	}
	if err := s.receiveChunk(size, func(p []byte) { c.decoder.decode(p) }); err != nil {
		s.carry(func() (*spool, error) { return nil, err })
		return
	}
	if last {
		c.decoder.finish()
	}
	switch {
	case c.decoder.err != nil, last: // after a fault further chunks get 503
		s.carry(func() (*spool, error) {
			s.mail.chunks = nil // the line owns the spool now
			if err := c.decoder.err; err != nil {
				c.raw.Close()
				return nil, err
			}
			return c.raw, nil
		})
	default:
		s.say(250, "2.0.0 "+strconv.FormatInt(size, 10)+" octets received")
	}
}

// receiveChunk reads exactly size octets.
func (s *session) receiveChunk(size int64, take func([]byte)) error {
	buf := s.proxy.buffers.get()
	defer s.proxy.buffers.put(buf)
	s.wire.lendBuffer(buf)
	defer s.wire.takeBack(buf)
	s.receiving = true
	defer func() { s.receiving = false }()
	for size > 0 {
		p := s.wire.buffered()
		if len(p) == 0 {
			if err := s.brokenTransfer(s.wire.fill()); err != nil {
				return err
			}
			continue
		}
		p = p[:min(size, int64(len(p)))]
		take(p)
		s.wire.r += len(p)
		size -= int64(len(p))
	}
	return nil
}

// parseBDAT reads "1000 LAST".
func parseBDAT(arg string) (size int64, last bool, err error) {
	words := strings.Fields(arg)
	if len(words) == 2 && strings.EqualFold(words[1], "LAST") {
		last = true
	} else if len(words) != 1 {
		return 0, false, errSyntax
	}
	if len(words[0]) > 18 || bytes.IndexFunc([]byte(words[0]), func(r rune) bool { return r < '0' || r > '9' }) >= 0 {
		return 0, false, errSyntax
	}
	size, err = strconv.ParseInt(words[0], 10, 64)
	return size, last, err
}
