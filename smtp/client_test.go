package smtp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"
	"pgregory.net/rapid"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

func TestParseServer(t *testing.T) {
	good := map[string]Server{
		"smtp://mx.example":            {"mx.example", 25, VerifiedSTARTTLS},
		"smtp://mx.example:587":        {"mx.example", 587, VerifiedSTARTTLS},
		"smtps://mx.example/":          {"mx.example", 465, ImplicitTLS},
		"smtp+insecure://127.0.0.1:26": {"127.0.0.1", 26, Plaintext},
		"smtp+insecure://[::1]:26":     {"::1", 26, Plaintext},
		"SMTP://localhost":             {"localhost", 25, VerifiedSTARTTLS},
	}
	for text, want := range good {
		got, err := ParseServer(text)
		if err != nil || got != want {
			t.Errorf("ParseServer(%q) = %v, %v, want %v", text, got, err, want)
		}
		if again, err := ParseServer(got.String()); err != nil || again != got {
			t.Errorf("%q is read as %v, %v", got.String(), again, err)
		}
	}
	bad := map[string]string{
		"":                             "begin with smtp://",
		"mx.example:25":                "begin with smtp://",
		"http://mx.example":            "begin with smtp://",
		"smtp:mx.example":              "begin with smtp://",
		"smtp://":                      "host is missing",
		"smtp://:25":                   "host is missing",
		"smtp://mx.example:0":          "port must be",
		"smtp://mx.example:70000":      "port must be",
		"smtp://mx.example:smtp":       "not a URL",
		"smtp://user:pw@mx.example":    "do not belong here",
		"smtp://mx.example?tls=off":    "nothing may follow",
		"smtp://mx.example/path":       "nothing may follow",
		"smtp://メール.example":           "host must be",
		"smtp://-x.example":            "host must be",
		"smtp+insecure://mx.example#a": "nothing may follow",
	}
	for text, want := range bad {
		_, err := ParseServer(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseServer(%q): got error %v, want one with %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "pw") {
			t.Errorf("error shows the password: %v", err)
		}
	}
}

func TestHelloName(t *testing.T) {
	for _, name := range []string{"relay.example", "relay.example.", "xn--1lqs71d.example", "[192.0.2.1]", "[IPv6:2001:db8::1]"} {
		if err := checkHelloName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", "localhost", "relay", "localhost.localdomain", "x.localhost", "192.0.2.1", "[127.0.0.1]", "[2001:db8::1]", "[192.0.2.1",
		"a b.example", "relay.example\r\nMAIL", "メール.example"} {
		if checkHelloName(name) == nil {
			t.Errorf("%q is accepted", name)
		}
	}
}

func TestNewUpstreamProblems(t *testing.T) {
	_, err := NewUpstream(UpstreamOptions{Hostname: "localhost", MaxOpen: -1, Auth: ExternalAuth(""),
		Servers: []Server{{"mx.example", 25, Plaintext}, {"mx.example", 0, ImplicitTLS}}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"hostname:", "in clear", "port must be", "negative"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
	if _, err := NewUpstream(UpstreamOptions{Hostname: "relay.example"}); err == nil {
		t.Error("no server is no problem")
	}
}

func TestTLS(t *testing.T) {
	ours, theirs := smtptest.NewAuthority(t), smtptest.NewAuthority(t)
	const ok, untrusted = "250 2.0.0 Ok: queued as M1", "451 4.7.5 Next server cannot be verified"
	table := []struct {
		name   string
		config *tls.Config
		mode   Security
		want   string
	}{
		{"STARTTLS", ours.Server(t, "127.0.0.1"), VerifiedSTARTTLS, ok},
		{"implicit", ours.Server(t, "127.0.0.1"), ImplicitTLS, ok},
		{"not offered", nil, VerifiedSTARTTLS, untrusted},
		{"other authority", theirs.Server(t, "127.0.0.1"), VerifiedSTARTTLS, untrusted},
		{"other authority, implicit", theirs.Server(t, "127.0.0.1"), ImplicitTLS, untrusted},
		{"other name", ours.Server(t, "other.example"), VerifiedSTARTTLS, untrusted},
		{"expired", &tls.Config{Certificates: []tls.Certificate{ours.IssueExpired(t, "127.0.0.1")}}, VerifiedSTARTTLS, untrusted},
		{"too old", &tls.Config{Certificates: []tls.Certificate{ours.Issue(t, "127.0.0.1")}, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, VerifiedSTARTTLS, untrusted},
		{"wants a client certificate", &tls.Config{Certificates: []tls.Certificate{ours.Issue(t, "127.0.0.1")}, ClientAuth: tls.RequireAnyClientCert}, VerifiedSTARTTLS, untrusted},
	}
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			up := smtptest.NewUpstream(t, smtptest.Options{TLS: row.config, Implicit: row.mode == ImplicitTLS})
			u := newPool(t, func(o *UpstreamOptions) { o.Servers[0].Security, o.Roots = row.mode, ours.Pool() }, up)
			got := carry(context.Background(), u, letterText(10))
			if got.heard() != row.want {
				t.Errorf("client hears %q (%v), want %q", got.heard(), got.err, row.want)
			}
			if m := up.Messages(); len(m) == 1 && !m[0].TLS {
				t.Error("message went without TLS")
			}
		})
	}
}

func TestClientCertificateUpstream(t *testing.T) {
	ca := smtptest.NewAuthority(t)
	config := ca.Server(t, "127.0.0.1")
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, ca.Pool()
	ours := ca.Issue(t, "relay.example")
	up := smtptest.NewUpstream(t, smtptest.Options{TLS: config, Auth: "EXTERNAL"})
	u := newPool(t, func(o *UpstreamOptions) {
		o.Servers[0].Security, o.Roots, o.Auth = VerifiedSTARTTLS, ca.Pool(), ExternalAuth("")
		o.ClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &ours, nil }
	}, up)
	mustCarry(t, u)
	if got := up.Messages()[0].Peer; got != "relay.example" {
		t.Errorf("upstream saw certificate %q, want relay.example", got)
	}
}

