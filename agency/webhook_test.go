package agency

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/careerrelay/careerrelay/store"
)

// TestDelivery: a candidate who registered reaches the agency, signed, over TLS,
// once; its acknowledgement is in the record of provision.
func TestDelivery(t *testing.T) {
	r, rc := newRelay(t), newReceiver(t, true)
	ref := r.person(1, nil)
	r.person(2, func(o *store.Offer) { o.Test = true })
	roots := x509.NewCertPool()
	roots.AddCert(rc.server.Certificate())
	w := r.webhook(rc.url(), func(o *WebhookOptions) { o.TLS = &tls.Config{RootCAs: roots} })
	r.clock.pass(time.Minute)
	r.round(w, 1)
	r.round(w, 0)
	all := rc.messages()
	if len(all) != 1 {
		t.Fatalf("%d messages", len(all))
	}
	m := all[0].message
	if m.Type != "referral.opted_in" || !m.Timestamp.Equal(ref.OptedInAt) || all[0].at != fmt.Sprint(r.clock.now().Unix()) {
		t.Errorf("%s of %v at %s", m.Type, m.Timestamp, all[0].at)
	}
	profile, _ := m.Data["profile"].(map[string]any)
	if m.Data["id"] != ref.ID || m.Data["programme"] != "candidate" || profile["family_name"] != "山田" || profile["phone"] != "090-1234-5678" {
		t.Errorf("data: %v", m.Data)
	}
	for _, secret := range []string{"stays", "ja-declined", "rejection", "adult"} {
		if strings.Contains(all[0].raw, secret) {
			t.Errorf("the message holds %q: %s", secret, all[0].raw)
		}
	}
	rec := r.lastRecord()
	want := []string{"family_name", "given_name", "mail", "phone", "contact", "frequency", "field"}
	if rec.Kind != store.RecordProvision || rec.Receiver.Ack != "A-1" || rec.Receiver.Name != "株式会社エージェント" || !slices.Equal(rec.Receiver.Fields, want) {
		t.Errorf("record of provision: %+v", rec)
	}
	if r.referral(ref.ID).HandedOverAt.IsZero() || len(r.outbox()) != 0 {
		t.Error("the hand-over is not marked")
	}
	if n := testutil.ToFloat64(w.o.Metrics.deliveries.WithLabelValues("opted_in", "delivered")); n != 1 {
		t.Errorf("counted %v", n)
	}
}

// failures are the ways in which a receiver can fail, and what is said of each.
var failures = map[string]struct {
	answer func(w http.ResponseWriter, r *http.Request)
	cause  string
	wait   time.Duration // until the second attempt
}{
	"500":           {status(500, ""), "answered 500", 5 * time.Second},
	"404":           {status(404, ""), "answered 404", 5 * time.Second},
	"429 in 90 s":   {status(429, "90"), "answered 429", 90 * time.Second},
	"503 at a date": {status(503, "Mon, 01 Jun 2026 10:00:00 GMT"), "answered 503", time.Hour},
	"503 for ever":  {status(503, "99999999999999999999"), "answered 503", 5 * time.Second},
	"503 for weeks": {status(503, "9999999"), "answered 503", 24 * time.Hour},
	"503 before":    {status(503, "-5"), "answered 503", 5 * time.Second},
	"redirect": {func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	},
		"answered 307: redirects are not followed", 5 * time.Second},
	"closed": {func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }, "EOF", 5 * time.Second},
	"torn": {func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.Write([]byte(`{"id":`))
	}, "answer broke off", 5 * time.Second},
	"no HTTP": {func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			c.Write([]byte("220 mail.example ESMTP\r\n"))
			c.Close()
		}
	}, "net/http: HTTP/1.x transport connection broken: malformed HTTP status code \"mail.example\"", 5 * time.Second},
}

func status(code int, after string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", after)
		w.WriteHeader(code)
		w.Write([]byte("taro1@mail.example is not known here")) // words of a receiver are kept nowhere
	}
}

