package dashboard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/bolt"
)

// desk is a dashboard over a real store, with a clock that stands.
type desk struct {
	t     *testing.T
	store *failing
	clock *clock
	dash  *Dashboard
	web   *httptest.Server
}

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// failing is a store whose journal can be out of order.
type failing struct {
	*bolt.Store
	mu     sync.Mutex
	broken bool
}

func (f *failing) Note(ctx context.Context, n store.Note) (store.Note, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken {
		return store.Note{}, store.ErrUnavailable
	}
	return f.Store.Note(ctx, n)
}

var start = time.Date(2026, 6, 15, 9, 0, 0, 0, time.UTC)

func newDesk(t *testing.T, change ...func(*Options)) *desk {
	t.Helper()
	c := &clock{at: start}
	s, err := bolt.Open(filepath.Join(t.TempDir(), "store.db"), bolt.Options{Policy: store.Policy{Now: c.now, Outbox: true}})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	d := &desk{t: t, store: &failing{Store: s}, clock: c}
	d.web = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { d.dash.ServeHTTP(w, r) }))
	t.Cleanup(d.web.Close)
	base, err := url.Parse(d.web.URL + "/admin")
	must(t, err)
	o := Options{Store: d.store, PublicURL: base, Now: c.now, Base: []byte("body{}"),
		Companies: func() []Company { return []Company{{"c", "株式会社サンプル"}, {"other", "株式会社ほか"}} },
		Matches:   func(hash, password string) bool { return hash == "hash of "+password },
		Texts:     func() []ConsentText { return []ConsentText{{"optin-ja-1", strings.Repeat("ab", 32), "同意文"}} },
		Health: func(context.Context) Health {
			return Health{Version: "v1", Since: start, Ready: "disk full", Rules: []CompanyRules{{Company: "c", Mode: "insert", Rules: []string{"ja-declined"}}},
				Errors: []LogLine{{start, "ERROR", "cannot begin at upstream"}}}
		},
		Alarms: func() []Alarm { return []Alarm{{Kind: "burst", Hour: 3, Day: 5}} },
	}
	for _, role := range []Role{HR, IT, Agency, Auditor} {
		o.Users = append(o.Users, User{Name: string(role), Role: role, Hash: "hash of secret " + string(role)},
			User{Name: string(role) + "-c", Role: role, Companies: []string{"c"}, Hash: "hash of secret"})
	}
	for _, f := range change {
		f(&o)
	}
	d.dash, err = New(o)
	must(t, err)
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// people opts n people in at company.
func (d *desk) people(company string, first, n int) {
	d.t.Helper()
	keys, err := store.NewKeys(bytes.Repeat([]byte{1}, 32))
	must(d.t, err)
	for i := first; i < first+n; i++ {
		who := fmt.Sprintf("canary%d@mail.example.com", i)
		o := store.Offer{Key: keys.Key(company, "m", who), Token: keys.Token(company, "m", who), Company: company,
			Person: keys.Person(company, who), Kind: store.KindRejection, Rule: "ja-declined", Language: "ja"}
		ctx := d.t.Context()
		_, err := d.store.Offer(ctx, o)
		must(d.t, err)
		must(d.t, d.store.Confirm(ctx, o.Token))
		must(d.t, d.store.View(ctx, o.Token, false))
		_, err = d.store.OptIn(ctx, o.Token, store.Consent{TextID: "optin-ja-1", TextSHA256: strings.Repeat("ab", 32), Locale: "ja", Method: "typed_address", Profile: []byte("sealed")})
		must(d.t, err)
	}
}

// handOver plays the agency for everything that waits, and reports all of them
// hired.
func (d *desk) handOver() {
	d.t.Helper()
	due, err := d.store.Claim(d.t.Context(), 1000, time.Minute)
	must(d.t, err)
	for _, one := range due {
		must(d.t, d.store.Delivered(d.t.Context(), one.ID, store.Receiver{Name: "株式会社エージェント", Ack: "1"}))
		_, err := d.store.SetAgencyState(d.t.Context(), one.Referral, store.Hired)
		must(d.t, err)
	}
}

