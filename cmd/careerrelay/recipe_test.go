package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// TestRecipes prints every recipe and looks for the values of the site in it.
func TestRecipes(t *testing.T) {
	r := newRelay(t)
	r.write(t, strings.NewReplacer("# hostname: relay.example.co.jp", "hostname: relay.sample.example.jp").Replace(r.text()))
	for _, tc := range []struct {
		args []string
		do   []string // values and words of the recipe
		undo []string
	}{
		{[]string{"m365", "--relay", "relay.sample.example.jp:25"},
			[]string{`-SmartHosts "relay.sample.example.jp"`, "sample-example-jp.mail.protection.outlook.com:25", `"X-Career-Relay" -ExceptIfHeaderContainsWords "relayed"`},
			[]string{`Remove-TransportRule -Identity "Career Relay"`}},
		{[]string{"google"}, []string{`"X-Career-Relay: relayed"`, "hostname is relay.sample.example.jp", "smtp-relay.gmail.com:587"}, []string{"Content compliance"}},
		{[]string{"exchange", "--relay", "10.1.2.3:2525"}, []string{`-SmartHosts "[10.1.2.3]" -Port 2525`}, []string{"Remove-SendConnector"}},
		{[]string{"ses"}, []string{"email-smtp.ap-northeast-1.amazonaws.com:587", "click tracking"}, []string{"SES end point"}},
		{[]string{"ats"}, []string{"domains: [sample.example.jp]", "http://" + r.web + "/c/sample"}, []string{"http://" + r.web + "/c/sample"}},
		{[]string{"postfix", "--door", "relayhost"}, []string{"'relayhost = [127.0.0.1]:"}, []string{"postconf -X relayhost"}},
		{[]string{"postfix"}, []string{"careerrelay/unix", "127.0.0.1:2526 inet n"}, []string{"postsuper -r ALL"}},
		{[]string{"postfix", "--door", "proxy_filter", "--service", "smtps/inet"}, []string{"smtps/inet/smtpd_proxy_filter=127.0.0.1:"}, []string{"-PX smtps/inet/"}},
	} {
		t.Run(strings.Join(tc.args, " "), func(t *testing.T) {
			for _, part := range []struct {
				args  []string
				words []string
			}{{nil, tc.do}, {[]string{"--undo"}, tc.undo}} {
				got := asBinary(t, append(append([]string{"recipe", "--config", r.file}, tc.args...), part.args...)...)
				for _, word := range part.words {
					if got.code != 0 || !strings.Contains(got.stdout, word) {
						t.Errorf("%q: %+v; want %q in it", part.args, got, word)
					}
				}
				if strings.Contains(got.stdout, "<no value>") {
					t.Errorf("%q: a value is missing:\n%s", part.args, got.stdout)
				}
			}
		})
	}
}

func TestRecipeRefuses(t *testing.T) {
	r := newRelay(t)
	elsewhere := strings.Replace(r.text(), "smtp+insecure://127.0.0.1:2526", "smtp://mail.sample.example.jp", 1)
	for _, tc := range []struct{ name, config, want string }{
		{"upstream elsewhere", elsewhere, "set upstream of company \"sample\" to smtp+insecure://127.0.0.1:10026"},
		{"no such company", r.text(), "there is no company \"other\""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r.write(t, tc.config)
			args := []string{"recipe", "postfix", "--config", r.file}
			if tc.name == "no such company" {
				args = append(args, "--company", "other")
			}
			if got := asBinary(t, args...); got.code != 1 || !strings.Contains(got.stderr, tc.want) || got.stdout != "" {
				t.Errorf("recipe = %+v; want %q", got, tc.want)
			}
		})
	}
}

// recipe prints a recipe, as a script.
func (r *relay) recipe(t *testing.T, args ...string) string {
	t.Helper()
	got := asBinary(t, append([]string{"recipe", "postfix", "--config", r.file}, args...)...)
	if got.code != 0 {
		t.Fatalf("recipe = %+v", got)
	}
	return got.stdout
}

// TestPostfixDoors pastes each recipe into a real Postfix, sends the awkward
// mails through it, and undoes it.
func TestPostfixDoors(t *testing.T) {
	smtptest.Program(t, "swaks")
	for _, door := range []string{"relayhost", "content_filter", "proxy_filter"} {
		t.Run(door, func(t *testing.T) {
			h, front := startDoor(t, door)
			args := []string{"--door", door}
			if door == "proxy_filter" {
				args = append(args, "--service", front.Addr+"/inet")
			}
			before := front.Setting(t, "-n")
			front.Script(t, h.recipe(t, args...))
			h.start(t)
			throughDoor(t, h, front, door, true)
			front.Script(t, h.recipe(t, append(args, "--undo")...))
			if after := front.Setting(t, "-n"); after != before {
				t.Errorf("main.cf after undo:\n%s\nbefore:\n%s", after, before)
			}
			throughDoor(t, h, front, door+"-undone", false)
		})
	}
}

