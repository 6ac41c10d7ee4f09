package agency

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/careerrelay/careerrelay/store"
)

// retries are the waits between attempts, three days in all. After the last one
// a delivery is a dead letter, which a person may requeue.
var retries = []time.Duration{
	5 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 20 * time.Hour,
}

const (
	senders     = 4              // deliveries at a time
	leaseTime   = time.Minute    // another process may try again after it
	maxAnswer   = 64 << 10       // octets of an answer that are read
	maxAck      = 200            // octets of an acknowledgement id
	maxPatience = 24 * time.Hour // the longest Retry-After that is followed
)

// WebhookOptions make a Webhook. All fields without a default are required.
type WebhookOptions struct {
	Desk   *Desk
	Outbox store.Outbox
	URL    *url.URL
	// Secrets sign the messages, the current one first; read anew for each message.
	Secrets func() ([][]byte, error)
	Poll    time.Duration    // between looks at an empty outbox; default 2 s
	Timeout time.Duration    // for the receiver's whole answer, less than a minute; default 15 s
	Now     func() time.Time // default time.Now
	Jitter  func() float64   // from 0 to 1; default random
	Logger  *slog.Logger     // default: nothing is logged
	Metrics *Metrics         // default: nobody looks
	TLS     *tls.Config      // default: the system's authorities
}

// Webhook tells the agency what the outbox holds, at least once each: signed as
// Standard Webhooks asks, retried for three days, then a dead letter. Several
// processes may send from one outbox.
type Webhook struct {
	o      WebhookOptions
	client *http.Client
}

// NewWebhook checks the options.
func NewWebhook(o WebhookOptions) (*Webhook, error) {
	if o.Desk == nil || o.Outbox == nil || o.URL == nil || o.Secrets == nil {
		return nil, errors.New("make webhook: Desk, Outbox, URL and Secrets are required")
	}
	if _, err := o.Secrets(); err != nil {
		return nil, fmt.Errorf("make webhook: %w", err)
	}
	if o.Poll == 0 {
		o.Poll = 2 * time.Second
	}
	if o.Timeout == 0 {
		o.Timeout = 15 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(prometheus.NewRegistry())
	}
	return &Webhook{o: o, client: newClient(o.TLS, o.Timeout)}, nil
}

// newClient follows no redirect: personal data go where the configuration says
// and nowhere else.
func newClient(t *tls.Config, timeout time.Duration) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = t
	transport.MaxIdleConnsPerHost = senders
	transport.MaxResponseHeaderBytes = maxAnswer
	return &http.Client{Transport: transport, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Run sends until ctx ends. What is on its way then is finished, within the time
// that one answer may take.
func (w *Webhook) Run(ctx context.Context) {
	defer w.client.CloseIdleConnections()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		next := w.o.Poll
		n, err := w.Round(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			w.o.Logger.Error("outbox cannot be read", slog.Any("err", err))
		case n > 0:
			next = 0
		}
		pause.Reset(next)
	}
}

// Round tries what is due, once, and returns how many deliveries that were.
func (w *Webhook) Round(ctx context.Context) (int, error) {
	due, err := w.o.Outbox.Claim(ctx, senders, leaseTime)
	if err != nil {
		return 0, err
	}
	var group sync.WaitGroup
	for _, d := range due {
		group.Go(func() { w.deliver(context.WithoutCancel(ctx), d) })
	}
	group.Wait()
	return len(due), w.measure(ctx)
}

// measure brings the gauges up to date.
func (w *Webhook) measure(ctx context.Context) error {
	list, err := w.o.Outbox.Deliveries(ctx)
	if err != nil {
		return err
	}
	waiting, dead, oldest := 0, 0, time.Duration(0)
	for _, d := range list {
		if d.Dead {
			dead++
			continue
		}
		waiting++
		oldest = max(oldest, w.o.Now().Sub(d.At))
	}
	w.o.Metrics.waiting.Set(float64(waiting))
	w.o.Metrics.dead.Set(float64(dead))
	w.o.Metrics.oldest.Set(oldest.Seconds())
	return nil
}

// failure is why an attempt failed. It holds no personal data: it is stored,
// logged and shown.
type failure struct {
	cause string
	final bool          // trying again is of no use
	after time.Duration // the receiver asks to wait this long; 0 if it does not
}

func (f *failure) Error() string { return f.cause }

// deliver makes one attempt and records what came of it.
func (w *Webhook) deliver(ctx context.Context, d store.Delivery) {
	to, err := w.attempt(ctx, d)
	outcome := "delivered"
	var record error
	if err == nil {
		record = w.o.Outbox.Delivered(ctx, d.ID, to)
	} else {
		next := w.next(d, err)
		if outcome = "retried"; next.IsZero() {
			outcome = "dead"
		}
		record = w.o.Outbox.Failed(ctx, d.ID, err.Error(), next)
	}
	w.o.Metrics.deliveries.WithLabelValues(string(d.Event), outcome).Inc()
	log := w.o.Logger.With(slog.Int64("delivery", d.ID), slog.String("event", string(d.Event)), slog.String("company", d.Company),
		slog.Int("attempt", d.Attempts))
	switch {
	case record != nil && !errors.Is(record, store.ErrNotFound): // taken out meanwhile: erased, or another process was faster
		log.Error("delivery is not recorded; it will be repeated", slog.Any("err", record))
	case outcome == "dead":
		log.Error("delivery to the agency was given up", slog.String("err", err.Error()))
	case outcome == "retried":
		log.Warn("delivery to the agency failed", slog.String("err", err.Error()))
	default:
		log.Info("delivered to the agency")
	}
}

