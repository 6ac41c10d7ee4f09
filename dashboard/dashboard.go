// Package dashboard serves the pages of those who run the relay: human resources,
// IT, the agency, the auditor.
//
// It shows counts, never a candidate: there is no name, address or profile in what
// it is given, and it asks the store for none. What the agency reports is shown in
// steps of five, so that neither a small number nor the difference of two numbers
// speaks of somebody; see Steps.
//
// Whoever looks is known: by a password or through OpenID Connect, with one role
// and, if wanted, some companies alone. Each look and each change is a line in the
// store's journal, written before the page is; without it there is no page, but for
// the page of health. The pages work without JavaScript and ask no other host.
package dashboard

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

//go:embed pages/*.html texts/*.json admin.css
var files embed.FS

// Store is what the dashboard needs of the store.
type Store interface {
	Report(ctx context.Context, company string) ([]store.Counts, error)
	Months(ctx context.Context, company string) ([]store.Month, error)
	Credits(ctx context.Context, company string) (store.Credits, error)
	Redeem(ctx context.Context, company, note string) (store.Introduction, error)
	Introductions(ctx context.Context, company string) ([]store.Introduction, error)
	Advance(ctx context.Context, company string, number int64, step store.EntryKind, note string) (store.Introduction, error)
	Entries(ctx context.Context, company string, after int64, limit int) ([]store.Entry, error)
	Records(ctx context.Context, company string, after int64, limit int) ([]store.Record, error)
	Deliveries(ctx context.Context) ([]store.Delivery, error)
	Audit(ctx context.Context) (store.AuditReport, error)
	store.Journal
}

// Role is what somebody may see.
type Role string

// The roles.
const (
	HR      Role = "hr"      // counts and credits of the company
	IT      Role = "it"      // health, errors, rules
	Agency  Role = "agency"  // credits to honour, what waits for the agency
	Auditor Role = "auditor" // chains, consent texts, journal
)

// Company is one company as the dashboard names it.
type Company struct{ ID, Name string }

// User may log in with a password.
type User struct {
	Name      string
	Role      Role
	Companies []string // ids; none for all
	Hash      string   // of the password; see Options.Matches
}

// ConsentText is a text that candidates agreed to at some time.
type ConsentText struct{ ID, SHA256, Body string }

// Health is what the page of IT shows.
type Health struct {
	Version string
	Since   time.Time // of the start
	Ready   string    // why mail would not be taken or edited; "" when it would
	Reload  string    // why the configuration on disk is not in use; "" when it is
	Rules   []CompanyRules
	Errors  []LogLine // the last warnings and errors, newest first
}

// CompanyRules are the rules of a company.
type CompanyRules struct {
	Company  string
	Mode     string
	Rules    []string // ids
	Released []string // those that may insert; none for all
}

// LogLine is one line of the log. The log holds no personal data.
type LogLine struct {
	At    time.Time
	Level string
	Text  string
}

// Alarm is something that happened and should not have.
type Alarm struct {
	Kind   string // burst, fail_open, refused, config
	Detail string // such as the step that failed
	Hour   int64  // times in the last hour
	Day    int64  // times in the last 24 hours
}

// Options configure the dashboard. Fields without a default are required.
type Options struct {
	Store     Store
	PublicURL *url.URL // how browsers reach it, path included
	Companies func() []Company
	Users     []User
	// Matches compares a password with a hash; at least one of Users and OIDC.
	Matches func(hash, password string) bool
	OIDC    *OIDC
	// Base is the style sheet that the candidates' pages have.
	Base     []byte
	Texts    func() []ConsentText
	Health   func(ctx context.Context) Health
	Alarms   func() []Alarm
	Idle     time.Duration    // a session ends when unused for so long; 30 min
	Absolute time.Duration    // and after this time in any case; 12 h
	Now      func() time.Time // time.Now
	Logger   *slog.Logger     // discards
}

// Dashboard is the handler of all its pages. Safe for concurrent use.
type Dashboard struct {
	o         Options
	mux       *http.ServeMux
	root      string // path of the dashboard, without a final slash
	secure    bool   // browsers come by TLS
	pages     *pages
	style     []byte
	stylePath string
	sessions  *sessions
	logins    *logins
	oidc      *issuer // nil without
	audits    chan struct{}
	checked   lastAudit
	redeeming sync.Mutex // held from the look to the use of a credit
}

