package smtp

import "testing"

func TestReceivedID(t *testing.T) {
	tests := []struct{ name, value, want string }{
		{"Postfix", " from ats (ats [192.0.2.1])\r\n\tby mx.sample.jp (Postfix) with ESMTPS id 4XyZ1b2cd3z\r\n\tfor <a@b.example>; Wed, 25 Nov 2026 09:00:00 +0900", "4XyZ1b2cd3z"},
		{"local Postfix", " by mx.sample.jp (Postfix, from userid 0)\r\n\tid 4XyZ1b2cd3z; Wed, 25 Nov 2026 09:00:00 +0900", "4XyZ1b2cd3z"},
		{"Exim", " from localhost by mx with esmtp (Exim 4.96) id 1rXyZ2-0001AB-2c; date", "1rXyZ2-0001AB-2c"},
		{"without", " from a by b with SMTP; date", ""},
		{"in the date alone", " from a by b; id 4711", ""},
		{"an address", " by b id hanako1@mail.example.com; date", ""},
		{"a name", " by b id hanako.yamada; date", ""},
		{"nothing behind it", " by b id", ""},
		{"too long", " by b id 12345678901234567890123456789012345678901234567890123456789012345; d", ""},
		{"empty", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := receivedID([]byte(tt.value)); got != tt.want {
				t.Errorf("id = %q, want %q", got, tt.want)
			}
		})
	}
}

// TestClientIDIsTheTopmost: lines below belong to earlier hops.
func TestClientIDIsTheTopmost(t *testing.T) {
	h := scanHeader([]byte("Received: by near id 2AB; x\r\nReceived: by far id 1AB; x\r\n\r\n"))
	if h.clientID != "2AB" || h.received != 2 {
		t.Errorf("header = %+v", h)
	}
}
