package smtp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

func mustCarry(t *testing.T, u *Upstream) {
	t.Helper()
	if got := carry(context.Background(), u, letterText(100)); got.err != nil || got.reply.Class() != 2 {
		t.Fatalf("mail is not accepted: %q (%s: %v)", got.heard(), got.step, got.err)
	}
}

func TestPoolReuse(t *testing.T) {
	for name, extensions := range map[string][]string{"pipelining": nil, "plain": {"8BITMIME"}} {
		t.Run(name, func(t *testing.T) {
			up := smtptest.NewUpstream(t, smtptest.Options{Extensions: extensions})
			u := newPool(t, func(o *UpstreamOptions) { o.MaxMessages = 3 }, up)
			for range 7 {
				mustCarry(t, u)
			}
			if got := up.Connections(); got != 3 {
				t.Errorf("7 messages at 3 a connection took %d connections, want 3", got)
			}
			if got := up.Count("RSET"); got != 4 {
				t.Errorf("%d RSETs, want one before each second and third message: 4", got)
			}
			up.Await(t, "QUIT on the full connections", func() bool { return up.Count("QUIT") == 2 })
		})
	}
}

func TestPoolAbandonedTransaction(t *testing.T) {
	up := smtptest.NewUpstream(t, smtptest.Options{})
	u := newPool(t, nil, up)
	x, _, err := u.Begin(context.Background(), "<a@b.example>", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Rcpt(context.Background(), "<lost@mail.example>", ""); err != nil {
		t.Fatal(err)
	}
	x.End()
	mustCarry(t, u)
	want := []string{"EHLO relay.example", "MAIL FROM:<a@b.example>", "RCPT TO:<lost@mail.example>", "RSET",
		"MAIL FROM:<hr@company.example>", "RCPT TO:<one@mail.example>", "RCPT TO:<two@mail.example>", "DATA"}
	if got := up.Commands(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got commands %q, want %q", got, want)
	}
	if got := len(up.Messages()[0].Rcpt); got != 2 {
		t.Errorf("message went to %d recipients, want 2", got)
	}
}

// TestPoolStale lets the pooled connection die in each way, and at each step
// before the message: the client must not notice.
func TestPoolStale(t *testing.T) {
	second := func(s smtptest.Step) smtptest.Point { return smtptest.Point{Step: s, Nth: 2} }
	third := smtptest.Point{Step: smtptest.Rcpt, Nth: 3}
	timeout := "421 4.4.2 upstream.example Error: timeout exceeded"
	table := []struct {
		name  string
		at    smtptest.Point
		fault smtptest.Fault
	}{
		{"closed at RSET", smtptest.First(smtptest.Reset), smtptest.Close()},
		{"reset at RSET", smtptest.First(smtptest.Reset), smtptest.RST()},
		{"421 at RSET", smtptest.First(smtptest.Reset), smtptest.Say(timeout)},
		{"500 at RSET", smtptest.First(smtptest.Reset), smtptest.Say("500 what")},
		{"closed at MAIL", second(smtptest.Mail), smtptest.Close()},
		{"421 at MAIL", second(smtptest.Mail), smtptest.Say(timeout)},
		{"closed at first RCPT", third, smtptest.Close()},
		{"421 at first RCPT", third, smtptest.Say(timeout)},
		{"closed at second RCPT", smtptest.Point{Step: smtptest.Rcpt, Nth: 4}, smtptest.Close()},
		{"closed at DATA", second(smtptest.Data), smtptest.Close()},
		{"reset at DATA", second(smtptest.Data), smtptest.RST()},
		{"421 at DATA", second(smtptest.Data), smtptest.Say(timeout)},
	}
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			up := smtptest.NewUpstream(t, smtptest.Options{Faults: map[smtptest.Point]smtptest.Fault{row.at: row.fault}})
			u := newPool(t, nil, up)
			mustCarry(t, u)
			mustCarry(t, u)
			if got := up.Connections(); got != 2 {
				t.Errorf("took %d connections, want 2", got)
			}
			messages := up.Messages()
			if len(messages) != 2 || len(messages[1].Rcpt) != 2 {
				t.Errorf("upstream kept %+v, want two messages to two recipients", messages)
			}
		})
	}
}

