package rewrite

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestOutline(t *testing.T) {
	cases := []struct {
		name, raw string
		want      []string
	}{
		{"plain", mail(utf8Part, jaText), []string{"1 text/plain target"}},
		{"alternative with other forms and a file", whole(multi("mixed",
			multi("alternative", utf8Part+"\n"+jaText, "Content-Type: text/x-amp-html\n\n<p>x", htmlPart+"\n<p>見送り</p>"), pdfPart, utf8Part+"\nfooter")),
			[]string{
				"1 multipart/mixed ", "1.1 multipart/alternative ", "1.1.1 text/plain target", "1.1.2 text/x-amp-html other_form",
				"1.1.3 text/html target", "1.2 application/pdf attachment", "1.3 text/plain later_text",
			}},
		{"report", whole(multi("report", utf8Part+"\nno", "Content-Type: message/delivery-status\n\nx")),
			[]string{"1 multipart/report ", "1.1 text/plain report", "1.2 message/delivery-status report"}},
		{"encrypted", whole(multi("encrypted", "Content-Type: application/octet-stream\n\nx")),
			[]string{"1 multipart/encrypted ", "1.1 application/octet-stream encrypted"}},
		{"pkcs7", mail("Content-Type: application/pkcs7-mime\n", "MII\n"), []string{"1 application/pkcs7-mime encrypted"}},
		{"the rest", whole(multi("mixed", "Content-Type: message/rfc822\n\nSubject: x\n\nno", "Content-Type: text/calendar\n\nx", "Content-Type: image/png\n\nx", utf8Part+"\nno")),
			[]string{"1 multipart/mixed ", "1.1 message/rfc822 message", "1.2 text/calendar calendar", "1.3 image/png not_text", "1.4 text/plain target"}},
	}
	seen := map[string]bool{}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, o := range mustParse(t, []byte(c.raw)).Outline() {
				what := o.Why
				if o.Target {
					what = "target"
				}
				seen[o.Why] = true
				got = append(got, fmt.Sprintf("%s %s %s", o.Path, o.Part.MediaType, what))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
	for why := range OutlineReasons() {
		if !seen[why] {
			t.Errorf("no case shows the reason %q", why)
		}
	}
}
