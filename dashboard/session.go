package dashboard

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"sync"
	"time"
)

// session is one user who logged in. It lives in memory: a restart ends them all.
type session struct {
	user      string
	role      Role
	companies []string // none for all
	csrf      string
	begun     time.Time

	used time.Time // guarded by sessions.mu
}

// ours reports whether a form is from a page of this session.
func (s *session) ours(token string) bool {
	return subtle.ConstantTimeCompare([]byte(token), []byte(s.csrf)) == 1
}

// maxSessions bounds the memory; beyond it the oldest ends.
const maxSessions = 1000

// sessions knows its sessions by the hash of their cookie, so that neither a look
// into the memory nor the time of a look-up tells a cookie.
type sessions struct {
	now            func() time.Time
	idle, absolute time.Duration

	mu sync.Mutex // guards by, and each session's used
	by map[[sha256.Size]byte]*session
}

func newSessions(now func() time.Time, idle, absolute time.Duration) *sessions {
	return &sessions{now: now, idle: idle, absolute: absolute, by: map[[sha256.Size]byte]*session{}}
}

// begin makes a session and returns the value of its cookie.
func (s *sessions) begin(user string, role Role, companies []string) (cookie string) {
	cookie = random()
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.makeRoom(now)
	s.by[sha256.Sum256([]byte(cookie))] = &session{user: user, role: role, companies: companies, csrf: random(), begun: now, used: now}
	return cookie
}

// makeRoom drops what has ended, and the oldest when there are too many.
func (s *sessions) makeRoom(now time.Time) {
	var oldest [sha256.Size]byte
	at := now
	for key, one := range s.by {
		if s.over(one, now) {
			delete(s.by, key)
		} else if one.begun.Before(at) {
			oldest, at = key, one.begun
		}
	}
	if len(s.by) >= maxSessions {
		delete(s.by, oldest)
	}
}

func (s *sessions) over(one *session, now time.Time) bool {
	return now.Sub(one.used) >= s.idle || now.Sub(one.begun) >= s.absolute
}

// find returns the session of a cookie, nil when there is none, and keeps it from
// going idle.
func (s *sessions) find(cookie string) *session {
	key, now := sha256.Sum256([]byte(cookie)), s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.by[key]
	if one == nil {
		return nil
	}
	if s.over(one, now) {
		delete(s.by, key)
		return nil
	}
	one.used = now
	return one
}

func (s *sessions) end(cookie string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.by, sha256.Sum256([]byte(cookie)))
}

// cookieName of a kind. Under TLS the prefix keeps other hosts of the domain from
// setting it.
func (d *Dashboard) cookieName(kind string) string {
	if d.secure {
		return "__Host-" + kind
	}
	return kind
}

// setCookie sends a cookie for the length of the browser's session; an empty value
// deletes it.
func (d *Dashboard) setCookie(w http.ResponseWriter, kind, value string, site http.SameSite) {
	c := &http.Cookie{Name: d.cookieName(kind), Value: value, Path: "/", HttpOnly: true, Secure: d.secure, SameSite: site}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

func (d *Dashboard) cookie(r *http.Request, kind string) string {
	c, err := r.Cookie(d.cookieName(kind))
	if err != nil {
		return ""
	}
	return c.Value
}

// session is the visitor's, nil for who is not logged in.
func (d *Dashboard) session(r *http.Request) *session {
	if cookie := d.cookie(r, "session"); cookie != "" {
		return d.sessions.find(cookie)
	}
	return nil
}