func TestPoolReplayMustAgree(t *testing.T) {
	up := smtptest.NewUpstream(t, smtptest.Options{Faults: map[smtptest.Point]smtptest.Fault{
		smtptest.First(smtptest.Data): smtptest.Close(),
		{Step: smtptest.Rcpt, Nth: 4}: smtptest.Say("550 5.1.1 Not any more"), // two before, two again
	}})
	u := newPool(t, nil, up)
	got := carry(context.Background(), u, letterText(100))
	if !errors.Is(got.err, errLost) || len(up.Messages()) != 0 {
		t.Errorf("got %v and %d messages, want a lost connection: the client was told another answer", got.err, len(up.Messages()))
	}
}

func TestPoolReplayOnce(t *testing.T) {
	up := smtptest.NewUpstream(t, smtptest.Options{Faults: map[smtptest.Point]smtptest.Fault{smtptest.At(smtptest.Data): smtptest.Close()}})
	u := newPool(t, nil, up)
	got := carry(context.Background(), u, letterText(100))
	if !errors.Is(got.err, errLost) || up.Connections() != 2 {
		t.Errorf("got %v after %d connections, want a lost connection after 2", got.err, up.Connections())
	}
}

// TestPoolNeverTwice: once the message is on its way nothing is tried again.
func TestPoolNeverTwice(t *testing.T) {
	for _, step := range []smtptest.Step{smtptest.FirstByte, smtptest.MidBody, smtptest.FinalDot, smtptest.AfterDot} {
		t.Run(string(step), func(t *testing.T) {
			up := smtptest.NewUpstream(t, smtptest.Options{Faults: map[smtptest.Point]smtptest.Fault{smtptest.First(step): smtptest.Close()}})
			spare := smtptest.NewUpstream(t, smtptest.Options{})
			u := newPool(t, nil, up, spare)
			got := carry(context.Background(), u, letterText(2000))
			if got.err == nil || up.Connections() != 1 || spare.Connections() != 0 {
				t.Errorf("got %v after %d and %d connections, want an error after one", got.err, up.Connections(), spare.Connections())
			}
		})
	}
}

func TestPoolFailover(t *testing.T) {
	faults := map[string]map[smtptest.Point]smtptest.Fault{
		"refused":         {smtptest.At(smtptest.Connect): smtptest.Refuse()},
		"silent":          {smtptest.At(smtptest.Greeting): smtptest.Hang()},
		"unwilling":       {smtptest.At(smtptest.Greeting): smtptest.Say("554 5.7.1 Not you")},
		"EHLO refused":    {smtptest.At(smtptest.Hello): smtptest.Say("421 4.3.2 Stopping")},
		"closes at MAIL":  {smtptest.At(smtptest.Mail): smtptest.Close()},
		"garbage at MAIL": {smtptest.At(smtptest.Mail): smtptest.Garbage()},
		"421 at MAIL":     {smtptest.At(smtptest.Mail): smtptest.Say("421 4.3.2 Stopping")},
	}
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			bad, good := smtptest.NewUpstream(t, smtptest.Options{Faults: f}), smtptest.NewUpstream(t, smtptest.Options{})
			u := newPool(t, func(o *UpstreamOptions) { o.Timeouts.Greeting = 200 * time.Millisecond }, bad, good)
			mustCarry(t, u)
			if len(good.Messages()) != 1 {
				t.Errorf("second server has %d messages, want 1", len(good.Messages()))
			}
		})
	}
}

func TestPoolReturnsToFirstServer(t *testing.T) {
	first, second := smtptest.NewUpstream(t, smtptest.Options{}), smtptest.NewUpstream(t, smtptest.Options{})
	first.Set(smtptest.At(smtptest.Greeting), smtptest.Say("421 4.3.2 Later"))
	u := newPool(t, nil, first, second)
	mustCarry(t, u)
	first.Set(smtptest.At(smtptest.Greeting), smtptest.Fault{})
	mustCarry(t, u)
	if len(first.Messages()) != 1 || len(second.Messages()) != 1 {
		t.Errorf("servers have %d and %d messages, want one each", len(first.Messages()), len(second.Messages()))
	}
}

func TestPoolRefusalIsNoFailure(t *testing.T) {
	first := smtptest.NewUpstream(t, smtptest.Options{Faults: map[smtptest.Point]smtptest.Fault{
		smtptest.At(smtptest.Mail): smtptest.Say("550-5.7.1 First line\n550 5.7.1 second line")}})
	second := smtptest.NewUpstream(t, smtptest.Options{})
	u := newPool(t, nil, first, second)
	got := carry(context.Background(), u, letterText(10))
	if got.heard() != "550-5.7.1 First line\r\n550 5.7.1 second line" || second.Connections() != 0 {
		t.Errorf("got %q and %d connections to the second server, want the first one's words and none", got.heard(), second.Connections())
	}
}