// TestSTARTTLSInjectionUpstream: what comes in the clear behind 220 is not read as a reply within TLS.
func TestSTARTTLSInjectionUpstream(t *testing.T) {
	ca := smtptest.NewAuthority(t)
	up := smtptest.NewUpstream(t, smtptest.Options{TLS: ca.Server(t, "127.0.0.1"), Faults: map[smtptest.Point]smtptest.Fault{
		smtptest.At(smtptest.StartTLS): smtptest.SayAndHang("220 Go\n250 injected")}})
	u := newPool(t, func(o *UpstreamOptions) { o.Servers[0].Security, o.Roots = VerifiedSTARTTLS, ca.Pool() }, up)
	if got := carry(context.Background(), u, letterText(10)); !errors.Is(got.err, errUntrusted) {
		t.Errorf("got %v, want %v", got.err, errUntrusted)
	}
}

func TestAuthUpstream(t *testing.T) {
	secret := func() (string, error) { return "s3cret", nil }
	table := []struct {
		name    string
		auth    *Auth
		offered string
		good    bool
	}{
		{"PLAIN", PlainAuth("relay", secret), "LOGIN PLAIN", true},
		{"LOGIN", LoginAuth("relay", secret), "LOGIN PLAIN", true},
		{"EXTERNAL", ExternalAuth("relay"), "EXTERNAL", true},
		{"EXTERNAL without identity", ExternalAuth(""), "EXTERNAL", true},
		{"PLAIN before LOGIN", PasswordAuth("relay", secret), "LOGIN PLAIN", true},
		{"LOGIN for want of PLAIN", PasswordAuth("relay", secret), "LOGIN XOAUTH2", true},
		{"not offered", PlainAuth("relay", secret), "LOGIN", false},
		{"AUTH not offered", PlainAuth("relay", secret), "", false},
		{"wrong", PlainAuth("relay", func() (string, error) { return "wrong", nil }), "PLAIN", false},
		{"wrong LOGIN", LoginAuth("relay", func() (string, error) { return "wrong", nil }), "LOGIN", false},
		{"unreadable", PlainAuth("relay", func() (string, error) { return "", errors.New("no file") }), "PLAIN", false},
	}
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			up := smtptest.NewUpstream(t, smtptest.Options{Auth: row.offered, Login: func(mechanism, user, secret string) bool {
				return mechanism == "EXTERNAL" || user == "relay" && secret == "s3cret"
			}})
			u := newPool(t, func(o *UpstreamOptions) { o.Auth = row.auth }, up)
			got := carry(context.Background(), u, letterText(10))
			if row.good != (got.reply.Class() == 2) || !row.good && !errors.Is(got.err, errRefusedLogin) {
				t.Errorf("got %q: %v", got.heard(), got.err)
			}
			if text := fmt.Sprintf("%v %+v %#v %v", row.auth, u.o, row.auth, got.err); strings.Contains(text, "s3cret") || strings.Contains(text, "wrong") {
				t.Errorf("secret is shown: %s", text)
			}
		})
	}
}