// visitor is a browser without a screen.
type visitor struct {
	*desk
	client *http.Client
}

func (d *desk) visitor() *visitor {
	jar, err := cookiejar.New(nil)
	must(d.t, err)
	return &visitor{d, &http.Client{Jar: jar}}
}

type answer struct {
	status int
	header http.Header
	path   string
	body   string
}

func (v *visitor) do(r *http.Request) answer {
	v.t.Helper()
	resp, err := v.client.Do(r)
	must(v.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(v.t, err)
	return answer{resp.StatusCode, resp.Header, resp.Request.URL.RequestURI(), string(body)}
}

func (v *visitor) get(path string) answer {
	v.t.Helper()
	r, err := http.NewRequest(http.MethodGet, v.web.URL+path, nil)
	must(v.t, err)
	return v.do(r)
}

func (v *visitor) post(path string, form url.Values) answer {
	v.t.Helper()
	r, err := http.NewRequest(http.MethodPost, v.web.URL+path, strings.NewReader(form.Encode()))
	must(v.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return v.do(r)
}

// hidden are the hidden fields of a page.
func (a answer) hidden() url.Values {
	form := url.Values{}
	for _, m := range regexp.MustCompile(`<input type="hidden" name="(\w+)" value="([^"]*)"`).FindAllStringSubmatch(a.body, -1) {
		form.Set(m[1], m[2])
	}
	return form
}

// login logs in; the password of a user for all companies is "secret ROLE".
func (v *visitor) login(name, password string) answer {
	v.t.Helper()
	form := v.get("/admin/login").hidden()
	form.Set("name", name)
	form.Set("password", password)
	return v.post("/admin/login", form)
}

func (d *desk) as(role Role) *visitor {
	d.t.Helper()
	v := d.visitor()
	if a := v.login(string(role), "secret "+string(role)); a.status != http.StatusOK || strings.Contains(a.path, "login") {
		d.t.Fatalf("login as %s: %d at %s\n%s", role, a.status, a.path, a.body)
	}
	return v
}

func (a answer) want(t *testing.T, status int, words ...string) {
	t.Helper()
	if a.status != status {
		t.Errorf("%s: status %d, want %d", a.path, a.status, status)
	}
	for _, w := range words {
		if !strings.Contains(a.body, w) {
			t.Errorf("%s lacks %q:\n%s", a.path, w, a.body)
		}
	}
}

func (d *desk) actions() (list []string) {
	d.t.Helper()
	notes, err := d.store.Notes(d.t.Context(), store.NoteQuery{Limit: 1000})
	must(d.t, err)
	for _, n := range notes {
		list = append(list, n.Actor+" "+n.Action)
	}
	slices.Reverse(list)
	return list
}

// TestRoles opens every page as everyone. The table is the promise of who sees
// what.
func TestRoles(t *testing.T) {
	d := newDesk(t)
	d.people("c", 0, 11)
	d.handOver()
	sees := map[Role][]string{
		HR:      {"funnel", "credits", "esg", "esg.csv", "observe", "alarms"},
		IT:      {"observe", "alarms", "health", "rules"},
		Agency:  {"credits", "deliveries"},
		Auditor: {"credits", "chains", "ledger", "consents", "journal"},
	}
	for role, pages := range sees {
		v := d.as(role)
		for _, p := range append([]string{"esg.csv"}, allPages()...) {
			want := http.StatusForbidden
			if slices.Contains(pages, p) {
				want = http.StatusOK
			}
			for _, lang := range []string{"ja", "en"} {
				v.get("/admin/language/" + lang)
				a := v.get("/admin/" + p)
				if a.status != want {
					t.Errorf("%s sees %s: %d, want %d", role, p, a.status, want)
				}
				if strings.Contains(a.body, "canary") || strings.Contains(a.body, "sealed") {
					t.Errorf("%s on %s: a candidate shows", role, p)
				}
				if want == http.StatusOK && p != "esg.csv" {
					wellFormed(t, a)
				}
			}
		}
	}
	for _, p := range allPages() {
		if a := d.visitor().get("/admin/" + p); a.path != "/admin/login" {
			t.Errorf("a stranger at %s is led to %s", p, a.path)
		}
	}
}

func allPages() (names []string) {
	for _, p := range places() {
		names = append(names, p.name)
	}
	return names
}

// wellFormed checks what a parser can: one h1, every control with a label, no
// script, nothing from elsewhere.
func wellFormed(t *testing.T, a answer) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(a.body))
	must(t, err)
	heads, ids, labels := 0, map[string]bool{}, map[string]bool{}
	var fields []string
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		for _, attr := range n.Attr {
			switch {
			case attr.Key == "id" && ids[attr.Val]:
				t.Errorf("%s: id %q twice", a.path, attr.Val)
			case attr.Key == "id":
				ids[attr.Val] = true
			case attr.Key == "for":
				labels[attr.Val] = true
			case attr.Key == "style", strings.HasPrefix(attr.Key, "on"):
				t.Errorf("%s: attribute %s, which the policy forbids", a.path, attr.Key)
			case (attr.Key == "href" || attr.Key == "src" || attr.Key == "action") && strings.Contains(attr.Val, "//"):
				t.Errorf("%s leads to %s", a.path, attr.Val)
			}
		}
		switch n.Data {
		case "h1":
			heads++
		case "script", "iframe", "img":
			t.Errorf("%s has a %s", a.path, n.Data)
		case "input", "select":
			if value(n, "type") != "hidden" {
				fields = append(fields, value(n, "id"))
			}
		}
	}
	if heads != 1 {
		t.Errorf("%s has %d h1", a.path, heads)
	}
	for _, id := range fields {
		if !labels[id] {
			t.Errorf("%s: field %q has no label", a.path, id)
		}
	}
}