func Test421AtMailIsHandedOn(t *testing.T) {
	up := smtptest.NewUpstream(t, smtptest.Options{Faults: map[smtptest.Point]smtptest.Fault{smtptest.At(smtptest.Mail): smtptest.Say("421 4.3.2 Stopping")}})
	if got := carry(context.Background(), newPool(t, nil, up), letterText(10)); got.heard() != "421 4.3.2 Stopping" {
		t.Errorf("got %q (%v), want the server's words", got.heard(), got.err)
	}
}

func TestPoolBreaker(t *testing.T) {
	var now atomic.Int64
	up := smtptest.NewUpstream(t, smtptest.Options{Faults: map[smtptest.Point]smtptest.Fault{smtptest.At(smtptest.Greeting): smtptest.Close()}})
	u := newPool(t, func(o *UpstreamOptions) { o.Now = func() time.Time { return time.Unix(now.Load(), 0) } }, up)
	try := func() error { return carry(context.Background(), u, letterText(10)).err }
	for range breakerFailures {
		if err := try(); !errors.Is(err, errUnreachable) || errors.Is(err, errBreakerOpen) {
			t.Fatalf("got %v, want an unreachable server", err)
		}
	}
	if err := try(); !errors.Is(err, errBreakerOpen) || up.Connections() != breakerFailures {
		t.Fatalf("got %v after %d connections, want an open breaker after %d", err, up.Connections(), breakerFailures)
	}
	now.Add(1)
	if err := try(); errors.Is(err, errBreakerOpen) {
		t.Fatalf("after a second: got %v, want a trial", err)
	}
	now.Add(1)
	if err := try(); !errors.Is(err, errBreakerOpen) {
		t.Fatalf("a second after the failed trial: got %v, want an open breaker", err)
	}
	up.Set(smtptest.At(smtptest.Greeting), smtptest.Fault{})
	now.Add(1)
	mustCarry(t, u)
	mustCarry(t, u)
}

func TestBreaker(t *testing.T) {
	var b breaker
	at := time.Unix(0, 0)
	fail := func() { b.failed(at) }
	for range breakerFailures {
		if !b.allow(at) {
			t.Fatal("closed breaker refuses")
		}
		fail()
	}
	for _, rest := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		if b.allow(at.Add(rest*time.Second - 1)) {
			t.Fatalf("breaker allows before %d s", rest)
		}
		at = at.Add(rest * time.Second)
		if !b.allow(at) || b.allow(at) {
			t.Fatalf("breaker does not allow exactly one trial after %d s", rest)
		}
		fail()
	}
	at = at.Add(time.Minute)
	if !b.allow(at) {
		t.Fatal("no trial")
	}
	b.abandoned()
	if !b.allow(at) {
		t.Fatal("an abandoned trial does not make room for the next")
	}
	b.succeeded()
	for range 2 {
		if !b.allow(at) {
			t.Fatal("breaker is not closed after a success")
		}
	}
}

func TestPoolMaxOpen(t *testing.T) {
	up := smtptest.NewUpstream(t, smtptest.Options{})
	u := newPool(t, func(o *UpstreamOptions) { o.MaxOpen = 2 }, up)
	var all []transaction
	for range 2 {
		x, _, err := u.Begin(context.Background(), "<a@b.example>", "")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, x)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := u.Begin(ctx, "<a@b.example>", ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("third transaction: got %v, want no place in time", err)
	}
	for _, x := range all {
		x.End()
	}
	mustCarry(t, u)
	if got := up.Connections(); got != 2 {
		t.Errorf("took %d connections, want 2", got)
	}
}

func TestPoolConcurrent(t *testing.T) {
	up := smtptest.NewUpstream(t, smtptest.Options{})
	u := newPool(t, func(o *UpstreamOptions) { o.MaxOpen, o.MaxIdle, o.MaxMessages = 4, 2, 5 }, up)
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			for range 10 {
				if got := carry(context.Background(), u, letterText(3000)); got.reply.Class() != 2 {
					t.Errorf("got %q: %v", got.heard(), got.err)
				}
			}
		})
	}
	all.Wait()
	if got := len(up.Messages()); got != 120 {
		t.Errorf("upstream kept %d messages, want 120", got)
	}
	up.Await(t, "no more than the idle connections", func() bool { return up.Open() <= 2 })
}