// next is when to try again; zero: never.
func (w *Webhook) next(d store.Delivery, err error) time.Time {
	var f *failure
	if errors.As(err, &f) && f.final || d.Attempts > len(retries) {
		return time.Time{}
	}
	wait := retries[max(d.Attempts-1, 0)]
	wait = time.Duration(float64(wait) * (0.8 + 0.4*w.o.Jitter())) // so that a receiver that comes back is not overrun
	if f != nil {
		wait = max(wait, f.after)
	}
	return w.o.Now().Add(wait)
}

// message is the body of a webhook.
type message struct {
	Type      string    `json:"type"`      // referral.opted_in, referral.changed, referral.withdrawn, referral.erased
	Timestamp time.Time `json:"timestamp"` // when it happened
	Data      Person    `json:"data"`
}

// messageID is the same for every attempt and differs between deliveries, also
// those of a store that was restored from a backup and counts anew.
func messageID(d store.Delivery) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "careerrelay webhook 1 %d %s %s %d", d.ID, d.Event, d.Referral, d.At.UnixMicro()))
	return "msg_" + hex.EncodeToString(sum[:16])
}

// attempt sends a delivery, with the person's data as they are now.
func (w *Webhook) attempt(ctx context.Context, d store.Delivery) (store.Receiver, error) {
	r, err := w.o.Desk.Referrals.Referral(ctx, d.Referral)
	if err != nil {
		return store.Receiver{}, err
	}
	if d.Event.Provides() && r.State != store.OptedIn {
		return store.Receiver{}, &failure{cause: "consent ended before it was sent", final: true}
	}
	person, err := w.o.Desk.person(r)
	if err != nil {
		return store.Receiver{}, err
	}
	if !d.Event.Provides() {
		person.Profile = nil // it may have opted in anew since: that is another event
	}
	body, err := json.Marshal(message{Type: "referral." + string(d.Event), Timestamp: d.At, Data: person})
	if err != nil {
		return store.Receiver{}, errors.New("write message")
	}
	ack, err := w.post(ctx, messageID(d), body)
	return w.o.Desk.receiver(person, ack), err
}

// post sends a signed message and returns the receiver's acknowledgement id.
func (w *Webhook) post(ctx context.Context, id string, body []byte) (string, error) {
	secrets, err := w.o.Secrets()
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.o.URL.String(), bytes.NewReader(body))
	if err != nil {
		return "", errors.New("make request")
	}
	now := w.o.Now()
	h := request.Header
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "CareerRelay")
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	h.Set("webhook-signature", signature(secrets, id, now, body))
	h.Set("Idempotency-Key", id)
	response, err := w.client.Do(request)
	if err != nil {
		return "", plainCause(err)
	}
	defer response.Body.Close()
	return w.answer(response)
}

// plainCause leaves the address out of a network error: it may hold a secret.
func plainCause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		if u.Timeout() {
			return &failure{cause: "no answer in time"}
		}
		err = u.Err
	}
	return &failure{cause: err.Error()}
}

// answer reads what the receiver said: 2xx takes the delivery, and a JSON object
// may name its id.
func (w *Webhook) answer(response *http.Response) (string, error) {
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	switch code := response.StatusCode; {
	case code/100 == 2 && err != nil:
		return "", &failure{cause: "answer broke off"}
	case code/100 == 2:
		return acknowledgement(text), nil
	case code/100 == 3:
		return "", &failure{cause: fmt.Sprintf("answered %d: redirects are not followed", code)}
	case code == http.StatusGone:
		return "", &failure{cause: "answered 410: it wants no more of this", final: true}
	default:
		return "", &failure{cause: fmt.Sprintf("answered %d", code), after: w.retryAfter(response.Header.Get("Retry-After"))}
	}
}

func acknowledgement(text []byte) string {
	var a struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(text, &a) != nil || len(a.ID) > maxAck || strings.ContainsFunc(a.ID, unicode.IsControl) {
		return ""
	}
	return a.ID
}

// retryAfter reads seconds or a date (RFC 9110, section 10.2.3).
func (w *Webhook) retryAfter(value string) time.Duration {
	wait := time.Duration(0)
	if seconds, err := strconv.Atoi(value); err == nil {
		wait = time.Duration(min(seconds, int(maxPatience.Seconds()))) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(w.o.Now())
	}
	return max(0, min(wait, maxPatience))
}
