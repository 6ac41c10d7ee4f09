package rewrite

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/text/encoding/japanese"
)

func euc(s string) string {
	b, err := japanese.EUCJP.NewEncoder().String(s)
	if err != nil {
		panic(err)
	}
	return b
}

// moreMIMECases are the traps that first broke something, or that a row of the
// list of traps names and mimeCases lacks.
var moreMIMECases = []mimeCase{
	{name: "euc-jp", raw: mail("Content-Type: text/plain; charset=euc-jp\nContent-Transfer-Encoding: 8bit\n", euc(jaText)), edits: 1, order: []string{"見送ら", "【提携"}},
	{name: "euc-jp in quoted-printable", raw: mail("Content-Type: text/plain; charset=EUC-JP\nContent-Transfer-Encoding: quoted-printable\n", qpAll(euc("今回は見送らせていただきます。"))+"\n"), edits: 1, order: []string{"見送ら", "【提携"}},
	{name: "shift_jis in quoted-printable", raw: mail("Content-Type: text/plain; charset=cp932\nContent-Transfer-Encoding: quoted-printable\n", qpAll(sjis("ソ表見送らせていただきます。"))+"\n"), edits: 1, order: []string{"見送ら", "【提携"}},
	{name: "shift_jis in base64", raw: mail("Content-Type: text/plain; charset=x-sjis\nContent-Transfer-Encoding: base64\n", b64(sjis(jaText), 72)+"\n"), edits: 1, order: []string{"見送ら", "【提携"}},
	{name: "windows-1252", raw: mail("Content-Type: text/plain; charset=windows-1252\nContent-Transfer-Encoding: 8bit\n", "We\x92re sorry.\n"), edits: 1, order: []string{"We’re sorry", "[Partner service"}},
	{name: "binary", raw: mail("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: binary\n", jaText), edits: 1, order: []string{"見送ら", "【提携"}},
	{name: "qp with a stray = at the place", raw: mail("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n", "a = b, no"), reason: "qp_irregular"},
	{name: "qp with a stray = elsewhere", raw: mail("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n", "a = b\n=E4=BB=8A\n"), edits: 1, order: []string{"今", "【提携"}},
	{name: "qp cut inside a soft break", raw: mail("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n", "no= "), reason: "qp_irregular"},
	{name: "iso-2022-jp, text goes on in an open set", raw: mail("Content-Type: text/plain; charset=iso-2022-jp\n", "\x1b$B:#2s$O\n-- \n\x1b(Bx\n"), reason: "charset_mismatch"},
	{name: "iso-2022-jp, control character in a two-byte set", raw: mail("Content-Type: text/plain; charset=iso-2022-jp\n", "\x1b$B:#2s$O:N\x1d\n\n"), reason: "charset_mismatch"},
	{name: "part without a type", raw: whole(multi("mixed", "Content-Description: a text\n\nWe regret.\n", pdfPart)), edits: 1, order: []string{"regret", "[Partner"}},
	{name: "empty Content-Type", raw: mail("Content-Type:\n", "no\n"), reason: "ambiguous_structure"},
	{name: "qp soft breaks at the place", raw: mail("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n", "=E8=A6=8B=E9=\n=80=81=E3=82=8A=\n=\n\n=\n-- =\n\nx\n"), edits: 1, order: []string{"見送り", "【提携", "-- "}},
	{name: "qp lines over 76", raw: mail("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n", strings.Repeat("=E8=A6=8B", 300)+"\n-- \nx\n"), edits: 1, order: []string{"見見見", "【提携", "-- "}},
	{name: "cp50221, NEC and IBM extensions", raw: mail("Content-Type: text/plain; charset=cp50221\n", jis("㈱①Ⅳ髙﨑\n"+jaText)), edits: 1, order: []string{"㈱①Ⅳ髙﨑", "見送ら", "【提携"}},
	{name: "shift_jis, trail bytes like a brace", raw: mail("Content-Type: text/plain; charset=shift_jis\nContent-Transfer-Encoding: 8bit\n", sjis("ボ怎ポ暴ャ\n"+jaText)), edits: 1, order: []string{"ボ怎ポ暴ャ", "見送ら", "【提携"}},
	{name: "header names in lower case", raw: strings.NewReplacer("Content-Type", "content-type", "Content-Transfer", "content-transfer", "MIME", "mime").Replace(mail(utf8Part, jaText)), edits: 1, order: []string{"見送ら", "【提携"}},
	{name: "alternative with RTF", raw: whole(multi("alternative", utf8Part+"\n"+jaText, "Content-Type: text/rtf\n\n{\\rtf1 x}", htmlPart+"\n<p>見送り</p>")), edits: 2},
	{name: "html title and style", raw: mail(htmlPart, "<html><head><title>不採用</title><style>p{color:red}</style></head><body><p>見送り</p></body></html>\n"), edits: 1, order: []string{"<p>見送り</p>", "【提携", "</body>"}},
	{name: "html pre-header whose element is never closed", raw: mail(htmlPart, "<body><p>見送り</p><span style=\"mso-hide:all\">x\n"), edits: 1, order: []string{"<p>見送り</p>", "【提携", "mso-hide"}},
	{name: "html that ends inside a tag", raw: mail(htmlPart, "<p>見送り</p></"), reason: "html_place"},
	{name: "signature of asterisks", raw: mail(utf8Part, jaText+"＊＊＊＊＊＊＊＊\n株式会社青葉 人事部\nTEL 03-0000-0000\n＊＊＊＊＊＊＊＊\n"), edits: 1, order: []string{"見送ら", "【提携", "＊＊＊＊"}},
	{name: "signature of dashes", raw: mail(utf8Part, jaText+"――――――――\n株式会社青葉 人事部\nTEL 03-0000-0000\n"), edits: 1, order: []string{"見送ら", "【提携", "――――"}},
	{name: "our link in the quoted mail", raw: mail(utf8Part, "Thank you.\n\n> see https://relay.example.net/r/aaaa\n"), reason: "already_present"},
	{name: "charset RFC 2231 continued", raw: mail("Content-Type: text/plain; charset*0=iso-2022; charset*1=-jp\n", jis(jaText)), edits: 1, order: []string{"見送ら", "【提携"}},
	{name: "charset with a language, RFC 2231", raw: mail("Content-Type: text/plain; charset*=us-ascii'en'utf-8\nContent-Transfer-Encoding: 8bit\n", jaText), edits: 1, order: []string{"見送ら", "【提携"}},
	{name: "charset single-quoted", raw: mail("Content-Type: text/plain; charset='utf-8'\nContent-Transfer-Encoding: 8bit\n", jaText), edits: 1, order: []string{"見送ら", "【提携"}},
	{name: "comments in Content-Type", raw: mail("Content-Type: text/plain (plain text); charset=utf-8 (set)\nContent-Transfer-Encoding: 8bit (yes)\n", jaText), reason: "second_reader"},
	{name: "comments around a parameter", raw: mail("Content-Type: text/plain; (set) charset=utf-8\nContent-Transfer-Encoding: 8bit (yes)\n", jaText), edits: 1, order: []string{"見送ら", "【提携"}},
	{name: "no label, other scripts", raw: mail("", "Dear A,\n\n"+strings.Repeat("We are sorry to tell you no. ", 40)+"\n"), edits: 1, order: []string{"no.", "[Partner"}},
	{name: "gb2312 passes", raw: mail("Content-Type: text/plain; charset=gb2312\nContent-Transfer-Encoding: 8bit\n", "\xc4\xe3\xba\xc3\n"), reason: "charset_unsupported"},
	{name: "utf-7 passes", raw: mail("Content-Type: text/plain; charset=utf-7\n", "Hi +ZeVnLIqe-\n"), reason: "charset_unknown"},
	{name: "duplicate Content-Transfer-Encoding", raw: mail(utf8Part+"Content-Transfer-Encoding: 7bit\n", jaText), reason: "ambiguous_structure"},
	{name: "header raw 8-bit and broken encoded word", raw: "Subject: =?utf-8?B?5LuK5Z?= =?utf-8?B?ue?=\r\nX-Raw: \xe4\xbb\r\n" + mail(utf8Part, jaText), edits: 1, order: []string{"見送ら", "【提携"}},
	{name: "CR CR LF", raw: strings.ReplaceAll(mail(utf8Part, ""), "\r\r\n", "\r\n") + "見送ります。\r\r\n以上\r\r\n", edits: 1, order: []string{"以上", "【提携"}},
	{name: "lone CR", raw: mail(utf8Part, "") + "見送ります。\r以上\r", edits: 1, order: []string{"以上", "【提携"}},
	{name: "no header at all", raw: "\r\nWe regret.\r\n", edits: 1, order: []string{"regret", "[Partner"}},
	{name: "nothing at all", raw: "", reason: "empty_text"},
	{name: "invitation as only part", raw: mail("Content-Type: text/calendar; method=REQUEST\n", "BEGIN:VCALENDAR\n"), reason: "calendar"},
	{name: "DKIM signature with a length", raw: mail("DKIM-Signature: v=1; a=rsa-sha256; l=10; d=x; s=y; bh=; b=\n"+utf8Part, jaText), reason: "dkim"},
	{name: "ARC signature", raw: mail("ARC-Message-Signature: i=1; a=rsa-sha256; d=x; s=y; bh=; b=\n"+utf8Part, jaText), reason: "dkim"},
	{name: "attachment in front of the text", raw: whole(multi("mixed", pdfPart, utf8Part+"\n"+jaText)), edits: 1, order: []string{"見送ら", "【提携"}},
	{name: "forwarded message behind a text", raw: whole(multi("mixed", utf8Part+"\n残念です。\n", "Content-Type: message/rfc822\n\nSubject: x\n\n不採用\n")), edits: 1, order: []string{"残念", "【提携"}},
	{name: "signed mail inside a forwarded message", raw: whole(multi("mixed", utf8Part+"\n残念です。\n", "Content-Type: message/rfc822\n\nContent-Type: application/pkcs7-mime\n\nMII\n")), edits: 1, order: []string{"残念", "【提携"}},
	{name: "line that looks like a foreign delimiter is our own boundary of dashes", raw: mail("Content-Type: multipart/mixed; boundary=\"------------\"\n", "--------------\n"+utf8Part+"\n"+jaText+"----------------\n"), edits: 1, order: []string{"見送ら", "【提携"}},

	{name: "html two bodies", raw: mail(htmlPart, "<html><body><body class=x><p>見送り</p></body></body></html>\n"), edits: 1, order: []string{"<p>見送り</p>", "【提携", "</body>"}},
	{name: "html body end in an attribute", raw: mail(htmlPart, "<body><p title=\"</body>\">見送り</p></body>\n"), edits: 1, order: []string{"見送り</p>", "【提携", "</body>"}},
	{name: "html body end in the epilogue", raw: mail("Content-Type: multipart/mixed; boundary=b\n", "--b\n"+htmlPart+"\n<p>見送り</p>\n--b--\n</body></html>\n"), edits: 1, order: []string{"<p>見送り</p>", "【提携"}},
	{name: "html outlook history", raw: mail(htmlPart, "<body><p>残念です。</p><div style=\"border-top:solid #E1E1E1 1.0pt\"><p><b>From:</b> A<br><b>Sent:</b> B<br><b>To:</b> C<br><b>Subject:</b> D</p></div><p>old</p></body>\n"), edits: 1, order: []string{"残念です。</p>", "【提携", "From:"}},
	{name: "html pre-header by size and mso", raw: mail(htmlPart, "<body><span style=\"font-size:0\">不採用</span><span style=\"mso-hide:all\">不採用</span><p>見送り</p></body>\n"), edits: 1, order: []string{"<p>見送り</p>", "【提携"}},
	{name: "html entity without semicolon", raw: mail(htmlPart, "<p>A&ampB &nbsp; 見送り&copy</p>\n"), edits: 1, order: []string{"見送り", "【提携"}},
	{name: "html list at the end", raw: mail(htmlPart, "<body><p>見送り</p><ul><li>a<li>b</ul></body>\n"), edits: 1, order: []string{"</ul>", "【提携", "</body>"}},
	{name: "html table in table", raw: mail(htmlPart, "<table><tr><td><table><tr><td>見送り</td></tr><tr><td>敬具</td></tr></table></td></tr></table>\n"), edits: 1, order: []string{"敬具", "【提携"}},
	{name: "html table with tbody and whitespace", raw: mail(htmlPart, "<table>\n<tbody>\n<tr>\n<td>見送り</td>\n</tr>\n</tbody>\n</table>\n"), edits: 1, order: []string{"見送り", "【提携"}},
	{name: "html unclosed comment", raw: mail(htmlPart, "<p>見送り</p><!-- <p>x</p>\n"), edits: 1, order: []string{"<p>見送り</p>", "【提携", "<!--"}},
	{name: "html all in one anchor and font", raw: mail(htmlPart, "<font><a href=x>見送り</a></font>\n"), edits: 1, order: []string{"見送り", "【提携"}},
	{name: "html CDATA", raw: mail(htmlPart, "<p>見送り</p><![CDATA[ <p>x</p> ]]>\n"), edits: 1, order: []string{"見送り", "【提携"}},
	{name: "html in quoted-printable, soft break in a tag", raw: mail("Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n", "<p>=E8=A6=8B=\n=E9=80=81=E3=82=8A</p><di=\nv></div>\n"), edits: 1, order: []string{"見送り", "【提携"}},

	{name: "closing wish stays above", raw: mail(utf8Part, "今回は見送ります。\n\n末筆ながら、今後のご活躍をお祈り申し上げます。\n\n敬具\n\n======\n株式会社青葉\nTEL 03-0000-0000\n======\n"), edits: 1, order: []string{"お祈り", "敬具", "【提携", "======"}},
	{name: "Kind regards stays above", raw: mail(utf8Part, "We regret.\n\nKind regards,\nJo Smith\n\n-- \nExample Ltd\n+44 20\n"), edits: 1, order: []string{"Jo Smith", "【提携", "-- "}},
	{name: "rule in the middle decorates", raw: mail(utf8Part, "＊＊＊＊＊＊＊＊\n選考結果のご連絡\n＊＊＊＊＊＊＊＊\n今回は見送ります。\n"), edits: 1, order: []string{"見送ります", "【提携"}},
	{name: "On wrote, wrapped", raw: mail(utf8Part, "We regret.\n\nOn Fri, May 1, 2026 at 10:00 AM A Person\n<a@b.example> wrote:\n> old\n"), edits: 1, order: []string{"regret", "【提携", "On Fri"}},
	{name: "placeholder only in the HTML part", raw: whole(multi("alternative", utf8Part+"\n"+jaText, htmlPart+"\n<p>見送り</p><div>{{career_relay}}</div><p>敬具</p>")), edits: 2, order: []string{"【提携", "見送り", "【提携", "敬具"}},
}

