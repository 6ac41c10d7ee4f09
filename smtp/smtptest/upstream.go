package smtptest

import (
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Options make an Upstream.
type Options struct {
	// Extensions are the lines of the EHLO reply; nil takes Extensions().
	// STARTTLS and AUTH are added by TLS and Auth.
	Extensions []string
	TLS        *tls.Config
	Implicit   bool   // TLS from the first octet instead of STARTTLS
	Auth       string // mechanisms to announce: "PLAIN LOGIN"
	// Login decides about a login; nil accepts every one. PLAIN and LOGIN give user and
	// password, XOAUTH2 user and token, EXTERNAL the identity, CRAM-MD5 the response as it is;
	// ENDLESS asks for ever.
	Login   func(mechanism, user, secret string) bool
	Faults  map[Point]Fault
	MidBody int64 // [1000]
	Discard bool  // keep no message texts
	Narrow  bool  // small socket buffers: a client soon notices that nothing is read
}

// Extensions is what an upstream of our days announces.
func Extensions() []string {
	return []string{"PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN", "SMTPUTF8"}
}

// Message is a message as the upstream got it.
type Message struct {
	Mail string   // argument of MAIL: "FROM:<a@b> SIZE=1"
	Rcpt []string // arguments of the accepted RCPTs
	Body string   // dots unstuffed
	BDAT bool
	TLS  bool
	Peer string // name in the client's certificate
}

// Upstream is a mail server for tests. Without faults it is honest and keeps
// every message. Its methods may be used from several goroutines.
type Upstream struct {
	o        Options
	addr     string
	listener net.Listener
	done     chan struct{}
	running  sync.WaitGroup

	mu       sync.Mutex // guards the fields below
	faults   map[Point]Fault
	reached  map[Step]int
	messages []Message
	torn     []Message
	commands []string
	conns    map[net.Conn]bool
	opened   int
	changed  chan struct{}
}

// NewUpstream starts an upstream on a loopback port; it ends with the test.
func NewUpstream(t testing.TB, o Options) *Upstream {
	t.Helper()
	if o.Extensions == nil {
		o.Extensions = Extensions()
	}
	if o.MidBody == 0 {
		o.MidBody = 1000
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	u := &Upstream{o: o, addr: l.Addr().String(), listener: l, done: make(chan struct{}),
		faults: make(map[Point]Fault), reached: make(map[Step]int), conns: make(map[net.Conn]bool), changed: make(chan struct{})}
	for p, f := range o.Faults {
		u.faults[p] = f
	}
	t.Cleanup(u.Stop)
	if u.faults[At(Connect)].kind == refuses {
		l.Close()
		return u
	}
	u.running.Add(1)
	go u.accept()
	return u
}

// Stop ends the upstream and all its connections. It may be called again.
func (u *Upstream) Stop() {
	u.mu.Lock()
	select {
	case <-u.done:
	default:
		close(u.done)
	}
	u.mu.Unlock()
	u.listener.Close()
	u.Drop()
	u.running.Wait()
}

// Drop closes all connections and goes on listening.
func (u *Upstream) Drop() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for c := range u.conns {
		c.Close()
	}
}

// Addr is "127.0.0.1:port".
func (u *Upstream) Addr() string { return u.addr }

// Set puts a fault at a point; the zero Fault takes it away.
func (u *Upstream) Set(p Point, f Fault) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.faults[p] = f
}

// Messages are those that were kept: whole, and answered or about to be.
func (u *Upstream) Messages() []Message {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.messages)
}

// Torn are the messages whose end never came.
func (u *Upstream) Torn() []Message {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.torn)
}

// Commands are all command lines of all connections, in the order of arrival.
func (u *Upstream) Commands() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.commands)
}

// Count tells how many command lines begin with prefix, upper case.
func (u *Upstream) Count(prefix string) int {
	n := 0
	for _, c := range u.Commands() {
		if strings.HasPrefix(strings.ToUpper(c), prefix) {
			n++
		}
	}
	return n
}

// Connections is how many connections were opened so far.
func (u *Upstream) Connections() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.opened
}

// Open is how many connections are open now.
func (u *Upstream) Open() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.conns)
}

// Reached is how often step was reached so far.
func (u *Upstream) Reached(step Step) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.reached[step]
}

// Await waits until ok holds. It is asked again after each event.
func (u *Upstream) Await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	limit := time.NewTimer(Patience)
	defer limit.Stop()
	for {
		u.mu.Lock()
		changed := u.changed
		u.mu.Unlock()
		if ok() {
			return
		}
		select {
		case <-changed:
		case <-limit.C:
			t.Fatalf("waited %s for %s; commands so far: %q", Patience, what, u.Commands())
		}
	}
}

// note runs change under the lock and wakes those who wait.
func (u *Upstream) note(change func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change()
	close(u.changed)
	u.changed = make(chan struct{})
}

// reach counts a step and returns the fault that is due there.
func (u *Upstream) reach(s Step) Fault {
	var f Fault
	u.note(func() {
		u.reached[s]++
		var found bool
		if f, found = u.faults[Point{s, u.reached[s]}]; !found {
			f = u.faults[At(s)]
		}
	})
	return f
}

func (u *Upstream) accept() {
	defer u.running.Done()
	for {
		c, err := u.listener.Accept()
		if err != nil {
			return
		}
		if tcp, ok := c.(*net.TCPConn); ok && u.o.Narrow {
			tcp.SetReadBuffer(16 << 10)
		}
		stopped := false
		u.note(func() {
			select {
			case <-u.done:
				stopped = true
			default:
				u.conns[c] = true
				u.opened++
			}
		})
		if stopped {
			c.Close()
			return
		}
		u.running.Add(1)
		go u.serve(c)
	}
}

func (u *Upstream) serve(c net.Conn) {
	defer u.running.Done()
	s := newServing(u, c)
	s.run()
	c.Close()
	u.note(func() { delete(u.conns, c) })
}
