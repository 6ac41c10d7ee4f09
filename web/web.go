// Package web serves the pages that a candidate sees: what the link in the mail
// leads to, the form, the receipt, the way to stop, and the public pages that say
// who is behind all this.
//
// GET and HEAD change nothing but a view counter: link scanners open every link,
// run scripts and submit forms. Opting in takes a POST from a page that was shown
// at least two seconds before, with a cookie of the same site, an unticked box
// ticked, a trap field left empty, and the address that the mail was sent to,
// typed: its keyed hash must be the referral's.
//
// Another address than the mail's is possible where a Mailer is configured: it
// proves itself by a mail first (double opt-in), and until then the server keeps
// nothing of what was typed.
//
// A token is a credential. It stands in the path only, never in a log, and unknown
// and void tokens get the same page.
package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	xlanguage "golang.org/x/text/language"

	"github.com/careerrelay/careerrelay/store"
)

// Referrals is what the pages need of the store.
type Referrals interface {
	Lookup(ctx context.Context, t store.Token) (store.Referral, error)
	View(ctx context.Context, t store.Token, machine bool) error
	OptIn(ctx context.Context, t store.Token, c store.Consent) (store.Referral, error)
	OptOut(ctx context.Context, t store.Token) error
	OptBack(ctx context.Context, t store.Token) error
	Withdraw(ctx context.Context, id string) (store.Referral, error)
	Erase(ctx context.Context, id string) (store.Referral, error)
	SetProfile(ctx context.Context, id string, was, profile []byte) error
	Note(ctx context.Context, n store.Note) (store.Note, error)
	Hold(ctx context.Context, h store.Held) error
	Suppress(ctx context.Context, company string, p store.PersonHash) error
}

// Company is one company whose candidates come here.
type Company struct {
	ID, Name  string
	PublicURL *url.URL // its host serves the company's pages
	// Own are mail domains whose people never register, subdomains included: the
	// company's and the agency's.
	Own   []string
	Mails bool // the Mailer can send for it
	Test  bool // links work, nothing is ever counted
}

// owns reports whether an address is of the company's or the agency's people.
func (c *Company) owns(address string) bool {
	domain := store.Normalize(address)
	domain = domain[strings.LastIndexByte(domain, '@')+1:]
	for _, own := range c.Own {
		if domain == own || strings.HasSuffix(domain, "."+own) {
			return true
		}
	}
	return false
}

// Agency is the licensed agency that helps candidates; shown on every page.
type Agency struct {
	Name, Licence, Address, Contact, PrivacyPolicy string
}

// Options configure the pages. All fields without a default are required.
type Options struct {
	Companies []Company
	Agency    Agency
	Referrals Referrals
	// Person is the keyed hash of an address; see store.Keys.Person.
	Person func(company, address string) store.PersonHash
	// Candidate is a hash that joins a person's companies; see
	// store.Keys.Candidate. Only the first_company attribution asks for it.
	Candidate func(address string) store.PersonHash
	// Seal encrypts a profile for the referral; see store.Sealer.Seal.
	Seal func(referralID string, profile []byte) ([]byte, error)
	// Open decrypts it again, for the candidate's own data; see store.Sealer.Open.
	// Without it there are no pages to see, correct and export them.
	Open func(referralID string, box []byte) ([]byte, error)
	// Mailer carries confirmations and receipts. Without it, and for a company
	// without Mails, another address than the mail's is refused with an
	// explanation, and there is no receipt by mail.
	Mailer Mailer
	// Offers and Issuer serve the link of a company (/c/<company>), which also
	// needs a Mailer. Without them there is none.
	Offers Offers
	Issuer Issuer
	// AgencyForm is the agency's own form. With it the pages take no data: they
	// send the candidate there with a reference number.
	AgencyForm *url.URL
	Tells      bool             // the agency is told of corrections
	Secret     []byte           // signs the nonces of forms; 32 octets
	LinkLife   time.Duration    // shown to the candidate; default 90 days
	Now        func() time.Time // default time.Now
	Logger     *slog.Logger     // default: nothing is logged
}

// Pages is the handler of all pages. It is safe for concurrent use.
type Pages struct {
	o      Options
	mux    *http.ServeMux
	policy string // Content-Security-Policy
	pages  *templates
	views  *viewCounter
	limits *limiter // forms of a token
	stops  *limiter // opt-outs of a token: its own, so that typing never spends it
	mails  *limiter // mails for a token and to an address
	firms  *limiter // mails for the link of a company
	forms  *nonces
	typed  *addresses
}