func TestPoolIdleLife(t *testing.T) {
	up := smtptest.NewUpstream(t, smtptest.Options{})
	u := newPool(t, func(o *UpstreamOptions) { o.IdleLife = time.Millisecond }, up)
	mustCarry(t, u)
	up.Await(t, "the idle connection to end with QUIT", func() bool { return up.Open() == 0 && up.Count("QUIT") == 1 })
	mustCarry(t, u)
}

func TestPoolClose(t *testing.T) {
	up := smtptest.NewUpstream(t, smtptest.Options{})
	u := newPool(t, nil, up)
	mustCarry(t, u)
	x, _, err := u.Begin(context.Background(), "<a@b.example>", "")
	if err != nil {
		t.Fatal(err)
	}
	u.Close()
	if r, err := x.Rcpt(context.Background(), "<one@mail.example>", ""); err != nil || r.Class() != 2 {
		t.Errorf("transaction under way: got %v, %v, want it to go on", r, err)
	}
	if r, err := x.Data(context.Background(), letterText(10)); err != nil || r.Class() != 2 {
		t.Errorf("transaction under way: got %v, %v, want it to go on", r, err)
	}
	x.End()
	up.Await(t, "all connections to end", func() bool { return up.Open() == 0 })
	if _, _, err := u.Begin(context.Background(), "<a@b.example>", ""); !errors.Is(err, errClosed) {
		t.Errorf("after Close: got %v, want %v", err, errClosed)
	}
}

// TestCancel: the end of the caller's context ends every step at once.
func TestCancel(t *testing.T) {
	for _, step := range []smtptest.Step{smtptest.Greeting, smtptest.Hello, smtptest.Mail, smtptest.Rcpt, smtptest.Data, smtptest.FirstByte, smtptest.AfterDot} {
		t.Run(string(step), func(t *testing.T) {
			up := smtptest.NewUpstream(t, smtptest.Options{Narrow: true, Faults: map[smtptest.Point]smtptest.Fault{smtptest.At(step): smtptest.Hang()}})
			u := newPool(t, func(o *UpstreamOptions) { o.Dial = narrow }, up)
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan carried, 1)
			go func() { done <- carry(ctx, u, letterText(wideLetter)) }()
			up.Await(t, string(step), func() bool { return up.Reached(step) > 0 })
			cancel()
			select {
			case got := <-done:
				if !errors.Is(got.err, context.Canceled) && !errors.Is(got.err, errUnreachable) && !errors.Is(got.err, errOutcomeUnknown) {
					t.Errorf("got %v", got.err)
				}
				if step == smtptest.AfterDot && !errors.Is(got.err, errOutcomeUnknown) {
					t.Errorf("got %v, want %v", got.err, errOutcomeUnknown)
				}
			case <-time.After(smtptest.Patience):
				t.Fatal("still waiting")
			}
		})
	}
}

