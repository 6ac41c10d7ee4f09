package smtp

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/careerrelay/careerrelay/rewrite"
	"github.com/careerrelay/careerrelay/store"
)

// patience is how long a test waits for something that should come at once.
const patience = 10 * time.Second

// fakeUpstream is an upstream in memory. Its fields may be set before use.
type fakeUpstream struct {
	extensions    Extensions
	extensionsErr error
	discard       bool // keep no message
	begin         func(path, params string) (Reply, error)
	rcpt          func(path, params string) (Reply, error)
	data          func(ctx context.Context, c Content) (Reply, error)

	mu           sync.Mutex
	deliveries   []delivery       // whole messages that Data was called with
	perRecipient map[string]Reply // what Data says to the first recipient's path
	open         int              // transactions that were not ended
	ended        int
}

// delivery is one message as it reached the upstream.
type delivery struct {
	from, params string
	reply        Reply
	to           []string // path and parameters
	message      string
}

func (u *fakeUpstream) Extensions(context.Context) (Extensions, error) {
	return u.extensions, u.extensionsErr
}

// BeginAll answers recipients one at a time, as an upstream without PIPELINING may.
func (u *fakeUpstream) BeginAll(_ context.Context, mail envelopeLine, _ []envelopeLine) (transaction, Reply, []Reply, error) {
	r := say(250, "2.1.0 Sender OK")
	if u.begin != nil {
		var err error
		if r, err = u.begin(mail.path, mail.params); err != nil {
			return nil, Reply{}, nil, err
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.open++
	return &fakeTransaction{u: u, d: delivery{from: mail.path, params: mail.params}}, r, nil, nil
}

func (u *fakeUpstream) got() []delivery {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]delivery(nil), u.deliveries...)
}

func (u *fakeUpstream) setVerdicts(v map[string]Reply) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.perRecipient = v
}

// accepted is what the upstream said 2xx to.
func (u *fakeUpstream) accepted() []delivery {
	var all []delivery
	for _, d := range u.got() {
		if d.reply.Class() == 2 {
			all = append(all, d)
		}
	}
	return all
}

type fakeTransaction struct {
	u     *fakeUpstream
	d     delivery
	ended bool
}

func (t *fakeTransaction) Rcpt(_ context.Context, path, params string) (Reply, error) {
	r := say(250, "2.1.5 Recipient OK")
	if t.u.rcpt != nil {
		var err error
		if r, err = t.u.rcpt(path, params); err != nil {
			return Reply{}, err
		}
	}
	if r.Class() == 2 {
		t.d.to = append(t.d.to, strings.TrimSpace(path+" "+params))
	}
	return r, nil
}

func (t *fakeTransaction) Data(ctx context.Context, c Content) (Reply, error) {
	if t.u.discard {
		_, err := c.WriteTo(io.Discard)
		return say(250, "2.0.0 OK"), err
	}
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return Reply{}, err
	}
	if int64(b.Len()) != c.Size() {
		return Reply{}, fmt.Errorf("content wrote %d bytes and said %d", b.Len(), c.Size())
	}
	t.d.message = b.String()
	path, _, _ := strings.Cut(t.d.to[0], " ")
	t.u.mu.Lock()
	reply, found := t.u.perRecipient[path]
	if !found {
		reply = say(250, "2.0.0 Ok: queued as ABC123")
	}
	t.d.reply = reply
	t.u.deliveries = append(t.u.deliveries, t.d)
	t.u.mu.Unlock()
	if t.u.data != nil {
		return t.u.data(ctx, c)
	}
	return reply, nil
}

func (t *fakeTransaction) End() {
	t.u.mu.Lock()
	defer t.u.mu.Unlock()
	if t.ended {
		panic("transaction ended twice")
	}
	t.ended = true
	t.u.open--
	t.u.ended++
}

// fakeReferrals records the steps it was asked for.
type fakeReferrals struct {
	fault func() error // of Offer
	state store.State  // of every referral; "" is offered

	mu     sync.Mutex
	steps  []string
	sums   store.Traffic
	paces  map[time.Time]store.Pace
	copies map[string]bool
}