// New checks the options and returns the handler.
func New(o Options) (*Pages, error) {
	switch {
	case o.Referrals == nil || o.Person == nil || o.Seal == nil:
		return nil, errors.New("web: store, person hash and seal are required")
	case len(o.Secret) < 32:
		return nil, errors.New("web: the secret is shorter than 32 octets")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.LinkLife == 0 {
		o.LinkLife = 90 * 24 * time.Hour
	}
	pages, err := loadTemplates(o.Agency)
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	p := &Pages{o: o, pages: pages, forms: &nonces{secret: o.Secret, now: o.Now},
		limits: newLimiter(o.Now, formsPerToken, formsRefill), stops: newLimiter(o.Now, formsPerToken, formsRefill),
		mails: newLimiter(o.Now, mailsPerKey, mailsRefill), firms: newLimiter(o.Now, mailsPerFirm, firmRefill)}
	if p.typed, err = newAddresses(o.Secret, o.Now); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	p.policy = "default-src 'self'; script-src 'none'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
	if f := o.AgencyForm; f != nil { // browsers hold redirects of a form against it too
		p.policy = strings.Replace(p.policy, "form-action 'self'", "form-action 'self' "+f.Scheme+"://"+f.Host, 1)
	}
	p.views = newViewCounter(o.Now, p.countView)
	p.routes()
	return p, nil
}

// LinkTo makes the links of one company: the page and the way to stop.
func LinkTo(base *url.URL) func(t store.Token) (link, optOut string) {
	prefix := strings.TrimRight(base.String(), "/") + "/r/"
	return func(t store.Token) (string, string) {
		return prefix + string(t), prefix + string(t) + "/stop"
	}
}

// LinkPrefix is what every link of the company starts with.
func LinkPrefix(base *url.URL) string { return strings.TrimRight(base.String(), "/") + "/r/" }

func (p *Pages) routes() {
	p.mux = http.NewServeMux()
	p.mux.HandleFunc("GET "+stylePath, p.style)
	p.mux.HandleFunc("GET /seen/{view}", p.seen)
	p.mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	p.mux.HandleFunc("GET /robots.txt", robots)
	for _, lang := range []string{"", "/ja", "/en"} {
		p.mux.HandleFunc("GET "+lang+"/{$}", p.public("home"))
		p.mux.HandleFunc("GET "+lang+"/about", p.public("about"))
		p.mux.HandleFunc("GET "+lang+"/guide", p.public("guide"))
		p.mux.HandleFunc("GET "+lang+"/stop", p.stopByAddress)
		p.mux.HandleFunc("POST "+lang+"/stop", p.suppress)
		for path, kind := range map[string]string{"/c/{company}": store.KindRejection, "/c/{company}/leaver": store.KindLeaver} {
			p.mux.HandleFunc("GET "+lang+path, p.withCompany(kind, p.askAddress))
			p.mux.HandleFunc("POST "+lang+path, p.withCompany(kind, p.mailLink))
		}
		link := lang + "/r/{token}"
		p.mux.HandleFunc("GET "+link, p.withReferral(p.landing))
		if p.o.AgencyForm != nil {
			p.mux.HandleFunc("POST "+link+"/form", p.withReferral(p.toForm))
		} else {
			p.mux.HandleFunc("POST "+link, p.withReferral(p.review))
			p.mux.HandleFunc("POST "+link+"/apply", p.withReferral(p.apply))
			p.mux.HandleFunc("POST "+link+"/edit", p.withReferral(p.edit))
			p.mux.HandleFunc("GET "+link+"/m/{code}", p.withReferral(p.confirmed))
		}
		p.mux.HandleFunc("GET "+link+"/done", p.withReferral(p.done))
		p.mux.HandleFunc("POST "+link+"/withdraw", p.withReferral(p.withdraw))
		p.mux.HandleFunc("GET "+link+"/stop", p.withStop(p.stop))
		p.mux.HandleFunc("POST "+link+"/stop", p.withStop(p.optOut))
		p.mux.HandleFunc("POST "+link+"/stop/undo", p.withStop(p.optBack))
		if p.o.Open != nil {
			p.mux.HandleFunc("GET "+link+"/data", p.withReferral(p.dataDoor))
			p.mux.HandleFunc("POST "+link+"/data", p.withReferral(p.data))
			p.mux.HandleFunc("POST "+link+"/data/save", p.withReferral(p.proven(p.saveData)))
			p.mux.HandleFunc("POST "+link+"/data/json", p.withReferral(p.proven(p.exportJSON)))
			p.mux.HandleFunc("POST "+link+"/data/text", p.withReferral(p.proven(p.exportText)))
			p.mux.HandleFunc("POST "+link+"/data/erase", p.withReferral(p.proven(p.erase)))
		}
	}
	p.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { p.failPage(w, r, http.StatusNotFound, "unknown") })
}

// robots keeps search engines from links that people publish by accident.
func robots(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, "User-agent: *\nDisallow: /\n")
}

// maxForm bounds the body of a form.
const maxForm = 64 << 10

// ServeHTTP sets what every answer carries, and keeps other sites out.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", p.policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Robots-Tag", "noindex, nofollow, noarchive")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	if p.overTLS(r) {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	var origin http.CrossOriginProtection
	if err := origin.Check(r); err != nil {
		p.failPage(w, r, http.StatusForbidden, "foreign")
		return
	}
	p.views.sweep()
	p.mux.ServeHTTP(w, r)
}

