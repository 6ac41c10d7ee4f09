package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// world is a site whose every part the doctor likes, until a test spoils one.
type world struct {
	*relay
	smtps     string
	authority *smtptest.Authority
	mail      *smtptest.Upstream
	pages     *httptest.Server
	config    string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{relay: newRelay(t), smtps: smtptest.FreeAddr(t), authority: smtptest.NewAuthority(t)}
	w.mail = smtptest.NewUpstream(t, smtptest.Options{TLS: w.authority.Server(t, "localhost")})
	w.pages = w.serve(t, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Write([]byte("<p>Is this mail ours? Licence 13-ユ-000000</p>"))
	})
	cert, key := smtptest.WriteFiles(t, w.dir, w.authority.Issue(t, "relay.sample.example.jp"))
	w.config = strings.NewReplacer(
		"listen:\n", "listen:\n  smtps: [\""+w.smtps+"\"]\n",
		"smtp+insecure://127.0.0.1:2526", "smtp://localhost:"+port(t, w.mail.Addr()),
		"public_url: http://"+w.web, "public_url: "+strings.Replace(w.pages.URL, "127.0.0.1", "localhost", 1),
		"# hostname: relay.example.co.jp", "hostname: relay.sample.example.jp\ntls: {cert: "+cert+", key: "+key+"}\n#",
	).Replace(w.text())
	return w
}

