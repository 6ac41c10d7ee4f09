package agency

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

const goodToken = "a-token-of-the-agency"

// program is a program of the agency that uses the API over real HTTP, and holds
// every answer against the description.
type program struct {
	*relay
	api    *API
	server *httptest.Server
	token  string
	doc    *document
	broken error // what the store answers, to every request
}

// flaky is a store that can be taken away.
type flaky struct {
	Store
	p *program
}

func (f flaky) Referral(ctx context.Context, id string) (store.Referral, error) {
	if f.p.broken != nil {
		return store.Referral{}, f.p.broken
	}
	return f.Store.Referral(ctx, id)
}

func (f flaky) Note(ctx context.Context, n store.Note) (store.Note, error) {
	if f.p.broken != nil {
		return n, f.p.broken
	}
	return f.Store.Note(ctx, n)
}

func (f flaky) Release(ctx context.Context, code store.Token) (store.Referral, error) {
	if f.p.broken != nil {
		return store.Referral{}, f.p.broken
	}
	return f.Store.Release(ctx, code)
}

func newProgram(t testing.TB) *program {
	t.Helper()
	p := &program{relay: newRelay(t), token: goodToken, doc: described(t)}
	sum := sha256.Sum256([]byte(goodToken))
	other := sha256.Sum256([]byte("another"))
	var err error
	p.api, err = NewAPI(APIOptions{Desk: p.desk, Store: flaky{p.store, p}, Now: p.clock.now, Logger: p.logger, Tokens: func() []Token {
		return []Token{{"crm", hex.EncodeToString(sum[:])}, {"test", hex.EncodeToString(other[:])}}
	}})
	if err != nil {
		t.Fatal(err)
	}
	p.server = httptest.NewServer(p.api)
	t.Cleanup(p.server.Close)
	return p
}

// do asks, checks the answer against the description, and decodes it.
func (p *program) do(method, path, body string, into any) int {
	p.t.Helper()
	return p.send(method, path, "application/json", body, into)
}

