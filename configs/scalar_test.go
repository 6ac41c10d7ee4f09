package configs

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDuration(t *testing.T) {
	tests := map[string]time.Duration{
		"0s": 0, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "90d": 90 * day, "3y": 3 * 366 * day, "500ms": 500 * time.Millisecond,
	}
	for text, want := range tests {
		var d Duration
		if err := d.parse(text); err != nil || time.Duration(d) != want {
			t.Errorf("parse %q = %v, %v; want %v", text, time.Duration(d), err, want)
		}
	}
	for _, text := range []string{"", "90", "-1s", "d", "-3d", "1.5d", "90 d", "99999999999y", "３y"} {
		var d Duration
		if err := d.parse(text); err == nil || d != 0 {
			t.Errorf("parse %q = %v, want an error", text, d)
		}
	}
}

func TestSize(t *testing.T) {
	tests := map[string]Size{"0": 0, "1": 1, "1B": 1, "512KB": 512e3, "1MiB": 1 << 20, "50MB": 50e6, "2G": 2e9, "1Ki": 1024}
	for text, want := range tests {
		var s Size
		if err := s.parse(text); err != nil || s != want {
			t.Errorf("parse %q = %d, %v; want %d", text, s, err, want)
		}
	}
	for _, text := range []string{"", "MB", "-1", "1.5MB", "1 MB", "1TB", "999999999999GB", "1kb"} {
		var s Size
		if err := s.parse(text); err == nil || s != 0 {
			t.Errorf("parse %q = %d, want an error", text, s)
		}
	}
}

func TestMailbox(t *testing.T) {
	tests := map[string]string{
		"saiyo@example.co.jp":                  "<saiyo@example.co.jp>",
		"Sample Inc. <Saiyo@Example.co.jp>":    `"Sample Inc." <Saiyo@example.co.jp>`,
		"株式会社 採用 <saiyo@例え.jp>":                "=?utf-8?q?=E6=A0=AA=E5=BC=8F=E4=BC=9A=E7=A4=BE_=E6=8E=A1=E7=94=A8?= <saiyo@xn--r8jz45g.jp>",
		`"Sample, Inc." <saiyo@example.co.jp>`: `"Sample, Inc." <saiyo@example.co.jp>`,
	}
	for text, want := range tests {
		var m Mailbox
		if err := m.parse(text); err != nil || m.String() != want {
			t.Errorf("parse %q = %s, %v; want %s", text, m.String(), err, want)
		}
	}
	for _, text := range []string{"", "saiyo", "saiyo@", "a@b, c@d", "採用@example.jp", `"a b"@example.jp`, "a@b c", "x\r\nBcc: y@z <a@b.jp>", "a@[192.0.2.1]"} {
		var m Mailbox
		if err := m.parse(text); err == nil || m.Address.Address != "" {
			t.Errorf("parse %q = %s, want an error", text, m.String())
		}
	}
}

// TestPrintedFormsParse: what is printed, in defaults and in messages, is what
// may be written.
func TestPrintedFormsParse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Duration(rapid.Int64Range(0, int64(100*366*day)).Draw(t, "duration"))
		if rapid.Bool().Draw(t, "round") {
			want -= want % Duration(time.Minute)
		}
		var d Duration
		if err := d.parse(want.String()); err != nil || d != want {
			t.Fatalf("%s parses as %s, %v", want, d, err)
		}
		size := Size(rapid.Int64Range(0, 1<<39).Draw(t, "size"))
		var s Size
		if err := s.parse(size.String()); err != nil || s != size {
			t.Fatalf("%s parses as %s, %v", size, s, err)
		}
	})
}

func TestNetwork(t *testing.T) {
	tests := map[string]string{
		"127.0.0.0/8": "127.0.0.0/8", "192.0.2.7": "192.0.2.7/32", "2001:db8::/32": "2001:db8::/32",
		"::1": "::1/128", "::ffff:192.0.2.7": "192.0.2.7/32",
	}
	for text, want := range tests {
		var n Network
		if err := n.parse(text); err != nil || n.String() != want {
			t.Errorf("parse %q = %v, %v; want %s", text, n, err, want)
		}
	}
	for _, text := range []string{"", "localhost", "fe80::1%eth0", "192.0.2.0/33", "192.0.2.1/24"} {
		var n Network
		if err := n.parse(text); err == nil {
			t.Errorf("parse %q = %v, want an error", text, n)
		}
	}
}

func TestDomain(t *testing.T) {
	tests := map[string]Domain{
		"Example.CO.JP": "example.co.jp", "example.jp.": "example.jp", "日本語.jp": "xn--wgv71a119e.jp", "ｅｘａｍｐｌｅ.jp": "example.jp",
	}
	for text, want := range tests {
		var d Domain
		if err := d.parse(text); err != nil || d != want {
			t.Errorf("parse %q = %q, %v; want %q", text, d, err, want)
		}
	}
}

func TestAddressLoopback(t *testing.T) {
	tests := map[Address]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "localhost:1": true,
		":1": false, "0.0.0.0:1": false, "[::]:1": false, "192.0.2.1:1": false, "mail.example:1": false,
	}
	for a, want := range tests {
		if got := a.Loopback(); got != want {
			t.Errorf("%s loopback = %v", a, got)
		}
	}
}

func TestUpstreamForms(t *testing.T) {
	for _, text := range []string{"smtp://mx.example", "smtps://mx.example:465", "smtp+insecure://[::1]:25", "smtp://mx.example:587"} {
		var u Upstream
		if err := u.parse(text); err != nil {
			t.Errorf("parse %q: %v", text, err)
		}
	}
}
