package web

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// nonceOf is the nonce of the first form on a page.
func nonceOf(t *testing.T, body string) string {
	t.Helper()
	m := nonceField.FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("no nonce on the page:\n%s", body)
	}
	return m[1]
}

// optIn takes the straight way to the receipt.
func (s *site) optIn() {
	s.t.Helper()
	form := s.filled()
	if status, body := s.do("POST", s.path()+"/apply", form); status != http.StatusOK || !strings.Contains(body, "お申し込みを受け付けました") {
		s.t.Fatalf("apply: %d %s", status, body)
	}
}

var mailedLink = regexp.MustCompile(`http://\S+/(r/\S+)`)

// TestAnotherAddress is the double opt-in: nothing before the mail was used.
func TestAnotherAddress(t *testing.T) {
	s := newSite(t)
	form := s.filled()
	form.Set("mail", "hanako@other.example")
	status, body := s.do("POST", s.path(), form)
	if status != http.StatusOK || !strings.Contains(body, "メールをお送りしました") {
		t.Fatalf("review: %d %s", status, body)
	}
	mail := s.mails.last(t)
	if mail.To != "hanako@other.example" || mail.Company != "c" || mail.Language != "ja" {
		t.Errorf("mail to %s of %s in %s", mail.To, mail.Company, mail.Language)
	}
	for _, part := range []string{mail.Text, mail.HTML} {
		for _, want := range []string{"13-ユ-000000", "株式会社サンプル", "広告", "東京都千代田区1-1", "/stop"} {
			if !strings.Contains(part, want) {
				t.Errorf("%q is missing in\n%s", want, part)
			}
		}
	}
	link := "/" + mailedLink.FindStringSubmatch(mail.Text)[1]
	status, body = s.do("GET", link, nil)
	if status != http.StatusOK || !strings.Contains(body, `value="hanako@other.example"`) || !strings.Contains(body, `value="山田"`) {
		t.Fatalf("confirmed: %d %s", status, body)
	}
	if strings.Contains(body, " checked") {
		t.Error("a box is ticked in advance")
	}
	if n := s.counts().OptedIn; n != 0 {
		t.Fatalf("the link of the mail opted in: %d", n)
	}
	code := regexp.MustCompile(`name="code" value="(\w+)"`).FindStringSubmatch(body)
	if code == nil {
		t.Fatal("the form does not carry the code")
	}
	form.Set("nonce", nonceOf(t, body))
	form.Set("code", code[1])
	s.clock.pass(5 * time.Second)
	if status, body = s.do("POST", s.path()+"/apply", form); status != http.StatusOK || !strings.Contains(body, "受け付けました") {
		t.Fatalf("apply: %d %s", status, body)
	}
	ref, err := s.store.Lookup(context.Background(), s.token)
	if err != nil || ref.Consent.Method != "confirmed_address" {
		t.Errorf("method %v, %v", ref.Consent, err)
	}
	if receipt := s.mails.last(t); receipt.To != "hanako@other.example" || !strings.Contains(receipt.Text, "/done") || !strings.Contains(receipt.Text, ref.Consent.TextSHA256) {
		t.Errorf("receipt to %s:\n%s", receipt.To, receipt.Text)
	}
}

// TestAnotherBrowser: the mail is opened where nothing was typed. The form is
// empty, and the code still proves the address once that is typed.
func TestAnotherBrowser(t *testing.T) {
	s := newSite(t)
	form := s.filled()
	form.Set("mail", "hanako@other.example")
	s.do("POST", s.path(), form)
	link := "/" + mailedLink.FindStringSubmatch(s.mails.last(t).Text)[1]
	s.browser.Jar, _ = cookiejar.New(nil)
	_, body := s.do("GET", link, nil)
	if strings.Contains(body, "山田") || strings.Contains(body, "hanako") {
		t.Error("another browser sees what was typed")
	}
	code := regexp.MustCompile(`name="code" value="(\w+)"`).FindStringSubmatch(body)
	if code == nil {
		t.Fatal("the form does not carry the code")
	}
	form.Set("nonce", nonceOf(t, body))
	form.Set("code", code[1])
	s.clock.pass(5 * time.Second)
	if _, body = s.do("POST", s.path(), form); !strings.Contains(body, "まだ送信されていません") {
		t.Errorf("review in another browser:\n%s", body)
	}
}

