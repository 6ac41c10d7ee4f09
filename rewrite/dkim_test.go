package rewrite

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestSenderDomain(t *testing.T) {
	for _, tc := range []struct {
		name string
		from []string
		want string
	}{
		{"plain", []string{" jinji@corp.example.jp\r\n"}, "corp.example.jp"},
		{"name, upper case", []string{` "Jinji, HR" <JINJI@Corp.Example.JP>`}, "corp.example.jp"},
		{"an address in the name", []string{`"x@other.example" <jinji@corp.example.jp>`}, "corp.example.jp"},
		{"folded, encoded word in a Japanese charset", []string{" =?iso-2022-jp?B?GyRCP007diHbKEI=?=\r\n\t<jinji@corp.example.jp>"}, "corp.example.jp"},
		{"encoded word in a charset that nobody knows", []string{"=?x-none?Q?a?= <jinji@corp.example.jp>"}, "corp.example.jp"},
		{"quoted local part with an @", []string{`<"a@b"@corp.example.jp>`}, "corp.example.jp"},
		{"international domain", []string{"jinji@例え.jp"}, "xn--r8jz45g.jp"},
		{"two addresses of one domain", []string{"a@corp.example.jp, b@corp.example.jp"}, "corp.example.jp"},
		{"two domains", []string{"a@corp.example.jp, b@other.example"}, ""},
		{"two fields", []string{"a@corp.example.jp", "a@corp.example.jp"}, ""},
		{"no field", nil, ""},
		{"no address", []string{"Jinji"}, ""},
		{"empty", []string{""}, ""},
	} {
		if got := SenderDomain(tc.from); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestSignatureDomain(t *testing.T) {
	for value, want := range map[string]string{
		"v=1; a=rsa-sha256; d=Corp.Example.JP; s=y; bh=d=; b=": "corp.example.jp",
		"v=1;d = corp.\t example.jp ;s=y":                      "corp.example.jp",
		"v=1; bh=d=other; d=corp.example.jp":                   "corp.example.jp",
		"v=1; d=a.example; d=b.example":                        "",
		"v=1; i=@corp.example.jp":                              "",
		"":                                                     "",
		"v=1; dd=x.example; zd=y.example; d=; s=corp.example.jp":  "",
		"v=1; q=dns/txt; d=xn--r8jz45g.jp; h=from:d=corp.example": "xn--r8jz45g.jp",
	} {
		if got := signatureDomain(value); got != want {
			t.Errorf("%q: got %q, want %q", value, got, want)
		}
	}
}

const (
	oldSignature   = "DKIM-Signature: v=1; a=rsa-sha256; d=corp.example.jp;\r\n\ts=old; h=from;\r\n bh=AAAA; b=BBBB\r\n"
	otherSignature = "DKIM-Signature: v=1; a=rsa-sha256; d=mailer.example; s=m; h=from; bh=AAAA; b=BBBB\r\n"
	arcSet         = "ARC-Seal: i=1; a=rsa-sha256; d=corp.example.jp; s=arc; cv=none; b=CCCC\r\n" +
		"ARC-Message-Signature: i=1; a=rsa-sha256; d=corp.example.jp; s=arc; bh=AAAA; b=BBBB\r\n"
)

// TestStripSignatures: exactly the signature fields of the domain are gone, the
// rest is the message that an edit without them makes.
func TestStripSignatures(t *testing.T) {
	letter := mail(utf8Part, jaText)
	top, rest, _ := strings.Cut(letter, "Subject:")
	rest = "Subject:" + rest
	headEnd := strings.Index(letter, "\r\n\r\n") + 2
	for _, tc := range []struct{ name, raw, kept string }{
		{"on top, folded", oldSignature + letter, letter},
		{"in the middle", top + oldSignature + rest, letter},
		{"last field", letter[:headEnd] + oldSignature + letter[headEnd:], letter},
		{"two in a row", oldSignature + oldSignature + letter, letter},
		{"two apart", oldSignature + top + oldSignature + rest, letter},
		{"of a subdomain", strings.Replace(oldSignature, "d=", "d=hr.", 1) + letter, letter},
		{"upper case", strings.ToUpper(oldSignature) + letter, strings.ToUpper(oldSignature) + letter}, // tags are case-sensitive: D= is no d=
		{"name in lower case", strings.Replace(oldSignature, "DKIM-Signature", "dkim-signature", 1) + letter, letter},
		{"of another domain", otherSignature + letter, otherSignature + letter},
		{"of a domain that ends alike", strings.Replace(oldSignature, "d=", "d=x", 1) + letter, strings.Replace(oldSignature, "d=", "d=x", 1) + letter},
		{"both", oldSignature + otherSignature + letter, otherSignature + letter},
		{"ARC set stays", arcSet + oldSignature + letter, arcSet + letter},
		{"no domain", "DKIM-Signature: v=1\r\n" + letter, "DKIM-Signature: v=1\r\n" + letter},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := editSigned(t, tc.raw, "corp.example.jp")
			if want := editSigned(t, tc.kept, ""); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			found, err := compareMails(tc.raw, "DKIM-Signature: v=1; d=corp.example.jp; s=new; b=DDDD\r\n"+got)
			if err != nil {
				t.Errorf("from outside: %v", err)
			}
			replaced := 0
			for _, f := range found {
				replaced += f.Replaced
			}
			if gone := strings.Count(strings.ToLower(tc.raw), "dkim-signature:") - strings.Count(strings.ToLower(tc.kept), "dkim-signature:"); replaced != gone {
				t.Errorf("%d signatures listed as replaced, want %d", replaced, gone)
			}
		})
	}
}