// tokenServer gives "token-1", "token-2" and so on, good for an hour.
func tokenServer(t *testing.T, status int) (source *TokenSource, asked *[]string) {
	t.Helper()
	asked = new([]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.FormValue("grant_type")+" "+r.FormValue("client_id")+" "+r.FormValue("client_secret")+" "+r.FormValue("scope"))
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": fmt.Sprintf("token-%d", len(*asked)), "expires_in": 3600, "token_type": "Bearer"})
	}))
	t.Cleanup(server.Close)
	return &TokenSource{URL: server.URL, ClientID: "id", Secret: func() (string, error) { return "s3cret", nil }, Scope: "mail", Client: server.Client()}, asked
}

func TestXOAuth2(t *testing.T) {
	source, asked := tokenServer(t, 200)
	now := time.Now()
	source.Now = func() time.Time { return now }
	good := "token-1"
	up := smtptest.NewUpstream(t, smtptest.Options{Auth: "XOAUTH2", Login: func(_, user, secret string) bool {
		return user == "hr@company.example" && secret == good
	}})
	u := newPool(t, func(o *UpstreamOptions) { o.Auth, o.MaxMessages = XOAuth2("hr@company.example", source), 1 }, up)
	mustCarry(t, u)
	mustCarry(t, u)
	if want := "client_credentials id s3cret mail"; len(*asked) != 1 || (*asked)[0] != want {
		t.Errorf("token server was asked %q, want %q once", *asked, want)
	}
	now = now.Add(59*time.Minute + time.Second) // the last minute counts as over
	good = "token-2"
	mustCarry(t, u)
	good = "token-3" // revoked before its time: the login is tried again at once
	mustCarry(t, u)
	if len(*asked) != 3 {
		t.Errorf("token server was asked %d times, want 3", len(*asked))
	}
	good = "none"
	if got := carry(context.Background(), u, letterText(10)); !errors.Is(got.err, errRefusedLogin) {
		t.Errorf("got %v, want %v", got.err, errRefusedLogin)
	}
}

