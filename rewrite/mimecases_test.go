package rewrite

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/japanese"
)

// mail builds a message with CRLF line ends from lines that end in LF.
func mail(header, body string) string {
	return strings.ReplaceAll("From: Jinji <jinji@corp.example.jp>\nTo: <taro@mail.example>\nSubject: result\nMIME-Version: 1.0\n"+header+"\n"+body, "\n", "\r\n")
}

func jis(s string) string {
	b, err := japanese.ISO2022JP.NewEncoder().String(s)
	if err != nil {
		panic(err)
	}
	return b
}

func sjis(s string) string {
	b, err := japanese.ShiftJIS.NewEncoder().String(s)
	if err != nil {
		panic(err)
	}
	return b
}

func b64(s string, width int) string {
	e := base64.StdEncoding.EncodeToString([]byte(s))
	var b strings.Builder
	for len(e) > width {
		b.WriteString(e[:width] + "\n")
		e = e[width:]
	}
	return b.String() + e
}

const (
	jaText   = "山田様\n\n今回は採用を見送らせていただきます。\n\n"
	utf8Part = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n"
	htmlPart = "Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: 8bit\n"
	pdfPart  = "Content-Type: application/pdf; name=a.pdf\nContent-Disposition: attachment; filename=a.pdf\nContent-Transfer-Encoding: base64\n\nJVBERi0xLjQK\n"
)

// multi joins parts with the boundary b.
func multi(kind string, parts ...string) string {
	var s strings.Builder
	fmt.Fprintf(&s, "Content-Type: multipart/%s; boundary=b-%s\n\n", kind, kind)
	for _, p := range parts {
		fmt.Fprintf(&s, "--b-%s\n%s\n", kind, p)
	}
	fmt.Fprintf(&s, "--b-%s--\n", kind)
	return s.String()
}

// whole is a message whose top entity is a multipart.
func whole(entity string) string {
	head, body, _ := strings.Cut(entity, "\n\n")
	return mail(head+"\n", body)
}

// mimeCase is a mail and what becomes of it.
type mimeCase struct {
	name, raw string
	edits     int    // parts edited
	reason    string // or why not
	order     []string
}

