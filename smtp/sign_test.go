package smtp

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"mime/quotedprintable"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"

	"github.com/careerrelay/careerrelay/rewrite"
	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// signingKeys are an RSA and an Ed25519 key for company.example, and one for
// another domain.
func signingKeys(t *testing.T) []SigningKey {
	t.Helper()
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return []SigningKey{
		{Domain: "company.example", Selector: "r1", Key: weak},
		{Domain: "company.example", Selector: "e1", Key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))},
		{Domain: "other.example", Selector: "o1", Key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))},
	}
}

// records are what the DNS would answer.
func records(t *testing.T, keys []SigningKey) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, k := range keys {
		record, err := k.Record()
		if err != nil {
			t.Fatal(err)
		}
		all[k.Name()] = record
	}
	return all
}

func withResign(keys []SigningKey) func(o *Options, r *rig) {
	return func(o *Options, r *rig) {
		withRewrite(o, r)
		o.Companies[0].DKIM, o.Companies[0].SigningKeys = Resign, keys
		r.upstream.extensions["SIZE"] = "50000000"
	}
}

const staleSignature = "DKIM-Signature: v=1; a=rsa-sha256; d=company.example; s=ats; h=from:to;\r\n\tbh=AAAA; b=\r\n BBBB\r\n"

// signedMails are signed mails in many charsets and encodings.
func signedMails(t *testing.T) map[string]string {
	t.Helper()
	const head = "From: =?iso-2022-jp?B?GyRCP007diHbKEI=?= <hr@company.example>\r\nTo: a@b.example\r\nSubject: result\r\nMessage-ID: <d@company.example>\r\n" +
		"Date: Wed, 25 Nov 2026 06:00:00 +0000\r\nMIME-Version: 1.0\r\n"
	part := func(kind, charset, cte, text string, e encoding.Encoding) string {
		if e != nil {
			var err error
			if text, err = e.NewEncoder().String(text); err != nil {
				t.Fatal(err)
			}
		}
		switch cte {
		case "base64":
			text = base64.StdEncoding.EncodeToString([]byte(text)) + "\r\n"
		case "quoted-printable":
			var b bytes.Buffer
			w := quotedprintable.NewWriter(&b)
			io.WriteString(w, text)
			w.Close()
			text = b.String()
		}
		return "Content-Type: " + kind + "; charset=" + charset + "\r\nContent-Transfer-Encoding: " + cte + "\r\n\r\n" + text
	}
	const ja, html = "山田様\r\n\r\n今回は見送らせていただきます。  \r\n-- \r\n人事部\r\n", "<p>今回は  見送らせていただきます。</p>\r\n"
	alternative := "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n" + part("text/plain", "iso-2022-jp", "7bit", ja, japanese.ISO2022JP) +
		"\r\n--b\r\n" + part("text/html", "utf-8", "quoted-printable", html, nil) + "\r\n--b--\r\n\r\n\r\n"
	return map[string]string{
		"utf-8 8bit":               head + part("text/plain", "utf-8", "8bit", ja, nil),
		"utf-8 quoted-printable":   head + part("text/plain", "utf-8", "quoted-printable", ja, nil),
		"utf-8 base64":             head + part("text/plain", "utf-8", "base64", ja, nil),
		"iso-2022-jp 7bit":         head + part("text/plain", "iso-2022-jp", "7bit", ja, japanese.ISO2022JP),
		"iso-2022-jp base64":       head + part("text/plain", "iso-2022-jp", "base64", ja, japanese.ISO2022JP),
		"shift_jis 8bit":           head + part("text/plain", "shift_jis", "8bit", ja, japanese.ShiftJIS),
		"euc-jp quoted-printable":  head + part("text/plain", "euc-jp", "quoted-printable", ja, japanese.EUCJP),
		"us-ascii":                 head + part("text/plain", "us-ascii", "7bit", "We must  decline. \t\r\n.\r\n..\r\n\r\n\r\n", nil),
		"html utf-8 8bit":          head + part("text/html", "utf-8", "8bit", html, nil),
		"alternative":              head + alternative,
		"from a subdomain":         strings.Replace(head, "hr@company", "hr@jobs.company", 1) + part("text/plain", "us-ascii", "7bit", "We must decline.\r\n", nil),
		"no subject, no To":        strings.Replace(strings.Replace(head, "Subject: result\r\n", "", 1), "To: a@b.example\r\n", "", 1) + part("text/plain", "us-ascii", "7bit", "We must decline.\r\n", nil),
		"oddly written header":     strings.NewReplacer("Subject: result", "SUBJECT:\r\n\tre:  sult \t", "To: a", "to:a").Replace(head) + part("text/plain", "us-ascii", "7bit", "We must decline.\r\n", nil),
		"attachment of 2 MB":       head + "Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n" + part("text/plain", "utf-8", "8bit", ja, nil) + "\r\n--m\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat(strings.Repeat("A", 76)+"\r\n", 27000) + "--m--\r\n",
		"signed by another domain": strings.Replace(staleSignature, "company.example", "mailer.example", 1) + head + part("text/plain", "utf-8", "8bit", ja, nil),
		"ARC set of the sender":    "ARC-Seal: i=1; a=rsa-sha256; cv=none; d=company.example; s=x; b=AA\r\nARC-Message-Signature: i=1; a=rsa-sha256; d=company.example; s=x; bh=AA; b=AA\r\n" + head + part("text/plain", "utf-8", "8bit", ja, nil),
	}
}