func (f *fakeReferrals) AddCopy(_ context.Context, key string) error {
	if f.fault != nil {
		if err := f.fault(); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.copies == nil {
		f.copies = map[string]bool{}
	}
	f.copies[key] = true
	return nil
}

func (f *fakeReferrals) HasCopy(_ context.Context, key string) (bool, error) {
	if f.fault != nil {
		if err := f.fault(); err != nil {
			return false, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.copies[key], nil
}

func (f *fakeReferrals) AddPace(_ context.Context, p store.Pace) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault != nil && f.fault() != nil {
		return f.fault()
	}
	if f.paces == nil {
		f.paces = map[time.Time]store.Pace{}
	}
	sum := f.paces[p.Slot]
	sum.Company, sum.Slot, sum.Allowed, sum.Refused = p.Company, p.Slot, sum.Allowed+p.Allowed, sum.Refused+p.Refused
	f.paces[p.Slot] = sum
	return nil
}

func (f *fakeReferrals) Pace(_ context.Context, _ string, since time.Time) ([]store.Pace, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault != nil && f.fault() != nil {
		return nil, f.fault()
	}
	var all []store.Pace
	for slot, p := range f.paces {
		if !slot.Before(since) {
			all = append(all, p)
		}
	}
	return all, nil
}

func (f *fakeReferrals) note(step string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.steps = append(f.steps, step)
}

func (f *fakeReferrals) Offer(_ context.Context, o store.Offer) (store.Referral, error) {
	f.note("offer")
	if f.fault != nil {
		if err := f.fault(); err != nil {
			return store.Referral{}, err
		}
	}
	return store.Referral{State: or(f.state, store.Offered), Company: o.Company}, nil
}
func (f *fakeReferrals) Confirm(context.Context, store.Token) error { f.note("confirm"); return nil }
func (f *fakeReferrals) Void(context.Context, store.Token) error    { f.note("void"); return nil }
func (f *fakeReferrals) Add(_ context.Context, _, _ string, d store.Traffic) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sums.Seen += d.Seen
	f.sums.Matched += d.Matched
	f.sums.Near += d.Near
	f.sums.Inserted += d.Inserted
	return nil
}

func (f *fakeReferrals) did() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.steps, " ")
}

// fakeEditor takes a message with "unfortunately" for a rejection and puts the
// link before its end. fault is called with each step's name.
type fakeEditor struct {
	fault func(step string) error
}

type fakeLetter struct {
	e    fakeEditor
	text string
}

func (e fakeEditor) at(step string) error {
	if e.fault != nil {
		return e.fault(step)
	}
	return nil
}

func (e fakeEditor) inspect(_ context.Context, r io.ReaderAt, size int64) (letter, error) {
	b := make([]byte, size)
	if _, err := r.ReadAt(b, 0); err != nil && err != io.EOF {
		return nil, err
	}
	return fakeLetter{e, string(b)}, e.at("inspect")
}

func (l fakeLetter) decide(rewrite.Envelope) rewrite.Verdict {
	if err := l.e.at("decide"); err != nil {
		panic(err)
	}
	if strings.Contains(l.text, "unfortunately") {
		return rewrite.Verdict{Kind: rewrite.Rejection, Rule: "en-test", Language: "en"}
	}
	return rewrite.Verdict{Kind: rewrite.None, Reason: "no_rule"}
}

func (l fakeLetter) splice(_ rewrite.Verdict, to links) (edited, error) {
	at := int64(len(l.text))
	return fakeEdited{l.e, rewrite.Edit{Start: at, End: at, New: []byte(to.link + "\r\n")}}, l.e.at("splice")
}

type fakeEdited struct {
	e    fakeEditor
	edit rewrite.Edit
}

func (e fakeEdited) Edits() []rewrite.Edit { return []rewrite.Edit{e.edit} }
func (e fakeEdited) Prove() error          { return e.e.at("prove") }

// rig is a running relay with all that surrounds it.
type rig struct {
	t         *testing.T
	proxy     *Proxy
	upstream  *fakeUpstream
	referrals *fakeReferrals
	registry  *prometheus.Registry
	logs      *syncBuffer
	addr      string
	door      Door               // how clients come in
	stop      context.CancelFunc // begins to drain
	done      chan error         // Serve's result
}

// syncBuffer is a buffer for logs of several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func allExtensions() Extensions {
	return Extensions{"8BITMIME": "", "DSN": "", "SMTPUTF8": "", "ENHANCEDSTATUSCODES": "", "SIZE": "1000000", "PIPELINING": ""}
}

func testOptions(t testing.TB, u *fakeUpstream, f *fakeReferrals) Options {
	keys, err := store.NewKeys(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Companies: []Company{{
			ID: "sample", Domains: []string{"company.example"},
			Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
			upstream: u, editor: fakeEditor{},
		}},
		Hostname:  "relay.example",
		Referrals: f,
		Keys:      keys,
		Link: func(_ string, tok store.Token) (string, string) {
			return "https://jobs.example/r/" + string(tok), "https://jobs.example/o/" + string(tok)
		},
		StampKey: []byte("stamp key"),
		Timeouts: Timeouts{AuthDelay: time.Nanosecond, Drain: patience},
		Now:      func() time.Time { return time.Date(2026, 11, 25, 6, 0, 0, 0, time.UTC) },
	}
}

