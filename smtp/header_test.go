package smtp

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestScanHeader(t *testing.T) {
	head := "Received: a\r\n\tb\r\nreceived : c\r\nMESSAGE-ID:\r\n <x@y>\r\nMessage-ID: <second@y>\r\nno colon\r\n" +
		"X-Career-Relay: relayed; 1;\r\n\t00\r\nDKIM-Signature: v=1\r\nSubject: Received: no\r\n\r\nReceived: in the body\r\n"
	h := scanHeader([]byte(head))
	if h.received != 2 || h.messageID != "<x@y>" || !h.signed || len(h.stamps) != 1 {
		t.Fatalf("got %+v", h)
	}
	f := h.stamps[0]
	if got := head[f.start:f.end]; got != "X-Career-Relay: relayed; 1;\r\n\t00\r\n" || f.value != "relayed; 1; 00" {
		t.Errorf("stamp field %q with value %q", got, f.value)
	}
	for _, odd := range []string{"", "\r\n", "Subject", "Subject: x", "\r\n\r\n", " folded first\r\nX: y\r\n", ":\r\n"} {
		if h := scanHeader([]byte(odd)); h.received != 0 || h.messageID != "" {
			t.Errorf("%q: got %+v", odd, h)
		}
	}
}

func TestStamp(t *testing.T) {
	s := stamper{[]byte("key")}
	line := s.line("sample", "<1@x>", time.Unix(1764050000, 0))
	value := strings.TrimSuffix(strings.TrimPrefix(line, StampName+": "), "\r\n")
	for _, tc := range []struct {
		name, value, company, id string
		key                      string
		want                     bool
	}{
		{"ours", value, "sample", "<1@x>", "key", true},
		{"other company", value, "other", "<1@x>", "key", false},
		{"other message", value, "sample", "<2@x>", "key", false},
		{"other key", value, "sample", "<1@x>", "yek", false},
		{"other time", strings.Replace(value, "1764050000", "1764050001", 1), "sample", "<1@x>", "key", false},
		{"forged", "relayed; 1764050000; 00", "sample", "<1@x>", "key", false},
		{"word only", "relayed", "sample", "<1@x>", "key", false},
		{"empty", "", "sample", "<1@x>", "key", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := (stamper{[]byte(tc.key)}).valid(tc.value, tc.company, tc.id); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestReceivedLine(t *testing.T) {
	at := time.Date(2026, 11, 25, 15, 4, 5, 0, time.FixedZone("JST", 9*3600))
	for _, tc := range []struct {
		name string
		h    hop
		want string
	}{
		{"IPv4", hop{"mail.example", netip.MustParseAddr("192.0.2.1"), "relay.example", "ESMTPS", "ab.1", at},
			"Received: from mail.example ([192.0.2.1])\r\n\tby relay.example (Career Relay) with ESMTPS id ab.1;\r\n\tWed, 25 Nov 2026 15:04:05 +0900\r\n"},
		{"IPv6 and a strange name", hop{"[x]\ty (z)", netip.MustParseAddr("2001:db8::1"), "r", "SMTP", "1", at},
			"Received: from [x]?y??z? ([IPv6:2001:db8::1])\r\n\tby r (Career Relay) with SMTP id 1;\r\n\tWed, 25 Nov 2026 15:04:05 +0900\r\n"},
		{"nothing known", hop{hostname: "r", protocol: "SMTP", id: "1", at: at},
			"Received: from unknown\r\n\tby r (Career Relay) with SMTP id 1;\r\n\tWed, 25 Nov 2026 15:04:05 +0900\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.h.line(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	if got := protocolName(true, true, true, true); got != "UTF8SMTPSA" {
		t.Errorf("got %s", got)
	}
}