func qpAll(s string) string { return string(encodeQP([]byte(s), lookupCharset("us-ascii"), "\n")) }

func TestMoreMIMECases(t *testing.T) {
	block := testBlock(t, "ja-standard")
	for _, c := range moreMIMECases {
		t.Run(c.name, func(t *testing.T) { c.check(t, block) })
	}
}

// TestEveryReasonIsSeen keeps the list of reasons free of words that nothing says.
func TestEveryReasonIsSeen(t *testing.T) {
	seen := map[string]bool{
		"limit_headers": true, "limit_parts": true, "limit_depth": true, "limit_text": true, "limit_time": true, // TestLimits
		"charset": true, "html_place": true, "line_length": true, // below
	}
	for _, c := range append(mimeCases, moreMIMECases...) {
		seen[c.reason] = true
	}
	for reason := range Reasons() {
		if !seen[reason] {
			t.Errorf("no test sees the reason %q", reason)
		}
	}
	cases := []struct {
		reason, raw string
		block       Block
	}{
		{"charset", mail("Content-Type: text/plain; charset=us-ascii\n", "no\n"), Block{Text: "ご案内\n"}},
		{"html_place", mail(htmlPart, "<table><tr>no"), Block{}},
		{"line_length", mail(utf8Part, "no\n"), Block{Text: strings.Repeat("x", 1200) + "\n"}},
	}
	for _, c := range cases {
		_, err := mustParse(t, []byte(c.raw)).Edit(c.block, EditOptions{})
		if u, ok := err.(*Unedited); !ok || u.Reason != c.reason {
			t.Errorf("got %v, want %s", err, c.reason)
		}
	}
}

// TestNoLineGrowsTooLong: quoted-printable and base64 stay within their own limits.
func TestNoLineGrowsTooLong(t *testing.T) {
	for _, c := range append(mimeCases, moreMIMECases...) {
		if !strings.Contains(c.raw, "quoted-printable") && !strings.Contains(c.raw, "base64") || c.reason != "" {
			continue
		}
		m := mustParse(t, []byte(c.raw))
		e, err := m.Edit(testBlock(t, "ja-standard"), EditOptions{})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		for _, ed := range e.Edits() {
			for line := range bytes.SplitSeq(ed.New, []byte("\n")) {
				if len(bytes.TrimRight(line, "\r")) > 76 && !strings.Contains(c.raw, "8bit") {
					t.Errorf("%s: a line of %d", c.name, len(line))
				}
			}
		}
	}
}