// mimeCases are the traps of mail in the wild: what is edited, and what passes
// with which reason.
var mimeCases = []mimeCase{
	{name: "plain utf-8 8bit", raw: mail(utf8Part, jaText), edits: 1, order: []string{"見送ら", "【提携"}},
	{name: "no newline at the end", raw: mail(utf8Part, "山田様\n残念ながら不採用です。"), edits: 1, order: []string{"不採用です。", "【提携"}},
	{name: "utf-8 label 7bit, Japanese cannot be added", raw: mail("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 7bit\n", "Dear A,\nno.\n"), edits: 1, order: []string{"no.", "[Partner service"}},
	{name: "8bit under a 7bit label", raw: mail("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 7bit\n", jaText), edits: 1, order: []string{"見送ら", "【提携"}},
	{name: "iso-2022-jp", raw: mail("Content-Type: text/plain; charset=iso-2022-jp\nContent-Transfer-Encoding: 7bit\n", jis(jaText)), edits: 1, order: []string{"見送ら", "【提携"}},
	{name: "iso-2022-jp, escape open at the line end", raw: mail("Content-Type: text/plain; charset=iso-2022-jp\n", "\x1b$B:#2s$O\n8+Aw$j\x1b(B\n\n-- \nx\n"), edits: 1, order: []string{"今回は", "【提携", "-- "}},
	{name: "iso-2022-jp, escape open at the place", raw: mail("Content-Type: text/plain; charset=iso-2022-jp\n", "\x1b$B:#2s$O\n\x1b(B-- \nx\n"), edits: 1, order: []string{"今回は", "【提携", "-- "}},
	{name: "cp50221 extensions", raw: mail("Content-Type: text/plain; charset=iso-2022-jp\n", "\x1b$B-j-!\x1b(I6E\x1b(B\n"+jis(jaText)), edits: 1, order: []string{"㈱①ｶﾅ", "【提携"}[:1]},
	{name: "iso-2022-jp in base64", raw: mail("Content-Type: text/plain; charset=iso-2022-jp\nContent-Transfer-Encoding: base64\n", b64(strings.ReplaceAll(jis(jaText), "\n", "\r\n"), 76)+"\n"), edits: 1, order: []string{"見送ら", "【提携"}},
	{name: "iso-2022-jp in quoted-printable", raw: mail("Content-Type: text/plain; charset=iso-2022-jp\nContent-Transfer-Encoding: quoted-printable\n", strings.ReplaceAll(jis(jaText), "=", "=3D")), edits: 1, order: []string{"見送ら", "【提携"}},
	{name: "shift_jis 8bit, trail bytes like backslash", raw: mail("Content-Type: text/plain; charset=Shift_JIS\nContent-Transfer-Encoding: 8bit\n", sjis("ソ表十能予\n"+jaText)), edits: 1, order: []string{"ソ表十能予", "【提携"}},
	{name: "windows-31j alias", raw: mail("Content-Type: text/plain; charset=windows-31j\nContent-Transfer-Encoding: 8bit\n", sjis("㈱髙\n"+jaText)), edits: 1, order: []string{"見送ら", "【提携"}},
	{name: "latin-1 gets the ASCII block", raw: mail("Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n", "Estimada Mar\xeda,\nno.\n"), edits: 1, order: []string{"María", "[Partner service"}},
	{name: "latin-1 html gets references", raw: mail("Content-Type: text/html; charset=iso-8859-1\n", "<p>no.</p>\n"), edits: 1, order: []string{"no.", "&#12304;"}},
	{name: "utf-16 passes", raw: mail("Content-Type: text/plain; charset=utf-16\nContent-Transfer-Encoding: base64\n", b64("\xfe\xff\x00a\x00b", 76)+"\n"), reason: "charset_unsupported"},
	{name: "unknown charset", raw: mail("Content-Type: text/plain; charset=x-klingon\n", "no\n"), reason: "charset_unknown"},
	{name: "mislabelled", raw: mail("Content-Type: text/plain; charset=us-ascii\n", jaText), reason: "charset_mismatch"},
	{name: "no label at all, ASCII", raw: mail("", "Dear A,\n\nno.\n"), edits: 1, order: []string{"no.", "[Partner service"}},
	{name: "charset with trailing comment", raw: mail("Content-Type: text/plain; charset=utf-8 (Unicode)\nContent-Transfer-Encoding: 8bit\n", jaText), edits: 1},
	{name: "meta charset disagrees", raw: mail(htmlPart, "<html><head><meta charset=shift_jis></head><body><p>見送ります</p></body></html>\n"), edits: 1, order: []string{"見送ります", "&#12304;"}},

	{name: "base64 odd line length", raw: mail("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n", b64(jaText, 61)+"\n"), edits: 1, order: []string{"見送ら", "【提携"}},
	{name: "base64 without final newline", raw: mail("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n", b64(jaText, 76)), edits: 1},
	{name: "base64 trailing blanks", raw: mail("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n", strings.ReplaceAll(b64(jaText, 76), "\n", "  \n")+"  \n"), edits: 1},
	{name: "base64 in two padded runs", raw: mail("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n", b64("no way", 76)[:8]+"\n"+b64("a", 76)+"\n"+b64("b", 76)+"\n"), reason: "base64_irregular"},
	{name: "qp soft breaks, lower-case hex", raw: mail("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n", "=e4=bb=8a=e5=9b=\n=9e\n-- \nx\n"), edits: 1, order: []string{"今回", "【提携", "-- "}},
	{name: "qp ends in a soft break", raw: mail("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n", "no thanks=\n"), edits: 1, order: []string{"no thanks", "【提携"}},
	{name: "unknown transfer encoding", raw: mail("Content-Type: text/plain\nContent-Transfer-Encoding: x-uuencode\n", "no\n"), reason: "transfer_encoding"},

	{name: "alternative", raw: whole(multi("alternative", utf8Part+"\n"+jaText, htmlPart+"\n<p>見送り</p>")), edits: 2},
	{name: "mixed(related(alternative)) with attachment", raw: whole(multi("mixed", multi("related", multi("alternative", utf8Part+"\n"+jaText, htmlPart+"\n<p>見送り</p>")), pdfPart)), edits: 2},
	{name: "alternative(plain, related(html))", raw: whole(multi("alternative", utf8Part+"\n"+jaText, multi("related", htmlPart+"\n<p>見送り</p>", "Content-Type: image/png\nContent-ID: <x>\n\nxx"))), edits: 2},
	{name: "alternative with AMP and enriched", raw: whole(multi("alternative", utf8Part+"\n"+jaText, "Content-Type: text/x-amp-html\n\n<p>x", "Content-Type: text/enriched\n\nx", htmlPart+"\n<p>見送り</p>")), edits: 2},
	{name: "alternative with calendar", raw: whole(multi("alternative", utf8Part+"\n"+jaText, "Content-Type: text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR")), reason: "calendar"},
	{name: "several texts in mixed: the first", raw: whole(multi("mixed", utf8Part+"\n"+jaText, utf8Part+"\nsecond")), edits: 1, order: []string{"見送ら", "【提携", "second"}},
	{name: "text attachment only", raw: whole(multi("mixed", "Content-Type: text/plain; name=rejection.txt\nContent-Disposition: attachment; filename=rejection.txt\n\nno")), reason: "no_text"},
	{name: "inline text with a file name", raw: whole(multi("mixed", "Content-Disposition: inline; filename=a.txt\nContent-Type: text/plain\n\nno", utf8Part+"\n"+jaText)), edits: 1},
	{name: "forwarded message only", raw: mail("Content-Type: message/rfc822\n", "Subject: x\n\nno\n"), reason: "no_text"},
	{name: "signed", raw: whole(multi("signed", utf8Part+"\n"+jaText, "Content-Type: application/pkcs7-signature\n\nMII")), reason: "signed"},
	{name: "signed inside mixed", raw: whole(multi("mixed", multi("signed", utf8Part+"\n"+jaText, "Content-Type: application/pgp-signature\n\nx"), utf8Part+"\nfooter")), reason: "signed"},
	{name: "encrypted", raw: whole(multi("encrypted", "Content-Type: application/pgp-encrypted\n\nVersion: 1", "Content-Type: application/octet-stream\n\nx")), reason: "encrypted"},
	{name: "pkcs7-mime", raw: mail("Content-Type: application/pkcs7-mime\n", "MII\n"), reason: "encrypted"},
	{name: "inline PGP", raw: mail(utf8Part, "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nno\n"), reason: "signed"},
	{name: "report", raw: whole(multi("report", utf8Part+"\n"+jaText, "Content-Type: message/delivery-status\n\nx")), reason: "report"},
	{name: "winmail.dat only", raw: mail("Content-Type: application/ms-tnef; name=winmail.dat\n", "x\n"), reason: "no_text"},
	{name: "DKIM signature", raw: mail("DKIM-Signature: v=1; a=rsa-sha256; d=x; s=y; bh=; b=\n"+utf8Part, jaText), reason: "dkim"},
	{name: "preamble, epilogue, padding behind the boundary", raw: mail("Content-Type: multipart/mixed; boundary=\"b b\"\n", "preamble\n--b b \t\n"+utf8Part+"\n"+jaText+"\n--b b--\nepilogue --b b\n"), edits: 1, order: []string{"見送ら", "【提携", "--b b--"}},
	{name: "boundary that is a prefix of another", raw: mail("Content-Type: multipart/mixed; boundary=ab\n", "--ab\nContent-Type: multipart/alternative; boundary=abc\n\n--abc\n"+utf8Part+"\n"+jaText+"--abc--\n--ab--\n"), edits: 1},
	{name: "boundary that ends in =", raw: mail("Content-Type: multipart/mixed; boundary=\"a==\"\n", "--a==\n"+utf8Part+"\n"+jaText+"--a==--\n"), edits: 1},
	{name: "text line that looks like a delimiter", raw: mail("Content-Type: multipart/mixed; boundary=bb\n", "--bb\n"+utf8Part+"\n--bbx\n"+jaText+"--bb--\n"), edits: 1},
	{name: "closing delimiter missing", raw: mail("Content-Type: multipart/mixed; boundary=bb\n", "--bb\n"+utf8Part+"\n"+jaText), edits: 1},
	{name: "boundary parameter missing", raw: mail("Content-Type: multipart/mixed\n", "--bb\n"+utf8Part+"\n"+jaText), reason: "no_text"},
	{name: "empty parts, header without body", raw: mail("Content-Type: multipart/mixed; boundary=bb\n", "--bb\n--bb\nContent-Type: text/plain\n--bb\n"+utf8Part+"\n"+jaText+"--bb--\n"), reason: "empty_text"},
	{name: "duplicate Content-Type", raw: mail("Content-Type: text/plain\nContent-Type: text/html\n", "no\n"), reason: "ambiguous_structure"},
	{name: "missing MIME-Version", raw: "From: a@b.example\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n残念\r\n", edits: 1},
	{name: "upper case, odd folding", raw: mail("CONTENT-TYPE:\n\tTEXT/PLAIN;\n\n"[:len("CONTENT-TYPE:\n\tTEXT/PLAIN;\n")]+" CHARSET=\"UTF-8\"\nCONTENT-TRANSFER-ENCODING: 8BIT\n", jaText), edits: 1},
	{name: "LF only", raw: "From: a@b.example\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n残念\n", edits: 1},
	{name: "NUL and long lines stay", raw: mail(utf8Part, "a\x00b "+strings.Repeat("x", 1200)+"\n残念です。\n"), edits: 1},

	{name: "html without body", raw: mail(htmlPart, "<p>見送り"), edits: 1, order: []string{"見送り", "【提携"}},
	{name: "html, </body> in a comment and a script", raw: mail(htmlPart, "<html><body><!-- </body> --><script>'</body>'</script><p>見送り</p></body></html>\n"), edits: 1, order: []string{"<p>見送り</p>", "【提携", "</body></html>"}},
	{name: "html tables only", raw: mail(htmlPart, "<table><tr><td>見送り</td></tr></table>\n"), edits: 1, order: []string{"見送り", "【提携", "</td></tr>"}},
	{name: "html pre", raw: mail(htmlPart, "<pre>見送り\n-- \nsig</pre>\n"), edits: 1, order: []string{"見送り", "</pre>", "【提携"}},
	{name: "html hidden pre-header", raw: mail(htmlPart, "<body><div style=\"display:none\">選考結果</div><p>見送り</p></body>\n"), edits: 1, order: []string{"<p>見送り</p>", "【提携"}},
	{name: "html with quoted mail", raw: mail(htmlPart, "<div>見送り</div><div class=gmail_quote>2026年5月1日 A:<blockquote>old</blockquote></div>\n"), edits: 1, order: []string{"見送り", "【提携", "gmail_quote"}},
	{name: "html all entities, tags inside words", raw: mail("Content-Type: text/html; charset=us-ascii\n", "<p>&#35211;<b>&#36865;</b>&#12426;</p>\n"), edits: 1, order: []string{"&#12426;</p>", "&#12304;"}},
	{name: "conditional comment at the end", raw: mail(htmlPart, "<body><p>見送り</p><!--[if mso]><p>x</p><![endif]--></body>\n"), edits: 1, order: []string{"<p>見送り</p>", "【提携", "<!--[if mso]>"}},

	{name: "Japanese rule signature", raw: mail(utf8Part, jaText+"━━━━━━━━\n株式会社青葉 人事部\nTEL 03-0000-0000\n━━━━━━━━\n"), edits: 1, order: []string{"見送ら", "【提携", "━━━━"}},
	{name: "quoted history, top posting", raw: mail(utf8Part, "残念です。\n\n2026年5月1日(金) 10:00 A <a@b.example>:\n> old\n"), edits: 1, order: []string{"残念", "【提携", "> old"}},
	{name: "quoted history, bottom posting", raw: mail(utf8Part, "> old\n> old\n\n残念です。\n"), edits: 1, order: []string{"> old", "残念", "【提携"}},
	{name: "original message block", raw: mail(utf8Part, "残念です。\n\n-----Original Message-----\nFrom: x\nSent: y\nSubject: z\n\nold\n"), edits: 1, order: []string{"残念", "【提携", "-----Original"}},
	{name: "差出人 block", raw: mail(utf8Part, "残念です。\n\n差出人: x\n送信日時: y\n宛先: w\n件名: z\n\nold\n"), edits: 1, order: []string{"残念", "【提携", "差出人"}},
	{name: "format=flowed, DelSp", raw: mail("Content-Type: text/plain; charset=utf-8; format=flowed; delsp=yes\nContent-Transfer-Encoding: 8bit\n", "今回は \n見送ります。 \n-- \nsig\n"), edits: 1, order: []string{"見送ります", "\r\n\r\n* * *", "【提携", "-- "}},

	{name: "placeholder", raw: mail(utf8Part, "残念です。\n{{career_relay}}\n以上\n"), edits: 1, order: []string{"残念", "【提携", "以上"}},
	{name: "placeholder cut by a soft break", raw: mail("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n", "no\n{{career_=\nrelay}}\nend\n"), edits: 1, order: []string{"no", "【提携", "end"}},
	{name: "placeholder cut by tags", raw: mail(htmlPart, "<p>no</p><div>{{<b>career</b>_relay}}</div>\n"), edits: 1, order: []string{"no", "【提携", "<b></b>", "</div>"}},
	{name: "link placeholder in an attribute", raw: mail(htmlPart, "<p>no <a href=\"{{career_relay_link}}\">help</a></p>\n"), edits: 1, order: []string{"href=\"https://relay.example.net/r/"}},
	{name: "our link is there already", raw: mail(utf8Part, "see https://relay.example.net/r/aaaa\n"), reason: "already_present"},
	{name: "nothing but a signature", raw: mail(utf8Part, "\n-- \nx\n"), reason: "empty_text"},
}