func TestCodes(t *testing.T) {
	s := newSite(t)
	code := s.pages.typed.make(s.token, "Hanako@Other.example")
	other := store.Token(strings.Repeat("b", 26))
	cases := []struct {
		name, code, address string
		token               store.Token
		pass                time.Duration
		want                bool
	}{
		{"right", code, "hanako@other.example", s.token, 0, true},
		{"upper case", strings.ToUpper(code), "hanako@other.example", s.token, 0, true},
		{"other address", code, "jiro@other.example", s.token, 0, false},
		{"other token", code, "hanako@other.example", other, 0, false},
		{"cut", code[:31], "hanako@other.example", s.token, 0, false},
		{"empty", "", "hanako@other.example", s.token, 0, false},
		{"late", code, "hanako@other.example", s.token, 49 * time.Hour, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s.clock.pass(c.pass)
			if got := s.pages.typed.proves(c.code, c.token, c.address); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestMailsAreFew(t *testing.T) {
	s := newSite(t)
	last := 0
	for range mailsPerKey + 1 {
		form := s.filled()
		form.Set("mail", "victim@other.example")
		last, _ = s.do("POST", s.path(), form)
	}
	if last != http.StatusTooManyRequests || len(s.mails.got) != mailsPerKey {
		t.Errorf("status %d after %d mails", last, len(s.mails.got))
	}
}

func TestMailTroubleLosesNoConsent(t *testing.T) {
	s := newSite(t)
	s.mails.err = errors.New("upstream is away")
	s.optIn()
	if n := s.counts().OptedIn; n != 1 {
		t.Errorf("opted in: %d", n)
	}
	s = newSite(t)
	s.mails.err = errors.New("upstream is away")
	form := s.filled()
	form.Set("mail", "hanako@other.example")
	if status, _ := s.do("POST", s.path(), form); status != http.StatusServiceUnavailable {
		t.Errorf("confirmation that could not be sent: %d", status)
	}
}

// own opens the data page and returns it.
func (s *site) own(address string) (int, string) {
	s.t.Helper()
	_, body := s.do("GET", s.path()+"/data", nil)
	form := url.Values{"nonce": {nonceOf(s.t, body)}, "mail": {address}}
	s.clock.pass(5 * time.Second)
	return s.do("POST", s.path()+"/data", form)
}

func TestOwnData(t *testing.T) {
	s := newSite(t)
	s.optIn()
	if status, body := s.own("someone@else.example"); status != http.StatusUnprocessableEntity || strings.Contains(body, "山田") {
		t.Fatalf("another address: %d %s", status, body)
	}
	status, body := s.own(candidate)
	if status != http.StatusOK || !strings.Contains(body, "山田") {
		t.Fatalf("own data: %d %s", status, body)
	}
	nonce := nonceOf(t, body)

	change := url.Values{"nonce": {nonce}, "family_name": {"佐藤"}, "given_name": {"太郎"}, "contact": {"phone"}, "phone": {"０９０－１２３４－５６７８"},
		"frequency": {"monthly"}, "strengths": {"人の話を\r\n最後まで聞く"}, "mail": {"evil@else.example"}}
	if status, body = s.do("POST", s.path()+"/data/save", change); status != http.StatusOK || !strings.Contains(body, "保存しました") {
		t.Fatalf("save: %d %s", status, body)
	}
	change.Set("given_name", "")
	if status, _ = s.do("POST", s.path()+"/data/save", change); status != http.StatusUnprocessableEntity {
		t.Errorf("save without a name: %d", status)
	}

	_, body = s.do("POST", s.path()+"/data/json", url.Values{"nonce": {nonce}})
	var d ownData
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		t.Fatalf("export: %v\n%s", err, body)
	}
	if d.Profile == nil || d.Profile.FamilyName != "佐藤" || d.Profile.Mail != candidateTyped || d.Profile.Strengths != "人の話を\n最後まで聞く" || d.Profile.Phone != "090-1234-5678" {
		t.Errorf("exported profile: %+v", d.Profile)
	}
	if _, body = s.do("POST", s.path()+"/data/text", url.Values{"nonce": {nonce}}); !strings.Contains(body, "佐藤 太郎") || !strings.Contains(body, "optin-ja-2") {
		t.Errorf("export as text:\n%s", body)
	}

	if _, body = s.do("POST", s.path()+"/data/erase", url.Values{"nonce": {nonce}}); !strings.Contains(body, "チェックが必要です") {
		t.Errorf("erased without the box:\n%s", body)
	}
	if status, body = s.do("POST", s.path()+"/data/erase", url.Values{"nonce": {nonce}, "sure": {"yes"}}); status != http.StatusOK || !strings.Contains(body, "消去しました") {
		t.Fatalf("erase: %d %s", status, body)
	}
	if status, body = s.do("GET", s.path(), nil); status == http.StatusOK || strings.Contains(body, "佐藤") {
		t.Errorf("after erasure: %d %s", status, body)
	}
	notes, err := s.store.Notes(t.Context(), store.NoteQuery{Kind: store.NoteRequest})
	if err != nil {
		t.Fatal(err)
	}
	var asked []string // newest first
	for _, n := range notes {
		if n.Actor != "candidate" || n.Referral == "" || n.Company == "" || n.Detail != "" {
			t.Errorf("note %+v", n)
		}
		asked = append(asked, n.Action)
	}
	if want := []string{"erase", "export", "export", "correct"}; !slices.Equal(asked, want) {
		t.Errorf("the journal has %q, want %q", asked, want)
	}
}

// candidateTyped is how the form's address is kept: in its plain form.
const candidateTyped = "TARO@mail.example"

// TestDataNeedsTheAddress tries each step of the data page with the nonce of a
// form that anyone with the link gets, and from another browser.
func TestDataNeedsTheAddress(t *testing.T) {
	s := newSite(t)
	s.optIn()
	_, body := s.do("GET", s.path()+"/data", nil)
	weak := nonceOf(t, body)
	_, body = s.own(candidate)
	strong := nonceOf(t, body)
	for _, step := range []string{"save", "json", "text", "erase"} {
		form := url.Values{"nonce": {weak}, "sure": {"yes"}}
		if status, body := s.do("POST", s.path()+"/data/"+step, form); status != http.StatusUnprocessableEntity || strings.Contains(body, "山田") {
			t.Errorf("%s with the link alone: %d", step, status)
		}
	}
	s.browser.Jar, _ = cookiejar.New(nil)
	for _, step := range []string{"save", "json", "text", "erase"} {
		form := url.Values{"nonce": {strong}, "sure": {"yes"}}
		if status, body := s.do("POST", s.path()+"/data/"+step, form); status != http.StatusUnprocessableEntity || strings.Contains(body, "山田") {
			t.Errorf("%s from another browser: %d", step, status)
		}
	}
}

func TestBackFromReviewKeepsWhatWasTyped(t *testing.T) {
	s := newSite(t)
	form := s.filled()
	_, body := s.do("POST", s.path(), form)
	if !strings.Contains(body, "/edit") {
		t.Fatal("no way back")
	}
	if _, body = s.do("POST", s.path()+"/edit", form); !strings.Contains(body, `value="山田"`) || strings.Contains(body, " checked") {
		t.Errorf("form after going back:\n%s", body)
	}
}

func TestTwoTabs(t *testing.T) {
	s := newSite(t)
	first := s.filled()
	s.filled()
	if status, body := s.do("POST", s.path(), first); status != http.StatusOK || !strings.Contains(body, "まだ送信されていません") {
		t.Errorf("the first tab after a second was opened: %d", status)
	}
}

func TestStopWorksAfterTheLinkRanOut(t *testing.T) {
	s := newSite(t)
	s.clock.pass(91 * 24 * time.Hour)
	if status, body := s.do("GET", s.path()+"/stop", nil); status != http.StatusOK || !strings.Contains(body, "停止する") {
		t.Fatalf("page: %d %s", status, body)
	}
	if status, _ := s.do("POST", s.path()+"/stop", url.Values{}); status != http.StatusOK {
		t.Errorf("stop: %d", status)
	}
	if n := s.counts().OptedOut; n != 1 {
		t.Errorf("opted out: %d", n)
	}
}

// TestHastyFormsCostNothing: whoever sends too fast, or from an old page, has
// tried no address. Only what is judged spends the allowance.
func TestHastyFormsCostNothing(t *testing.T) {
	s := newSite(t)
	form := s.filled()
	hasty := url.Values{}
	for range formsPerToken + 1 {
		_, body := s.do("GET", s.path(), nil)
		maps.Copy(hasty, form)
		hasty.Set("nonce", nonceOf(t, body))
		if status, body := s.do("POST", s.path(), hasty); status != http.StatusUnprocessableEntity || !strings.Contains(body, "もう一度「確認する」") {
			t.Fatalf("too fast: %d", status)
		}
		hasty.Set("nonce", "none")
		if status, _ := s.do("POST", s.path(), hasty); status != http.StatusUnprocessableEntity {
			t.Fatalf("no nonce: %d", status)
		}
		if status, _ := s.do("POST", s.path()+"/edit", form); status != http.StatusOK {
			t.Fatalf("back to the form: %d", status)
		}
	}
	s.clock.pass(5 * time.Second)
	for i := range formsPerToken + 1 {
		status, _ := s.do("POST", s.path(), form)
		if spent := i == formsPerToken; (status == http.StatusTooManyRequests) != spent {
			t.Fatalf("form %d: %d", i+1, status)
		}
	}
}

func TestOwnPeopleDoNotRegister(t *testing.T) {
	s := newSite(t)
	for _, address := range []string{"hr@c.example", "Soudan@AGENCY.example", "\"a@b\"@x.c.example"} {
		form := s.filled()
		form.Set("mail", address)
		if status, body := s.do("POST", s.path(), form); status != http.StatusUnprocessableEntity || !strings.Contains(body, "個人のメールアドレス") && validMail(address) {
			t.Errorf("%s: %d", address, status)
		}
	}
	if len(s.mails.got) != 0 {
		t.Errorf("%d mails", len(s.mails.got))
	}
}

func TestStopIsNeverSpentByTyping(t *testing.T) {
	s := newSite(t)
	form := s.filled()
	for range formsPerToken + 1 {
		s.do("POST", s.path(), form)
	}
	if status, _ := s.do("POST", s.path()+"/stop", url.Values{}); status != http.StatusOK {
		t.Errorf("stop after many forms: %d", status)
	}
}

// TestCompanyLink: the same answer for everyone, the link by mail, no count
// before it is used.
func TestCompanyLink(t *testing.T) {
	s := newSite(t)
	ask := func(address string) (int, string) {
		_, body := s.do("GET", "/c/c", nil)
		form := url.Values{"nonce": {nonceOf(t, body)}, "mail": {address}}
		s.clock.pass(5 * time.Second)
		return s.do("POST", "/c/c", form)
	}
	status, body := ask("hanako@other.example")
	if status != http.StatusOK || !strings.Contains(body, "メールをお送りしました") {
		t.Fatalf("ask: %d %s", status, body)
	}
	if c := s.counts(); c.OptedIn != 0 || c.Counted != 0 {
		t.Fatalf("counted before it was used: %+v", c)
	}
	link := "/" + mailedLink.FindStringSubmatch(s.mails.last(t).Text)[1]
	_, body = s.do("GET", link, nil)
	form := url.Values{"nonce": {nonceOf(t, body)}, "family_name": {"鈴木"}, "given_name": {"花子"}, "mail": {"hanako@other.example"},
		"contact": {"mail"}, "frequency": {"asked"}, "adult": {"yes"}, "hand_over": {"yes"}}
	s.clock.pass(5 * time.Second)
	if status, _ = s.do("POST", link+"/apply", form); status != http.StatusOK {
		t.Errorf("apply: %d", status)
	}
	if c := s.counts(); c.OptedIn != 1 || c.Counted != 1 {
		t.Errorf("counts: %+v", c)
	}

	// Known from a relayed mail: another link to the same referral. Opted out: no
	// mail at all.
	want := status
	status, _ = ask(candidate)
	if m := s.mails.last(t); status != want || m.To != candidate || !mailedLink.MatchString(m.Text) {
		t.Errorf("known address: %d, mail %s", status, m.Text)
	}
	again := mailedLink.FindStringSubmatch(s.mails.last(t).Text)[1]
	first, err := s.store.Lookup(t.Context(), s.token)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := s.store.Lookup(t.Context(), store.Token(strings.TrimPrefix(again, "r/"))); err != nil || second.ID != first.ID {
		t.Errorf("the second link leads to %v, %v", second, err)
	}
	s.do("POST", s.path()+"/stop", url.Values{})
	before := len(s.mails.got)
	if status, _ = ask(candidate); status != want || len(s.mails.got) != before {
		t.Errorf("opted out: %d, %d mails", status, len(s.mails.got)-before)
	}
	for _, bad := range []string{"", "no address", "hr@c.example", "jiro@Sub.C.example", "staff@agency.example", "a@b\r\nBcc: c@d.example"} {
		if status, _ = ask(bad); status != http.StatusUnprocessableEntity {
			t.Errorf("address %q: %d", bad, status)
		}
	}
	if status, _ = s.do("GET", "/c/unknown", nil); status != http.StatusNotFound {
		t.Errorf("unknown company: %d", status)
	}
}

func TestLanguages(t *testing.T) {
	for accept, want := range map[string]string{"": "ja", "en-US,en;q=0.9": "en", "en;q=0.5, ja;q=0.9": "ja", "fr": "ja", "ja": "ja", strings.Repeat("en,", 500): "ja"} {
		if got := preferred(accept); got != want {
			t.Errorf("%.20q: got %s, want %s", accept, got, want)
		}
	}
	s := newSite(t)
	_, body := s.do("GET", "/en"+s.path(), nil)
	if !strings.Contains(body, `href="/ja`+s.path()+`"`) || !strings.Contains(body, `lang="en"`) {
		t.Errorf("no way back to Japanese:\n%s", body)
	}
	_, body = s.do("GET", "/about", nil)
	if !strings.Contains(body, `href="/en/about"`) {
		t.Error("no English version of a public page")
	}
}

// FuzzPages sends strangers' requests: no panic, no 5xx, no consent.
func FuzzPages(f *testing.F) {
	s := &site{}
	f.Add("GET", "/", "", "")
	f.Add("POST", "/r/TOKEN", "nonce=x&mail=a%40b.example&hand_over=yes", "view=abc")
	f.Add("POST", "/r/TOKEN/apply", "nonce=AAAA&code=aaaa", "view=abcdefghijklmnopqrstuvwxyz; draft=AAAA")
	f.Add("POST", "/en/r/TOKEN/data/json", "nonce=%zz", "draft=!!!")
	f.Add("GET", "/r/TOKEN/m/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "", "draft=AAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("HEAD", "/c/c", "", "")
	f.Add("POST", "/c/c", "mail=%00&nonce=", "")
	f.Add("GET", "/ja//r/../r/TOKEN", "", "")
	f.Fuzz(func(t *testing.T, method, path, body, cookie string) {
		if s.pages == nil {
			s = newFuzzSite(t)
		}
		r, err := http.NewRequest(method, "http://pages.example", strings.NewReader(body))
		if err != nil {
			t.Skip()
		}
		r.URL.Path = "/" + strings.TrimPrefix(strings.ReplaceAll(path, "TOKEN", string(s.token)), "/")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Cookie", cookie)
		w := httptest.NewRecorder()
		s.clock.pass(time.Hour)
		s.pages.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%s %q: %d", method, path, w.Code)
		}
		if ref, err := s.pages.o.Referrals.Lookup(context.Background(), s.token); err == nil && ref.State == store.OptedIn {
			t.Errorf("%s %q opted in", method, path)
		}
	})
}

// fuzzStore answers like a store without a disk.
type fuzzStore struct{ ref store.Referral }

func (f *fuzzStore) Lookup(_ context.Context, t store.Token) (store.Referral, error) {
	if t != fuzzToken {
		return store.Referral{}, store.ErrNotFound
	}
	return f.ref, nil
}
func (f *fuzzStore) View(context.Context, store.Token, bool) error { return nil }
func (f *fuzzStore) OptIn(_ context.Context, _ store.Token, c store.Consent) (store.Referral, error) {
	err := f.ref.OptIn(c.At, c)
	return f.ref, err
}
func (f *fuzzStore) OptOut(context.Context, store.Token) error  { return nil }
func (f *fuzzStore) OptBack(context.Context, store.Token) error { return nil }
func (f *fuzzStore) Withdraw(context.Context, string) (store.Referral, error) {
	return f.ref, store.ErrWrongState
}
func (f *fuzzStore) Erase(context.Context, string) (store.Referral, error)      { return f.ref, nil }
func (f *fuzzStore) Hold(context.Context, store.Held) error                     { return nil }
func (f *fuzzStore) Suppress(context.Context, string, store.PersonHash) error   { return nil }
func (f *fuzzStore) SetProfile(context.Context, string, []byte, []byte) error   { return nil }
func (f *fuzzStore) Note(_ context.Context, n store.Note) (store.Note, error)   { return n, nil }
func (f *fuzzStore) Offer(context.Context, store.Offer) (store.Referral, error) { return f.ref, nil }
func (f *fuzzStore) Confirm(context.Context, store.Token) error                 { return nil }

const fuzzToken = store.Token("aaaaaaaaaaaaaaaaaaaaaaaaaa")

func newFuzzSite(t *testing.T) *site {
	s := &site{clock: &clock{at: time.Date(2026, 6, 1, 9, 0, 0, 0, time.UTC)}, token: fuzzToken, mails: &postbox{}}
	secret := []byte(strings.Repeat("k", 32))
	keys, err := store.NewKeys(secret)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := store.NewSealer(secret)
	if err != nil {
		t.Fatal(err)
	}
	base, _ := url.Parse("http://pages.example")
	st := &fuzzStore{ref: store.Referral{ID: "1", Company: "c", Person: keys.Person("c", candidate), Language: "ja", State: store.Sent, OfferedAt: s.clock.now()}}
	s.pages, err = New(Options{Companies: []Company{{ID: "c", Name: "C", PublicURL: base, Own: []string{"c.example", "agency.example"}, Mails: true}}, Agency: Agency{Name: "A", Licence: "L"},
		Referrals: st, Person: keys.Person, Seal: sealer.Seal, Open: sealer.Open, Mailer: s.mails, Offers: st, Issuer: keys, Secret: secret, Now: s.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
