package smtp

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/rewrite"
)

// alwaysRejection takes every message for a rejection.
type alwaysRejection struct{ language string }

func (a alwaysRejection) Decide(*rewrite.Reading, rewrite.Envelope) rewrite.Verdict {
	return rewrite.Verdict{Kind: rewrite.Rejection, Rule: "always", Language: a.language}
}

func testBlock(_ rewrite.Verdict, link, optOut string) (rewrite.Block, bool) {
	w := rewrite.Wording{Text: "* advertisement of {{company}} and {{agency}}\n{{link}}\nstop:\n{{optout_link}}\n",
		HTML: `<p lang="en">advertisement of {{company}} and {{agency}} <a href="{{link}}">{{link}}</a> stop: <a href="{{optout_link}}">x</a></p>`}
	b := w.Render(rewrite.Values{Link: link, OptOut: optOut, Company: "Sample", Agency: "Agency"}, nil)
	b.ASCII = b.Text
	return b, true
}

// withRewrite gives the company the real package rewrite.
func withRewrite(o *Options, _ *rig) {
	o.Companies[0].editor = nil
	o.Companies[0].Rules, o.Companies[0].Block = alwaysRejection{"en"}, testBlock
}

// TestRealMails sends the corpus through the whole relay: each mail arrives with
// insertions alone, or as it was.
func TestRealMails(t *testing.T) {
	files, err := filepath.Glob("../testdata/corpus/*/rejection/*.eml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	r := newRig(t, withRewrite)
	p := r.dial()
	edited := 0
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		mail := strings.ReplaceAll(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\n", "\r\n")
		if got := p.deliver(strings.ReplaceAll("\r\n"+mail, "\r\n.", "\r\n..")[2:]); !strings.HasPrefix(got, "250 ") {
			t.Fatalf("%s: %s", name, got)
		}
		deliveries := r.upstream.got()
		out := body(t, deliveries[len(deliveries)-1].message)
		if out == mail {
			continue
		}
		edited++
		if _, err := rewrite.Compare(strings.NewReader(mail), int64(len(mail)), strings.NewReader(out), int64(len(out))); err != nil {
			t.Errorf("%s: more than insertions: %v", name, err)
		}
	}
	p.talk("C: QUIT", "S: 221*")
	if edited < len(files)*9/10 {
		t.Errorf("%d of %d mails were edited; log:\n%.3000s", edited, len(files), r.logs)
	}
	if n := r.counter("careerrelay_fail_open_total", "prove") + r.counter("careerrelay_fail_open_total", "splice"); n != 0 {
		t.Errorf("%v mails failed open", n)
	}
}

// TestLargeMail: a message beyond the window is edited too, and what surrounds
// the block is what came in.
func TestLargeMail(t *testing.T) {
	r := newRig(t, withRewrite, func(o *Options, r *rig) {
		o.Limits.Window = 64 << 10
		r.upstream.extensions["SIZE"] = "50000000"
	})
	head := "Message-ID: <l@company.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nWe must decline.\r\n"
	tail := "--b\r\nContent-Type: application/pdf; name=x.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		strings.Repeat(strings.Repeat("QUJD", 19)+"\r\n", 30000) + "--b--\r\n"
	p := r.dial()
	if got := p.deliver(head + tail); !strings.HasPrefix(got, "250") {
		t.Fatal(got)
	}
	out := []byte(body(t, r.upstream.got()[0].message))
	if !bytes.HasPrefix(out, []byte(head)) || !bytes.HasSuffix(out, []byte(tail)) || len(out) == len(head)+len(tail) {
		t.Errorf("delivered %d bytes that begin %.400q", len(out), out)
	}
}

// TestUneditable: what may not be edited is no failure, and leaves no referral.
func TestUneditable(t *testing.T) {
	r := newRig(t, withRewrite)
	p := r.dial()
	mail := "Message-ID: <s@company.example>\r\nContent-Type: multipart/signed; boundary=b; protocol=\"application/pgp-signature\"\r\n\r\n" +
		"--b\r\nContent-Type: text/plain\r\n\r\nNo.\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n"
	p.deliver(mail)
	p.talk("C: QUIT", "S: 221*")
	if out := body(t, r.upstream.got()[0].message); out != mail {
		t.Errorf("delivered %q", out)
	}
	if n := r.counter("careerrelay_messages_unedited_total", "signed"); n != 1 {
		t.Errorf("reason signed counted %v times; log:\n%s", n, r.logs)
	}
	if did := r.referrals.did(); did != "offer void" {
		t.Errorf("steps %q", did)
	}
}

// TestOwnLink: a mail that has a link of ours already has been here, and passes
// as it is; one that names another page of the same host has not.
func TestOwnLink(t *testing.T) {
	html := func(text string) string {
		return "Message-ID: <html@company.example>\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body><p>" + text + "</p></body></html>\r\n"
	}
	plain := func(text string) string {
		return "Message-ID: <plain@company.example>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nWe must decline. " + text + "\r\n"
	}
	for _, tt := range []struct {
		name, mail string
		edited     bool
	}{
		{"page of a candidate", plain("https://jobs.example/r/abcdefghijklmnopqrstuvwxyz"), false},
		{"way to stop", plain("https://jobs.example/o/abcdefghijklmnopqrstuvwxyz"), false},
		{"behind words", html(`<a href="https://jobs.example/r/abcdefghijklmnopqrstuvwxyz">your page</a>`), false},
		{"quoted from before", plain("\r\n\r\n> https://jobs.example/r/abcdefghijklmnopqrstuvwxyz"), false},
		{"another page of the host", plain("https://jobs.example/openings"), true},
		{"another page behind words", html(`<a href="https://jobs.example/openings">openings</a>`), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, withRewrite)
			p := r.dial()
			if got := p.deliver(tt.mail); !strings.HasPrefix(got, "250 ") {
				t.Fatal(got)
			}
			p.talk("C: QUIT", "S: 221*")
			if got := body(t, r.upstream.got()[0].message) != tt.mail; got != tt.edited {
				t.Errorf("edited: %v, want %v; log:\n%s", got, tt.edited, r.logs)
			}
			if n := r.counter("careerrelay_messages_unedited_total", "already_present"); (n == 1) == tt.edited {
				t.Errorf("%v counted as already_present", n)
			}
		})
	}
}