// TestFailures: each failure is followed by another attempt with the same id, not
// too soon, and nothing is handed over before one succeeds.
func TestFailures(t *testing.T) {
	for name, f := range failures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, rc := newRelay(t), newReceiver(t, false)
			rc.answer = func(w http.ResponseWriter, req *http.Request, nth int) {
				if nth == 1 {
					f.answer(w, req)
				}
			}
			ref := r.person(1, nil)
			w := r.webhook(rc.url(), nil)
			r.round(w, 1)
			if d := r.outbox(); len(d) != 1 || d[0].Error != f.cause || d[0].Dead || !d[0].Next.Equal(r.clock.now().Add(f.wait)) {
				t.Fatalf("outbox: %+v, want %q in %v", d, f.cause, f.wait)
			}
			if !r.referral(ref.ID).HandedOverAt.IsZero() || testutil.ToFloat64(w.o.Metrics.waiting) != 1 {
				t.Error("handed over, or not waiting")
			}
			r.clock.pass(f.wait - time.Second)
			r.round(w, 0)
			r.clock.pass(time.Second)
			r.round(w, 1)
			all := rc.messages()
			if len(all) != 2 || all[0].id != all[1].id || all[0].at == all[1].at {
				t.Fatalf("%d messages: %+v", len(all), all)
			}
			if len(r.outbox()) != 0 || r.lastRecord().Receiver.Ack != "" {
				t.Errorf("outbox %+v, ack %q", r.outbox(), r.lastRecord().Receiver.Ack)
			}
		})
	}
}

// TestUnreachable: no server, a server that hangs, one with a certificate of
// nobody.
func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := &url.URL{Scheme: "http", Host: l.Addr().String()}
	l.Close()
	hanging := newReceiver(t, false)
	release := make(chan struct{})
	hanging.answer = func(http.ResponseWriter, *http.Request, int) { <-release }
	defer close(release)
	forged := newReceiver(t, true)
	for _, tt := range []struct {
		name    string
		to      *url.URL
		timeout time.Duration
		cause   string
	}{
		{"nobody", nobody, time.Minute, "connection refused"},
		{"hangs", hanging.url(), 300 * time.Millisecond, "no answer in time"},
		{"certificate of nobody", forged.url(), time.Minute, "certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRelay(t)
			r.person(1, nil)
			r.round(r.webhook(tt.to, func(o *WebhookOptions) { o.Timeout = tt.timeout }), 1)
			d := r.outbox()
			if len(d) != 1 || !strings.Contains(d[0].Error, tt.cause) || strings.Contains(d[0].Error, "of-the-agency") {
				t.Errorf("outbox: %+v, want %q", d, tt.cause)
			}
		})
	}
	if len(forged.messages()) != 0 {
		t.Error("data went to a server with a forged certificate")
	}
}

// TestRedirectTarget: what a redirect names is never asked.
func TestRedirectTarget(t *testing.T) {
	r, rc, target := newRelay(t), newReceiver(t, false), newReceiver(t, false)
	rc.answer = func(w http.ResponseWriter, req *http.Request, _ int) {
		http.Redirect(w, req, target.server.URL, http.StatusPermanentRedirect)
	}
	r.person(1, nil)
	r.round(r.webhook(rc.url(), nil), 1)
	if len(target.messages()) != 0 {
		t.Error("the redirect was followed")
	}
}

