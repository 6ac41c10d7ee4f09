package dashboard

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/careerrelay/careerrelay/store"
)

// Logins: a person who mistypes needs three or four, a guesser many. All names
// together are bounded too, for a comparison is dear by design.
const (
	loginsPerName = 6
	nameRefill    = 3 * time.Minute
	loginsOfAll   = 60
	allRefill     = 2 * time.Second
)

// logins compares passwords, few at a time.
type logins struct {
	users   map[string]User
	matches func(hash, password string) bool
	now     func() time.Time
	turn    chan struct{} // one comparison at a time: each takes 64 MiB
	secret  [32]byte      // of the login form

	mu    sync.Mutex // guards names
	names map[string]*rate.Limiter
	all   *rate.Limiter
}

func newLogins(o Options) *logins {
	l := &logins{users: map[string]User{}, matches: o.Matches, now: o.Now, turn: make(chan struct{}, 1),
		names: map[string]*rate.Limiter{}, all: rate.NewLimiter(rate.Every(allRefill), loginsOfAll)}
	for _, u := range o.Users {
		l.users[u.Name] = u
	}
	rand.Read(l.secret[:]) // never fails (crypto/rand)
	return l
}

// nobody is compared for a name that does not exist, so that the time does not
// tell; it costs what a usual hash costs. Its password was random and is forgotten.
const nobody = "$argon2id$v=19$m=65536,t=3,p=4$7Nnx0nmfDnVqpP7xTRCW+A$2d/0SSFyUZHXlq1yJ2zAdlBRSdVzbwLHnDpXMgOfGVo"

// allowed bounds the tries of a name. Unknown names share one bound: each with its
// own would be a way to fill the memory.
func (l *logins) allowed(name string) bool {
	if _, known := l.users[name]; !known {
		name = ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.names[name]
	if one == nil {
		one = rate.NewLimiter(rate.Every(nameRefill), loginsPerName)
		l.names[name] = one
	}
	now := l.now()
	return one.AllowN(now, 1) && l.all.AllowN(now, 1)
}

// find returns the user of a name and password.
func (l *logins) find(ctx context.Context, name, password string) (User, bool) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return User{}, false
	}
	u, known := l.users[name]
	hash := nobody
	if known {
		hash = u.Hash
	}
	return u, l.matches(hash, password) && known
}

// formToken ties the login form to the browser it was shown in: another site must
// not be able to log a visitor in under its own name.
func (l *logins) formToken(cookie string) string {
	mac := hmac.New(sha256.New, l.secret[:])
	mac.Write([]byte(cookie))
	return hex.EncodeToString(mac.Sum(nil))
}

// loginForm is what the login page shows.
type loginForm struct {
	Token     string
	Passwords bool
	OIDC      string // name of the issuer, ""
}

func (d *Dashboard) loginPage(w http.ResponseWriter, r *http.Request) {
	d.showLogin(w, r, http.StatusOK, "")
}

func (d *Dashboard) showLogin(w http.ResponseWriter, r *http.Request, status int, wrong string) {
	cookie := d.cookie(r, "visit")
	if cookie == "" {
		cookie = random()
		d.setCookie(w, "visit", cookie, http.SameSiteStrictMode)
	}
	f := loginForm{Token: d.logins.formToken(cookie), Passwords: len(d.o.Users) > 0}
	if d.oidc != nil {
		f.OIDC = d.oidc.o.Name
	}
	d.render(w, r, status, "login", page{Lang: d.lang(r), Name: "login", Wrong: wrong, Data: f})
}

// fromOurForm reports whether a login comes from our page in this browser.
func (d *Dashboard) fromOurForm(r *http.Request) bool {
	cookie := d.cookie(r, "visit")
	return cookie != "" && hmac.Equal([]byte(d.logins.formToken(cookie)), []byte(r.PostFormValue("token")))
}

func (d *Dashboard) logIn(w http.ResponseWriter, r *http.Request) {
	if !d.fromOurForm(r) {
		d.showLogin(w, r, http.StatusForbidden, "stale")
		return
	}
	name := r.PostFormValue("name")
	if !d.logins.allowed(name) {
		w.Header().Set("Retry-After", "180")
		d.showLogin(w, r, http.StatusTooManyRequests, "toomany")
		return
	}
	u, good := d.logins.find(r.Context(), name, r.PostFormValue("password"))
	if !good {
		if _, known := d.logins.users[name]; !known {
			name = "unknown" // people type their password there
		}
		d.noteLogin(r.Context(), name, "", "login failed")
		d.showLogin(w, r, http.StatusUnprocessableEntity, "badlogin")
		return
	}
	d.admit(w, r, u)
}

// admit begins a session, if the journal knows of it.
func (d *Dashboard) admit(w http.ResponseWriter, r *http.Request, u User) {
	if old := d.cookie(r, "session"); old != "" {
		d.sessions.end(old)
	}
	d.noteLogin(r.Context(), u.Name, u.Role, "login")
	d.setCookie(w, "session", d.sessions.begin(u.Name, u.Role, u.Companies), http.SameSiteLaxMode)
	http.Redirect(w, r, d.root+"/", http.StatusSeeOther)
}

// noteLogin writes a login into the journal. One that cannot be written does not
// stop it: the pages of health must be there when the store is not.
func (d *Dashboard) noteLogin(ctx context.Context, user string, role Role, action string) {
	_, err := d.o.Store.Note(ctx, store.Note{Kind: store.NoteAccess, Actor: user, Role: string(role), Action: action})
	if err != nil {
		d.o.Logger.Error("login is not in the journal", slog.String("user", user), slog.Any("err", err))
	}
}

func (d *Dashboard) logOut(w http.ResponseWriter, r *http.Request) {
	if s := d.session(r); s != nil {
		if !s.ours(r.PostFormValue("csrf")) {
			d.fail(w, r, http.StatusForbidden, "stale")
			return
		}
		d.sessions.end(d.cookie(r, "session"))
		d.noteLogin(r.Context(), s.user, s.role, "logout")
	}
	d.setCookie(w, "session", "", http.SameSiteLaxMode)
	http.Redirect(w, r, d.root+"/login", http.StatusSeeOther)
}