// startDoor makes the Postfix whose mail is to pass the relay, and the relay's
// configuration. With relayhost another Postfix delivers, else it does so itself.
func startDoor(t *testing.T, door string) (*hop, *smtptest.Postfix) {
	t.Helper()
	eightBit := []string{"smtpd_sasl_auth_enable = no"}
	h := &hop{relay: newRelay(t), name: door}
	if door == "relayhost" {
		h.mailbox = smtptest.StartPostfix(t, smtptest.PostfixOptions{Domain: candidateDomain})
		h.write(t, strings.Replace(h.text(), "127.0.0.1:2526", h.mailbox.Addr, 1))
		return h, smtptest.StartPostfix(t, smtptest.PostfixOptions{Domain: "front.example", Relayhost: "[127.0.0.1]:" + port(t, h.mailbox.Addr), Main: eightBit})
	}
	h.mailbox = smtptest.StartPostfix(t, smtptest.PostfixOptions{Domain: candidateDomain, Main: eightBit})
	h.write(t, strings.Replace(h.text(), "127.0.0.1:2526", smtptest.FreeAddr(t), 1))
	return h, h.mailbox
}

func port(t *testing.T, address string) string {
	t.Helper()
	_, port, found := strings.Cut(address, ":")
	if !found {
		t.Fatalf("no port in %q", address)
	}
	return port
}

// awkward are envelopes that a hop between must not change, with the words of
// Delivered-To or X-Original-To by which the mailbox shows that it got them.
var awkward = []struct{ name, from, mailParameters, to, rcptParameters string }{
	{"plain", "<saiyo@sample.example.jp>", "", "<hanako.%s@mail.example.com>", ""},
	{"null path", "<>", "", "<null.%s@mail.example.com>", ""},
	{"DSN", "<saiyo@sample.example.jp>", " RET=HDRS ENVID=QQ314159", "<dsn.%s@mail.example.com>", " NOTIFY=FAILURE,DELAY ORCPT=rfc822;dsn@mail.example.com"},
	{"SMTPUTF8", "<採用@sample.example.jp>", " SMTPUTF8 BODY=8BITMIME", "<花子.%s@mail.example.com>", ""},
	{"quoted local part", `<"a b"@sample.example.jp>`, "", `<"hana ko.%s"@mail.example.com>`, ""},
}

// throughDoor sends the awkward mails and looks for them in the mailbox.
func throughDoor(t *testing.T, h *hop, front *smtptest.Postfix, mark string, through bool) {
	t.Helper()
	client := smtptest.Dial(t, front.Addr)
	client.Talk("S: 220*", "C: EHLO ats.sample.example.jp")
	client.Expect("250*")
	for i, one := range awkward {
		id := fmt.Sprintf("<%s-%d@sample.example.jp>", mark, i)
		client.Talk("C: MAIL FROM:"+one.from+one.mailParameters, "S: 250*", "C: RCPT TO:"+fmt.Sprintf(one.to, mark)+one.rcptParameters, "S: 250*", "C: DATA", "S: 354*")
		client.Send(demoLetter(t, id))
		client.Expect("250*")
		arrived := awaitMail(t, h.mailbox, id)
		if got := strings.Contains(arrived, "\nX-Career-Relay: relayed"); got != through {
			t.Errorf("%s: passed through the relay: %v, want %v", one.name, got, through)
		}
		if got := strings.Contains(arrived, "http://"+h.web+"/r/"); got != through {
			t.Errorf("%s: has a link: %v, want %v:\n%s", one.name, got, through, arrived)
		}
		if want := strings.Trim(fmt.Sprintf(one.to, mark), "<>"); !strings.Contains(arrived, want) {
			t.Errorf("%s: delivered to another address than %s:\n%s", one.name, want, arrived)
		}
	}
	client.Talk("C: QUIT", "S: 221*")
}

// awaitMail waits for the message with this Message-ID, as Postfix wrote it.
func awaitMail(t *testing.T, mailbox *smtptest.Postfix, id string) string {
	t.Helper()
	var found string
	await(t, id+" to arrive", func() bool {
		for _, mail := range mailbox.Mails(t) {
			if strings.Contains(mail, "\nMessage-ID: "+id+"\n") {
				found = mail
			}
		}
		return found != ""
	})
	return found
}

// demoLetter is an English rejection with this Message-ID, ready for DATA.
func demoLetter(t *testing.T, id string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("demo", letterFiles["english"].file))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(messageIDLine.ReplaceAll(raw, []byte("Message-ID: "+id))), "\r\n.", "\r\n..") + ".\r\n"
}