func value(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func TestHeaders(t *testing.T) {
	d := newDesk(t)
	for _, path := range []string{"/admin/login", "/admin/funnel", "/nothing"} {
		h := d.as(HR).get(path).header
		for key, want := range map[string]string{"Content-Security-Policy": "default-src 'none'; style-src 'self'", "Cache-Control": "no-store",
			"X-Content-Type-Options": "nosniff", "Cross-Origin-Opener-Policy": "same-origin", "X-Robots-Tag": "noindex"} {
			if !strings.HasPrefix(h.Get(key), want) {
				t.Errorf("%s: %s is %q", path, key, h.Get(key))
			}
		}
	}
}

// TestCookies: what the session's cookie carries, with and without TLS.
func TestCookies(t *testing.T) {
	for scheme, want := range map[string]string{"http": "session=", "https": "__Host-session="} {
		d := newDesk(t, func(o *Options) { o.PublicURL = &url.URL{Scheme: scheme, Host: "x", Path: "/admin"} })
		w := httptest.NewRecorder()
		d.dash.admit(w, httptest.NewRequest(http.MethodPost, "/admin/login", nil), User{Name: "hr", Role: HR})
		got := w.Header().Get("Set-Cookie")
		if !strings.HasPrefix(got, want) || !strings.Contains(got, "HttpOnly") || !strings.Contains(got, "SameSite=Lax") ||
			strings.Contains(got, "Secure") != (scheme == "https") || !strings.Contains(got, "Path=/;") {
			t.Errorf("%s: %s", scheme, got)
		}
	}
}

func TestLogin(t *testing.T) {
	d := newDesk(t)
	v := d.visitor()
	v.login("hr", "wrong").want(t, http.StatusUnprocessableEntity, "ユーザー名またはパスワードが違います")
	v.login("nobody", "secret hr").want(t, http.StatusUnprocessableEntity, "ユーザー名またはパスワードが違います")
	v.post("/admin/login", url.Values{"name": {"hr"}, "password": {"secret hr"}}).want(t, http.StatusForbidden)
	if a := v.login("hr", "secret hr"); a.path != "/admin/funnel" {
		t.Errorf("login leads to %s", a.path)
	}
	if want := []string{"hr login failed", "unknown login failed", "hr login", "hr funnel"}; !slices.Equal(d.actions(), want) {
		t.Errorf("journal: %q", d.actions())
	}
	v.post("/admin/logout", url.Values{"csrf": {"guessed"}}).want(t, http.StatusForbidden)
	v.get("/admin/funnel").want(t, http.StatusOK)
	v.post("/admin/logout", v.get("/admin/funnel").hidden()).want(t, http.StatusOK)
	if a := v.get("/admin/funnel"); a.path != "/admin/login" {
		t.Errorf("after the logout: %s", a.path)
	}
}

func TestLoginIsLimited(t *testing.T) {
	d := newDesk(t)
	v := d.visitor()
	for range loginsPerName {
		v.login("hr", "wrong").want(t, http.StatusUnprocessableEntity)
		v.login("unknown"+random(), "wrong")
	}
	v.login("hr", "secret hr").want(t, http.StatusTooManyRequests, "試行回数")
	v.login("unknown"+random(), "wrong").want(t, http.StatusTooManyRequests)
	d.as(IT) // another name is not concerned
	d.clock.pass(nameRefill)
	if a := v.login("hr", "secret hr"); a.status != http.StatusOK {
		t.Errorf("later: %d", a.status)
	}
	if n := len(d.dash.logins.names); n > 3 {
		t.Errorf("%d names are remembered", n)
	}
}

func TestSessionsEnd(t *testing.T) {
	d := newDesk(t)
	idle, busy := d.as(HR), d.as(HR)
	for range 26 { // 12.5 h and more, never idle for long
		d.clock.pass(29 * time.Minute)
		busy.get("/admin/funnel")
	}
	if a := idle.get("/admin/funnel"); a.path != "/admin/login" {
		t.Errorf("idle: %s", a.path)
	}
	if a := busy.get("/admin/funnel"); a.path != "/admin/login" {
		t.Errorf("after twelve hours: %s", a.path)
	}
	s := newSessions(d.clock.now, time.Hour, time.Hour)
	first := s.begin("a", HR, nil)
	for range maxSessions {
		d.clock.pass(time.Millisecond)
		s.begin("b", HR, nil)
	}
	if len(s.by) != maxSessions || s.find(first) != nil {
		t.Errorf("%d sessions", len(s.by))
	}
}

// TestScope: a user for one company sees and changes no other.
func TestScope(t *testing.T) {
	d := newDesk(t)
	d.people("other", 0, 10)
	v := d.visitor()
	v.login("hr-c", "secret")
	for _, p := range []string{"funnel", "credits", "esg", "esg.csv", "observe"} {
		v.get("/admin/"+p+"?company=c").want(t, http.StatusOK)
		v.get("/admin/"+p+"?company=other").want(t, http.StatusForbidden)
	}
	form := v.get("/admin/credits").hidden()
	form.Set("company", "other")
	form.Set("step", "redeem")
	v.post("/admin/credits", form).want(t, http.StatusForbidden)
	if c, err := d.store.Credits(t.Context(), "other"); err != nil || c.Redeemed != 0 {
		t.Errorf("credits: %+v, %v", c, err)
	}
	if !slices.Contains(d.actions(), "hr-c change: refused: credits") {
		t.Errorf("journal: %q", d.actions())
	}
	a := d.visitor()
	a.login("auditor-c", "secret")
	if page := a.get("/admin/journal"); strings.Contains(page.body, "refused") {
		t.Error("an auditor of one company sees what concerns no company")
	}
}

func TestRedeem(t *testing.T) {
	d := newDesk(t)
	d.people("c", 0, 20)
	v := d.as(HR)
	form := v.get("/admin/credits?company=c").hidden()
	form.Set("step", "redeem")
	form.Set("note", "営業職")
	bad := url.Values{"step": {"redeem"}, "company": {"c"}, "number": {"1"}, "csrf": {"x"}}
	v.post("/admin/credits", bad).want(t, http.StatusForbidden)
	v.post("/admin/credits", form).want(t, http.StatusOK, "紹介を予約しました", "営業職")
	v.post("/admin/credits", form).want(t, http.StatusUnprocessableEntity, "表示のあとに枠が使われました") // the second click
	form.Set("number", "2")
	form.Set("note", "a\nb")
	v.post("/admin/credits", form).want(t, http.StatusUnprocessableEntity, "メモは")
	form.Set("note", "")
	v.post("/admin/credits", form).want(t, http.StatusOK)
	form.Set("number", "3")
	v.post("/admin/credits", form).want(t, http.StatusUnprocessableEntity, "使える紹介枠がありません")

	step := func(who *visitor, number, step string) answer {
		f := who.get("/admin/credits?company=c").hidden()
		return who.post("/admin/credits", url.Values{"csrf": f["csrf"], "company": {"c"}, "number": {number}, "step": {step}})
	}
	agency := d.as(Agency)
	step(agency, "1", "introduce").want(t, http.StatusOK, "紹介の状態を更新しました")
	step(agency, "1", "hire").want(t, http.StatusOK)
	step(agency, "1", "return").want(t, http.StatusUnprocessableEntity, "この段階では")
	step(agency, "9", "close").want(t, http.StatusUnprocessableEntity)
	step(agency, "x", "close").want(t, http.StatusUnprocessableEntity)
	step(agency, "3", "redeem").want(t, http.StatusUnprocessableEntity, "この操作はできません")
	step(v, "2", "return").want(t, http.StatusOK)
	if c, err := d.store.Credits(t.Context(), "c"); err != nil || c.Redeemed != 1 {
		t.Errorf("credits: %+v, %v", c, err)
	}
	auditor := d.as(Auditor)
	f := auditor.get("/admin/chains").hidden()
	f.Set("company", "c")
	f.Set("step", "redeem")
	f.Set("number", "3")
	auditor.post("/admin/credits", f).want(t, http.StatusUnprocessableEntity, "この操作はできません")
}

// TestRedeemAtOnce: of many who press the button for the last credit, one gets it.
func TestRedeemAtOnce(t *testing.T) {
	d := newDesk(t)
	d.people("c", 0, 10)
	var all sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 5 {
		v := d.as(HR)
		form := v.get("/admin/credits?company=c").hidden()
		form.Set("step", "redeem")
		all.Go(func() {
			a := v.post("/admin/credits", form)
			mu.Lock()
			defer mu.Unlock()
			if a.status == http.StatusOK {
				won++
			}
		})
	}
	all.Wait()
	if c, err := d.store.Credits(t.Context(), "c"); err != nil || won != 1 || c.Redeemed != 1 {
		t.Errorf("%d won; %+v, %v", won, c, err)
	}
}

// TestJournalFirst: without the journal there is no page but those that tell IT
// what is wrong.
func TestJournalFirst(t *testing.T) {
	d := newDesk(t)
	d.people("c", 0, 10)
	v, it := d.as(HR), d.as(IT)
	form := v.get("/admin/credits?company=c").hidden()
	form.Set("step", "redeem")
	d.store.mu.Lock()
	d.store.broken = true
	d.store.mu.Unlock()
	v.get("/admin/funnel").want(t, http.StatusServiceUnavailable)
	v.post("/admin/credits", form).want(t, http.StatusServiceUnavailable)
	it.get("/admin/health").want(t, http.StatusOK, "disk full", "cannot begin at upstream")
	it.get("/admin/alarms").want(t, http.StatusOK, "不採用通知が急に増えました")
	it.get("/admin/rules").want(t, http.StatusServiceUnavailable)
	if c, err := d.store.Credits(t.Context(), "c"); err != nil || c.Redeemed != 0 {
		t.Errorf("credits: %+v, %v", c, err)
	}
	d.as(IT) // a login still works
}

// TestOtherSites: a form of another site changes nothing, with any cookie.
func TestOtherSites(t *testing.T) {
	d := newDesk(t)
	d.people("c", 0, 10)
	v := d.as(HR)
	form := v.get("/admin/credits?company=c").hidden()
	form.Set("step", "redeem")
	r, err := http.NewRequest(http.MethodPost, d.web.URL+"/admin/credits", strings.NewReader(form.Encode()))
	must(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	v.do(r).want(t, http.StatusForbidden)
}

func TestAuditorPages(t *testing.T) {
	d := newDesk(t)
	d.people("c", 0, 60)
	d.handOver()
	v := d.as(Auditor)
	a := v.get("/admin/chains")
	a.want(t, http.StatusOK, "まだ検証していません")
	form := a.hidden()
	form.Set("company", "c")
	v.post("/admin/chains", form).want(t, http.StatusOK, "異常はありません")
	rep, err := d.store.Audit(t.Context())
	must(t, err)
	v.get("/admin/chains").want(t, http.StatusOK, rep.Companies[0].Head, rep.Companies[0].Proof)
	v.get("/admin/ledger?company=c").want(t, http.StatusOK, "枠の獲得", "続きを見る")
	v.get("/admin/ledger?company=c&after=60").want(t, http.StatusOK, "登録を計上")
	v.get("/admin/consents?company=c").want(t, http.StatusOK, strings.Repeat("ab", 32), "同意文")
	v.get("/admin/consents?company=c&after=60").want(t, http.StatusOK, "株式会社エージェント", "提供")
	v.get("/admin/journal").want(t, http.StatusOK, "auditor", "login", "change: chains")
	v.get("/admin/journal?kind=deletion").want(t, http.StatusOK, "まだありません")
}

func TestESGSheet(t *testing.T) {
	d := newDesk(t)
	d.people("c", 0, 12)
	d.clock.pass(365 * 24 * time.Hour)
	d.people("c", 100, 3)
	d.handOver()
	v := d.as(HR)
	a := v.get("/admin/esg.csv?company=c")
	a.want(t, http.StatusOK, "年度,支援を案内した人", "2026,12,12,<5,<5", "2027,3,3,15+,15+", "合計,15,15,15+,15+")
	if !strings.HasPrefix(a.body, "\ufeff") || a.header.Get("Content-Type") != "text/csv; charset=utf-8" {
		t.Errorf("%q", a.header)
	}
	v.get("/admin/esg?company=c").want(t, http.StatusOK, "支援を案内した人", "5未満", "15以上", "用語の定義")
}

// TestStepsHideFew: whatever the numbers are, no shown cell of the agency's, no
// difference of two cells, and no difference of one cell on two days speaks of one
// to four people.
func TestStepsHideFew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cells := rapid.SliceOfN(rapid.Int64Range(-2, 60), 2, 12).Draw(t, "cells")
		var total int64
		shown := []int64{}
		for _, c := range cells {
			total += max(c, 0)
			shown = append(shown, stepped(c).N)
		}
		shown = append(shown, stepped(total).N)
		for i, a := range shown {
			if a < 0 || i < len(cells) && a > max(cells[i], 0) {
				t.Fatalf("%d is shown as %d", cells[i], a)
			}
			for _, b := range shown {
				if diff := a - b; diff%step != 0 {
					t.Fatalf("difference %d", diff)
				}
			}
		}
		if f := stepped(rapid.Int64Range(0, 4).Draw(t, "few")); !f.Few() || f.String() != "<5" {
			t.Fatalf("few: %v", f)
		}
	})
}

