package agency

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/careerrelay/careerrelay/store"
)

// openAPI describes the API; a test holds it against the handlers.
//
//go:embed openapi.json
var openAPI []byte

// Store is what the API needs of the store.
type Store interface {
	Referrals
	SetAgencyState(ctx context.Context, id string, a store.AgencyState) (store.Referral, error)
	Release(ctx context.Context, code store.Token) (store.Referral, error)
	Report(ctx context.Context, company string) ([]store.Counts, error)
	Note(ctx context.Context, n store.Note) (store.Note, error)
}

// Token lets one program of the agency in.
type Token struct {
	Name   string // for the journal
	SHA256 string // of the token, hexadecimal
}

// APIOptions make an API. Desk, Store and Tokens are required.
type APIOptions struct {
	Desk    *Desk
	Store   Store
	Tokens  func() []Token   // those of the current configuration
	Now     func() time.Time // default time.Now
	Logger  *slog.Logger     // default: nothing is logged
	Metrics *Metrics         // default: nobody looks
}

// API is what the agency's programs ask: who registered, and what the agency
// reports of them. Safe for concurrent use.
type API struct {
	o     APIOptions
	mux   *http.ServeMux
	wrong *rate.Limiter // requests without a good token
	all   *rate.Limiter
}

// Bounds of the API.
const (
	maxBody    = 4 << 10
	pageSize   = 50  // people of a page
	maxPage    = 200 // likewise, at the agency's wish
	wrongBurst = 20  // requests without a good token at once, and one more each second
	allBurst   = 200 // requests at once, and fifty more each second
)

// NewAPI checks the options.
func NewAPI(o APIOptions) (*API, error) {
	if o.Desk == nil || o.Store == nil || o.Tokens == nil {
		return nil, errors.New("make API: Desk, Store and Tokens are required")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(prometheus.NewRegistry())
	}
	a := &API{o: o, mux: http.NewServeMux(), wrong: rate.NewLimiter(1, wrongBurst), all: rate.NewLimiter(50, allBurst)}
	a.mux.HandleFunc("GET /v1/openapi.json", a.describe)
	for pattern, h := range map[string]handler{
		"GET /v1/people":             a.listPeople,
		"GET /v1/people/{id}":        a.getPerson,
		"PUT /v1/people/{id}/status": a.setStatus,
		"POST /v1/registrations":     a.register,
		"GET /v1/totals":             a.totals,
	} {
		a.mux.Handle(pattern, a.authorised(h))
	}
	a.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		a.answer(w, problem(http.StatusNotFound, "there is nothing here"))
	})
	return a, nil
}

// handler makes the answer to one request; an error is a *failed, or trouble of
// ours.
type handler func(r *http.Request, who Token) (any, error)

// failed is an answer that says what the agency can do (RFC 9457).
type failed struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

func (f *failed) Error() string { return f.Detail }

func problem(status int, detail string) *failed {
	return &failed{Title: http.StatusText(status), Status: status, Detail: detail}
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if !a.all.AllowN(a.o.Now(), 1) {
		h.Set("Retry-After", "5")
		a.answer(w, problem(http.StatusTooManyRequests, "too many requests: wait some seconds"))
		return
	}
	a.mux.ServeHTTP(w, r)
}

func (a *API) describe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	a.o.Metrics.requests.WithLabelValues("200").Inc()
	w.Write(openAPI) // the reader may be gone; nothing depends on it
}

// answer writes a value, or a *failed with its status.
func (a *API) answer(w http.ResponseWriter, v any) {
	status := http.StatusOK
	w.Header().Set("Content-Type", "application/json")
	if f, is := v.(*failed); is {
		status = f.Status
		w.Header().Set("Content-Type", "application/problem+json")
	}
	a.o.Metrics.requests.WithLabelValues(strconv.Itoa(status)).Inc()
	w.WriteHeader(status)
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	_ = out.Encode(v) // the reader went away
}

// authorised lets in who brings a token.
func (a *API) authorised(next handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, known := a.bearer(r)
		if !known {
			a.refuse(w)
			return
		}
		v, err := next(r, who)
		var f *failed
		switch {
		case err == nil:
			a.answer(w, v)
		case errors.As(err, &f):
			a.answer(w, f)
		default:
			a.o.Logger.Error("agency's request failed", slog.String("request", r.Pattern), slog.Any("err", err))
			w.Header().Set("Retry-After", "60")
			a.answer(w, problem(http.StatusServiceUnavailable, "the relay cannot answer now: try again in a minute"))
		}
	})
}