// New checks the options and returns the handler. It asks nobody: an issuer of
// OpenID Connect is looked up at the first login.
func New(o Options) (*Dashboard, error) {
	switch {
	case o.Store == nil || o.PublicURL == nil || o.Companies == nil || o.Texts == nil || o.Health == nil || o.Alarms == nil:
		return nil, errors.New("dashboard: an option is missing")
	case len(o.Users) == 0 && o.OIDC == nil:
		return nil, errors.New("dashboard: nobody can log in")
	case len(o.Users) > 0 && o.Matches == nil:
		return nil, errors.New("dashboard: passwords cannot be compared")
	}
	if o.Idle <= 0 {
		o.Idle = 30 * time.Minute
	}
	if o.Absolute <= 0 {
		o.Absolute = 12 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	d := &Dashboard{o: o, root: strings.TrimRight(o.PublicURL.Path, "/"), secure: o.PublicURL.Scheme == "https",
		sessions: newSessions(o.Now, o.Idle, o.Absolute), logins: newLogins(o), audits: make(chan struct{}, 1)}
	own, err := files.ReadFile("admin.css")
	if err != nil {
		return nil, err
	}
	d.style = slices.Concat(o.Base, own)
	sum := sha256.Sum256(d.style)
	d.stylePath = "/style-" + hex.EncodeToString(sum[:6]) + ".css"
	if d.pages, err = loadPages(); err != nil {
		return nil, fmt.Errorf("dashboard: %w", err)
	}
	if o.OIDC != nil {
		d.oidc = newIssuer(*o.OIDC, o.PublicURL.JoinPath("login/callback").String(), o.Now)
	}
	d.routes()
	return d, nil
}

// place is one page: who may see it, and how it is made.
type place struct {
	name   string
	roles  []Role
	show   func(d *Dashboard, v *visit) (any, error)
	post   func(d *Dashboard, v *visit) error // nil: nothing can be changed there
	always bool                               // shown also when the journal cannot take the line
}

// places in the order of the navigation.
func places() []place {
	return []place{
		{name: "funnel", roles: []Role{HR}, show: (*Dashboard).funnel},
		{name: "credits", roles: []Role{HR, Agency, Auditor}, show: (*Dashboard).credits, post: (*Dashboard).useCredit},
		{name: "esg", roles: []Role{HR}, show: (*Dashboard).esg},
		{name: "health", roles: []Role{IT}, show: (*Dashboard).health, always: true},
		{name: "observe", roles: []Role{HR, IT}, show: (*Dashboard).observe},
		{name: "alarms", roles: []Role{HR, IT}, show: (*Dashboard).alarms, always: true},
		{name: "rules", roles: []Role{IT}, show: (*Dashboard).rules},
		{name: "deliveries", roles: []Role{Agency}, show: (*Dashboard).deliveries},
		{name: "chains", roles: []Role{Auditor}, show: (*Dashboard).chains, post: (*Dashboard).auditNow},
		{name: "ledger", roles: []Role{Auditor}, show: (*Dashboard).ledger},
		{name: "consents", roles: []Role{Auditor}, show: (*Dashboard).consents},
		{name: "journal", roles: []Role{Auditor}, show: (*Dashboard).journal},
	}
}

func (d *Dashboard) routes() {
	d.mux = http.NewServeMux()
	d.mux.HandleFunc("GET "+d.root+d.stylePath, d.serveStyle)
	d.mux.HandleFunc("GET "+d.root+"/{$}", d.home)
	d.mux.HandleFunc("GET "+d.root+"/language/{lang}", d.language)
	d.mux.HandleFunc("GET "+d.root+"/login", d.loginPage)
	d.mux.HandleFunc("POST "+d.root+"/login", d.logIn)
	d.mux.HandleFunc("POST "+d.root+"/logout", d.logOut)
	if d.oidc != nil {
		d.mux.HandleFunc("GET "+d.root+"/login/oidc", d.beginOIDC)
		d.mux.HandleFunc("GET "+d.root+"/login/callback", d.endOIDC)
	}
	for _, p := range places() {
		d.mux.HandleFunc("GET "+d.root+"/"+p.name, d.visited(p, d.showPlace))
		if p.post != nil {
			d.mux.HandleFunc("POST "+d.root+"/"+p.name, d.visited(p, d.changePlace))
		}
	}
	d.mux.HandleFunc("GET "+d.root+"/esg.csv", d.visited(place{name: "esg.csv", roles: []Role{HR}}, d.esgCSV))
	d.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { d.fail(w, r, http.StatusNotFound, "unknown") })
}

// maxForm bounds the body of a form.
const maxForm = 16 << 10

// ServeHTTP sets what every answer carries, and keeps other sites out.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Robots-Tag", "noindex, nofollow, noarchive")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	if d.secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	var origin http.CrossOriginProtection
	if err := origin.Check(r); err != nil {
		d.fail(w, r, http.StatusForbidden, "foreign")
		return
	}
	d.mux.ServeHTTP(w, r)
}