func TestFunnelPage(t *testing.T) {
	d := newDesk(t)
	must(t, d.store.Add(t.Context(), "c", "", store.Traffic{Seen: 12345}))
	must(t, d.store.Add(t.Context(), "c", "ja-declined", store.Traffic{Matched: 14, Inserted: 13}))
	d.people("c", 0, 12)
	a := d.as(HR).get("/admin/funnel?company=c")
	a.want(t, http.StatusOK, "12,345", "<code>ja-declined</code>", "<svg", "2026-06", "5未満", "5人単位")
	if n := strings.Count(a.body, "<svg"); n < 3 {
		t.Errorf("%d plots", n)
	}
}

func TestNearMisses(t *testing.T) {
	d := newDesk(t)
	if a := d.as(HR).get("/admin/observe"); strings.Contains(a.body, "判定に至らなかった") {
		t.Error("near misses show though nobody keeps them")
	}
	d = newDesk(t, func(o *Options) {
		o.NearMisses = func(string) []NearMiss { return []NearMiss{{"ja-declined", "contrary <b>", 4}} }
	})
	d.as(IT).get("/admin/observe").want(t, http.StatusOK, "判定に至らなかった", "contrary &lt;b&gt;", "<td>4</td>")
}

// TestLanguage: the choice is kept, and leads to no other place.
func TestLanguage(t *testing.T) {
	d := newDesk(t)
	v := d.as(HR)
	v.get("/admin/language/en?next=%2Fadmin%2Fcredits%3Fcompany%3Dother").want(t, http.StatusOK, "Free introductions")
	for _, next := range []string{"https://evil.example/", "//evil.example/admin/", "/\\evil.example", "/elsewhere", "javascript:alert(1)", "%00"} {
		r, err := http.NewRequest(http.MethodGet, d.web.URL+"/admin/language/ja?next="+url.QueryEscape(next), nil)
		must(t, err)
		resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(r)
		must(t, err)
		resp.Body.Close()
		if to := resp.Header.Get("Location"); to != "/admin/" {
			t.Errorf("next %q leads to %q", next, to)
		}
	}
	v.get("/admin/language/ja")
	link := regexp.MustCompile(`/admin/language/en[^"]*`).FindString(v.get("/admin/credits?company=other").body)
	if a := v.get(html.UnescapeString(link)); a.path != "/admin/credits?company=other" {
		t.Errorf("%s leads to %s", link, a.path)
	}
	v.get("/admin/language/fr").want(t, http.StatusNotFound)
	for accept, want := range map[string]string{"": "ja", "en-GB,en;q=0.9": "en", "de": "ja", "ja,en;q=0.5": "ja", strings.Repeat("en,", 1000): "ja"} {
		if got := matchLanguage(accept); got != want {
			t.Errorf("%.20q: %s", accept, got)
		}
	}
}