func (a *API) refuse(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="careerrelay"`)
	if !a.wrong.AllowN(a.o.Now(), 1) {
		w.Header().Set("Retry-After", "60")
		a.answer(w, problem(http.StatusTooManyRequests, "too many requests without a valid token"))
		return
	}
	a.o.Logger.Warn("agency's token is wrong")
	a.answer(w, problem(http.StatusUnauthorized, "send a valid token: Authorization: Bearer …"))
}

// bearer finds the token's owner. Every token is compared, in constant time.
func (a *API) bearer(r *http.Request) (who Token, known bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	hash := []byte(hex.EncodeToString(sum[:]))
	for _, t := range a.o.Tokens() {
		if subtle.ConstantTimeCompare(hash, []byte(t.SHA256)) == 1 {
			who, known = t, true
		}
	}
	return who, known && strings.EqualFold(scheme, "Bearer")
}

// note writes into the journal what is about to be done.
func (a *API) note(r *http.Request, who Token, action string, ref store.Referral, detail string) error {
	_, err := a.o.Store.Note(r.Context(), store.Note{Kind: store.NoteAccess, Actor: who.Name, Role: "agency", Action: action,
		Company: ref.Company, Referral: ref.ID, Detail: detail})
	return err
}

// page is a page of people.
type page struct {
	People []Person `json:"people"`
	Next   string   `json:"next"` // after= of the next page; "" on the last one
}

// states that a list may ask for.
var listed = map[string]store.State{"": store.OptedIn, "opted_in": store.OptedIn, "withdrawn": store.Withdrawn, "erased": store.Erased}

// listPeople lists people, without what they typed.
func (a *API) listPeople(r *http.Request, who Token) (any, error) {
	q, size, err := listQuery(r)
	if err != nil {
		return nil, err
	}
	if err := a.note(r, who, "list people", store.Referral{Company: q.Company}, string(q.State)); err != nil {
		return nil, err
	}
	p := page{People: []Person{}}
	for len(p.People) < size {
		rows, err := a.o.Store.Referrals(r.Context(), q)
		if errors.Is(err, store.ErrNotFound) {
			return nil, problem(http.StatusUnprocessableEntity, "after: not the \"next\" of a page")
		}
		if err != nil {
			return nil, err
		}
		if len(rows) == 0 {
			return p, nil
		}
		for _, ref := range rows {
			q.After = ref.ID
			if visible(ref) {
				p.People = append(p.People, a.o.Desk.summary(ref))
			}
			if len(p.People) == size {
				break
			}
		}
	}
	p.Next = q.After
	return p, nil
}

func listQuery(r *http.Request) (q store.Query, size int, err error) {
	values := r.URL.Query()
	for name := range values {
		switch name {
		case "company", "state", "since", "before", "after", "limit":
		default:
			return q, 0, problem(http.StatusUnprocessableEntity, "there is no parameter "+strconv.Quote(name))
		}
	}
	q = store.Query{Company: values.Get("company"), After: values.Get("after"), Limit: maxPage}
	var known bool
	if q.State, known = listed[values.Get("state")]; !known {
		return q, 0, problem(http.StatusUnprocessableEntity, "state: opted_in, withdrawn or erased")
	}
	for name, at := range map[string]*time.Time{"since": &q.From, "before": &q.Before} {
		if text := values.Get(name); text != "" {
			if *at, err = time.Parse(time.RFC3339, text); err != nil {
				return q, 0, problem(http.StatusUnprocessableEntity, name+": a time such as 2026-04-01T00:00:00Z")
			}
		}
	}
	size = pageSize
	if text := values.Get("limit"); text != "" {
		if size, err = strconv.Atoi(text); err != nil || size < 1 || size > maxPage {
			return q, 0, problem(http.StatusUnprocessableEntity, "limit: from 1 to "+strconv.Itoa(maxPage))
		}
	}
	return q, size, nil
}

// find returns a referral that the agency may know of. Unknown and foreign ones
// look alike.
func (a *API) find(r *http.Request) (store.Referral, error) {
	ref, err := a.o.Store.Referral(r.Context(), r.PathValue("id"))
	if errors.Is(err, store.ErrNotFound) || err == nil && !visible(ref) {
		return ref, problem(http.StatusNotFound, "there is no such person")
	}
	return ref, err
}

// getPerson gives a person with what he or she typed. Reading it is the hand-over,
// if the webhook has not been faster: it is recorded before the answer goes.
func (a *API) getPerson(r *http.Request, who Token) (any, error) {
	ref, err := a.find(r)
	if err != nil {
		return nil, err
	}
	if err := a.note(r, who, "read person", ref, ""); err != nil {
		return nil, err
	}
	p, err := a.o.Desk.person(ref)
	if err != nil {
		return nil, err
	}
	p, err = a.o.Desk.handOver(r.Context(), ref, p, "api "+who.Name)
	if errors.Is(err, store.ErrWrongState) {
		return nil, problem(http.StatusConflict, "the consent has just ended")
	}
	return p, err
}

// setStatus keeps what the agency reports of a person.
func (a *API) setStatus(r *http.Request, who Token) (any, error) {
	var body struct {
		Status string `json:"status"`
	}
	if err := readBody(r, &body); err != nil {
		return nil, err
	}
	state := store.AgencyState(body.Status)
	switch state {
	case store.Contacted, store.Introduced, store.Interviewed, store.Hired:
	default:
		return nil, problem(http.StatusUnprocessableEntity, "status: contacted, introduced, interviewed or hired")
	}
	ref, err := a.find(r)
	if err != nil {
		return nil, err
	}
	if err := a.note(r, who, "report status", ref, body.Status); err != nil {
		return nil, err
	}
	ref, err = a.o.Store.SetAgencyState(r.Context(), ref.ID, state)
	if errors.Is(err, store.ErrWrongState) {
		return nil, problem(http.StatusConflict, "the person was not handed over, or the consent has ended")
	}
	return a.o.Desk.summary(ref), err
}

// register counts a person who filled in the agency's own form: the code is the
// reference that the form was opened with.
func (a *API) register(r *http.Request, who Token) (any, error) {
	var body struct {
		Code string `json:"code"`
	}
	if err := readBody(r, &body); err != nil {
		return nil, err
	}
	code, err := store.ParseToken(body.Code)
	if err != nil {
		return nil, problem(http.StatusNotFound, "there is no such code")
	}
	ref, err := a.o.Store.Release(r.Context(), code)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, problem(http.StatusNotFound, "there is no such code")
	case errors.Is(err, store.ErrExpired):
		return nil, problem(http.StatusGone, "the code has run out")
	case errors.Is(err, store.ErrWrongState):
		return nil, problem(http.StatusConflict, "the offer has ended")
	case err != nil:
		return nil, err
	}
	if err := a.note(r, who, "register person", ref, ""); err != nil {
		return nil, err
	}
	p, err := a.o.Desk.handOver(r.Context(), ref, a.o.Desk.summary(ref), "api "+who.Name)
	return p, err
}

// total is what a company's candidates came to, and what it has earned.
type total struct {
	Company    Company `json:"company"`
	OptedIn    int64   `json:"opted_in"`
	Withdrawn  int64   `json:"withdrawn"`
	HandedOver int64   `json:"handed_over"`
	Introduced int64   `json:"introduced"`
	Hired      int64   `json:"hired"`
	Credits    credits `json:"credits"`
}

// credits are the free introductions that the agency owes a company.
type credits struct {
	Earned    int64 `json:"earned"`
	Redeemed  int64 `json:"redeemed"`
	Available int64 `json:"available"`
}

type totals struct {
	Companies []total `json:"companies"`
}

func (a *API) totals(r *http.Request, who Token) (any, error) {
	if err := a.note(r, who, "read totals", store.Referral{}, ""); err != nil {
		return nil, err
	}
	counts, err := a.o.Store.Report(r.Context(), "")
	if err != nil {
		return nil, err
	}
	all := totals{Companies: []total{}}
	for _, c := range counts {
		all.Companies = append(all.Companies, total{
			Company: Company{c.Company, a.o.Desk.Company(c.Company)}, OptedIn: c.OptedIn, Withdrawn: c.Withdrawn,
			HandedOver: c.HandedOver, Introduced: c.Introduced, Hired: c.Hired,
			Credits: credits{Earned: c.Earned, Redeemed: c.Redeemed, Available: c.Available()},
		})
	}
	return all, nil
}

// readBody reads one JSON object, strictly.
func readBody(r *http.Request, v any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return problem(http.StatusUnsupportedMediaType, "send application/json")
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		err = errors.New("more than one value")
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return problem(http.StatusRequestEntityTooLarge, "the body is too large")
	}
	return problem(http.StatusBadRequest, "the body is not the JSON object that is described in /v1/openapi.json")
}
