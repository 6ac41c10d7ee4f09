package smtp

import (
	"errors"
	"strings"
	"testing"
)

func TestParsePath(t *testing.T) {
	for _, tc := range []struct {
		arg           string
		path, params  string
		local, domain string
		address       string
		err           error
	}{
		{arg: "TO:<a@b.example>", path: "<a@b.example>", local: "a", domain: "b.example", address: "a@b.example"},
		{arg: "to:<a@b.example>", path: "<a@b.example>", local: "a", domain: "b.example", address: "a@b.example"},
		{arg: "TO: <a@b> NOTIFY=NEVER  ORCPT=rfc822;a+3Db@c ", path: "<a@b>", params: "NOTIFY=NEVER  ORCPT=rfc822;a+3Db@c", local: "a", domain: "b", address: "a@b"},
		{arg: "TO:<>", path: "<>"},
		{arg: "TO:<PostMaster>", path: "<PostMaster>", local: "PostMaster", address: "PostMaster"},
		{arg: `TO:<"a b"@c>`, path: `<"a b"@c>`, local: `"a b"`, domain: "c", address: `"a b"@c`},
		{arg: `TO:<"a@b"@c>`, path: `<"a@b"@c>`, local: `"a@b"`, domain: "c", address: `"a@b"@c`},
		{arg: `TO:<"a\"b"@c>`, path: `<"a\"b"@c>`, local: `"a\"b"`, domain: "c", address: `"a\"b"@c`},
		{arg: `TO:<"ab"@c>`, path: `<"ab"@c>`, local: `"ab"`, domain: "c", address: "ab@c"},
		{arg: "TO:<@x,@y:a@b>", path: "<@x,@y:a@b>", local: "a", domain: "b", address: "a@b"},
		{arg: "TO:<a@[192.0.2.1]>", path: "<a@[192.0.2.1]>", local: "a", domain: "[192.0.2.1]", address: "a@[192.0.2.1]"},
		{arg: "TO:<a@[IPv6:2001:db8::1]>", path: "<a@[IPv6:2001:db8::1]>", local: "a", domain: "[IPv6:2001:db8::1]", address: "a@[IPv6:2001:db8::1]"},
		{arg: "TO:<taro..yamada.@docomo.ne.jp>", path: "<taro..yamada.@docomo.ne.jp>", local: "taro..yamada.", domain: "docomo.ne.jp", address: "taro..yamada.@docomo.ne.jp"},
		{arg: "TO:<太郎@例え.jp>", path: "<太郎@例え.jp>", local: "太郎", domain: "例え.jp", address: "太郎@例え.jp"},
		{arg: "TO:<a_b+c=d@x_y.example>", path: "<a_b+c=d@x_y.example>", local: "a_b+c=d", domain: "x_y.example", address: "a_b+c=d@x_y.example"},

		{arg: "TO", err: errSyntax},
		{arg: "FROM:<a@b>", err: errSyntax},
		{arg: "TO <a@b>", err: errSyntax},
		{arg: "TO:a@b", err: errBadPath},
		{arg: "TO:<a@b", err: errBadPath},
		{arg: "TO:<a@b>SIZE=5", err: errSyntax},
		{arg: "TO:<a>", err: errBadPath},
		{arg: "TO:<@b>", err: errBadPath},
		{arg: "TO:<a@>", err: errBadPath},
		{arg: "TO:<a@b@c>", err: errBadPath},
		{arg: "TO:<a b@c>", err: errBadPath},
		{arg: "TO:<a@b c>", err: errBadPath},
		{arg: "TO:<a@b><c@d>", err: errSyntax},
		{arg: "TO:<<a@b>>", err: errBadPath},
		{arg: `TO:<"victim@evil.example> NOTIFY=NEVER <x"@company.example>`, err: errBadPath},
		{arg: `TO:<"a\>b"@c>`, err: errBadPath},
		{arg: `TO:<"a@c>`, err: errBadPath},
		{arg: `TO:<"a"b@c>`, err: errBadPath},
		{arg: `TO:<a"b"@c>`, err: errBadPath},
		{arg: `TO:<""x@c>`, err: errBadPath},
		{arg: "TO:<a@b\r>", err: errSyntax},
		{arg: "TO:<a\x00@b>", err: errSyntax},
		{arg: "TO:<a@b>\tX=1", err: errSyntax},
		{arg: "TO:<a@b> X=1\x7f", err: errSyntax},
		{arg: "TO:<a\xff@b>", err: errSyntax},
		{arg: "TO:<a@-b>", err: errBadPath},
		{arg: "TO:<a@b..c>", err: errBadPath},
		{arg: "TO:<a@[1.2.3.4>", err: errBadPath},
		{arg: "TO:<a@[1 2]>", err: errBadPath},
		{arg: "TO:<@x:>", err: errBadPath},
		{arg: "TO:<@x a@b>", err: errBadPath},
		{arg: "TO:<a@b> =1", err: errBadOption},
		{arg: "TO:<a@b> X=", err: errBadOption},
		{arg: "TO:<a@b> X=a=b", err: errBadOption},
		{arg: "TO:<a@b> -X", err: errBadOption},
		{arg: "TO:<a@b> X.Y=1", err: errBadOption},
		{arg: "TO:<" + strings.Repeat("a", 300) + "@b>", err: errLongPath},
		{arg: "TO:<a@" + strings.Repeat("a.", 200) + "b>", err: errLongPath},
	} {
		t.Run(tc.arg, func(t *testing.T) {
			c, err := parsePath(tc.arg, "TO")
			if !errors.Is(err, tc.err) {
				t.Fatalf("got error %v, want %v", err, tc.err)
			}
			if err != nil {
				return
			}
			if c.path != tc.path || c.params != tc.params || c.local != tc.local || c.domain != tc.domain || c.address() != tc.address {
				t.Errorf("got %+v address %q, want %+v", c, c.address(), tc)
			}
		})
	}
}

// FuzzParsePath: what is accepted can be sent on without becoming two commands,
// two paths or other parameters.
func FuzzParsePath(f *testing.F) {
	for _, seed := range []string{"TO:<a@b>", `TO:<"a b"@c> NOTIFY=NEVER`, "TO:<@x:a@b>", "TO:<>", `TO:<"\"@a> X="@b>`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		c, err := parsePath(arg, "TO")
		if err != nil {
			return
		}
		if strings.ContainsAny(c.path+c.params, "\r\n\x00\t") {
			t.Errorf("control character passes in %q", arg)
		}
		if strings.Count(c.path, "<") != 1 || strings.Count(c.path, ">") != 1 || !strings.HasSuffix(c.path, ">") {
			t.Errorf("brackets inside path %q", c.path)
		}
		again, err := parsePath("TO:"+strings.TrimSpace(c.path+" "+c.params), "TO")
		if err != nil || again.path != c.path || again.params != c.params {
			t.Errorf("%q is not read alike when it is sent on: %+v, %v", arg, again, err)
		}
	})
}