func editSigned(t *testing.T, raw, strip string) string {
	t.Helper()
	e, err := mustParse(t, []byte(raw)).Edit(testBlock(t, "ja-standard"), EditOptions{BreakDKIM: true, StripDKIM: strip})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Prove(); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if n, err := e.WriteTo(&b); err != nil || n != int64(b.Len()) || n != e.Size() {
		t.Fatalf("wrote %d of %d, %v", n, e.Size(), err)
	}
	return b.String()
}

func compareMails(before, after string) ([]Inserted, error) {
	return Compare(strings.NewReader(before), int64(len(before)), strings.NewReader(after), int64(len(after)))
}

// TestStripNeedsFields: a line that is no field belongs to the signature above it
// for some readers, so that the signature cannot be taken out alone.
func TestStripNeedsFields(t *testing.T) {
	raw := oldSignature + "no field at all\r\n" + mail(utf8Part, jaText)
	_, err := mustParse(t, []byte(raw)).Edit(testBlock(t, "ja-standard"), EditOptions{BreakDKIM: true, StripDKIM: "corp.example.jp"})
	if u, ok := err.(*Unedited); !ok || u.Reason != "ambiguous_structure" {
		t.Errorf("got %v, want ambiguous_structure", err)
	}
}

// TestProveSeesHeaderHarm: an edit that takes out anything but the signatures of
// the domain is refused, from inside and from outside.
func TestProveSeesHeaderHarm(t *testing.T) {
	raw := "X-Mailer: ats\r\n" + oldSignature + otherSignature + mail(utf8Part, jaText)
	at := func(field string) Edit {
		i := int64(strings.Index(raw, field))
		return Edit{Start: i, End: i + int64(len(field))}
	}
	subject := "Subject: result\r\n"
	for _, tc := range []struct {
		name    string
		removed []Edit
		ok      bool
	}{
		{"the signature", []Edit{at(oldSignature)}, true},
		{"nothing", nil, false},
		{"another field", []Edit{at(oldSignature), at(subject)}, false},
		{"the signature of another domain", []Edit{at(oldSignature), at(otherSignature)}, false},
		{"a part of the signature", []Edit{at(" bh=AAAA; b=BBBB\r\n")}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, err := mustParse(t, []byte(raw)).Edit(testBlock(t, "ja-standard"), EditOptions{BreakDKIM: true, StripDKIM: "corp.example.jp"})
			if err != nil {
				t.Fatal(err)
			}
			e.removed = tc.removed
			if err := e.Prove(); (err == nil) != tc.ok || err != nil && !errors.Is(err, ErrProof) {
				t.Errorf("Prove: %v, want ok = %v", err, tc.ok)
			}
			var b bytes.Buffer
			if _, err := e.WriteTo(&b); err != nil {
				t.Fatal(err)
			}
			harmless := tc.ok || len(tc.removed) == 0
			if _, err := compareMails(raw, "DKIM-Signature: v=1; d=corp.example.jp; s=new; b=DDDD\r\n"+b.String()); (err == nil) != harmless {
				t.Errorf("Compare: %v, want ok = %v", err, harmless)
			}
		})
	}
	t.Run("removed without a new one", func(t *testing.T) {
		if _, err := compareMails(raw, editSigned(t, raw, "corp.example.jp")); err == nil {
			t.Error("Compare takes a removed signature for nothing")
		}
	})
}