// TestDeadLetter: after three days, or a 410, a person must look. A requeued
// letter goes out again.
func TestDeadLetter(t *testing.T) {
	r, rc := newRelay(t), newReceiver(t, false)
	broken := true
	rc.answer = func(w http.ResponseWriter, _ *http.Request, _ int) {
		if broken {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}
	r.person(1, nil)
	w := r.webhook(rc.url(), nil)
	begun := r.clock.now()
	attempts := 0
	for !r.outbox()[0].Dead {
		r.round(w, 1)
		attempts++
		r.clock.pass(r.outbox()[0].Next.Sub(r.clock.now()))
	}
	if took := r.clock.now().Sub(begun); attempts != len(retries)+1 || took < 70*time.Hour || took > 80*time.Hour {
		t.Errorf("given up after %d attempts in %v", attempts, took)
	}
	r.round(w, 0)
	if testutil.ToFloat64(w.o.Metrics.dead) != 1 || testutil.ToFloat64(w.o.Metrics.waiting) != 0 || !strings.Contains(r.log.String(), "given up") {
		t.Error("nobody is told of the dead letter")
	}
	broken = false
	if err := r.store.Requeue(t.Context(), r.outbox()[0].ID); err != nil {
		t.Fatal(err)
	}
	r.round(w, 1)
	if len(r.outbox()) != 0 || testutil.ToFloat64(w.o.Metrics.dead) != 0 {
		t.Errorf("outbox: %+v", r.outbox())
	}

	gone := newReceiver(t, false)
	gone.answer = func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(http.StatusGone) }
	r.person(2, nil)
	r.round(r.webhook(gone.url(), nil), 1)
	if d := r.outbox(); len(d) != 1 || !d[0].Dead || !strings.HasPrefix(d[0].Error, "answered 410") {
		t.Errorf("after 410: %+v", d)
	}
}

