package main

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// behindLogin is a relay whose upstream wants TLS, verified both ways, and the
// login of the given lines of configuration.
func behindLogin(t *testing.T, o smtptest.Options, login string) (*relay, *smtptest.Upstream) {
	t.Helper()
	ca := smtptest.NewAuthority(t)
	o.TLS = ca.Server(t, "127.0.0.1")
	o.TLS.ClientAuth, o.TLS.ClientCAs = tls.RequireAndVerifyClientCert, ca.Pool()
	upstream := smtptest.NewUpstream(t, o)
	r := newRelay(t)
	smtptest.WriteFiles(t, r.dir, ca.Issue(t, "relay.example"))
	writeFiles(t, r.dir, map[string]string{"ca.pem": string(ca.PEM()), "word": "s3cret-word\n"})
	text := strings.Replace(r.text(), "smtp+insecure://127.0.0.1:2526", "smtp://"+upstream.Addr(), 1)
	r.write(t, strings.Replace(text, "    mode: insert", "    upstream_tls: {ca: ca.pem, cert: cert.pem, key: key.pem}\n"+login+"\n    mode: insert", 1))
	return r, upstream
}

// hand hands the relay a mail that it passes on unedited, and expects the answer.
func hand(t *testing.T, address, want string) {
	t.Helper()
	c := smtptest.Dial(t, address)
	defer c.Close()
	c.Talk("S: 220 *", "C: EHLO ats.example", "S: 250-*", "C: MAIL FROM:<hr@sample.example.jp>", want)
	if !strings.HasPrefix(want, "S: 2") {
		return
	}
	c.Talk("C: RCPT TO:<one@mail.example.com>", "S: 250 *", "C: DATA", "S: 354 *", "C: Subject: hello", "C: ", "C: Good morning.", "C: .", "S: 250 *")
}

// TestServeLogsIn: the relay logs in at the upstream in every way that the
// configuration knows.
func TestServeLogsIn(t *testing.T) {
	for _, tt := range []struct{ name, login, offered, want string }{
		{"PLAIN", "    upstream_auth: {user: relay, password: word}", "PLAIN LOGIN", "PLAIN relay s3cret-word"},
		{"LOGIN for want of PLAIN", "    upstream_auth: {user: relay, password: word}", "XOAUTH2 LOGIN", "LOGIN relay s3cret-word"},
		{"LOGIN by word", "    upstream_auth: {mechanism: login, user: relay, password: word}", "PLAIN LOGIN", "LOGIN relay s3cret-word"},
		{"EXTERNAL", "    upstream_auth: {mechanism: external}", "EXTERNAL PLAIN", "EXTERNAL  "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var used atomic.Value
			r, upstream := behindLogin(t, smtptest.Options{Auth: tt.offered, Login: func(mechanism, user, secret string) bool {
				used.Store(mechanism + " " + user + " " + secret)
				return true
			}}, tt.login)
			s := r.serve(t)
			hand(t, s.smtp, "S: 250 *")
			if got := used.Load(); got != tt.want {
				t.Errorf("login was %q, want %q", got, tt.want)
			}
			if got := upstream.Messages()[0]; got.Peer != "relay.example" || !got.TLS {
				t.Errorf("upstream saw certificate %q, TLS %v", got.Peer, got.TLS)
			}
		})
	}
}

// TestServeXOAuth2: the relay gets a token, keeps it for further connections, gets
// another when that one is refused, and writes none of it down.
func TestServeXOAuth2(t *testing.T) {
	var asked atomic.Int32
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("client_secret") != "s3cret-word" || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "mail.send" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": fmt.Sprintf("t0ken-%d", asked.Add(1)), "expires_in": 3600, "token_type": "Bearer"})
	}))
	defer tokens.Close()
	var good atomic.Value
	good.Store("t0ken-1")
	r, upstream := behindLogin(t, smtptest.Options{Auth: "LOGIN XOAUTH2", Login: func(_, user, secret string) bool {
		return user == "saiyo@sample.example.jp" && secret == good.Load()
	}}, fmt.Sprintf("    upstream_auth: {mechanism: xoauth2, user: saiyo@sample.example.jp, token: {url: %q, client_id: id, client_secret: word, scope: mail.send}}", tokens.URL))
	r.write(t, strings.Replace(string(mustRead(t, r.file)), "\nstore:", "\nlog: {level: debug}\nstore:", 1))
	s := r.serve(t)
	steps := []struct {
		name, good, want string
		asked            int32
	}{
		{"first connection", "t0ken-1", "S: 250 *", 1},
		{"another connection", "t0ken-1", "S: 250 *", 1},
		{"revoked before its time", "t0ken-2", "S: 250 *", 2},
		{"refused for good", "none", "S: 451 4.7.0 *", 3},
	}
	for _, step := range steps {
		good.Store(step.good)
		upstream.Drop() // the pool must log in again
		hand(t, s.smtp, step.want)
		if got := asked.Load(); got != step.asked {
			t.Errorf("%s: %d tokens were fetched, want %d", step.name, got, step.asked)
		}
	}
	s.end(t)
	for line := range s.log {
		if strings.Contains(line, "t0ken") || strings.Contains(line, "s3cret") {
			t.Errorf("the log shows a secret: %s", line)
		}
	}
}

// TestServeUpstreamCertificate: a renewed certificate is shown from the next
// connection on; while the files are being replaced the last one serves.
func TestServeUpstreamCertificate(t *testing.T) {
	r, upstream := behindLogin(t, smtptest.Options{}, "")
	s := r.serve(t)
	hand(t, s.smtp, "S: 250 *")
	if err := os.WriteFile(filepath.Join(r.dir, "cert.pem"), []byte("half a certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	upstream.Drop()
	hand(t, s.smtp, "S: 250 *")
	if got := upstream.Messages(); len(got) != 2 || got[1].Peer != "relay.example" {
		t.Errorf("upstream got %+v", got)
	}
}

// TestServePassesLogins: with mechanism pass the upstream decides who may send.
func TestServePassesLogins(t *testing.T) {
	r, upstream := behindLogin(t, smtptest.Options{Auth: "PLAIN", Login: func(_, user, secret string) bool {
		return user == "ats" && secret == "s3cret-word"
	}}, "    upstream_auth: {mechanism: pass}")
	r.write(t, strings.Replace(string(mustRead(t, r.file)), "      networks: [127.0.0.0/8]", "      users: [{name: ats, domains: [sample.example.jp]}]", 1))
	s := r.serve(t)
	login := func(password string) string {
		return "C: AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00ats\x00"+password))
	}
	c := smtptest.Dial(t, s.smtp)
	c.Talk("S: 220 *", "C: EHLO ats.example", "S: 250-*", "C: MAIL FROM:<hr@sample.example.jp>", "S: 530 *",
		login("wrong"), "S: 535 5.7.8 Authentication credentials invalid", login("s3cret-word"), "S: 235 *",
		"C: MAIL FROM:<hr@elsewhere.example>", "S: 550 *", "C: MAIL FROM:<hr@sample.example.jp>", "S: 250 *",
		"C: RCPT TO:<one@mail.example.com>", "S: 250 *", "C: DATA", "S: 354 *", "C: Subject: hello", "C: ", "C: Good morning.", "C: .", "S: 250 *")
	c.Close()
	if got := upstream.Messages(); len(got) != 1 || !strings.Contains(got[0].Body, "with ESMTPA id") {
		t.Errorf("upstream got %+v", got)
	}
	s.end(t)
	for line := range s.log {
		if strings.Contains(line, "s3cret") {
			t.Errorf("the log shows a secret: %s", line)
		}
	}
}
