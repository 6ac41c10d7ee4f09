package smtp

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

var update = flag.Bool("update", false, "write the generated tables again")

// matrixFaults are the faults of the matrix, by name.
var matrixFaults = []struct {
	name  string
	fault smtptest.Fault
}{
	{"4xx", smtptest.Say("450 4.7.1 not now")},
	{"5xx", smtptest.Say("550 5.7.1 never")},
	{"421", smtptest.Say("421 4.3.2 going away")},
	{"hang", smtptest.Hang()},
	{"garbage", smtptest.Garbage()},
	{"close", smtptest.Close()},
	{"RST", smtptest.RST()},
	{"slow", smtptest.Slow(time.Millisecond)},
}

var matrixSteps = []smtptest.Step{smtptest.Connect, smtptest.Greeting, smtptest.Hello, smtptest.StartTLS, smtptest.Auth,
	smtptest.Mail, smtptest.Rcpt, smtptest.Data, smtptest.FirstByte, smtptest.MidBody, smtptest.FinalDot, smtptest.AfterDot}

// outcomeRow is one row of the matrix.
type outcomeRow struct {
	step, fault string
	heard       string // the first reply that was no success, with its command; or the reply to the message
	lost        bool   // the client heard 250 and the upstream has no message
	after       string // what the connection was good for then
	retried     int    // messages the upstream has after the next try
}

