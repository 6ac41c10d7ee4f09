package web

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// leaver is the link of somebody who leaves the company.
func (s *site) leaver() store.Token {
	s.t.Helper()
	const address, key = "jiro@mail.example", "<leaver@c.example>"
	token := s.keys.Token("c", key, address)
	_, err := s.store.Offer(s.t.Context(), store.Offer{Key: s.keys.Key("c", key, address), Token: token, Company: "c",
		Person: s.keys.Person("c", address), Kind: store.KindLeaver, Rule: "ja-leaver", Language: "ja"})
	if err == nil {
		err = s.store.Confirm(s.t.Context(), token)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

// TestLeaver: people who leave get words and a consent of their own, and the
// ledger tells them from candidates.
func TestLeaver(t *testing.T) {
	s := newSite(t)
	token := s.leaver()
	_, body := s.do("GET", "/r/"+string(token), nil)
	for _, want := range []string{"退職の前でも後でも", "退職の手続きや条件に影響", "在職中の評価や退職の理由は含みません"} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(body, "選考") {
		t.Error("the page speaks of a selection")
	}
	s.token = token
	form := s.filled()
	form.Set("mail", "jiro@mail.example")
	if status, _ := s.do("POST", s.path()+"/apply", form); status != http.StatusOK {
		t.Fatalf("apply: %d", status)
	}
	ref, err := s.store.Lookup(t.Context(), token)
	if err != nil || ref.Consent.TextID != "leaver-ja-1" {
		t.Errorf("consent %v, %v", ref.Consent, err)
	}
	entries, err := s.store.Entries(t.Context(), "c", 0, 10)
	if err != nil || len(entries) != 1 || entries[0].Programme != store.KindLeaver {
		t.Errorf("ledger: %+v, %v", entries, err)
	}
	if receipt := s.mails.last(t); !strings.Contains(receipt.Text, "在職中の評価や退職の理由は含みません") {
		t.Errorf("receipt:\n%s", receipt.Text)
	}
	_, body = s.do("GET", s.path()+"/done", nil)
	if !strings.Contains(body, "自己分析を書く") || !strings.Contains(body, "退職の手続き") {
		t.Error("the receipt lacks the way to the self-assessment, or the words agreed to")
	}
}

// TestLeaversLink is the company's link for leavers.
func TestLeaversLink(t *testing.T) {
	s := newSite(t)
	_, body := s.do("GET", "/c/c/leaver", nil)
	if !strings.Contains(body, "退職の前でも後でも") || !strings.Contains(body, `action="/c/c/leaver"`) {
		t.Fatalf("page:\n%s", body)
	}
	s.clock.pass(5 * time.Second)
	s.do("POST", "/c/c/leaver", url.Values{"nonce": {nonceOf(t, body)}, "mail": {"hanako@other.example"}})
	link := mailedLink.FindStringSubmatch(s.mails.last(t).Text)[1]
	if ref, err := s.store.Lookup(t.Context(), store.Token(strings.TrimPrefix(link, "r/"))); err != nil || ref.Kind != store.KindLeaver {
		t.Errorf("kind %q, %v", ref.Kind, err)
	}
}

// withForm is the site of an agency with a form of its own.
func withForm(t *testing.T) (*site, *url.URL) {
	t.Helper()
	s := newSite(t)
	form := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("form " + r.URL.Query().Get("ref"))) }))
	t.Cleanup(form.Close)
	o := s.pages.o
	o.AgencyForm, _ = url.Parse(form.URL + "/apply?lang=ja")
	var err error
	if s.pages, err = New(o); err != nil {
		t.Fatal(err)
	}
	return s, o.AgencyForm
}