// TestEvents: the agency hears of a correction, a withdrawal and an erasure, and
// gets no profile with the last two.
func TestEvents(t *testing.T) {
	r, rc := newRelay(t), newReceiver(t, false)
	w := r.webhook(rc.url(), nil)
	one, two := r.person(1, nil), r.person(2, func(o *store.Offer) { o.Kind = store.KindLeaver })
	r.round(w, 2)
	box, err := r.sealer.Seal(one.ID, []byte(strings.ReplaceAll(form(1), "090-", "080-")))
	if err == nil {
		err = r.store.SetProfile(t.Context(), one.ID, r.referral(one.ID).Consent.Profile, box)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.round(w, 1)
	_, err = r.store.Withdraw(t.Context(), one.ID)
	if err == nil {
		_, err = r.store.Erase(t.Context(), two.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.round(w, 2)
	seen := map[string]map[string]any{}
	ids := map[string]bool{}
	for _, m := range rc.messages() {
		seen[m.message.Type+" "+m.message.Data["id"].(string)] = m.message.Data
		ids[m.id] = true
	}
	if len(seen) != 5 || len(ids) != 5 {
		t.Fatalf("messages: %v", seen)
	}
	if p := seen["referral.changed "+one.ID]["profile"].(map[string]any); p["phone"] != "080-1234-5678" {
		t.Errorf("changed: %v", p)
	}
	if seen["referral.opted_in "+two.ID]["programme"] != "leaver" {
		t.Error("the agency cannot tell leavers")
	}
	for _, name := range []string{"referral.withdrawn " + one.ID, "referral.erased " + two.ID} {
		if d := seen[name]; d == nil || d["profile"] != nil || d["state"] != strings.Fields(strings.TrimPrefix(name, "referral."))[0] {
			t.Errorf("%s: %v", name, d)
		}
	}
	if r.lastRecord().Kind != store.RecordErasure {
		t.Errorf("telling of an end was recorded as a provision: %+v", r.lastRecord())
	}
}

// TestConsentEndsBeforeSending: what was claimed, and withdrawn in the same
// moment, is not sent.
func TestConsentEndsBeforeSending(t *testing.T) {
	r, rc := newRelay(t), newReceiver(t, false)
	ref := r.person(1, nil)
	w := r.webhook(rc.url(), nil)
	due, err := r.store.Claim(t.Context(), 1, time.Minute)
	if err == nil {
		_, err = r.store.Withdraw(t.Context(), ref.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.deliver(t.Context(), due[0])
	if len(rc.messages()) != 0 {
		t.Error("sent after the withdrawal")
	}
}

// TestSecondSecret: while a secret is changed, receivers with the old and with
// the new one both believe the message.
func TestSecondSecret(t *testing.T) {
	r, rc := newRelay(t), newReceiver(t, false)
	both := func(o *WebhookOptions) {
		o.Secrets = func() ([][]byte, error) { return [][]byte{[]byte(newSecret), []byte(oldSecret)}, nil }
	}
	w := r.webhook(rc.url(), both)
	for i, secret := range []string{newSecret, oldSecret} {
		rc.secret = secret
		r.person(i, nil)
		r.round(w, 1)
	}
	if len(rc.messages()) != 2 {
		t.Errorf("%d messages", len(rc.messages()))
	}
}

// TestSeveralSenders: several processes empty one outbox, and each delivery
// arrives once. What a dead one took is sent after its lease.
func TestSeveralSenders(t *testing.T) {
	r, rc := newRelay(t), newReceiver(t, false)
	const people = 40
	for i := range people {
		r.person(i, nil)
	}
	dead, err := r.store.Claim(t.Context(), 3, leaseTime)
	if err != nil || len(dead) != 3 {
		t.Fatal(dead, err)
	}
	var group sync.WaitGroup
	for range 3 {
		w := r.webhook(rc.url(), nil)
		group.Go(func() {
			for {
				n, err := w.Round(t.Context())
				if err != nil {
					t.Error(err)
				}
				if n == 0 {
					return
				}
			}
		})
	}
	group.Wait()
	if n := len(rc.messages()); n != people-3 {
		t.Errorf("%d messages", n)
	}
	r.clock.pass(leaseTime)
	r.round(r.webhook(rc.url(), nil), 3)
	ids := map[string]bool{}
	for _, m := range rc.messages() {
		ids[m.id] = true
	}
	if len(ids) != people || len(rc.messages()) != people {
		t.Errorf("%d messages, %d ids", len(rc.messages()), len(ids))
	}
}

// TestRunDrains: stopping waits for the answer that is on its way, and it is
// recorded.
func TestRunDrains(t *testing.T) {
	r, rc := newRelay(t), newReceiver(t, false)
	arrived, answer := make(chan struct{}), make(chan struct{})
	rc.answer = func(w http.ResponseWriter, _ *http.Request, _ int) {
		close(arrived)
		<-answer
		w.Write([]byte(`{"id":"late"}`))
	}
	r.person(1, nil)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	var running atomic.Bool
	running.Store(true)
	go func() {
		r.webhook(rc.url(), nil).Run(ctx)
		running.Store(false)
		close(ended)
	}()
	<-arrived
	stop()
	if !running.Load() {
		t.Error("stopped with a delivery on its way")
	}
	close(answer)
	<-ended
	if r.lastRecord().Receiver.Ack != "late" {
		t.Errorf("not recorded: %+v", r.lastRecord())
	}
}

func TestAcknowledgement(t *testing.T) {
	for text, want := range map[string]string{
		`{"id":"A-1","more":1}`: "A-1", `{}`: "", ``: "", `[1]`: "", `{"id":5}`: "", "OK": "",
		`{"id":"` + strings.Repeat("x", maxAck+1) + `"}`: "", `{"id":"a\nb"}`: "",
	} {
		if got := acknowledgement([]byte(text)); got != want {
			t.Errorf("%.40q: got %q, want %q", text, got, want)
		}
	}
}

func TestNewWebhookRefuses(t *testing.T) {
	if _, err := NewWebhook(WebhookOptions{}); err == nil {
		t.Error("no options: no error")
	}
	r := newRelay(t)
	u, _ := url.Parse("https://agency.example")
	none := errors.New("secret file is empty")
	if _, err := NewWebhook(WebhookOptions{Desk: r.desk, Outbox: r.store, URL: u, Secrets: func() ([][]byte, error) { return nil, none }}); !errors.Is(err, none) {
		t.Errorf("got %v", err)
	}
}

// TestKnownSignature is an example that the standard's own libraries test with.
func TestKnownSignature(t *testing.T) {
	secret, err := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got := signature([][]byte{secret}, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