func (d *Dashboard) serveStyle(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Write(d.style) // the visitor may be gone
}

// visit is one request of somebody who is logged in.
type visit struct {
	w       http.ResponseWriter
	r       *http.Request
	session *session
	lang    string
	company Company   // the chosen one; zero if there is none
	scope   []Company // all that the user may see
	done    string    // key of what was just done, ""
	wrong   string    // key of what went wrong, ""
}

// visited lets those in whose role may see the place, after the journal knows.
func (d *Dashboard) visited(p place, next func(*visit, place)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s := d.session(r)
		if s == nil {
			http.Redirect(w, r, d.root+"/login", http.StatusSeeOther)
			return
		}
		v := &visit{w: w, r: r, session: s, lang: d.lang(r), scope: d.scope(s)}
		if !slices.Contains(p.roles, s.role) || !v.choose() {
			d.refused(v, p)
			return
		}
		if r.Method == http.MethodPost && !s.ours(r.PostFormValue("csrf")) {
			d.fail(w, r, http.StatusForbidden, "stale")
			return
		}
		if err := d.note(v, p.name); err != nil {
			d.o.Logger.Error("access is not in the journal", slog.String("page", p.name), slog.Any("err", err))
			if !p.always {
				d.fail(w, r, http.StatusServiceUnavailable, "trouble")
				return
			}
		}
		next(v, p)
	}
}

// refused notes an attempt to see what is not for this role or company.
func (d *Dashboard) refused(v *visit, p place) {
	v.company = Company{}
	if err := d.note(v, "refused: "+p.name); err != nil {
		d.o.Logger.Error("access is not in the journal", slog.String("page", p.name), slog.Any("err", err))
	}
	d.fail(v.w, v.r, http.StatusForbidden, "forbidden")
}

func (d *Dashboard) note(v *visit, action string) error {
	if v.r.Method == http.MethodPost {
		action = "change: " + action
	}
	_, err := d.o.Store.Note(v.r.Context(), store.Note{Kind: store.NoteAccess, Actor: v.session.user, Role: string(v.session.role),
		Action: action, Company: v.company.ID})
	return err
}

// scope is the companies that the user may see.
func (d *Dashboard) scope(s *session) []Company {
	var all []Company
	for _, c := range d.o.Companies() {
		if len(s.companies) == 0 || slices.Contains(s.companies, c.ID) {
			all = append(all, c)
		}
	}
	return all
}

// choose finds the company that is asked for, the first one without a wish.
func (v *visit) choose() bool {
	id := v.r.FormValue("company")
	for _, c := range v.scope {
		if id == "" || id == c.ID {
			v.company = c
			return true
		}
	}
	return id == ""
}

func (d *Dashboard) showPlace(v *visit, p place) {
	data, err := p.show(d, v)
	if err != nil {
		d.trouble(v, p.name, err)
		return
	}
	status := http.StatusOK
	if v.wrong != "" {
		status = http.StatusUnprocessableEntity
	}
	d.render(v.w, v.r, status, p.name, d.page(v, p.name, data))
}

// changePlace does what the form asks, then shows the place again: after a
// success by a redirect, so that reloading the page does not do it twice.
func (d *Dashboard) changePlace(v *visit, p place) {
	err := p.post(d, v)
	var wrong wrongForm
	switch {
	case errors.As(err, &wrong):
		v.wrong = string(wrong)
		d.showPlace(v, p)
	case err != nil:
		d.trouble(v, p.name, err)
	default:
		to := url.Values{"done": {v.done}}
		if v.company.ID != "" {
			to.Set("company", v.company.ID)
		}
		http.Redirect(v.w, v.r, d.root+"/"+p.name+"?"+to.Encode(), http.StatusSeeOther)
	}
}

// wrongForm is a mistake of the user: the key of its text.
type wrongForm string

func (w wrongForm) Error() string { return string(w) }

func (d *Dashboard) trouble(v *visit, name string, err error) {
	d.o.Logger.Error("dashboard failed", slog.String("page", name), slog.Any("err", err))
	v.w.Header().Set("Retry-After", "60")
	d.fail(v.w, v.r, http.StatusServiceUnavailable, "trouble")
}

// home leads to the first page of the role.
func (d *Dashboard) home(w http.ResponseWriter, r *http.Request) {
	s := d.session(r)
	to := "login"
	if s != nil {
		to = d.nav(s, "")[0].Name
	}
	http.Redirect(w, r, d.root+"/"+to, http.StatusSeeOther)
}

// random is a fresh secret: 26 characters, 130 bits.
func random() string { return rand.Text() }