func TestTokenErrors(t *testing.T) {
	source, _ := tokenServer(t, 401)
	if _, err := source.Token(context.Background()); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("got %v, want the status", err)
	}
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"access_token":"a\r\nb"}`) }))
	defer bad.Close()
	source = &TokenSource{URL: bad.URL, Secret: func() (string, error) { return "", nil }, Client: bad.Client()}
	if token, err := source.Token(context.Background()); err == nil {
		t.Errorf("got token %q, want an error", token)
	}
}

// TestTokenRedirect: the secret goes to the configured place alone.
func TestTokenRedirect(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the secret followed a redirect") }))
	defer elsewhere.Close()
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	source := &TokenSource{URL: server.URL, ClientID: "id", Secret: func() (string, error) { return "s3cret", nil }}
	if token, err := source.Token(context.Background()); err == nil {
		t.Errorf("got token %q, want an error", token)
	}
}

// TestEnvelopeVerbatim: path and parameters reach the server as the client wrote them.
func TestEnvelopeVerbatim(t *testing.T) {
	up := smtptest.NewUpstream(t, smtptest.Options{Auth: "PLAIN"})
	u := newPool(t, nil, up)
	from, fromParams := `<"odd @ sender"@company.example>`, "SIZE=100 body=8bitmime RET=HDRS ENVID=QQ314159 AUTH=<> SMTPUTF8 X-ODD=1"
	to, toParams := "<採用+a=b@mail.example>", "NOTIFY=SUCCESS,delay ORCPT=rfc822;a+2Bb@mail.example"
	x, _, err := u.Begin(context.Background(), from, fromParams)
	if err != nil {
		t.Fatal(err)
	}
	defer x.End()
	if _, err := x.Rcpt(context.Background(), to, toParams); err != nil {
		t.Fatal(err)
	}
	commands := up.Commands()
	if want := "MAIL FROM:" + from + " " + fromParams; commands[1] != want {
		t.Errorf("got %q, want %q", commands[1], want)
	}
	if want := "RCPT TO:" + to + " " + toParams; commands[2] != want {
		t.Errorf("got %q, want %q", commands[2], want)
	}
}

func TestInjection(t *testing.T) {
	up := smtptest.NewUpstream(t, smtptest.Options{})
	u := newPool(t, nil, up)
	bad := [][2]string{
		{"<a@b>\r\nRCPT TO:<x@y>", ""}, {"<a@b\n>", ""}, {"<a@b\x00>", ""}, {"<a@b> NOTIFY=NEVER <x@y>", ""}, {"a@b", ""}, {"", ""}, {"<", ""},
		{`<"victim@evil> NOTIFY=NEVER <x"@company>`, ""}, {"<a@b>", "SIZE=1\r\nRSET"}, {"<a@b>", "SIZE=1\n"}, {"<a@b>", "A=\x00"}, {"<a@b>", "A=\x7f"},
		{"<" + strings.Repeat("a", maxCommand) + "@b>", ""},
	}
	for _, b := range bad {
		if x, _, err := u.Begin(context.Background(), b[0], b[1]); err == nil {
			t.Errorf("MAIL %.60q %q is sent", b[0], b[1])
			x.End()
		}
	}
	x, _, err := u.Begin(context.Background(), "<a@b>", "")
	if err != nil {
		t.Fatal(err)
	}
	defer x.End()
	for _, b := range bad {
		if _, err := x.Rcpt(context.Background(), b[0], b[1]); err == nil {
			t.Errorf("RCPT %.60q %q is sent", b[0], b[1])
		}
	}
	if got := len(up.Commands()); got != 2 {
		t.Errorf("upstream saw %d commands, want EHLO and MAIL", got)
	}
}

func TestMissingExtension(t *testing.T) {
	up := smtptest.NewUpstream(t, smtptest.Options{Extensions: []string{"HELP"}})
	u := newPool(t, nil, up)
	for params, want := range map[string]string{"SMTPUTF8": "SMTPUTF8", "BODY=8BITMIME": "8BITMIME", "body=binarymime": "BINARYMIME", "RET=FULL": "DSN", "REQUIRETLS": "REQUIRETLS"} {
		_, _, err := u.Begin(context.Background(), "<a@b>", params)
		var missing *MissingExtensionError
		if !errors.As(err, &missing) || missing.Keyword != want {
			t.Errorf("%s: got %v, want %s missing", params, err, want)
		}
	}
	x, r, err := u.Begin(context.Background(), "<a@b>", "SIZE=10 AUTH=<> BODY=7BIT")
	if err != nil || r.Class() != 2 {
		t.Fatalf("parameters for the next hop alone: got %v, %v", r, err)
	}
	defer x.End()
	_, err = x.Rcpt(context.Background(), "<a@b>", "NOTIFY=NEVER")
	var missing *MissingExtensionError
	if !errors.As(err, &missing) {
		t.Errorf("got %v, want DSN missing", err)
	}
	if got := up.Commands(); len(got) != 2 || got[1] != "MAIL FROM:<a@b>" {
		t.Errorf("upstream saw %q", got)
	}
}

func TestHELO(t *testing.T) {
	up := smtptest.NewUpstream(t, smtptest.Options{Faults: map[smtptest.Point]smtptest.Fault{smtptest.First(smtptest.Hello): smtptest.Say("502 5.5.1 What?")}})
	mustCarry(t, newPool(t, nil, up))
	if up.Count("HELO") != 1 {
		t.Errorf("got %q, want HELO after EHLO was refused", up.Commands())
	}
}

// failing is a Content that breaks in one of three ways after size octets.
type failing struct {
	text  string
	claim int64 // Size
	err   error
}

func (f failing) Size() int64 { return f.claim }
func (f failing) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, f.text)
	if err == nil {
		err = f.err
	}
	return int64(n), err
}

// TestTornNeverEnds: whatever breaks, and wherever, in our own content, the
// upstream never sees the end of a message.
func TestTornNeverEnds(t *testing.T) {
	whole := string(letterText(300 << 10))
	for _, prefer := range []bool{false, true} {
		up := smtptest.NewUpstream(t, smtptest.Options{Extensions: append(smtptest.Extensions(), "CHUNKING")})
		u := newPool(t, func(o *UpstreamOptions) { o.PreferChunking = prefer }, up)
		rapid.Check(t, func(t *rapid.T) {
			cut := rapid.IntRange(0, len(whole)).Draw(t, "cut")
			f := failing{text: whole[:cut], claim: int64(len(whole)), err: io.ErrUnexpectedEOF}
			switch rapid.IntRange(0, 2).Draw(t, "way") {
			case 1: // ends too early, and says nothing
				f.err = nil
				f.claim++
			case 2: // more than it said
				f.err, f.claim = nil, int64(cut)-1
			}
			got := carry(context.Background(), u, f)
			if !errors.Is(got.err, errContent) {
				t.Fatalf("got %q, %v, want %v", got.heard(), got.err, errContent)
			}
		})
		up.Stop()
		if got := up.Messages(); len(got) != 0 || up.Reached(smtptest.FinalDot) != 0 {
			t.Errorf("upstream saw the end of %d torn messages", len(got))
		}
	}
}

// TestTornByFault: whatever the server does at whatever instant, what it keeps is whole.
func TestTornByFault(t *testing.T) {
	steps := []smtptest.Step{smtptest.Data, smtptest.FirstByte, smtptest.MidBody, smtptest.FinalDot, smtptest.AfterDot}
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.SampledFrom([]int{100, 5000, 65 << 10, 300 << 10}).Draw(rt, "size")
		fault := rapid.SampledFrom([]smtptest.Fault{smtptest.Close(), smtptest.RST(), smtptest.Garbage(), smtptest.Say("354 what"),
			smtptest.Say("452 4.3.1 full"), smtptest.Say("552 5.3.4 large"), smtptest.Say("421 4.3.2 bye")}).Draw(rt, "fault")
		up := smtptest.NewUpstream(t, smtptest.Options{
			Extensions: append(smtptest.Extensions(), "CHUNKING"), MidBody: rapid.Int64Range(1, int64(size)).Draw(rt, "mid"),
			Faults: map[smtptest.Point]smtptest.Fault{smtptest.At(rapid.SampledFrom(steps).Draw(rt, "step")): fault},
		})
		u := newPool(t, func(o *UpstreamOptions) { o.PreferChunking = rapid.Bool().Draw(rt, "chunking") }, up)
		letter := letterText(size)
		got := carry(context.Background(), u, letter)
		u.Close()
		up.Stop()
		kept := up.Messages()
		for _, m := range kept {
			if m.Body != string(letter) {
				rt.Fatalf("upstream keeps %d octets of %d", len(m.Body), len(letter))
			}
		}
		if got.err == nil && got.reply.Class() == 2 && up.Reached(smtptest.FinalDot) == 0 {
			rt.Fatalf("client hears %q, and the message never ended", got.heard())
		}
	})
}

func TestDotWriter(t *testing.T) {
	table := map[string]string{
		"":                 ".\r\n",
		"\r\n":             "\r\n.\r\n",
		"a":                "a\r\n.\r\n",
		"a\r\n":            "a\r\n.\r\n",
		".":                "..\r\n.\r\n",
		".\r\n":            "..\r\n.\r\n",
		"..\r\n.a\r\n":     "...\r\n..a\r\n.\r\n",
		"a\r\n.\r\nb\r\n":  "a\r\n..\r\nb\r\n.\r\n",
		"\x00\xff.\r\n":    "\x00\xff.\r\n.\r\n",
		"a.\r\n":           "a.\r\n.\r\n",
		"\n":               "", // these do not pass
		"a\n.\nb\r\n":      "",
		"a\r.\rb\r\n":      "",
		"a\r\n.\r":         "",
		"a\r":              "",
		"a\r\r\n":          "",
		"a\r\n\n.\r\nb":    "",
		"\r\n.\n.\r\n":     "",
		"a\r\n.\r\r\nMAIL": "",
	}
	for text, want := range table {
		for size := 1; size <= 8; size++ { // in pieces of every size
			var out bytes.Buffer
			d := newDotWriter(&out, make([]byte, 0, 13))
			var err error
			for rest := text; rest != "" && err == nil; rest = rest[min(size, len(rest)):] {
				_, err = d.Write([]byte(rest[:min(size, len(rest))]))
			}
			var end []byte
			if err == nil {
				end, err = d.end()
			}
			if want == "" {
				if !errors.Is(err, errBareNewline) {
					t.Errorf("%q in %ds: got %q, %v, want %v", text, size, out.String()+string(end), err, errBareNewline)
				}
			} else if got := out.String() + string(end); got != want || err != nil {
				t.Errorf("%q in %ds: got %q, %v, want %q", text, size, got, err, want)
			}
		}
	}
}

// TestDotWriterReadsBack: in whatever pieces a message comes, a reader of dots
// gets it back, and a message with a bare CR or LF never begins to pass in the piece that has it.
func TestDotWriterReadsBack(t *testing.T) {
	piece := rapid.SampledFrom([]string{"a", ".", "..", "\r\n", "\r\n.", "\r\n.\r\n", "\r", "\n", "lorem ipsum"})
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOf(piece).Draw(t, "pieces")
		text := strings.Join(pieces, "")
		var out bytes.Buffer
		d := newDotWriter(&out, make([]byte, 0, rapid.IntRange(6, 40).Draw(t, "buffer")))
		var err error
		for _, p := range pieces {
			if _, err = d.Write([]byte(p)); err != nil {
				break
			}
		}
		var end []byte
		if err == nil {
			end, err = d.end()
		}
		plain := strings.ReplaceAll(text, "\r\n", "")
		if strings.ContainsAny(plain, "\r\n") {
			if !errors.Is(err, errBareNewline) {
				t.Fatalf("%q passes", text)
			}
			return
		}
		if text != "" && !strings.HasSuffix(text, "\r\n") {
			text += "\r\n"
		}
		wire := out.String() + string(end)
		got, err2 := io.ReadAll(textproto.NewReader(bufio.NewReader(strings.NewReader(wire))).DotReader())
		if err != nil || err2 != nil || string(got) != strings.ReplaceAll(text, "\r\n", "\n") || !strings.HasSuffix(wire, ".\r\n") {
			t.Fatalf("%q is sent as %q and read as %q (%v, %v)", text, wire, got, err, err2)
		}
	})
}

func TestBDAT(t *testing.T) {
	noPipelining := []string{"CHUNKING", "8BITMIME"}
	for name, extensions := range map[string][]string{"pipelining": append(smtptest.Extensions(), "CHUNKING"), "plain": noPipelining} {
		t.Run(name, func(t *testing.T) {
			up := smtptest.NewUpstream(t, smtptest.Options{Extensions: extensions})
			u := newPool(t, func(o *UpstreamOptions) { o.PreferChunking = true }, up)
			for _, letter := range []textContent{"", "no end", "\n.\r\r\n.\n", letterText(64 << 10), letterText(1 << 20)} {
				got := carry(context.Background(), u, letter)
				if got.err != nil || got.reply.Class() != 2 {
					t.Fatalf("got %q, %v", got.heard(), got.err)
				}
				m := up.Messages()
				if last := m[len(m)-1]; last.Body != string(letter) || !last.BDAT {
					t.Errorf("%.20q: got %.20q", letter, last.Body)
				}
			}
			if up.Connections() != 1 {
				t.Errorf("took %d connections, want 1", up.Connections())
			}
		})
	}
}

func TestBareNewlines(t *testing.T) {
	const odd = textContent("a\nb\r\n")
	chunking := smtptest.NewUpstream(t, smtptest.Options{Extensions: append(smtptest.Extensions(), "CHUNKING")})
	if got := carry(context.Background(), newPool(t, nil, chunking), odd); got.reply.Class() != 2 {
		t.Errorf("with CHUNKING: got %q, %v", got.heard(), got.err)
	}
	if m := chunking.Messages(); len(m) != 1 || m[0].Body != string(odd) || !m[0].BDAT {
		t.Errorf("with CHUNKING: upstream keeps %+v", m)
	}
	plain := smtptest.NewUpstream(t, smtptest.Options{})
	if got := carry(context.Background(), newPool(t, nil, plain), odd); !errors.Is(got.err, errBareNewline) || len(plain.Messages()) != 0 {
		t.Errorf("without CHUNKING: got %q, %v, want %v", got.heard(), got.err, errBareNewline)
	}
}

// TestEarlyRefusal: a server that refuses in the middle, and then reads no more, is heard at once.
func TestEarlyRefusal(t *testing.T) {
	ca := smtptest.NewAuthority(t)
	for _, mode := range []Security{Plaintext, VerifiedSTARTTLS} {
		for _, prefer := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d/%t", mode, prefer), func(t *testing.T) {
				up := smtptest.NewUpstream(t, smtptest.Options{TLS: ca.Server(t, "127.0.0.1"), Narrow: true, Extensions: append(smtptest.Extensions(), "CHUNKING"),
					Faults: map[smtptest.Point]smtptest.Fault{smtptest.At(smtptest.MidBody): smtptest.SayAndHang("552 5.3.4 Too large")}})
				u := newPool(t, func(o *UpstreamOptions) {
					o.PreferChunking, o.Servers[0].Security, o.Roots, o.Dial = prefer, mode, ca.Pool(), narrow
				}, up)
				if got := carry(context.Background(), u, letterText(wideLetter)); got.heard() != "552 5.3.4 Too large" {
					t.Errorf("got %q (%v)", got.heard(), got.err)
				}
			})
		}
	}
}

// TestEarlyAcceptance: 250 for half a message is not believed, and the message does not end.
func TestEarlyAcceptance(t *testing.T) {
	for _, prefer := range []bool{false, true} {
		up := smtptest.NewUpstream(t, smtptest.Options{Narrow: true, Extensions: append(smtptest.Extensions(), "CHUNKING"),
			Faults: map[smtptest.Point]smtptest.Fault{smtptest.At(smtptest.MidBody): smtptest.SayAndHang("250 2.0.0 Fine")}})
		u := newPool(t, func(o *UpstreamOptions) { o.PreferChunking, o.Dial = prefer, narrow }, up)
		if got := carry(context.Background(), u, letterText(wideLetter)); !errors.Is(got.err, errNonsense) {
			t.Errorf("got %q (%v), want %v", got.heard(), got.err, errNonsense)
		}
	}
}

// TestUnaskedReply: a reply that nobody asked for is not taken for the answer to what comes next.
func TestUnaskedReply(t *testing.T) {
	up := smtptest.NewUpstream(t, smtptest.Options{Faults: map[smtptest.Point]smtptest.Fault{smtptest.First(smtptest.AfterDot): smtptest.Say("250 kept\n250 and more")}})
	u := newPool(t, nil, up)
	mustCarry(t, u)
	mustCarry(t, u)
	if up.Connections() != 2 {
		t.Errorf("took %d connections, want another one", up.Connections())
	}
}

// TestSlowButSteady: a server that takes the message slowly is waited for, beyond the time for one block.
func TestSlowButSteady(t *testing.T) {
	local, remote := net.Pipe()
	go func() {
		defer remote.Close()
		buf := make([]byte, 4<<10)
		var seen []byte
		for !bytes.HasSuffix(seen, []byte("\r\n.\r\n")) {
			n, err := remote.Read(buf)
			if err != nil {
				return
			}
			seen = append(seen[max(0, len(seen)-8):], buf[:n]...)
			<-time.After(2 * time.Millisecond) // the pace of the line
		}
		io.WriteString(remote, "250 2.0.0 taken\r\n")
	}()
	c := pipeConversation(local)
	c.timeouts.Block = time.Second
	began := time.Now()
	r, err := c.data(context.Background(), letterText(4<<20), make([]byte, 0, transferBuffer))
	if err != nil || r.Code != 250 {
		t.Errorf("got %v, %v", r, err)
	}
	if took := time.Since(began); took < c.timeouts.Block {
		t.Errorf("took only %s: the test tests nothing", took)
	}
	c.cut()
}

func TestSend(t *testing.T) {
	up := smtptest.NewUpstream(t, smtptest.Options{Faults: map[smtptest.Point]smtptest.Fault{{Step: smtptest.Rcpt, Nth: 2}: smtptest.Say("550 5.1.1 <x@mail.example> unknown")}})
	u := newPool(t, nil, up)
	r, err := u.Send(context.Background(), "", "x@mail.example", textContent("Subject: receipt\r\n\r\nThanks"))
	if err != nil || r.Lines[0] != "2.0.0 Ok: queued as M1" {
		t.Fatalf("got %v, %v", r, err)
	}
	if m := up.Messages()[0]; m.Mail != "FROM:<>" || m.Rcpt[0] != "TO:<x@mail.example>" || m.Body != "Subject: receipt\r\n\r\nThanks\r\n" {
		t.Errorf("upstream keeps %+v", m)
	}
	r, err = u.Send(context.Background(), "", "x@mail.example", textContent("Subject: receipt\r\n\r\nThanks"))
	var refused *ReplyError
	if !errors.As(err, &refused) || r.Code != 550 || err.Error() != "refused with 550 5.1.1" {
		t.Errorf("got %v, %v, want the refusal without the address", r, err)
	}
}

func TestProbe(t *testing.T) {
	ca := smtptest.NewAuthority(t)
	good := smtptest.NewUpstream(t, smtptest.Options{TLS: ca.Server(t, "127.0.0.1"), Auth: "PLAIN LOGIN"})
	bad := smtptest.NewUpstream(t, smtptest.Options{})
	u := newPool(t, func(o *UpstreamOptions) {
		o.Servers[0].Security, o.Servers[1].Security, o.Roots = VerifiedSTARTTLS, VerifiedSTARTTLS, ca.Pool()
		o.Auth = PlainAuth("relay", func() (string, error) { return "", nil })
	}, good, bad)
	found := u.Probe(context.Background())
	if d := found[0]; d.Err != nil || d.TLS == nil || d.TLS.Version != tls.VersionTLS13 || !d.LoggedIn || d.Extensions["SIZE"] != "52428800" ||
		fmt.Sprint(d.Mechanisms) != "[PLAIN LOGIN]" || d.Remote != good.Addr() || d.RoundTrip <= 0 || d.Opening <= 0 {
		t.Errorf("got %+v", d)
	}
	var trouble *UpstreamError
	if d := found[1]; !errors.As(d.Err, &trouble) || trouble.Step != "STARTTLS" || !errors.Is(d.Err, errUntrusted) {
		t.Errorf("got %v, want the missing STARTTLS", d.Err)
	}
	if len(good.Messages()) != 0 || good.Count("MAIL") != 0 {
		t.Error("a probe sent mail")
	}
}

// peerBackend is go-smtp's server as an independent, honest peer.
type peerBackend struct{ got chan string }

type peerSession struct{ b peerBackend }

func (b peerBackend) NewSession(*gosmtp.Conn) (gosmtp.Session, error) { return peerSession{b}, nil }
func (peerSession) Reset()                                            {}
func (peerSession) Logout() error                                     { return nil }
func (peerSession) Mail(string, *gosmtp.MailOptions) error            { return nil }
func (peerSession) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	if strings.HasPrefix(to, "unknown") {
		return &gosmtp.SMTPError{Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 1, 1}, Message: "who?"}
	}
	return nil
}
func (s peerSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err == nil {
		s.b.got <- string(b)
	}
	return err
}

func TestGoSMTPServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	backend := peerBackend{make(chan string, 100)}
	server := gosmtp.NewServer(backend)
	server.Domain, server.EnableSMTPUTF8, server.EnableDSN = "peer.example", true, true
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-served })
	for _, prefer := range []bool{false, true} {
		u, err := NewUpstream(UpstreamOptions{Hostname: "relay.example", PreferChunking: prefer, Servers: []Server{serverAt(t, l.Addr().String(), Plaintext)}})
		if err != nil {
			t.Fatal(err)
		}
		for _, letter := range []textContent{letterText(10), letterText(100 << 10), letterText(3 << 20)} {
			got := carry(context.Background(), u, letter)
			if got.err != nil || got.reply.Class() != 2 {
				t.Fatalf("got %q, %v", got.heard(), got.err)
			}
			if kept := <-backend.got; kept != string(letter) {
				t.Errorf("peer keeps %d octets of %d", len(kept), len(letter))
			}
		}
		x, _, err := u.Begin(context.Background(), "<a@b.example>", "SMTPUTF8 RET=HDRS ENVID=1")
		if err != nil {
			t.Fatal(err)
		}
		if r, err := x.Rcpt(context.Background(), "<unknown@b.example>", "NOTIFY=FAILURE"); err != nil || r.Code != 550 || r.Lines[0] != "5.1.1 who?" {
			t.Errorf("got %v, %v, want the peer's refusal", r, err)
		}
		x.End()
		u.Close()
	}
}