func TestExtensionsMirror(t *testing.T) {
	var now atomic.Int64
	first := smtptest.NewUpstream(t, smtptest.Options{Extensions: []string{"size 1000", "dsn", "8BitMime", "SMTPUTF8"}, Auth: "PLAIN"})
	second := smtptest.NewUpstream(t, smtptest.Options{Extensions: []string{"SIZE 500", "DSN"}})
	u := newPool(t, func(o *UpstreamOptions) { o.Now = func() time.Time { return time.Unix(now.Load(), 0) } }, first, second)
	look := func() Extensions {
		t.Helper()
		e, err := u.Extensions(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	e := look()
	if _, auth := e["AUTH"]; auth || e["SIZE"] != "1000" || len(e) != 4 {
		t.Errorf("got %v, want the first server's four extensions without AUTH", e)
	}
	e["SIZE"] = "changed by the caller"
	if look()["SIZE"] != "1000" || first.Connections() != 1 {
		t.Errorf("the mirror was changed, or asked again: %v, %d connections", look(), first.Connections())
	}
	now.Add(599)
	if look(); first.Count("EHLO") != 1 {
		t.Errorf("asked again before ten minutes")
	}
	now.Add(1)
	if look(); first.Count("EHLO") != 2 {
		t.Errorf("not asked again after ten minutes")
	}
	first.Set(smtptest.At(smtptest.Greeting), smtptest.Close())
	now.Add(600)
	if e := look(); len(e) != 2 || e["SIZE"] != "500" {
		t.Errorf("with both servers known: got %v, want what both offer", e)
	}
	second.Set(smtptest.At(smtptest.Greeting), smtptest.Close())
	now.Add(600)
	if e := look(); len(e) != 2 {
		t.Errorf("with no server in reach: got %v, want what was known", e)
	}
}

func TestExtensionsUnknownServer(t *testing.T) {
	up := smtptest.NewUpstream(t, smtptest.Options{Faults: map[smtptest.Point]smtptest.Fault{smtptest.At(smtptest.Connect): smtptest.Refuse()}})
	if e, err := newPool(t, nil, up).Extensions(context.Background()); e != nil || !errors.Is(err, errUnreachable) {
		t.Errorf("got %v, %v, want %v", e, err, errUnreachable)
	}
}

func TestDialError(t *testing.T) {
	up := smtptest.NewUpstream(t, smtptest.Options{})
	u := newPool(t, func(o *UpstreamOptions) {
		o.Timeouts.Dial = 10 * time.Millisecond
		o.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) { // a host that swallows packets
			<-ctx.Done()
			return nil, ctx.Err()
		}
	}, up)
	if got := carry(context.Background(), u, letterText(10)).heard(); got != "451 4.4.1 Next server cannot be reached" {
		t.Errorf("got %q", got)
	}
}

// TestEnvelopeAtOnce: a whole envelope gets the same answers as one that is said line by line.
func TestEnvelopeAtOnce(t *testing.T) {
	for name, extensions := range map[string][]string{"pipelining": nil, "plain": {"8BITMIME"}} {
		t.Run(name, func(t *testing.T) {
			const n = 2*maxBatch + 7
			up := smtptest.NewUpstream(t, smtptest.Options{Extensions: extensions, Faults: map[smtptest.Point]smtptest.Fault{
				{Step: smtptest.Rcpt, Nth: 2}: smtptest.Say("550-5.1.1 no\n550 5.1.1 such user"),
				{Step: smtptest.Rcpt, Nth: n}: smtptest.Say("452 4.5.3 enough"),
				{Step: smtptest.Mail, Nth: 2}: smtptest.Say("550 5.7.1 not you"),
			}})
			u := newPool(t, nil, up)
			to := make([]envelopeLine, n)
			for i := range to {
				to[i].path = fmt.Sprintf("<r%d@mail.example>", i)
			}
			x, r, answers, err := u.BeginAll(context.Background(), envelopeLine{path: "<a@b.example>"}, to)
			if err != nil || r.Code != 250 || len(answers) != n {
				t.Fatalf("got %v, %d answers, %v", r, len(answers), err)
			}
			for i, a := range answers {
				if want := map[int]int{1: 550, n - 1: 452}[i]; a.Code != max(want, 250) {
					t.Errorf("recipient %d: got %v", i, a)
				}
			}
			if r, err := x.Data(context.Background(), letterText(10)); err != nil || r.Code != 250 {
				t.Errorf("got %v, %v", r, err)
			}
			x.End()
			if got := len(up.Messages()[0].Rcpt); got != n-2 {
				t.Errorf("message went to %d, want %d", got, n-2)
			}
			x, r, answers, err = u.BeginAll(context.Background(), envelopeLine{path: "<a@b.example>"}, to[:3])
			if err != nil || r.Code != 550 || len(answers) != 0 {
				t.Errorf("MAIL refused: got %v, %v, %v", r, answers, err)
			}
			x.End()
			mustCarry(t, u)
			if up.Connections() != 1 {
				t.Errorf("took %d connections, want 1", up.Connections())
			}
		})
	}
}

// TestEnvelopeAtOnceStale: nobody was told anything yet, so a connection that dies within the envelope is replaced.
func TestEnvelopeAtOnceStale(t *testing.T) {
	for _, fault := range []smtptest.Fault{smtptest.Close(), smtptest.Say("421 4.3.2 Stopping")} {
		first := smtptest.NewUpstream(t, smtptest.Options{Faults: map[smtptest.Point]smtptest.Fault{{Step: smtptest.Rcpt, Nth: 2}: fault}})
		second := smtptest.NewUpstream(t, smtptest.Options{})
		u := newPool(t, nil, first, second)
		to := []envelopeLine{{path: "<one@mail.example>"}, {path: "<two@mail.example>"}}
		x, _, answers, err := u.BeginAll(context.Background(), envelopeLine{path: "<a@b.example>"}, to)
		if err != nil || len(answers) != 2 || answers[1].Code != 250 {
			t.Fatalf("got %v, %v", answers, err)
		}
		if r, err := x.Data(context.Background(), letterText(10)); err != nil || r.Code != 250 || len(second.Messages()) != 1 {
			t.Errorf("got %v, %v", r, err)
		}
		x.End()
	}
}