// newRig starts a relay; change may adjust its options.
func newRig(t *testing.T, change ...func(o *Options, r *rig)) *rig {
	t.Helper()
	r := &rig{t: t, upstream: &fakeUpstream{extensions: allExtensions()}, referrals: &fakeReferrals{},
		registry: prometheus.NewRegistry(), logs: &syncBuffer{}, done: make(chan error, 1)}
	o := testOptions(t, r.upstream, r.referrals)
	o.Registerer = r.registry
	o.Logger = slog.New(slog.NewTextHandler(r.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, c := range change {
		c(&o, r)
	}
	var err error
	if r.proxy, err = New(o); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = l.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() { r.done <- r.proxy.ServeDoor(ctx, l, r.door) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-r.done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(2 * patience):
			t.Error("Serve does not return")
		}
		r.upstream.mu.Lock()
		defer r.upstream.mu.Unlock()
		if r.upstream.open != 0 {
			t.Errorf("%d transactions upstream were never ended", r.upstream.open)
		}
		if n := r.proxy.memory.lent.Load(); n != 0 {
			t.Errorf("%d bytes of message memory were never given back", n)
		}
	})
	return r
}

// counter reads a metric: its name and, in the order of the labels, their values.
func (r *rig) counter(name string, labels ...string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	metrics:
		for _, m := range f.GetMetric() {
			for i, l := range m.GetLabel() {
				if i < len(labels) && l.GetValue() != labels[i] {
					continue metrics
				}
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return 0
}

// peer is the client of a dialogue.
type peer struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

func (r *rig) dial() *peer {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	p := newPeer(r.t, conn)
	p.expect("220 relay.example ESMTP Career Relay")
	return p
}

func newPeer(t testing.TB, conn net.Conn) *peer {
	conn.SetDeadline(time.Now().Add(patience))
	return &peer{t, conn, bufio.NewReader(conn)}
}

// send writes octets as they are.
func (p *peer) send(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.conn, text); err != nil {
		p.t.Fatalf("send %.60q: %v", text, err)
	}
}

// reply reads one reply with all its lines.
func (p *peer) reply() string {
	p.t.Helper()
	var all strings.Builder
	for {
		line, err := p.in.ReadString('\n')
		if err != nil {
			return all.String() + line + "<" + err.Error() + ">"
		}
		all.WriteString(line)
		if len(line) < 4 || line[3] != '-' {
			return strings.TrimSuffix(all.String(), "\r\n")
		}
	}
}

// expect reads one reply; * in want stands for anything.
func (p *peer) expect(want string) {
	p.t.Helper()
	got := p.reply()
	pattern := "(?s)^" + strings.ReplaceAll(regexp.QuoteMeta(want), `\*`, ".*") + "$"
	if !regexp.MustCompile(pattern).MatchString(got) {
		p.t.Fatalf("got reply %q, want %q", got, want)
	}
}

// closed expects the end of the connection, and nothing before it.
func (p *peer) closed() {
	p.t.Helper()
	if b, err := p.in.ReadByte(); err == nil {
		rest, _ := p.in.ReadString('\n')
		p.t.Fatalf("got %q, want a closed connection", string(b)+rest)
	} else if e, ok := err.(net.Error); ok && e.Timeout() {
		p.t.Fatalf("the connection stays open")
	}
}

// talk plays a dialogue: lines "C: text" are sent with CRLF, lines "S: pattern"
// are expected.
func (p *peer) talk(dialogue ...string) {
	p.t.Helper()
	for _, line := range dialogue {
		switch text := line[3:]; line[:3] {
		case "C: ":
			p.send(text + "\r\n")
		case "S: ":
			p.expect(text)
		default:
			p.t.Fatalf("dialogue line %q", line)
		}
	}
}

// envelope opens a transaction to one candidate.
func (p *peer) envelope() {
	p.t.Helper()
	p.talk("C: EHLO client.example", "S: 250*",
		"C: MAIL FROM:<hr@company.example>", "S: 250*",
		"C: RCPT TO:<candidate@mail.example>", "S: 250*")
}

const (
	plainMail     = "Message-ID: <1@company.example>\r\nSubject: hello\r\n\r\nGood morning.\r\n"
	rejectionMail = "Message-ID: <2@company.example>\r\nSubject: result\r\n\r\nWe must unfortunately decline.\r\n"
)

// body cuts the two lines on top of a delivered message, and checks them.
func body(t testing.TB, message string) string {
	t.Helper()
	top := regexp.MustCompile(`\AReceived: from [^\r\n]+\r\n\tby relay\.example \(Career Relay\) with [A-Z0-9]+ id [0-9a-f.]+;\r\n\t[^\r\n]+\r\n` +
		`X-Career-Relay: relayed; [0-9]+; [0-9a-f]{32}\r\n`)
	at := top.FindStringIndex(message)
	if at == nil {
		t.Fatalf("message does not begin with our two lines: %.300q", message)
	}
	return message[at[1]:]
}