func (p *program) send(method, path, kind, body string, into any) int {
	p.t.Helper()
	r, err := http.NewRequest(method, p.server.URL+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	if p.token != "" {
		r.Header.Set("Authorization", "Bearer "+p.token)
	}
	if body != "" {
		r.Header.Set("Content-Type", kind)
	}
	res, err := p.server.Client().Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, problem := range p.doc.check(method, path, res, raw) {
		p.t.Errorf("%s %s = %d %s: %s", method, path, res.StatusCode, raw, problem)
	}
	if into != nil && res.StatusCode == http.StatusOK {
		if err := json.Unmarshal(raw, into); err != nil {
			p.t.Fatal(err)
		}
	}
	return res.StatusCode
}

func (p *program) want(status int, method, path, body string, into any) {
	p.t.Helper()
	if got := p.do(method, path, body, into); got != status {
		p.t.Errorf("%s %s %s = %d, want %d", method, path, body, got, status)
	}
}

// TestAPI uses every path with every status, and compares both with the
// description.
func TestAPI(t *testing.T) {
	p := newProgram(t)
	p.want(200, "GET", "/v1/openapi.json", "", nil)
	apiPeople(t, p)
	apiStatus(t, p)
	apiRegistration(t, p)
	apiTotals(t, p)
	apiAccess(t, p)
	for _, missing := range p.doc.unused() {
		t.Errorf("described and never seen: %s", missing)
	}
}

func apiPeople(t *testing.T, p *program) {
	one := p.person(1, nil)
	p.clock.pass(time.Hour)
	two := p.person(2, func(o *store.Offer) { o.Company, o.Kind, o.Language = "d", store.KindLeaver, "en" })
	p.person(3, func(o *store.Offer) { o.Test = true })
	_, offered := p.sent(4, nil)

	var list page
	p.want(200, "GET", "/v1/people", "", &list)
	if len(list.People) != 2 || list.People[0].ID != one.ID || list.People[1].ID != two.ID || list.Next != "" || list.People[0].Profile != nil {
		t.Errorf("list: %+v", list)
	}
	if !p.referral(one.ID).HandedOverAt.IsZero() {
		t.Error("a list handed data over")
	}
	for query, want := range map[string][]string{
		"?company=d": {two.ID}, "?company=x": nil, "?state=withdrawn": nil, "?since=2026-06-01T10:00:00Z": {two.ID},
		"?before=2026-06-01T10:00:00Z": {one.ID}, "?limit=1": {one.ID}, "?limit=1&after=" + one.ID: {two.ID}, "?after=" + two.ID: nil,
	} {
		var got page
		p.want(200, "GET", "/v1/people"+query, "", &got)
		var ids []string
		for _, person := range got.People {
			ids = append(ids, person.ID)
		}
		if !slices.Equal(ids, want) {
			t.Errorf("%s: got %v, want %v", query, ids, want)
		}
	}
	for _, bad := range []string{"?state=sent", "?since=yesterday", "?limit=0", "?limit=201", "?limit=x", "?after=zz", "?sort=name"} {
		p.want(422, "GET", "/v1/people"+bad, "", nil)
	}

	var person Person
	p.want(200, "GET", "/v1/people/"+one.ID, "", &person)
	if person.Profile == nil || person.Profile.Mail != "taro1@mail.example" || person.HandedOverAt == nil || person.Programme != "candidate" {
		t.Errorf("person: %+v", person)
	}
	if rec := p.lastRecord(); rec.Kind != store.RecordProvision || rec.Receiver.Ack != "api crm" || !slices.Contains(rec.Receiver.Fields, "phone") {
		t.Errorf("record of provision: %+v", rec)
	}
	for _, id := range []string{"x", "0123456789abcdef01234567", offered.ID} {
		p.want(404, "GET", "/v1/people/"+id, "", nil)
	}
	p.want(200, "GET", "/v1/people/"+two.ID, "", &person)
	if _, err := p.store.Erase(t.Context(), two.ID); err != nil {
		t.Fatal(err)
	}
	var erased Person
	p.want(200, "GET", "/v1/people/"+two.ID, "", &erased)
	if erased.State != "erased" || erased.Profile != nil || erased.Consent != nil {
		t.Errorf("erased: %+v", erased)
	}
	p.want(200, "GET", "/v1/people?state=erased", "", &list)
	if len(list.People) != 1 || list.People[0].ID != two.ID {
		t.Errorf("erased people: %+v", list)
	}
}

func apiStatus(t *testing.T, p *program) {
	ref := p.person(10, nil)
	path := "/v1/people/" + ref.ID + "/status"
	p.want(409, "PUT", path, `{"status":"contacted"}`, nil) // not handed over yet
	p.want(200, "GET", "/v1/people/"+ref.ID, "", nil)
	for _, status := range []string{"contacted", "introduced", "interviewed", "hired", "introduced"} {
		var person Person
		p.want(200, "PUT", path, fmt.Sprintf(`{"status":%q}`, status), &person)
		if person.Status != status || person.StatusAt == nil || person.Profile != nil {
			t.Errorf("%s: %+v", status, person)
		}
	}
	p.want(422, "PUT", path, `{"status":"married"}`, nil)
	p.want(404, "PUT", "/v1/people/x/status", `{"status":"hired"}`, nil)
	for _, body := range []string{``, `x`, `[]`, `{"status":"hired","more":1}`, `{"status":"hired"}{}`} {
		if got := p.send("PUT", path, "application/json", body, nil); got != 400 && !(body == "" && got == 415) {
			t.Errorf("body %q: %d", body, got)
		}
	}
	if got := p.send("PUT", path, "text/plain", `{"status":"hired"}`, nil); got != 415 {
		t.Errorf("text/plain: %d", got)
	}
	p.want(413, "PUT", path, `{"status":"`+strings.Repeat("x", maxBody)+`"}`, nil)
	_, err := p.store.Withdraw(t.Context(), ref.ID)
	if err != nil {
		t.Fatal(err)
	}
	p.want(409, "PUT", path, `{"status":"hired"}`, nil)

	// The consent ends between the look and the hand-over.
	racing := p.person(11, nil)
	open := p.desk.Open
	p.desk.Open = func(id string, box []byte) ([]byte, error) {
		if _, err := p.store.Withdraw(t.Context(), id); err != nil {
			t.Error(err)
		}
		return open(id, box)
	}
	p.want(409, "GET", "/v1/people/"+racing.ID, "", nil)
	p.desk.Open = open
}

func apiRegistration(t *testing.T, p *program) {
	hold := func(id string, life time.Duration) store.Token {
		t.Helper()
		code := store.NewToken()
		err := p.store.Hold(t.Context(), store.Held{Code: code, Referral: id, Until: p.clock.now().Add(life),
			Consent: store.Consent{TextID: "form-ja-1", TextSHA256: "cd34", Locale: "ja", Method: "agency_form"}})
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	_, ref := p.sent(20, nil)
	code := hold(ref.ID, time.Hour)
	before, err := p.store.Credits(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var person Person
		p.want(200, "POST", "/v1/registrations", fmt.Sprintf(`{"code":%q}`, string(code)), &person)
		if person.ID != ref.ID || person.Consent.Method != "agency_form" || person.HandedOverAt == nil || person.Profile != nil {
			t.Errorf("registered: %+v", person)
		}
	}
	after, err := p.store.Credits(t.Context(), "c")
	if err != nil || after.Counted != before.Counted+1 {
		t.Errorf("counted %d, before %d, %v", after.Counted, before.Counted, err)
	}
	if rec := p.lastRecord(); rec.Kind != store.RecordProvision || !slices.Equal(rec.Receiver.Fields, []string{"reference"}) {
		t.Errorf("record: %+v", rec)
	}
	for _, bad := range []string{"", "x", string(store.NewToken())} {
		p.want(404, "POST", "/v1/registrations", fmt.Sprintf(`{"code":%q}`, bad), nil)
	}
	p.want(400, "POST", "/v1/registrations", `{`, nil)
	p.want(413, "POST", "/v1/registrations", `{"code":"`+strings.Repeat("x", maxBody)+`"}`, nil)
	if got := p.send("POST", "/v1/registrations", "text/plain", `{}`, nil); got != 415 {
		t.Errorf("text/plain: %d", got)
	}
	_, late := p.sent(21, nil)
	ran := hold(late.ID, time.Minute)
	p.clock.pass(time.Hour)
	p.want(410, "POST", "/v1/registrations", fmt.Sprintf(`{"code":%q}`, string(ran)), nil)
	p.broken = store.ErrWrongState // such as that of a void referral
	p.want(409, "POST", "/v1/registrations", fmt.Sprintf(`{"code":%q}`, string(hold(late.ID, time.Hour))), nil)
	p.broken = nil
}

func apiTotals(t *testing.T, p *program) {
	var got totals
	p.want(200, "GET", "/v1/totals", "", &got)
	if len(got.Companies) != 2 || got.Companies[0].Company.Name != "株式会社サンプル" || got.Companies[0].Introduced != 1 || got.Companies[0].Hired != 0 {
		t.Errorf("totals: %+v", got)
	}
	p.broken = errors.New("disk is full")
	for path, ask := range map[string][2]string{
		"/v1/people": {"GET", ""}, "/v1/people/x": {"GET", ""}, "/v1/people/x/status": {"PUT", `{"status":"hired"}`},
		"/v1/totals": {"GET", ""}, "/v1/registrations": {"POST", fmt.Sprintf(`{"code":%q}`, string(store.NewToken()))},
	} {
		p.want(503, ask[0], path, ask[1], nil)
	}
	p.broken = nil
}

func apiAccess(t *testing.T, p *program) {
	requests := map[string][2]string{"/v1/people": {"GET", ""}, "/v1/people/x": {"GET", ""}, "/v1/people/x/status": {"PUT", `{"status":"hired"}`},
		"/v1/totals": {"GET", ""}, "/v1/registrations": {"POST", `{"code":"x"}`}}
	p.token = "wrong"
	for path, ask := range requests {
		p.want(401, ask[0], path, ask[1], nil)
	}
	for range wrongBurst {
		p.do("GET", "/v1/people", "", nil)
	}
	for path, ask := range requests {
		p.want(429, ask[0], path, ask[1], nil)
	}
	p.token = goodToken
	p.want(200, "GET", "/v1/totals", "", nil) // guessing does not lock others out
	for range allBurst {
		p.do("GET", "/v1/openapi.json", "", nil)
	}
	p.want(429, "GET", "/v1/openapi.json", "", nil)
	notes, err := p.store.Notes(t.Context(), store.NoteQuery{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	actions := map[string]int{}
	for _, n := range notes {
		if n.Actor != "crm" || n.Role != "agency" {
			t.Errorf("note: %+v", n)
		}
		actions[n.Action]++
	}
	for _, want := range []string{"list people", "read person", "report status", "register person", "read totals"} {
		if actions[want] == 0 {
			t.Errorf("the journal does not know of %q: %v", want, actions)
		}
	}
}

// TestBearer: what is no token lets nobody in.
func TestBearer(t *testing.T) {
	p := newProgram(t)
	for header, want := range map[string]int{
		"Bearer " + goodToken: 200, "bearer " + goodToken: 200, "Bearer  " + goodToken: 200, "Basic " + goodToken: 401, goodToken: 401, "Bearer": 401,
		"": 401, "Bearer another": 200, "Bearer a-token-of-the-agenc": 401, "Bearer " + goodToken + "x": 401,
	} {
		r := httptest.NewRequest("GET", "/v1/totals", nil)
		r.Header.Set("Authorization", header)
		w := httptest.NewRecorder()
		p.api.ServeHTTP(w, r)
		if w.Code != want || want == 401 && w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%q: %d, want %d", header, w.Code, want)
		}
	}
}

// FuzzAPI sends strangers' requests: no panic, no 5xx.
func FuzzAPI(f *testing.F) {
	f.Add("GET", "/v1/people", "limit=1&after=00", "")
	f.Add("PUT", "/v1/people/0123456789abcdef01234567/status", "", `{"status":"hired"}`)
	f.Add("POST", "/v1/registrations", "", `{"code":"aaaaaaaaaaaaaaaaaaaaaaaaaa"}`)
	f.Add("GET", "/v1/people/..%2f", "since=2026-01-01T00:00:00Z", "")
	p := newProgram(f)
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		r, err := http.NewRequest(method, "http://api.example", bytes.NewReader([]byte(body)))
		if err != nil {
			t.Skip()
		}
		r.URL.Path, r.URL.RawQuery = "/"+strings.TrimPrefix(path, "/"), query
		r.Header.Set("Authorization", "Bearer "+goodToken)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		p.clock.pass(time.Minute)
		p.api.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%s %q %q: %d %s", method, path, query, w.Code, w.Body)
		}
	})
}
