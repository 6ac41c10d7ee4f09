package rewrite

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// mimeRows is the list of traps that mail in the wild sets, by group, and what
// holds each: the name of a golden mail, or "package.TestName".
var mimeRows = []struct {
	group string
	traps map[string]string // to names, separated by blanks
}{
	{"transfer encoding", map[string]string{
		"base64 with odd line length":         "base64-odd-line-length",
		"base64 without final newline":        "base64-without-final-newline",
		"base64 with trailing blanks":         "base64-trailing-blanks",
		"base64 in several padded runs":       "base64-in-two-padded-runs",
		"base64 cut at any octet":             "rewrite.TestBase64Group rewrite.FuzzBase64",
		"qp soft breaks at the place":         "qp-soft-breaks-at-the-place qp-ends-in-a-soft-break",
		"qp soft breaks inside a mark or tag": "placeholder-cut-by-a-soft-break html-in-quoted-printable-soft-break-in-a-tag",
		"qp lower-case hex":                   "qp-soft-breaks-lower-case-hex",
		"qp lines over 76":                    "qp-lines-over-76",
		"qp broken":                           "qp-with-a-stray-at-the-place qp-cut-inside-a-soft-break rewrite.FuzzQuotedPrintable",
		"8bit under a 7bit label":             "8bit-under-a-7bit-label",
		"binary":                              "binary",
	}},
	{"charset", map[string]string{
		"iso-2022-jp, escape open at a line end": "iso-2022-jp-escape-open-at-the-line-end iso-2022-jp-escape-open-at-the-place iso-2022-jp-text-goes-on-in-an-open-set",
		"cp50221, half-width kana":               "cp50221-extensions",
		"cp50221, NEC and IBM extensions":        "cp50221-nec-and-ibm-extensions",
		"iso-2022-jp inside base64 or qp":        "iso-2022-jp-in-base64 iso-2022-jp-in-quoted-printable",
		"shift_jis trail bytes":                  "shift-jis-8bit-trail-bytes-like-backslash shift-jis-trail-bytes-like-a-brace",
		"euc-jp":                                 "euc-jp euc-jp-in-quoted-printable",
		"utf-16, utf-7, gb2312":                  "utf-16-passes utf-7-passes gb2312-passes",
		"unknown, mislabelled, absent":           "unknown-charset mislabelled no-label-at-all-ascii no-label-other-scripts",
		"quoted, unquoted":                       "upper-case-odd-folding plain-utf-8-8bit charset-single-quoted",
		"RFC 2231 continued":                     "charset-rfc-2231-continued charset-with-a-language-rfc-2231",
		"trailing comment":                       "charset-with-trailing-comment",
		"meta charset that disagrees":            "meta-charset-disagrees",
	}},
	{"structure", map[string]string{
		"mixed(related(alternative))":               "mixed-related-alternative-with-attachment",
		"alternative(plain, related(html))":         "alternative-plain-related-html",
		"alternative with calendar":                 "alternative-with-calendar",
		"alternative with AMP or enriched":          "alternative-with-amp-and-enriched",
		"several text parts in mixed":               "several-texts-in-mixed-the-first",
		"preamble, epilogue, blanks, padding":       "preamble-epilogue-padding-behind-the-boundary",
		"boundary that is a prefix of another":      "boundary-that-is-a-prefix-of-another",
		"boundary that ends in =":                   "boundary-that-ends-in",
		"text lines that look like delimiters":      "text-line-that-looks-like-a-delimiter line-that-looks-like-a-foreign-delimiter-is-our-own-boundary-of-dashes",
		"closing delimiter or parameter missing":    "closing-delimiter-missing boundary-parameter-missing",
		"depth of 1,000, 10,000 parts":              "rewrite.TestLimits rewrite.TestLinearTime",
		"empty parts, header without body, no type": "empty-parts-header-without-body part-without-a-type nothing-at-all",
	}},
	{"headers", map[string]string{
		"folded oddly, upper or lower case": "upper-case-odd-folding header-names-in-lower-case",
		"8-bit raw, encoded words cut":      "header-raw-8-bit-and-broken-encoded-word",
		"over 100 KB":                       "rewrite.TestLimits",
		"duplicate fields":                  "duplicate-content-type duplicate-content-transfer-encoding",
		"empty Content-Type":                "empty-content-type",
		"missing MIME-Version":              "missing-mime-version",
		"comments in Content-Type":          "comments-in-content-type comments-around-a-parameter",
	}},
	{"line ends", map[string]string{
		"LF only, lone CR, CR CR LF": "lf-only lone-cr cr-cr-lf",
		"NUL, lines over 998":        "nul-and-long-lines-stay",
		"no newline at the end":      "no-newline-at-the-end",
	}},
	{"must pass unedited", map[string]string{
		"signed":            "signed signed-inside-mixed",
		"encrypted":         "encrypted pkcs7-mime",
		"inline PGP":        "inline-pgp",
		"DKIM, with l= too": "dkim-signature dkim-signature-with-a-length arc-signature",
		"report":            "report",
		"message/rfc822":    "forwarded-message-only",
		"winmail.dat only":  "winmail-dat-only",
		"auto-replies":      "rewrite.TestGuards",
		"invitations":       "invitation-as-only-part alternative-with-calendar",
	}},
	{"must not be the target", map[string]string{
		"text attachment, inline text with a name": "text-attachment-only inline-text-with-a-file-name attachment-in-front-of-the-text",
		"calendar, AMP, enriched, RTF":             "alternative-with-calendar alternative-with-amp-and-enriched alternative-with-rtf",
		"hidden pre-header":                        "html-hidden-pre-header html-pre-header-by-size-and-mso html-pre-header-whose-element-is-never-closed",
		"title and style":                          "html-title-and-style",
		"comments, conditional comments":           "html-body-in-a-comment-and-a-script html-unclosed-comment conditional-comment-at-the-end",
		"script, attributes, CDATA":                "html-body-in-a-comment-and-a-script html-body-end-in-an-attribute html-cdata",
		"quoted and forwarded mail":                "html-with-quoted-mail forwarded-message-behind-a-text signed-mail-inside-a-forwarded-message",
	}},
	{"HTML place", map[string]string{
		"no body, several bodies":                 "html-without-body html-two-bodies",
		"</body> in a comment, script, elsewhere": "html-body-in-a-comment-and-a-script html-body-end-in-an-attribute html-body-end-in-the-epilogue",
		"tables only":                             "html-tables-only html-table-in-table html-table-with-tbody-and-whitespace",
		"pre":                                     "html-pre",
		"blockquote, gmail_quote, Outlook":        "html-with-quoted-mail html-outlook-history",
		"entities, tags inside words":             "html-all-entities-tags-inside-words html-entity-without-semicolon",
		"anything":                                "rewrite.FuzzHTMLPlace html-that-ends-inside-a-tag html-list-at-the-end html-all-in-one-anchor-and-font",
	}},
	{"text place", map[string]string{
		"signature dashes":         "kind-regards-stays-above",
		"Japanese rules":           "japanese-rule-signature signature-of-asterisks signature-of-dashes closing-wish-stays-above rule-in-the-middle-decorates",
		"quoted with > and a date": "quoted-history-top-posting quoted-history-bottom-posting on-wrote-wrapped",
		"quoted below a header":    "original-message-block block",
		"format=flowed, DelSp":     "format-flowed-delsp",
		"no newline at the end":    "no-newline-at-the-end",
		"nothing but a signature":  "nothing-but-a-signature",
	}},
	{"again", map[string]string{
		"block or link is there already": "our-link-is-there-already our-link-in-the-quoted-mail",
		"our valid stamp is on it":       "smtp.TestLoops",
		"placeholder":                    "placeholder placeholder-cut-by-a-soft-break placeholder-cut-by-tags placeholder-only-in-the-html-part link-placeholder-in-an-attribute",
	}},
	{"size", map[string]string{
		"30 MB before or after the text": "rewrite.TestLimits rewrite.TestLinearTime smtp.TestLargeMail",
		"1 MB of HTML":                   "rewrite.TestLimits",
		"header bombs, decode bombs":     "rewrite.TestLimits smtp.TestLimitsAreCounted",
	}},
	{"who", map[string]string{
		"several or undisclosed recipients":         "smtp.TestReasons",
		"agency, school, colleague, referrer, more": "configs.TestContrastPairs configs.TestCorpus",
	}},
}

// TestMIMERows: every trap on the list is held by a golden mail or a test.
func TestMIMERows(t *testing.T) {
	golden := map[string]bool{}
	for _, c := range append(mimeCases, moreMIMECases...) {
		golden[filepath.Base(goldenName(c.name))] = true
		if name := goldenName(c.name); !exists(name+".eml") || exists(name+".want.eml") == exists(name+".reason") {
			t.Errorf("%s: no golden mail, or not one outcome", name)
		}
	}
	for _, row := range mimeRows {
		for trap, holders := range row.traps {
			if holders == "" {
				t.Errorf("%s, %s: nothing holds it", row.group, trap)
			}
			for holder := range strings.FieldsSeq(holders) {
				dir, test, isTest := strings.Cut(holder, ".")
				if isTest && !hasTest(t, dir, test) || !isTest && !golden[holder] {
					t.Errorf("%s, %s: there is no %s", row.group, trap, holder)
				}
			}
		}
	}
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func hasTest(t *testing.T, dir, name string) bool {
	files, err := filepath.Glob("../" + dir + "/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^func ` + name + `\(`)
	for _, file := range files {
		if declared.Match(readFile(t, file)) {
			return true
		}
	}
	return false
}