// TestResign sends signed mails in many charsets and encodings through the
// relay: they arrive edited, the old signatures of the domain are gone, and two
// verifiers that know nothing of each other take the new ones for good.
func TestResign(t *testing.T) {
	keys := signingKeys(t)
	dns := records(t, keys)
	r := newRig(t, withResign(keys))
	p := r.dial()
	mails := signedMails(t)
	names := slices.Sorted(maps.Keys(mails))
	var arrived [][]byte
	for _, name := range names {
		mail := staleSignature + mails[name]
		if got := p.deliver(strings.ReplaceAll(mail, "\r\n.", "\r\n..")); !strings.HasPrefix(got, "250 ") {
			t.Fatalf("%s: %s", name, got)
		}
		deliveries := r.upstream.got()
		out := deliveries[len(deliveries)-1].message
		arrived = append(arrived, []byte(out))
		found, err := rewrite.Compare(strings.NewReader(mail), int64(len(mail)), strings.NewReader(out), int64(len(out)))
		if err != nil || len(found) < 2 || found[0].Replaced != 1 {
			t.Errorf("%s: arrived with %+v, %v; want one signature replaced and a block; log:\n%s", name, found, err, r.logs)
		}
		if strings.Contains(out, "s=ats") != (name == "signed by another domain") {
			t.Errorf("%s: old signatures: %q", name, out[:600])
		}
		verifyWithLibrary(t, name, out, dns)
	}
	p.talk("C: QUIT", "S: 221*")
	for i, results := range smtptest.VerifyDKIM(t, dns, arrived...) {
		for j, want := range []string{"r1", "e1"} {
			if len(results) <= j || results[j] != (smtptest.DKIMResult{Domain: "company.example", Selector: want, Valid: true}) {
				t.Errorf("%s: dkimpy says %+v", names[i], results)
			}
		}
	}
}

// verifyWithLibrary checks our two signatures with go-msgauth, and that it sees
// harm to what they cover.
func verifyWithLibrary(t *testing.T, name, mail string, dns map[string]string) {
	t.Helper()
	valid := func(mail string) int {
		results, err := dkim.VerifyWithOptions(strings.NewReader(mail), &dkim.VerifyOptions{MaxVerifications: 2,
			LookupTXT: func(name string) ([]string, error) { return []string{dns[name]}, nil }})
		if err != nil && !errors.Is(err, dkim.ErrTooManySignatures) {
			t.Errorf("%s: %v", name, err)
		}
		n := 0
		for _, v := range results {
			if v.Err == nil && v.Domain == "company.example" {
				n++
			}
		}
		return n
	}
	if got := valid(mail); got != 2 {
		t.Errorf("%s: go-msgauth takes %d signatures for good, want 2", name, got)
	}
	head := strings.Index(mail, "MIME-Version:")
	for _, field := range []string{"From: evil@other.example\r\n", "Subject: you won\r\n", "To: you@other.example\r\n", "Reply-To: evil@other.example\r\n", "Content-Type: text/html\r\n"} {
		if got := valid(mail[:head] + field + mail[head:]); got != 0 {
			t.Errorf("%s: %d signatures hold although %q was added", name, got, field)
		}
	}
}