// TestAgencyForm: the candidate goes to the agency's form with a code; nothing is
// typed, nothing counts, until the agency reports the code.
func TestAgencyForm(t *testing.T) {
	s, to := withForm(t)
	_, body := s.do("GET", s.path(), nil)
	if strings.Contains(body, `name="mail"`) || strings.Contains(body, `name="family_name"`) || !strings.Contains(body, to.Hostname()) {
		t.Fatalf("page:\n%s", body)
	}
	form := url.Values{"nonce": {nonceOf(t, body)}}
	s.clock.pass(5 * time.Second)
	if status, _ := s.do("POST", s.path()+"/form", form); status != http.StatusUnprocessableEntity {
		t.Errorf("without the box: %d", status)
	}
	form.Set("hand_over", "yes")
	status, body := s.do("POST", s.path()+"/form", form)
	code, found := strings.CutPrefix(body, "form ")
	if status != http.StatusOK || !found || len(code) != 26 || code == string(s.token) {
		t.Fatalf("form: %d %s", status, body)
	}
	if c := s.counts(); c.OptedIn != 0 || c.Counted != 0 {
		t.Errorf("counted before the report: %+v", c)
	}
	if _, err := s.store.Lookup(t.Context(), store.Token(code)); !errors.Is(err, store.ErrNotFound) {
		t.Error("the agency's code opens the candidate's pages")
	}
	if status, _ := s.do("POST", s.path()+"/apply", s.typedAnyhow(form)); status == http.StatusOK {
		t.Error("the form of the pages is open too")
	}
	ref, err := s.store.Release(t.Context(), store.Token(code))
	if err != nil || ref.Consent.Method != "agency_form" || ref.Consent.TextID != "form-ja-1" || ref.Consent.Profile != nil || !ref.Counted {
		t.Errorf("released: %v %v, %v", ref, ref.Consent, err)
	}
	if _, body = s.do("GET", s.path(), nil); !strings.Contains(body, "提携先のフォームでのお申し込みを確認しました") || !strings.Contains(body, "照会番号") {
		t.Errorf("receipt:\n%s", body)
	}
	res, err := http.Get(s.server.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if policy := res.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' http://"+to.Host+";") || !strings.Contains(policy, "default-src 'self';") {
		t.Errorf("policy %q", policy)
	}
}

func (s *site) typedAnyhow(form url.Values) url.Values {
	form.Set("mail", candidate)
	form.Set("family_name", "山田")
	form.Set("given_name", "太郎")
	form.Set("contact", "mail")
	form.Set("frequency", "asked")
	form.Set("adult", "yes")
	return form
}

// TestStopAfterPurge: the referral is gone, the way to stop is not. The answer is
// the same for every address.
func TestStopAfterPurge(t *testing.T) {
	s := newSite(t)
	s.clock.pass(200 * 24 * time.Hour)
	if _, err := s.store.Purge(t.Context(), store.Retention{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.store.Lookup(t.Context(), s.token); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("the referral is still there: %v", err)
	}
	status, body := s.do("GET", s.path()+"/stop", nil)
	if status != http.StatusNotFound || !strings.Contains(body, `action="/stop"`) {
		t.Fatalf("page: %d\n%s", status, body)
	}
	form := url.Values{"nonce": {nonceOf(t, body)}, "mail": {candidate}}
	if status, _ = s.do("POST", "/stop", form); status != http.StatusUnprocessableEntity {
		t.Errorf("too fast: %d", status)
	}
	s.clock.pass(5 * time.Second)
	var pages []string
	for _, address := range []string{candidate, "nobody@else.example"} {
		form.Set("mail", address)
		status, body = s.do("POST", "/stop", form)
		if status != http.StatusOK || strings.Contains(body, "/stop/undo") {
			t.Errorf("%s: %d\n%s", address, status, body)
		}
		pages = append(pages, body)
	}
	if pages[0] != pages[1] {
		t.Error("the page says whether the address is known")
	}
	o := store.Offer{Key: s.keys.Key("c", "<9@c.example>", candidate), Token: s.keys.Token("c", "<9@c.example>", candidate), Company: "c",
		Person: s.keys.Person("c", candidate), Kind: store.KindRejection, Rule: "ja", Language: "ja"}
	if _, err := s.store.Offer(t.Context(), o); !errors.Is(err, store.ErrSuppressed) {
		t.Errorf("offered after the stop: %v", err)
	}
	for _, bad := range []string{"", "x"} {
		form.Set("mail", bad)
		if status, _ = s.do("POST", "/stop", form); status != http.StatusUnprocessableEntity {
			t.Errorf("address %q: %d", bad, status)
		}
	}
	if status, _ = s.do("GET", "/en/stop", nil); status != http.StatusOK {
		t.Errorf("the page by itself: %d", status)
	}
	form.Set("mail", candidate)
	last := 0
	for range mailsPerFirm + 1 {
		last, _ = s.do("POST", "/stop", form)
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("without end: %d", last)
	}
}
