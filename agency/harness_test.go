package agency

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/bolt"
)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.at }
func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// logBuffer is a log that several goroutines write.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
func (l *logBuffer) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

// relay is the relay's side: a real store with people in it.
type relay struct {
	t      testing.TB
	clock  *clock
	store  *bolt.Store
	keys   *store.Keys
	sealer *store.Sealer
	desk   *Desk
	log    *logBuffer
	logger *slog.Logger
}

func newRelay(t testing.TB) *relay {
	t.Helper()
	r := &relay{t: t, clock: &clock{at: time.Date(2026, 6, 1, 9, 0, 0, 0, time.UTC)}, log: &logBuffer{}}
	r.logger = slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	secret := []byte(strings.Repeat("k", 32))
	var err error
	if r.keys, err = store.NewKeys(secret); err != nil {
		t.Fatal(err)
	}
	if r.sealer, err = store.NewSealer(secret); err != nil {
		t.Fatal(err)
	}
	if r.store, err = bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{Policy: store.Policy{Now: r.clock.now, Outbox: true}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.store.Close() })
	r.desk = &Desk{Referrals: r.store, Open: r.sealer.Open,
		Company: func(id string) string {
			return map[string]string{"c": "株式会社サンプル", "d": "別会社"}[id]
		},
		Receiver: func() (string, string) { return "株式会社エージェント", "東京都千代田区1-1" }}
	t.Cleanup(func() {
		for _, secret := range []string{"山田", "taro", "090-"} {
			if strings.Contains(r.log.String(), secret) {
				t.Errorf("the log holds %q:\n%s", secret, r.log)
			}
		}
	})
	return r
}

// form is what the candidate's page seals, with fields that stay behind.
func form(n int) string {
	return fmt.Sprintf(`{"family_name":"山田","given_name":"太郎%d","mail":"taro%d@mail.example","phone":"090-1234-5678","contact":"mail",
		"frequency":"asked","field":"it","adult":true,"hand_over":true,"tell_back":false,"job_news":true,"secret_field":"stays"}`, n, n)
}

// sent is the n-th person, who got a link.
func (r *relay) sent(n int, change func(*store.Offer)) (store.Token, store.Referral) {
	r.t.Helper()
	address, key := fmt.Sprintf("taro%d@mail.example", n), fmt.Sprintf("<%d@c.example>", n)
	o := store.Offer{Company: "c", Kind: store.KindRejection, Rule: "ja-declined", Language: "ja"}
	if change != nil {
		change(&o)
	}
	o.Key, o.Token, o.Person = r.keys.Key(o.Company, key, address), r.keys.Token(o.Company, key, address), r.keys.Person(o.Company, address)
	ref, err := r.store.Offer(r.t.Context(), o)
	if err == nil {
		err = r.store.Confirm(r.t.Context(), o.Token)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return o.Token, ref
}

// person is one who opted in.
func (r *relay) person(n int, change func(*store.Offer)) store.Referral {
	r.t.Helper()
	token, ref := r.sent(n, change)
	box, err := r.sealer.Seal(ref.ID, []byte(form(n)))
	if err != nil {
		r.t.Fatal(err)
	}
	ref, err = r.store.OptIn(r.t.Context(), token, store.Consent{TextID: "optin-ja-2", TextSHA256: "ab12", Locale: "ja",
		Method: "typed_address", JobNews: true, Profile: box})
	if err != nil {
		r.t.Fatal(err)
	}
	return ref
}

func (r *relay) referral(id string) store.Referral {
	r.t.Helper()
	ref, err := r.store.Referral(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return ref
}

func (r *relay) lastRecord() store.Record {
	r.t.Helper()
	all, err := r.store.Records(r.t.Context(), "c", 0, 1000)
	if err != nil || len(all) == 0 {
		r.t.Fatalf("%d records, %v", len(all), err)
	}
	return all[len(all)-1]
}

func (r *relay) outbox() []store.Delivery {
	r.t.Helper()
	all, err := r.store.Deliveries(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

const (
	newSecret = "the agency's secret of today"
	oldSecret = "the agency's secret of yesterday"
)

// got is a message that the receiver took.
type got struct {
	id, at  string
	raw     string
	message struct {
		Type      string         `json:"type"`
		Timestamp time.Time      `json:"timestamp"`
		Data      map[string]any `json:"data"`
	}
}

// receiver is the agency's end: a real HTTP server that checks what the standard
// asks it to check, and answers as the test says.
type receiver struct {
	t      testing.TB
	server *httptest.Server
	secret string
	answer func(w http.ResponseWriter, r *http.Request, nth int)

	mu   sync.Mutex // guards the fields below
	all  []got
	hits int
}

func newReceiver(t *testing.T, tls bool) *receiver {
	t.Helper()
	rc := &receiver{t: t, secret: newSecret}
	if tls {
		rc.server = httptest.NewTLSServer(rc)
	} else {
		rc.server = httptest.NewServer(rc)
	}
	t.Cleanup(rc.server.Close)
	return rc
}

func (rc *receiver) url() *url.URL {
	u, err := url.Parse(rc.server.URL + "/hook?key=of-the-agency")
	if err != nil {
		rc.t.Fatal(err)
	}
	return u
}

func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		rc.t.Errorf("read body: %v", err)
	}
	rc.verify(r, body)
	g := got{id: r.Header.Get("webhook-id"), at: r.Header.Get("webhook-timestamp"), raw: string(body)}
	if err := json.Unmarshal(body, &g.message); err != nil {
		rc.t.Errorf("body: %v", err)
	}
	rc.mu.Lock()
	rc.hits++
	nth := rc.hits
	rc.all = append(rc.all, g)
	rc.mu.Unlock()
	if rc.answer != nil {
		rc.answer(w, r, nth)
		return
	}
	fmt.Fprintf(w, `{"id":"A-%d"}`, nth)
}

// verify is written from the standard's text, not from our own code.
func (rc *receiver) verify(r *http.Request, body []byte) {
	id, at := r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp")
	mac := hmac.New(sha256.New, []byte(rc.secret))
	fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for _, s := range strings.Split(r.Header.Get("webhook-signature"), " ") {
		if hmac.Equal([]byte(s), []byte(want)) {
			if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Idempotency-Key") != id || !strings.HasPrefix(id, "msg_") {
				rc.t.Errorf("%s with header %v", r.Method, r.Header)
			}
			return
		}
	}
	rc.t.Errorf("no signature %s among %q", want, r.Header.Get("webhook-signature"))
}

func (rc *receiver) messages() []got {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return append([]got(nil), rc.all...)
}

func (r *relay) webhook(u *url.URL, change func(*WebhookOptions)) *Webhook {
	r.t.Helper()
	o := WebhookOptions{Desk: r.desk, Outbox: r.store, URL: u, Now: r.clock.now, Jitter: func() float64 { return 0.5 }, Logger: r.logger,
		Secrets: func() ([][]byte, error) { return [][]byte{[]byte(newSecret)}, nil }, Timeout: time.Minute}
	if change != nil {
		change(&o)
	}
	w, err := NewWebhook(o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(w.client.CloseIdleConnections)
	return w
}

func (r *relay) round(w *Webhook, want int) {
	r.t.Helper()
	n, err := w.Round(r.t.Context())
	if err != nil || n != want {
		r.t.Fatalf("round: %d deliveries, %v, want %d", n, err, want)
	}
}