// TestResignReasons: what passes untouched under the policy, with its old
// signature, and why.
func TestResignReasons(t *testing.T) {
	const letter = "From: hr@company.example\r\nMessage-ID: <d@company.example>\r\nContent-Type: text/plain\r\n\r\nWe must decline.\r\n"
	broken := []SigningKey{{Domain: "company.example", Selector: "b", Key: brokenKey{}}}
	wrong := []SigningKey{{Domain: "company.example", Selector: "w", Key: wrongKey{ed25519.NewKeyFromSeed(make([]byte, 32))}}}
	good := signingKeys(t)
	for _, tc := range []struct {
		name, mail, reason string
		keys               []SigningKey
		change             func(o *Options, r *rig)
	}{
		{"no key for the sender", strings.Replace(staleSignature+letter, "hr@company", "hr@elsewhere", 1), "dkim_key", good, nil},
		{"no From", strings.Replace(staleSignature+letter, "From:", "X-From:", 1), "dkim_key", good, nil},
		{"two From fields", "From: ceo@company.example\r\n" + staleSignature + letter, "dkim_key", good, nil},
		{"the key cannot sign", staleSignature + letter, "failed_sign", broken, nil},
		{"the signature is wrong", staleSignature + letter, "failed_sign", wrong, nil},
		{"one of two keys cannot sign", staleSignature + letter, "failed_sign", append(good[:2:2], broken...), nil},
		{"a field a thousand times", strings.Repeat("Cc: a@b.example\r\n", 1000) + staleSignature + letter, "failed_sign", good, nil},
		{"no rejection", staleSignature + letter, "no_rule", good, func(o *Options, _ *rig) { o.Companies[0].Rules = neverRejection{} }},
		{"observed", staleSignature + letter, "observe", good, func(o *Options, _ *rig) { o.Companies[0].Mode = Observe }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, withResign(tc.keys), func(o *Options, r *rig) {
				if tc.change != nil {
					tc.change(o, r)
				}
			})
			p := r.dial()
			if got := p.deliver(tc.mail); !strings.HasPrefix(got, "250 ") {
				t.Fatal(got)
			}
			p.talk("C: QUIT", "S: 221*")
			if out := body(t, r.upstream.got()[0].message); out != tc.mail {
				t.Errorf("delivered %q, want what came", out)
			}
			if n := r.counter("careerrelay_messages_unedited_total", tc.reason); n != 1 {
				t.Errorf("reason %q is counted %v times; log:\n%s", tc.reason, n, r.logs)
			}
			if want := map[bool]float64{true: 1}[tc.reason == "failed_sign"]; r.counter("careerrelay_fail_open_total", "sign") != want {
				t.Errorf("fail open at sign is not counted %v times", want)
			}
		})
	}
	t.Run("unsigned mail is edited and not signed", func(t *testing.T) {
		r := newRig(t, withResign(good))
		p := r.dial()
		p.deliver(letter)
		p.talk("C: QUIT", "S: 221*")
		out := r.upstream.got()[0].message
		if !strings.Contains(out, "jobs.example") || strings.Contains(out, "DKIM-Signature") {
			t.Errorf("delivered %q, want a link and no signature", out)
		}
	})
}

// neverRejection finds nothing in any message.
type neverRejection struct{}

func (neverRejection) Decide(*rewrite.Reading, rewrite.Envelope) rewrite.Verdict {
	return rewrite.Verdict{Kind: rewrite.None, Reason: "no_rule"}
}

// brokenKey cannot sign: the way of a hardware key whose device is gone.
type brokenKey struct{}

func (brokenKey) Public() crypto.PublicKey { return make(ed25519.PublicKey, ed25519.PublicKeySize) }
func (brokenKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("device is gone")
}

// wrongKey signs with another key than the one it shows.
type wrongKey struct{ ed25519.PrivateKey }

func (wrongKey) Public() crypto.PublicKey { return make(ed25519.PublicKey, ed25519.PublicKeySize) }

func TestKeysFor(t *testing.T) {
	keys := []SigningKey{{Domain: "a.example", Selector: "1"}, {Domain: "hr.a.example", Selector: "2"}, {Domain: "a.example", Selector: "3"}}
	for sender, want := range map[string]string{
		"a.example": "13", "x.a.example": "13", "hr.a.example": "2", "y.hr.a.example": "2", "ba.example": "", "example": "", "": "",
	} {
		got := ""
		for _, k := range KeysFor(keys, sender) {
			got += k.Selector
		}
		if got != want {
			t.Errorf("%q: got keys %q, want %q", sender, got, want)
		}
	}
}

func TestPublished(t *testing.T) {
	keys := signingKeys(t)
	dns := records(t, keys)
	ours, other := dns["r1._domainkey.company.example"], dns["e1._domainkey.company.example"]
	for _, tc := range []struct {
		name    string
		records []string
		want    string // part of the error; "" for none
	}{
		{"as it should be", []string{ours}, ""},
		{"without version and with blanks", []string{strings.Replace(strings.Replace(ours, "v=DKIM1; ", "", 1), "p=MII", "p = MI I", 1)}, ""},
		{"beside something else", []string{"v=spf1 -all", ours}, ""},
		{"nothing", nil, "no DKIM record"},
		{"something else", []string{"v=spf1 -all", "v=DKIM2; p=" + ours}, "no DKIM record"},
		{"another key", []string{other}, "another key"},
		{"revoked", []string{"v=DKIM1; p="}, "revoked"},
		{"two", []string{ours, other}, "2 DKIM records"},
	} {
		if err := keys[0].Published(tc.records); (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}
}