// TestTexts: both languages have the same keys.
func TestTexts(t *testing.T) {
	p, err := loadPages()
	must(t, err)
	for key := range p.texts["ja"] {
		if p.texts["en"][key] == "" {
			t.Errorf("en lacks %s", key)
		}
	}
	if len(p.texts["ja"]) != len(p.texts["en"]) {
		t.Errorf("%d and %d texts", len(p.texts["ja"]), len(p.texts["en"]))
	}
}

func TestOptions(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"store":  func(o *Options) { o.Store = nil },
		"nobody": func(o *Options) { o.Users = nil },
		"match":  func(o *Options) { o.Matches = nil },
	} {
		d := newDesk(t)
		o := d.dash.o
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// FuzzHandler: whatever is sent, the dashboard answers, and a stranger sees no
// more than the login.
func FuzzHandler(f *testing.F) {
	f.Add("GET", "/admin/funnel?company=c", "")
	f.Add("POST", "/admin/login", "name=hr&password=x&token=y")
	f.Add("POST", "/admin/credits", "step=redeem&number=1&csrf=")
	f.Add("GET", "/admin/login/callback?state=a&code=b", "")
	f.Add("GET", "/admin/language/en?next=//x", "")
	f.Fuzz(func(t *testing.T, method, target, body string) {
		r, err := http.NewRequest(method, "http://x"+target, strings.NewReader(body))
		if err != nil || r.URL.Path == "" {
			t.Skip()
		}
		r.RequestURI = target
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		d := fuzzDesk(t)
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%s %s: %d", method, target, w.Code)
		}
		if strings.Contains(w.Body.String(), "ROLE-PAGE") {
			t.Errorf("%s %s shows a page of a role", method, target)
		}
	})
}

// fuzzDesk has a store that cannot be reached: who gets there has passed the login.
func fuzzDesk(t *testing.T) *Dashboard {
	d, err := New(Options{Store: unreachable{}, PublicURL: &url.URL{Scheme: "http", Host: "x", Path: "/admin"},
		Companies: func() []Company { return []Company{{"c", "ROLE-PAGE"}} }, Users: []User{{Name: "hr", Role: HR, Hash: "h"}},
		Matches: func(string, string) bool { return false }, Texts: func() []ConsentText { return nil },
		Health: func(context.Context) Health { return Health{Version: "ROLE-PAGE"} }, Alarms: func() []Alarm { return nil }})
	must(t, err)
	return d
}

type unreachable struct{ Store }

func (unreachable) Note(context.Context, store.Note) (store.Note, error) {
	return store.Note{}, errors.New("not there")
}
