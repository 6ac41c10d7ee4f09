package web

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/bolt"
)

const candidate = "taro@mail.example"

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

// site is the pages over a real store, a referral that was sent, and a browser.
type site struct {
	t       *testing.T
	clock   *clock
	store   *bolt.Store
	keys    *store.Keys
	pages   *Pages
	server  *httptest.Server
	browser *http.Client
	log     *bytes.Buffer
	mails   *postbox
	token   store.Token
}

// postbox keeps the mails that the pages send.
type postbox struct {
	mu  sync.Mutex // guards the fields below
	got []Mail
	err error
}

func (b *postbox) Send(_ context.Context, m Mail) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	b.got = append(b.got, m)
	return nil
}

// last is the newest mail, which must exist.
func (b *postbox) last(t *testing.T) Mail {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.got) == 0 {
		t.Fatal("no mail was sent")
	}
	return b.got[len(b.got)-1]
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, clock: &clock{at: time.Date(2026, 6, 1, 9, 0, 0, 0, time.UTC)}, log: &bytes.Buffer{}, mails: &postbox{}}
	secret := make([]byte, 32)
	rand.Read(secret)
	var err error
	if s.keys, err = store.NewKeys(secret); err != nil {
		t.Fatal(err)
	}
	if s.store, err = bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{Policy: store.Policy{Now: s.clock.now}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.store.Close() })
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.pages.ServeHTTP(w, r) }))
	t.Cleanup(s.server.Close)
	base, _ := url.Parse(s.server.URL)
	sealer, err := store.NewSealer(secret)
	if err != nil {
		t.Fatal(err)
	}
	s.pages, err = New(Options{
		Companies: []Company{{ID: "c", Name: "株式会社サンプル", PublicURL: base, Own: []string{"c.example", "agency.example"}, Mails: true}},
		Agency:    Agency{"株式会社エージェント", "13-ユ-000000", "東京都千代田区1-1", "soudan@agency.example", "https://agency.example/privacy"},
		Referrals: s.store, Person: s.keys.Person, Seal: sealer.Seal, Secret: secret, Now: s.clock.now,
		Open: sealer.Open, Mailer: s.mails, Offers: s.store, Issuer: s.keys,
		Logger: slog.New(slog.NewTextHandler(s.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.token = s.offer("<1@c.example>")
	jar, _ := cookiejar.New(nil)
	s.browser = &http.Client{Jar: jar}
	s.clock.pass(time.Hour)
	return s
}

func (s *site) offer(key string) store.Token {
	s.t.Helper()
	token := s.keys.Token("c", key, candidate)
	_, err := s.store.Offer(context.Background(), store.Offer{Key: s.keys.Key("c", key, candidate), Token: token, Company: "c",
		Person: s.keys.Person("c", candidate), Kind: "rejection", Rule: "ja", Language: "ja"})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.store.Confirm(context.Background(), token); err != nil {
		s.t.Fatal(err)
	}
	return token
}

func (s *site) do(method, path string, form url.Values, header ...string) (int, string) {
	s.t.Helper()
	r, _ := http.NewRequest(method, s.server.URL+path, strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := s.browser.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(body)
}

func (s *site) counts() store.Counts {
	s.t.Helper()
	all, err := s.store.Report(context.Background(), "c")
	if err != nil || len(all) != 1 {
		s.t.Fatalf("report: %v, %v", all, err)
	}
	return all[0]
}

func (s *site) path() string { return "/r/" + string(s.token) }

var nonceField = regexp.MustCompile(`name="nonce" value="([^"]+)"`)

// filled is a form that is good in every way.
func (s *site) filled() url.Values {
	s.t.Helper()
	status, body := s.do("GET", s.path(), nil)
	m := nonceField.FindStringSubmatch(body)
	if status != http.StatusOK || m == nil {
		s.t.Fatalf("landing: %d, nonce %v", status, m)
	}
	s.clock.pass(10 * time.Second)
	return url.Values{"nonce": {m[1]}, "family_name": {"山田"}, "given_name": {"太郎"}, "kana": {"やまだ たろう"}, "mail": {"ＴＡＲＯ@mail.example"},
		"contact": {"mail"}, "frequency": {"asked"}, "adult": {"yes"}, "hand_over": {"yes"}}
}

func TestOptIn(t *testing.T) {
	s := newSite(t)
	form := s.filled()
	status, body := s.do("POST", s.path(), form)
	if status != http.StatusOK || !strings.Contains(body, "まだ送信されていません") || !strings.Contains(body, "ヤマダ タロウ") {
		t.Fatalf("review: %d %s", status, body)
	}
	if n := s.counts().OptedIn; n != 0 {
		t.Fatalf("the review page opted in: %d", n)
	}
	form.Set("nonce", nonceField.FindStringSubmatch(body)[1])
	s.clock.pass(5 * time.Second)
	status, body = s.do("POST", s.path()+"/apply", form)
	if status != http.StatusOK || !strings.Contains(body, "お申し込みを受け付けました") || !strings.Contains(body, "optin-ja-2") {
		t.Fatalf("done: %d %s", status, body)
	}
	if c := s.counts(); c.OptedIn != 1 || c.Counted != 1 {
		t.Errorf("counts: %+v", c)
	}
	if strings.Contains(body, "山田") || strings.Contains(body, candidate) {
		t.Error("the receipt shows who applied to anyone with the link")
	}
	ref, err := s.store.Lookup(context.Background(), s.token)
	if err != nil || bytes.Contains(ref.Consent.Profile, []byte("mail.example")) {
		t.Errorf("profile is readable, or %v", err)
	}
	// Again: no second count.
	s.clock.pass(5 * time.Second)
	if _, body = s.do("GET", s.path()+"/done", nil); !strings.Contains(body, "お申し込みを受け付けました") {
		t.Error("done page is gone")
	}
	form = url.Values{"nonce": {nonceField.FindStringSubmatch(body)[1]}}
	s.clock.pass(5 * time.Second)
	if status, body = s.do("POST", s.path()+"/withdraw", form); status != http.StatusOK || !strings.Contains(body, "同意を撤回しました") {
		t.Errorf("withdraw: %d", status)
	}
	if c := s.counts(); c.Counted != 0 {
		t.Errorf("withdrawn within the cooling-off time and still counted: %+v", c)
	}
}

// TestNoOptIn lists the ways in which a form must not opt in.
func TestNoOptIn(t *testing.T) {
	cases := []struct {
		name   string
		change func(s *site, f url.Values) []string
		status int
	}{
		{"no box", func(_ *site, f url.Values) []string { f.Del("hand_over"); return nil }, 422},
		{"no age", func(_ *site, f url.Values) []string { f.Del("adult"); return nil }, 422},
		{"another address", func(_ *site, f url.Values) []string { f.Set("mail", "hanako@mail.example"); return nil }, 200},
		{"another address, no mailer", func(s *site, f url.Values) []string {
			s.pages.o.Mailer = nil
			f.Set("mail", "hanako@mail.example")
			return nil
		}, 422},
		{"another address, forged code", func(_ *site, f url.Values) []string {
			f.Set("mail", "hanako@mail.example")
			f.Set("code", strings.Repeat("a", 32))
			return nil
		}, 200},
		{"no address", func(_ *site, f url.Values) []string { f.Del("mail"); return nil }, 422},
		{"trap filled", func(_ *site, f url.Values) []string { f.Set("website", "x"); return nil }, 400},
		{"no nonce", func(_ *site, f url.Values) []string { f.Del("nonce"); return nil }, 422},
		{"forged nonce", func(_ *site, f url.Values) []string { f.Set("nonce", strings.Repeat("A", 54)); return nil }, 422},
		{"too fast", func(s *site, _ url.Values) []string { s.clock.pass(-9 * time.Second); return nil }, 422},
		{"too late", func(s *site, _ url.Values) []string { s.clock.pass(3 * time.Hour); return nil }, 422},
		{"no cookie", func(s *site, _ url.Values) []string { s.browser.Jar, _ = cookiejar.New(nil); return nil }, 422},
		{"other site", func(*site, url.Values) []string { return []string{"Sec-Fetch-Site", "cross-site"} }, 403},
		{"huge", func(_ *site, f url.Values) []string { f.Set("given_name", strings.Repeat("x", 100<<10)); return nil }, 400},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			form := s.filled()
			header := c.change(s, form)
			status, body := s.do("POST", s.path()+"/apply", form, header...)
			if status != c.status {
				t.Errorf("status: got %d, want %d\n%s", status, c.status, body)
			}
			if n := s.counts(); n.OptedIn != 0 {
				t.Errorf("opted in: %+v", n)
			}
		})
	}
}

func TestReadingChangesNothing(t *testing.T) {
	s := newSite(t)
	before := s.counts()
	for _, path := range []string{"", "/stop", "/done"} {
		for _, method := range []string{"GET", "HEAD"} {
			s.do(method, s.path()+path, nil)
			s.do(method, "/en"+s.path()+path, nil)
		}
	}
	after := s.counts()
	before.OpenedHuman, before.OpenedMachine, after.OpenedHuman, after.OpenedMachine = 0, 0, 0, 0
	if before != after {
		t.Errorf("got %+v, want %+v", after, before)
	}
	if status, _ := s.do("PUT", s.path(), url.Values{}); status != http.StatusMethodNotAllowed && status != http.StatusNotFound {
		t.Errorf("PUT: %d", status)
	}
}

func TestViews(t *testing.T) {
	s := newSite(t)
	_, body := s.do("GET", s.path(), nil)
	sheet := regexp.MustCompile(`/seen/\w+`).FindString(body)
	if status, _ := s.do("GET", sheet, nil); status != http.StatusOK {
		t.Fatalf("style sheet: %d", status)
	}
	s.do("GET", sheet, nil) // twice is once
	if c := s.counts(); c.OpenedHuman != 1 || c.OpenedMachine != 0 {
		t.Errorf("a person: %+v", c)
	}
	s.do("HEAD", s.path(), nil)
	if c := s.counts(); c.OpenedMachine != 1 {
		t.Errorf("HEAD: %+v", c)
	}
	s.do("GET", s.path(), nil) // without its style sheet
	s.clock.pass(time.Minute)
	s.do("GET", "/about", nil)
	ref, err := s.store.Lookup(context.Background(), s.token)
	if err != nil || ref.Human != 1 || ref.Machine != 2 {
		t.Errorf("a scanner: %d by people, %d by machines, %v", ref.Human, ref.Machine, err)
	}
	if c := s.counts(); c.OpenedHuman != 1 || c.OpenedMachine != 1 {
		t.Errorf("a referral counts once as opened: %+v", c)
	}
}

func TestUnknownAndVoidLookAlike(t *testing.T) {
	s := newSite(t)
	void := s.keys.Token("c", "<2@c.example>", "other@mail.example")
	if _, err := s.store.Offer(context.Background(), store.Offer{Key: "k2", Token: void, Company: "c", Person: s.keys.Person("c", "other@mail.example"), Kind: "rejection", Rule: "r", Language: "ja"}); err != nil {
		t.Fatal(err)
	}
	if err := s.store.Void(context.Background(), void); err != nil {
		t.Fatal(err)
	}
	wantStatus, want := s.do("GET", "/r/"+strings.Repeat("a", 26), nil)
	for name, path := range map[string]string{"void": "/r/" + string(void), "no token": "/r/x", "long": "/r/" + strings.Repeat("a", 3000)} {
		if status, body := s.do("GET", path, nil); status != wantStatus || body != want {
			t.Errorf("%s: %d, body differs: %v", name, status, body != want)
		}
	}
	if wantStatus != http.StatusNotFound {
		t.Errorf("status %d", wantStatus)
	}
	s.clock.pass(91 * 24 * time.Hour)
	if status, body := s.do("GET", s.path(), nil); status != http.StatusGone || !strings.Contains(body, "期限が過ぎました") {
		t.Errorf("expired: %d %s", status, body)
	}
}

func TestStopAndUndo(t *testing.T) {
	s := newSite(t)
	if status, body := s.do("POST", s.path()+"/stop", url.Values{}); status != http.StatusOK || !strings.Contains(body, "停止しました") {
		t.Fatalf("stop: %d %s", status, body)
	}
	if c := s.counts(); c.OptedOut != 1 {
		t.Errorf("opted out: %+v", c)
	}
	offer := store.Offer{Key: "again", Token: s.keys.Token("c", "<9@c>", candidate), Company: "c", Person: s.keys.Person("c", candidate), Kind: "rejection", Rule: "r", Language: "ja"}
	if _, err := s.store.Offer(context.Background(), offer); err == nil {
		t.Error("offered again after the stop")
	}
	if status, _ := s.do("POST", s.path()+"/stop/undo", url.Values{}); status != http.StatusOK {
		t.Errorf("undo: %d", status)
	}
	if c := s.counts(); c.OptedOut != 0 {
		t.Errorf("undone: %+v", c)
	}
}

func TestGuessingIsSlow(t *testing.T) {
	s := newSite(t)
	form := s.filled()
	form.Set("mail", "guess@mail.example")
	last := 0
	for range formsPerToken + 1 {
		last, _ = s.do("POST", s.path(), form)
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("the %dth form: %d", formsPerToken+1, last)
	}
}

func TestEveryPageShowsWhoAndSendsNothingAway(t *testing.T) {
	s := newSite(t)
	for _, path := range []string{"/", "/about", "/en/about", "/guide", "/c/c", s.path() + "/data", s.path(), "/en" + s.path(), s.path() + "/stop", "/r/none", "/nothing"} {
		r, _ := http.NewRequest("GET", s.server.URL+path, nil)
		res, err := s.browser.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		body := string(b)
		for _, want := range []string{"13-ユ-000000", "株式会社エージェント", "東京都千代田区1-1", "soudan@agency.example"} {
			if !strings.Contains(body, want) {
				t.Errorf("%s: %q is missing", path, want)
			}
		}
		if !strings.Contains(body, "広告") && !strings.Contains(body, "Advertisement") {
			t.Errorf("%s: not labelled", path)
		}
		for _, bad := range []string{"<script", "src=\"http", "不採用", "rejected", "unsuccessful", candidate} {
			if strings.Contains(body, bad) {
				t.Errorf("%s: %q has no place here", path, bad)
			}
		}
		for name, want := range map[string]string{"Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "X-Robots-Tag": "noindex, nofollow, noarchive"} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
		if csp := res.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "default-src 'self'") {
			t.Errorf("%s: %s", path, csp)
		}
	}
	if strings.Contains(s.log.String(), string(s.token)) {
		t.Error("the token is in the log")
	}
}

func TestLinkIsShort(t *testing.T) {
	base, _ := url.Parse("https://recruit.sample.example.jp/")
	link, optOut := LinkTo(base)(store.Token(strings.Repeat("a", 26)))
	if want := "https://recruit.sample.example.jp/r/" + strings.Repeat("a", 26); link != want || optOut != want+"/stop" {
		t.Errorf("got %s and %s", link, optOut)
	}
	if len(link) >= 70 {
		t.Errorf("%d columns", len(link))
	}
}

// TestTextsAreComplete compares the keys of both languages.
func TestTextsAreComplete(t *testing.T) {
	texts := map[string]map[string]string{}
	for _, lang := range []string{"ja", "en"} {
		b, err := textFiles.ReadFile("texts/" + lang + ".json")
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]string{}
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		texts[lang] = m
	}
	for key, s := range texts["ja"] {
		if s == "" || texts["en"][key] == "" {
			t.Errorf("text %q is missing", key)
		}
	}
	if len(texts["ja"]) != len(texts["en"]) {
		t.Errorf("%d texts in ja, %d in en", len(texts["ja"]), len(texts["en"]))
	}
}

// TestConsentTextsNeverChange pins what candidates agreed to: a new wording needs
// a new file and a new version.
func TestConsentTextsNeverChange(t *testing.T) {
	for id, want := range map[string]string{
		"optin-ja-1":  "34e210d522f31864cfce98bbd5541b92238eea8af4739fa33a2685311c7bb6c7",
		"optin-ja-2":  "8cd557fcb5f6674b3aae50ba5a7879c1cd483034537860f81f3154e27afde409",
		"optin-en-2":  "9bcc66d4d1e78aac4b59ce51c8048ca169b8d0c665ac51099b88834bc35344d2",
		"leaver-ja-1": "ba39ddb4b5c52b3a2c3d0fba0e3d2005c7f8d0b1f303c176329d4976cb964b4f",
		"leaver-en-1": "c0ebb845dedcc2114f8e95b07d7f235d0f6f70d1736b8000f8c39a5982294ce8",
		"form-ja-1":   "59218e7a4f45efb84be20dfbf3d78ae47147a8931a26774e949396fa6f59ebdb",
		"form-en-1":   "b69f6685b79d35ff00e577e74f00277b61bf71b4c5b4af3c44dc20d8517a338e",
		"optin-en-1":  "6fffae9b63292234804648cc08432bb246a3438926de99cf7f7ca82dd7cbbcb4",
	} {
		text, err := loadConsent(id, Agency{Name: "N", Licence: "L", Address: "A"})
		if err != nil {
			t.Fatal(err)
		}
		if text.ID != id || text.SHA256 != want {
			t.Errorf("%s: hash %s, want %s", text.ID, text.SHA256, want)
		}
	}
}
