package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/mail"
	"sync"
	"time"

	gosmtp "github.com/emersion/go-smtp"
)

// The demo keeps what arrives in memory, so both are bounded.
const (
	inboxMessages = 200
	inboxBytes    = 10 << 20 // of one message
)

// arrival is one message in the demo's mailbox.
type arrival struct {
	ID     int
	At     time.Time
	From   string
	To     []string
	Raw    []byte // as the upstream got it
	Before []byte // as the client sent it to the relay; nil if that was not seen
}

// inbox is the mailbox behind the demo's mail server. Safe for concurrent use.
type inbox struct {
	mu      sync.Mutex
	last    int
	kept    []arrival         // the newest, in order of arrival
	sent    map[string][]byte // Message-ID to the message before the relay
	order   []string          // keys of sent, oldest first
	changed chan struct{}     // closed and replaced at each arrival
}

func newInbox() *inbox {
	return &inbox{sent: map[string][]byte{}, changed: make(chan struct{})}
}

// remember keeps a message as a client hands it to the relay, so that the inbox
// can show what the relay changed.
func (b *inbox) remember(raw []byte) {
	id := messageID(raw)
	if id == "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, again := b.sent[id]; !again {
		b.order = append(b.order, id)
	}
	b.sent[id] = raw
	if len(b.order) > inboxMessages {
		delete(b.sent, b.order[0])
		b.order = b.order[1:]
	}
}

func (b *inbox) add(a arrival) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	a.ID, a.Before = b.last, b.sent[messageID(a.Raw)]
	b.kept = append(b.kept, a)
	if len(b.kept) > inboxMessages {
		b.kept = b.kept[1:]
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// all returns the kept messages, newest first.
func (b *inbox) all() []arrival {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]arrival, 0, len(b.kept))
	for i := len(b.kept) - 1; i >= 0; i-- {
		out = append(out, b.kept[i])
	}
	return out
}

// newest is the number of the last message; 0: there was none.
func (b *inbox) newest() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// wait returns the newest message with that Message-ID, as soon as there is one.
func (b *inbox) wait(ctx context.Context, id string) (arrival, error) {
	return b.await(ctx, func(a arrival) bool { return messageID(a.Raw) == id })
}

// next returns the message that arrives after the one with the number last.
func (b *inbox) next(ctx context.Context, last int) (arrival, error) {
	return b.await(ctx, func(a arrival) bool { return a.ID > last })
}

// await returns the newest message that is wanted, as soon as there is one.
func (b *inbox) await(ctx context.Context, wanted func(arrival) bool) (arrival, error) {
	for {
		b.mu.Lock()
		changed := b.changed
		b.mu.Unlock()
		for _, a := range b.all() {
			if wanted(a) {
				return a, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return arrival{}, ctx.Err()
		}
	}
}

func messageID(raw []byte) string {
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return ""
	}
	return m.Header.Get("Message-Id")
}

// newDemoUpstream is an ordinary mail server whose mailbox is b: what stands
// behind the relay in the demo.
func newDemoUpstream(b *inbox, log *slog.Logger) *gosmtp.Server {
	s := gosmtp.NewServer(gosmtp.BackendFunc(func(*gosmtp.Conn) (gosmtp.Session, error) {
		return &mailbox{box: b}, nil
	}))
	s.Domain = "upstream.demo.invalid"
	s.MaxMessageBytes = inboxBytes
	s.ReadTimeout = 5 * time.Minute
	s.WriteTimeout = time.Minute
	s.EnableSMTPUTF8 = true
	s.EnableDSN = true
	s.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	return s
}

// mailbox is one SMTP session of the demo's mail server; it takes every mail.
type mailbox struct {
	box  *inbox
	from string
	to   []string
}

func (m *mailbox) Mail(from string, _ *gosmtp.MailOptions) error {
	m.from = from
	return nil
}

func (m *mailbox) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	m.to = append(m.to, to)
	return nil
}

func (m *mailbox) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m.box.add(arrival{At: time.Now(), From: m.from, To: m.to, Raw: raw})
	return nil
}

func (m *mailbox) Reset() { m.from, m.to = "", nil }

func (m *mailbox) Logout() error { return nil }

// tapListener remembers each message that clients send through its connections.
// It reads plain SMTP from the side and never changes a byte.
type tapListener struct {
	net.Listener
	box *inbox
}

func (l tapListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &tapConn{Conn: c, tap: tap{box: l.box}}, nil
}

type tapConn struct {
	net.Conn
	tap tap
}

func (c *tapConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.tap.see(p[:n])
	return n, err
}

// tap follows the client's half of a conversation: commands, and after DATA the
// message up to the line with a single dot (RFC 5321, section 4.5.2).
type tap struct {
	box     *inbox
	line    []byte
	message []byte
	inData  bool
}

func (t *tap) see(p []byte) {
	for _, c := range p {
		t.line = append(t.line, c)
		if c == '\n' || len(t.line) > inboxBytes {
			t.endLine()
			t.line = t.line[:0]
		}
	}
}

func (t *tap) endLine() {
	text := bytes.TrimRight(t.line, "\r\n")
	switch {
	case !t.inData:
		t.inData = bytes.EqualFold(bytes.TrimSpace(text), []byte("DATA"))
	case len(text) == 1 && text[0] == '.':
		t.box.remember(t.message)
		t.message, t.inData = nil, false
	case len(t.message) < inboxBytes:
		t.message = append(t.message, bytes.TrimPrefix(t.line, []byte("."))...)
	}
}