func (o outcomeRow) String() string {
	lost, doubled := "no", "no"
	if o.lost {
		lost = "yes"
	}
	if o.retried > 1 {
		doubled = "yes: the upstream keeps what it did not say it has"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s |", o.step, o.fault, o.heard, o.after, lost, doubled)
}

// TestMatrix drives every step upstream through every fault. For each: the
// client hears 250 only when the upstream has the whole message, 5xx only when
// the upstream said so, and hears it within the budget; a torn message is never
// kept; the connection is of use afterwards or was closed with 421; and the
// client's next try delivers.
func TestMatrix(t *testing.T) {
	var mu sync.Mutex
	rows := make(map[string]outcomeRow)
	t.Run("faults", func(t *testing.T) {
		for _, step := range matrixSteps {
			for _, f := range matrixFaults {
				t.Run(fmt.Sprintf("%s/%s", step, f.name), func(t *testing.T) {
					t.Parallel()
					row := faultRow(t, step, f.name, f.fault)
					mu.Lock()
					defer mu.Unlock()
					rows[row.step+row.fault] = row
				})
			}
		}
		for _, tc := range []struct {
			step  smtptest.Step
			fault smtptest.Fault
		}{{smtptest.Connect, smtptest.Refuse()}, {smtptest.StartTLS, smtptest.BadTLS()}} {
			t.Run(fmt.Sprintf("%s/%s", tc.step, tc.fault), func(t *testing.T) {
				t.Parallel()
				row := faultRow(t, tc.step, tc.fault.String(), tc.fault)
				mu.Lock()
				defer mu.Unlock()
				rows[row.step+row.fault] = row
			})
		}
	})
	var table strings.Builder
	table.WriteString("| step | fault | client hears | connection then | mail lost | can be doubled |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, step := range matrixSteps {
		names := []string{"refuse", "TLS failure"}
		for _, f := range matrixFaults {
			names = append(names, f.name)
		}
		for _, name := range names {
			if row, found := rows[string(step)+name]; found {
				fmt.Fprintln(&table, row)
			}
		}
	}
	golden(t, "../docs/failures.md", "upstream", table.String())
}

// golden compares a generated table with the one between the marks in a page.
func golden(t *testing.T, page, mark, want string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+mark+" -->\n", "<!-- end of "+mark+" -->"
	before, rest, found := strings.Cut(string(text), begin)
	got, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no marks for %s", page, mark)
	}
	if got == want {
		return
	}
	if !*update {
		t.Errorf("%s: the table %s is not what happens (run with -update):\ngot\n%swant\n%s", page, mark, got, want)
		return
	}
	if err := os.WriteFile(page, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// matrixRelay is a relay in front of a scripted upstream, with TLS and a login.
func matrixRelay(t *testing.T, up *smtptest.Upstream, ca *smtptest.Authority, now func() time.Time) *rig {
	return newRig(t, func(o *Options, r *rig) {
		server := serverAt(t, up.Addr(), VerifiedSTARTTLS)
		server.Host = "127.0.0.1"
		u, err := NewUpstream(UpstreamOptions{
			Servers: []Server{server}, Hostname: "relay.example", Roots: ca.Pool(), Timeouts: shortTimeouts(), Now: now,
			Auth: PlainAuth("user", func() (string, error) { return "secret", nil }),
		})
		if err != nil {
			t.Fatal(err)
		}
		o.Companies[0].upstream, o.Companies[0].Upstream = nil, u
		o.Companies[0].Networks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		t.Cleanup(func() { u.Close() })
	})
}

func faultRow(t *testing.T, step smtptest.Step, name string, fault smtptest.Fault) outcomeRow {
	ca := smtptest.NewAuthority(t)
	options := smtptest.Options{TLS: ca.Server(t, "127.0.0.1"), Auth: "PLAIN", Faults: map[smtptest.Point]smtptest.Fault{smtptest.At(step): fault}}
	up := smtptest.NewUpstream(t, options)
	clock := &testClock{now: time.Now()}
	r := matrixRelay(t, up, ca, clock.Now)
	row := outcomeRow{step: string(step), fault: name}
	began := time.Now()
	p := r.dial()
	said := p.attempt()
	row.heard = said
	if took := time.Since(began); took > patience/2 {
		t.Errorf("the client heard %q after %s", said, took)
	}
	kept, success := len(up.Messages()), strings.HasPrefix(said, "250")
	if row.lost = success && kept == 0; row.lost {
		t.Errorf("the client heard %q, the upstream has nothing", said)
	}
	if code := strings.TrimPrefix(said, said[:strings.Index(said, ":")+1]); strings.HasPrefix(strings.TrimSpace(code), "5") && name != "5xx" {
		t.Errorf("the client heard %q for no fault of the mail", said)
	}
	if step == smtptest.FirstByte || step == smtptest.MidBody {
		// Whether the dot had left when the fault was noticed is a matter of chance.
		row.heard = strings.TrimSuffix(row.heard, ", outcome unknown")
	}
	row.after = p.goodFor(t)
	if name == "refuse" {
		row.retried = 1 // nobody will ever listen there
		return row
	}
	up.Set(smtptest.At(step), smtptest.Fault{})
	clock.advance(time.Hour) // the breaker has forgotten
	if success {
		row.retried = kept
	} else {
		if again := r.dial().attempt(); !strings.HasPrefix(again, "250") {
			t.Errorf("after the fault the client hears %q", again)
		}
		row.retried = len(up.Messages())
	}
	for _, m := range up.Messages() {
		if !strings.HasSuffix(m.Body, "Kind regards\r\n") && !strings.Contains(m.Body, "https://jobs.example/r/") {
			t.Errorf("a torn message was kept: %q", m.Body)
		}
	}
	return row
}

// attempt sends the rejection once and returns the first reply that is no
// success, or the one to the message.
func (p *peer) attempt() string {
	p.t.Helper()
	body := rejectionMail + strings.Repeat("We wish you all the best for the way that lies before you.\r\n", 60) + "Kind regards\r\n"
	p.send("EHLO c\r\n")
	if r := p.reply(); !strings.HasPrefix(r, "250") {
		return "EHLO: " + r
	}
	for _, command := range []string{"MAIL FROM:<hr@company.example>", "RCPT TO:<candidate@mail.example>", "DATA"} {
		p.send(command + "\r\n")
		if r := p.reply(); r[0] != '2' && r[0] != '3' {
			verb, _, _ := strings.Cut(command, " ")
			return verb + ": " + r
		}
	}
	p.send(body + ".\r\n")
	return p.reply()
}

// goodFor tells what the connection is good for: another transaction, or nothing
// any more.
func (p *peer) goodFor(t *testing.T) string {
	t.Helper()
	p.send("RSET\r\n")
	switch got := p.reply(); {
	case strings.HasPrefix(got, "250 "):
		return "usable"
	case strings.Contains(got, "EOF"), strings.Contains(got, "reset"):
		return "closed"
	default:
		t.Errorf("RSET is answered %q", got)
		return got
	}
}

// testClock is a clock that a test moves.
type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// TestClientGone cuts the client's connection at every step. What the upstream
// has then is the whole message or nothing.
func TestClientGone(t *testing.T) {
	const open = "EHLO c\r\nMAIL FROM:<hr@company.example>\r\nRCPT TO:<candidate@mail.example>\r\n"
	var table strings.Builder
	table.WriteString("| client gone | how | upstream has | can be doubled |\n| --- | --- | --- | --- |\n")
	for _, tc := range []struct{ step, octets string }{
		{"before the greeting", ""},
		{"after EHLO", "EHLO c\r\n"},
		{"after MAIL", open[:strings.Index(open, "RCPT")]},
		{"after RCPT", open},
		{"after DATA", open + "DATA\r\n"},
		{"in mid-body", open + "DATA\r\n" + rejectionMail},
		{"before the last LF", open + "DATA\r\n" + rejectionMail + ".\r"},
		{"in a chunk", open + "BDAT 1000\r\n" + rejectionMail},
		{"between chunks", open + "BDAT 5\r\nhello"},
		{"in the last chunk", open + "BDAT 1000 LAST\r\n" + rejectionMail},
		{"after the final dot", open + "DATA\r\n" + rejectionMail + ".\r\n"},
		{"after the last chunk", open + "BDAT 5 LAST\r\nhello"},
	} {
		for _, how := range []string{"FIN", "RST"} {
			whole := strings.HasPrefix(tc.step, "after the")
			has, doubled := clientGone(t, tc.octets, how, whole), "no"
			if has != "nothing" {
				doubled = "yes: the client did not hear the answer"
			}
			if whole != (has == "the message") {
				t.Errorf("%s by %s: the upstream has %s", tc.step, how, has)
			}
			fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", tc.step, how, has, doubled)
		}
	}
	golden(t, "../docs/failures.md", "client", table.String())
}

// clientGone sends octets, leaves, and tells what the upstream has when the relay
// is through.
func clientGone(t *testing.T, octets, how string, whole bool) string {
	t.Helper()
	ca := smtptest.NewAuthority(t)
	up := smtptest.NewUpstream(t, smtptest.Options{TLS: ca.Server(t, "127.0.0.1"), Auth: "PLAIN"})
	r := matrixRelay(t, up, ca, time.Now)
	p := r.dial()
	p.send(octets)
	if whole { // the relay must have read all of it: a reset drops what was not read
		up.Await(t, "the message", func() bool { return len(up.Messages()) == 1 })
	}
	tcp := p.conn.(*net.TCPConn)
	if how == "RST" {
		if err := tcp.SetLinger(0); err != nil {
			t.Fatal(err)
		}
	}
	tcp.Close()
	r.stop()
	if err := <-r.done; err != nil {
		t.Fatal(err)
	}
	r.done <- nil
	if torn := up.Torn(); len(torn) != 0 {
		t.Errorf("the upstream got a torn message: %+v", torn)
	}
	if len(up.Messages()) == 0 {
		return "nothing"
	}
	return "the message"
}

// TestDrainUnderLoad stops the relay while clients send as fast as they can:
// each message that was accepted is upstream once, and nothing else is.
func TestDrainUnderLoad(t *testing.T) {
	up := smtptest.NewUpstream(t, smtptest.Options{})
	r := newRig(t, func(o *Options, _ *rig) {
		o.Companies[0].upstream, o.Companies[0].Upstream = nil, newPool(t, nil, up)
	})
	var mu sync.Mutex
	heard := map[string]int{}
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			sendUntilStopped(r.addr, i, func(id string) {
				mu.Lock()
				defer mu.Unlock()
				heard[id]++
			})
		})
	}
	up.Await(t, "some messages", func() bool { return len(up.Messages()) >= 100 })
	r.stop()
	if err := <-r.done; err != nil {
		t.Fatal(err)
	}
	r.done <- nil
	clients.Wait()
	has := map[string]int{}
	for _, m := range up.Messages() {
		_, rest, _ := strings.Cut(m.Body, "Message-ID: <")
		id, _, _ := strings.Cut(rest, ">")
		has[id]++
	}
	for id := range heard {
		if has[id] != 1 {
			t.Errorf("message %s was accepted and is upstream %d times", id, has[id])
		}
	}
	for id := range has {
		if heard[id] != 1 {
			t.Errorf("message %s is upstream and the client never heard so", id)
		}
	}
}

// sendUntilStopped sends messages over one connection until the relay ends it,
// and calls accepted for each that was answered 250.
func sendUntilStopped(addr string, client int, accepted func(id string)) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	in := bufio.NewReader(conn)
	ask := func(text string) string {
		io.WriteString(conn, text)
		for {
			line, err := in.ReadString('\n')
			if err != nil || len(line) < 4 || line[3] == ' ' {
				return line
			}
		}
	}
	ask("")
	ask("EHLO c\r\n")
	for n := 0; ; n++ {
		id := fmt.Sprintf("%d.%d@company.example", client, n)
		for _, command := range []string{"MAIL FROM:<hr@company.example>\r\n", "RCPT TO:<candidate@mail.example>\r\n", "DATA\r\n"} {
			if r := ask(command); r == "" || r[0] == '4' || r[0] == '5' {
				return
			}
		}
		if r := ask("Message-ID: <" + id + ">\r\n\r\nWe must unfortunately decline.\r\n.\r\n"); strings.HasPrefix(r, "250") {
			accepted(id)
		} else {
			return
		}
	}
}