func TestMIMECases(t *testing.T) {
	block := testBlock(t, "ja-standard")
	for _, c := range mimeCases {
		t.Run(c.name, func(t *testing.T) { c.check(t, block) })
	}
}

// check edits the mail and looks at what its reader gets.
func (c mimeCase) check(t *testing.T, block Block) {
	edited, reason := editMail(t, []byte(c.raw), block)
	if reason != c.reason {
		t.Fatalf("reason: got %q, want %q", reason, c.reason)
	}
	if reason != "" {
		return
	}
	m := mustParse(t, edited)
	var text strings.Builder
	n := 0
	m.Root.Walk(func(p *Part) {
		if l, err := m.leaf(p); err == nil && p.Type() == "text" {
			text.WriteString(l.text.text)
			n += strings.Count(l.text.text, "relay.example.net/r/abcdefghijklmnopqrstuvwxyz/stop") // once per block, or in both forms
		}
	})
	if links := min(n, c.edits); links != c.edits && !strings.Contains(c.raw, linkPlaceholder) {
		t.Errorf("links in %d parts, want %d", n, c.edits)
	}
	inOrder(t, text.String()+"\n"+string(edited), c.order)
}

// editMail edits, proves and compares; it returns the reason if nothing is edited.
func editMail(t testing.TB, raw []byte, b Block) (edited []byte, reason string) {
	t.Helper()
	m := mustParse(t, raw)
	e, err := m.Edit(b, EditOptions{Links: []string{"https://relay.example.net/r/"}})
	if u, ok := err.(*Unedited); ok {
		if Reasons()[u.Reason] == "" {
			t.Errorf("reason %q is not in the list", u.Reason)
		}
		return nil, u.Reason
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Prove(); err != nil {
		if u, ok := err.(*Unedited); ok {
			return nil, u.Reason
		}
		t.Error(err)
	}
	var out bytes.Buffer
	if _, err := e.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	if _, err := Compare(bytes.NewReader(raw), int64(len(raw)), bytes.NewReader(out.Bytes()), int64(out.Len())); err != nil {
		t.Error(err)
	}
	return out.Bytes(), ""
}

func mustParse(t testing.TB, raw []byte) *Message {
	t.Helper()
	m, err := Parse(bytes.NewReader(raw), int64(len(raw)), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// inOrder checks that all words stand in the text, each behind the one before.
func inOrder(t *testing.T, text string, words []string) {
	t.Helper()
	at := 0
	for _, w := range words {
		i := strings.Index(text[at:], w)
		if i < 0 {
			t.Fatalf("%q is not behind what comes before it in\n%s", w, text)
		}
		at += i
	}
}

// nestedMultiparts is a message of n multiparts, each in the one before.
func nestedMultiparts(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b0\r\n\r\n")
	for i := range n {
		fmt.Fprintf(&b, "--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n", i, i+1)
	}
	return b.String()
}

func TestLimits(t *testing.T) {
	big := strings.Repeat("A", 76) + "\r\n"
	cases := []struct{ name, raw, reason string }{
		{"1,000 nested multiparts", nestedMultiparts(1000), "limit_depth"},
		{"10,000 parts", "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", 10000), "limit_parts"},
		{"300 KB header", "X: " + strings.Repeat("a", 300<<10) + "\r\n\r\nno\r\n", "limit_headers"},
		{"5 MB of text", mail(utf8Part, "no\n") + strings.Repeat(big, 5<<20/78), "limit_text"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, reason := editMail(t, []byte(c.raw), testBlock(t, "ja-standard")); reason != c.reason {
				t.Errorf("reason: got %q, want %q", reason, c.reason)
			}
		})
	}
	attachment := strings.TrimSuffix(pdfPart, "\n") + "\n" + strings.Repeat(strings.Repeat("A", 76)+"\n", 30<<20/77)
	for name, parts := range map[string][]string{
		"100 KB header and 30 MB before the text": {attachment, utf8Part + "\n" + jaText}, "100 KB header and 30 MB behind the text": {utf8Part + "\n" + jaText, attachment},
	} {
		t.Run(name, func(t *testing.T) {
			raw := "X-Pad: " + strings.Repeat("a ", 50<<10) + "\r\n" + whole(multi("mixed", parts...))
			if _, reason := editMail(t, []byte(raw), testBlock(t, "ja-standard")); reason != "" {
				t.Errorf("not edited: %s", reason)
			}
		})
	}
	t.Run("1 MB of HTML", func(t *testing.T) {
		defer bounded(t)()
		const row = "<tr><td style=\"color:red\">今回は &amp; <b>見送</b>らせていただきます。</td></tr>\n"
		raw := mail(htmlPart, "<html><body><table>"+strings.Repeat(row, 1_000_000/len(row))+"</table><p>敬具</p></body></html>\n")
		edited, reason := editMail(t, []byte(raw), testBlock(t, "ja-standard"))
		if reason != "" {
			t.Fatalf("not edited: %s", reason)
		}
		inOrder(t, string(edited[len(edited)-4000:]), []string{"<p>敬具</p>", "【提携", "</body>"})
	})
	t.Run("time", func(t *testing.T) {
		start := time.Now()
		m, err := Parse(strings.NewReader(mail(utf8Part, jaText)), int64(len(mail(utf8Part, jaText))), Limits{Expired: func() bool { return !start.IsZero() }})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Edit(testBlock(t, "ja-standard"), EditOptions{}); err == nil || err.(*Unedited).Reason != "limit_time" {
			t.Errorf("got %v, want limit_time", err)
		}
	})
}

func TestShippedWordingsPassTheirLint(t *testing.T) {
	for id, w := range loadWordings(t) {
		for _, p := range w.Lint() {
			t.Errorf("%s: %s", id, p)
		}
	}
	bad := Wording{Language: "ja", Text: "-- \n> {{link}} x\n①〜😀 Amazon\n", HTML: "<img src=x>{{optout_link}}"}
	if got := len(bad.Lint()); got < 10 {
		t.Errorf("a bad wording has only %d problems: %q", got, bad.Lint())
	}
}