// serve runs a web server with TLS for the link host.
func (w *world) serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.TLS = w.authority.Server(t, "localhost")
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// doctor looks at the world as it now is.
func (w *world) doctor(t *testing.T, sendTo string) []observation {
	t.Helper()
	w.write(t, w.config)
	config, err := configs.Load(w.file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := config.Secret(); err != nil {
		t.Fatal(err)
	}
	d := newDoctor(config, config.Companies)
	d.roots = w.authority.Pool()
	d.lookup = func(_ context.Context, host string) ([]string, error) {
		if strings.HasSuffix(host, ".invalid") {
			return nil, errors.New("no such host")
		}
		return []string{"127.0.0.1"}, nil
	}
	d.lookupTXT = func(context.Context, string) ([]string, error) { return nil, errors.New("no such record") }
	d.examine(t.Context(), sendTo)
	return d.observed
}

// seen finds an observation by the beginning of its subject and a word.
func seen(t *testing.T, all []observation, subject, word string) observation {
	t.Helper()
	for _, o := range all {
		if strings.HasPrefix(o.Subject, subject) && strings.Contains(o.Detail+" "+o.Advice, word) {
			return o
		}
	}
	text, _ := json.MarshalIndent(all, "", " ")
	t.Fatalf("nothing about %q with %q in\n%s", subject, word, text)
	return observation{}
}

func TestDoctorLikesAGoodSite(t *testing.T) {
	w := newWorld(t)
	w.write(t, w.config)
	running := w.relay.serve(t)
	all := w.doctor(t, "it@sample.example.jp")
	running.stop()
	if o := seen(t, all, "listener "+w.smtps, "no STARTTLS"); o.Health != fine { // it speaks TLS already
		t.Errorf("%+v", o)
	}
	for _, o := range all {
		if o.Health == failed || o.Health == warning && !strings.Contains(o.Detail, "limits.message_size is 50000000") {
			t.Errorf("%+v", o)
		}
	}
	for subject, word := range map[string]string{
		"hostname": "127.0.0.1", "certificate of the relay": "names relay.sample.example.jp", "key file": "mode 0600",
		"running relay": "can commit", "listener": "STARTTLS", "upstream": "TLS verified", "links of sample": "page answers",
		"way through": "3 of 4", "test mail": "accepted",
	} {
		if o := seen(t, all, subject, word); o.Health != fine {
			t.Errorf("%+v", o)
		}
	}
	got := w.mail.Messages()
	if len(got) != 1 || !strings.Contains(got[0].Body, "\r\nX-Career-Relay: relayed") || strings.Contains(got[0].Body, "/r/") {
		t.Errorf("test mail = %+v", got)
	}
}

func TestDoctorFinds(t *testing.T) {
	for _, tc := range []struct {
		name    string
		spoil   func(t *testing.T, w *world)
		subject string
		health  health
		word    string // of detail or advice
	}{
		{"short hostname", func(_ *testing.T, w *world) { w.swap("hostname: relay.sample.example.jp", "hostname: localhost") }, "hostname", warning, "no full name"},
		{"hostname without DNS", func(_ *testing.T, w *world) {
			w.swap("hostname: relay.sample.example.jp", "hostname: relay.sample.invalid")
		}, "hostname", warning, "A or AAAA record"},
		{"certificate for another name", func(_ *testing.T, w *world) {
			w.swap("hostname: relay.sample.example.jp", "hostname: other.sample.example.jp")
		}, "certificate", warning, "other.sample.example.jp"},
		{"expired certificate", func(t *testing.T, w *world) {
			smtptest.WriteFiles(t, w.dir, w.authority.IssueExpired(t, "relay.sample.example.jp"))
		}, "certificate", failed, "renew it"},
		{"readable key", func(t *testing.T, w *world) {
			w.doctor(t, "")
			if err := os.Chmod(w.dir+"/data/secret", 0o644); err != nil {
				t.Fatal(err)
			}
		}, "key file", failed, "chmod 600"},
		{"relay not running", func(*testing.T, *world) {}, "running relay", warning, "careerrelay serve"},
		{"nobody listens", func(*testing.T, *world) {}, "listener", warning, "start the relay"},
		{"upstream gone", func(t *testing.T, w *world) {
			w.swap("smtp://localhost:"+port(t, w.mail.Addr()), "smtp://localhost:"+port(t, smtptest.FreeAddr(t)))
		}, "upstream", failed, "firewall"},
		{"upstream without STARTTLS", func(t *testing.T, w *world) {
			w.swap("smtp://localhost:"+port(t, w.mail.Addr()), "smtp://localhost:"+port(t, smtptest.NewUpstream(t, smtptest.Options{}).Addr()))
		}, "upstream", failed, "certificate"},
		{"upstream with a stranger's certificate", func(t *testing.T, w *world) {
			stranger := smtptest.NewUpstream(t, smtptest.Options{TLS: smtptest.NewAuthority(t).Server(t, "localhost")})
			w.swap("smtp://localhost:"+port(t, w.mail.Addr()), "smtp://localhost:"+port(t, stranger.Addr()))
		}, "upstream", failed, "authority"},
		{"login refused", func(t *testing.T, w *world) {
			up := smtptest.NewUpstream(t, smtptest.Options{TLS: w.authority.Server(t, "localhost"), Auth: "PLAIN", Login: func(_, _, _ string) bool { return false }})
			if err := os.WriteFile(w.dir+"/password", []byte("wrong\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			w.swap("[smtp://localhost:"+port(t, w.mail.Addr())+"]", "[smtp://localhost:"+port(t, up.Addr())+"]\n    upstream_auth: {user: sample, password: password}")
		}, "upstream", failed, "upstream_auth"},
		{"expired client certificate", func(t *testing.T, w *world) {
			dir := t.TempDir()
			cert, key := smtptest.WriteFiles(t, dir, w.authority.IssueExpired(t, "relay.sample.example.jp"))
			w.swap("[smtp://localhost:"+port(t, w.mail.Addr())+"]", "[smtp://localhost:"+port(t, w.mail.Addr())+"]\n    upstream_tls: {cert: "+cert+", key: "+key+"}")
		}, "client certificate", failed, "renew it"},
		{"unpublished DKIM key", func(t *testing.T, w *world) { w.config = withResign(t, w.dir, w.config) }, "DKIM key rsa1._domainkey", failed, "v=DKIM1"},
		{"small upstream", func(t *testing.T, w *world) {
			up := smtptest.NewUpstream(t, smtptest.Options{TLS: w.authority.Server(t, "localhost"), Extensions: []string{"SIZE 99000000"}})
			w.swap("smtp://localhost:"+port(t, w.mail.Addr()), "smtp://localhost:"+port(t, up.Addr()))
		}, "upstream", warning, "limits.message_size"},
		{"another page at the link host", func(t *testing.T, w *world) {
			other := w.serve(t, func(rw http.ResponseWriter, _ *http.Request) { rw.Write([]byte("welcome to our shop")) })
			w.swap(strings.Replace(w.pages.URL, "127.0.0.1", "localhost", 1), strings.Replace(other.URL, "127.0.0.1", "localhost", 1))
		}, "links of sample", failed, "Host header"},
		{"link host without DNS", func(_ *testing.T, w *world) {
			w.swap(strings.Replace(w.pages.URL, "127.0.0.1", "localhost", 1), "https://links.invalid")
		}, "links of sample", failed, "A or AAAA record"},
		{"wrong clock", func(t *testing.T, w *world) {
			late := w.serve(t, func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
				rw.Write([]byte("13-ユ-000000"))
			})
			w.swap(strings.Replace(w.pages.URL, "127.0.0.1", "localhost", 1), strings.Replace(late.URL, "127.0.0.1", "localhost", 1))
		}, "links of sample", warning, "NTP"},
		{"test mail refused", func(t *testing.T, w *world) {
			up := smtptest.NewUpstream(t, smtptest.Options{TLS: w.authority.Server(t, "localhost"), Faults: map[smtptest.Point]smtptest.Fault{
				smtptest.At(smtptest.Rcpt): smtptest.Say("550 5.7.1 no relaying"),
			}})
			w.swap("smtp://localhost:"+port(t, w.mail.Addr()), "smtp://localhost:"+port(t, up.Addr()))
		}, "test mail", failed, "no relaying"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			tc.spoil(t, w)
			if o := seen(t, w.doctor(t, "it@sample.example.jp"), tc.subject, tc.word); o.Health != tc.health {
				t.Errorf("%+v, want %s", o, tc.health)
			}
		})
	}
}

// swap changes what the configuration says.
func (w *world) swap(old, new string) { w.config = strings.ReplaceAll(w.config, old, new) }

// TestDoctorFindsItself: an upstream that is the relay's own listener.
func TestDoctorFindsItself(t *testing.T) {
	w := newWorld(t)
	w.write(t, w.config)
	running := w.relay.serve(t)
	w.swap("smtp://localhost:"+port(t, w.mail.Addr()), "smtp+insecure://"+w.smtp)
	all := w.doctor(t, "")
	running.stop()
	if o := seen(t, all, "upstream", "in circles"); o.Health != failed {
		t.Errorf("%+v", o)
	}
}

// TestDoctorCommand runs the built program: lines for people, objects for
// scripts, and 1 when something fails.
func TestDoctorCommand(t *testing.T) {
	r := newRelay(t)
	got := asBinary(t, "doctor", "--config", r.file)
	if got.code != 1 || !strings.Contains(got.stdout, "failed   upstream smtp+insecure://127.0.0.1:2526 of sample: ") || !strings.Contains(got.stdout, "\n         -> ") {
		t.Errorf("doctor = %+v", got)
	}
	got = asBinary(t, "doctor", "--config", r.file, "--json", "--company", "sample")
	var all []observation
	if err := json.Unmarshal([]byte(got.stdout), &all); err != nil || got.code != 1 || len(all) < 8 {
		t.Errorf("doctor --json = %+v, %v", got, err)
	}
	if _, err := os.Stat(r.dir + "/data/secret"); !os.IsNotExist(err) {
		t.Errorf("the doctor made a key: %v", err)
	}
}