// Close counts the views that nobody has confirmed yet.
func (p *Pages) Close() { p.views.flush() }

// overTLS tells whether the candidate's browser came by TLS: the company's public
// address says so, since a web server may stand in front of us.
func (p *Pages) overTLS(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	c := p.companyOf(r)
	return c != nil && c.PublicURL.Scheme == "https"
}

// companyOf is the only company of the host, or nil.
func (p *Pages) companyOf(r *http.Request) *Company {
	var found *Company
	for i := range p.o.Companies {
		if strings.EqualFold(p.o.Companies[i].PublicURL.Host, r.Host) {
			if found != nil {
				return nil // several companies share the host
			}
			found = &p.o.Companies[i]
		}
	}
	return found
}

// visit is one request about one referral.
type visit struct {
	token    store.Token
	referral store.Referral
	company  Company
	lang     string
	prefix   string // path of the referral in the visitor's language
	static   string // path of the company's link, where that was used
}

// withReferral finds the referral of the path. Unknown, void and foreign tokens
// all get the same answer.
func (p *Pages) withReferral(next func(http.ResponseWriter, *http.Request, *visit)) http.HandlerFunc {
	return p.find(next, false)
}

// withStop is withReferral for the way to stop, which works for as long as the
// link is known at all.
func (p *Pages) withStop(next func(http.ResponseWriter, *http.Request, *visit)) http.HandlerFunc {
	return p.find(next, true)
}

func (p *Pages) find(next func(http.ResponseWriter, *http.Request, *visit), evenExpired bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, err := store.ParseToken(r.PathValue("token"))
		if err != nil {
			p.failPage(w, r, http.StatusNotFound, "unknown")
			return
		}
		v := p.anonymous(r)
		v.token = token
		v.prefix = root(r) + "/r/" + string(token)
		v.referral, err = p.o.Referrals.Lookup(r.Context(), token)
		switch {
		case errors.Is(err, store.ErrExpired) && evenExpired:
			next(w, r, v)
			return
		case errors.Is(err, store.ErrExpired):
			p.failPage(w, r, http.StatusGone, "expired")
			return
		case errors.Is(err, store.ErrNotFound) && evenExpired && r.Method != http.MethodPost && p.companyHere(r):
			p.forgotten(w, r, http.StatusNotFound, nil)
			return
		case errors.Is(err, store.ErrNotFound):
			p.failPage(w, r, http.StatusNotFound, "unknown")
			return
		case err != nil:
			p.trouble(w, r, "look up referral", err)
			return
		case v.referral.State == store.Erased:
			p.failPage(w, r, http.StatusGone, "erased")
			return
		}
		v.lang = language(r, v.referral.Language)
		if !p.owner(v, r) {
			p.failPage(w, r, http.StatusNotFound, "unknown")
			return
		}
		next(w, r, v)
	}
}

// root is the language's part of the path: "", "/ja" or "/en".
func root(r *http.Request) string {
	for _, lang := range []string{"/ja", "/en"} {
		if strings.HasPrefix(r.URL.Path, lang+"/") {
			return lang
		}
	}
	return ""
}

// owner finds the referral's company. A host that belongs to other companies
// does not show it.
func (p *Pages) owner(v *visit, r *http.Request) bool {
	found, foreign := false, false
	for _, c := range p.o.Companies {
		if c.ID == v.referral.Company {
			v.company, found = c, true
		}
		if strings.EqualFold(c.PublicURL.Host, r.Host) && !strings.EqualFold(c.PublicURL.Host, p.hostOf(v.referral.Company)) {
			foreign = true
		}
	}
	return found && !foreign
}

func (p *Pages) hostOf(id string) string {
	for _, c := range p.o.Companies {
		if c.ID == id {
			return c.PublicURL.Host
		}
	}
	return ""
}

// language is that of the path, else the given one, else the browser's.
func language(r *http.Request, fallback string) string {
	if lang := root(r); lang != "" {
		return lang[1:]
	}
	if fallback == "ja" || fallback == "en" {
		return fallback
	}
	return preferred(r.Header.Get("Accept-Language"))
}

// languages matches what browsers ask for; the first one is for all others.
var languages = xlanguage.NewMatcher([]xlanguage.Tag{xlanguage.Japanese, xlanguage.English})

// preferred is the better of our languages for an Accept-Language field.
func preferred(accept string) string {
	if len(accept) > 1000 {
		return "ja"
	}
	if _, at := xlanguage.MatchStrings(languages, accept); at == 1 {
		return "en"
	}
	return "ja"
}

// trouble is for our own failures: the page says that trying again helps.
func (p *Pages) trouble(w http.ResponseWriter, r *http.Request, what string, err error) {
	p.o.Logger.Error("page failed", slog.String("step", what), slog.Any("err", err))
	w.Header().Set("Retry-After", "60")
	p.failPage(w, r, http.StatusServiceUnavailable, "trouble")
}
