package store_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/store"
	"pgregory.net/rapid"
)

func testKeys(t *testing.T) *store.Keys {
	t.Helper()
	k, err := store.NewKeys([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The values are frozen: links in mailboxes stop working when they change.
func TestKeysAreFrozen(t *testing.T) {
	k := testKeys(t)
	for _, c := range []struct{ name, got, want string }{
		{"token", string(k.Token("sample", "<1@example.jp>", "taro@example.org")), "66cndorahuyqqcs7xpdno4dyty"},
		{"person", string(k.Person("sample", "taro@example.org")), "3acd6374f42dbb1c0c6da525c8300242"},
		{"key", k.Key("sample", "<1@example.jp>", "taro@example.org"), "ef45e6de4c4fdd63716c712e4d31952f"},
		{"candidate", string(k.Candidate("taro@example.org")), "ff72d003ac2c206bb29f82a062f64c7a"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, c.got, c.want)
		}
	}
}

func TestNewKeysRefusesShortSecret(t *testing.T) {
	for _, n := range []int{0, 1, store.MinSecret - 1} {
		if _, err := store.NewKeys(make([]byte, n)); err == nil {
			t.Errorf("secret of %d bytes: no error", n)
		}
	}
}

func TestTokenSeparatesItsInputs(t *testing.T) {
	k := testKeys(t)
	seen := map[store.Token][3]string{}
	for _, in := range [][3]string{
		{"a", "b", "c"}, {"ab", "", "c"}, {"", "ab", "c"}, {"a", "bc", ""}, {"a", "", "bc"},
		{"a\x00", "b", "c"}, {"a", "\x00b", "c"}, {"", "", "abc"}, {"abc", "", ""},
	} {
		tok := k.Token(in[0], in[1], in[2])
		if other, dup := seen[tok]; dup {
			t.Errorf("inputs %q and %q give one token", in, other)
		}
		seen[tok] = in
	}
	other, err := store.NewKeys([]byte("another secret of enough bytes!!"))
	if err != nil {
		t.Fatal(err)
	}
	if k.Token("a", "b", "c") == other.Token("a", "b", "c") {
		t.Error("two secrets give one token")
	}
	if k.Person("a", "x@y") == k.Person("b", "x@y") {
		t.Error("two companies know a person under one hash")
	}
}

func TestParseToken(t *testing.T) {
	good := string(testKeys(t).Token("c", "m", "a@b"))
	for _, c := range []struct {
		name, in string
		ok       bool
	}{
		{"as made", good, true},
		{"upper case", strings.ToUpper(good), true},
		{"empty", "", false},
		{"short", good[1:], false},
		{"long", good + "a", false},
		{"not in the alphabet", "1" + good[1:], false},
		{"space", " " + good[1:], false},
		{"spare bits set", good[:25] + "b", false},
		{"multi-byte", strings.Repeat("é", 13), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := store.ParseToken(c.in)
			if (err == nil) != c.ok {
				t.Fatalf("got error %v, want ok %v", err, c.ok)
			}
			if c.ok && string(got) != good {
				t.Error("another token came out")
			}
			if err != nil && len(c.in) > 5 && strings.Contains(err.Error(), c.in) {
				t.Error("the error repeats the text")
			}
		})
	}
}

func TestSecretsNeverPrint(t *testing.T) {
	k := testKeys(t)
	tok := k.Token("sample", "<1@example.jp>", "taro@example.org")
	person := k.Person("sample", "taro@example.org")
	sealer, err := store.NewSealer(bytes.Repeat([]byte("canary-k"), 4))
	if err != nil {
		t.Fatal(err)
	}
	ref := store.Referral{ID: "1", Company: "sample", Person: person,
		Consent: &store.Consent{TextID: "canary-text", Profile: []byte("canary-profile")}}
	offer := store.Offer{Token: tok, Company: "sample"}
	values := []any{tok, &tok, ref, &ref, []store.Token{tok}, offer, k, struct{ R store.Referral }{ref}, ref.Consent, sealer}

	var out bytes.Buffer
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
	}
	for _, v := range []any{tok, offer} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
	}
	for _, secret := range []string{string(tok), fmt.Sprintf("%x", string(tok)), "0123456789abcdef", "canary", fmt.Sprintf("%x", "canary")} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("a secret was printed: %.8s…", secret)
		}
	}
	if !strings.Contains(out.String(), "<token>") || !strings.Contains(out.String(), "company=sample") {
		t.Error("nothing useful was printed either")
	}
}

func TestNormalize(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "taro@example.org", "taro@example.org"},
		{"case", "Taro.Yamada@Example.ORG", "taro.yamada@example.org"},
		{"white space", " \ttaro@example.org\r\n", "taro@example.org"},
		{"ideographic space", "\u3000taro@example.org\u3000", "taro@example.org"},
		{"full width", "ｔａｒｏ＠ｅｘａｍｐｌｅ．ｊｐ", "taro@example.jp"},
		{"idn", "taro@例え.jp", "taro@xn--r8jz45g.jp"},
		{"idn already ascii", "taro@XN--R8JZ45G.jp", "taro@xn--r8jz45g.jp"},
		{"final dot", "taro@example.org.", "taro@example.org"},
		{"plus tag stays", "taro+jobs@example.org", "taro+jobs@example.org"},
		{"dots stay", "t.a.r.o@example.org", "t.a.r.o@example.org"},
		{"japanese mobile", "taro..yamada.@docomo.example.jp", "taro..yamada.@docomo.example.jp"},
		{"needless quotes", `"taro"@example.org`, "taro@example.org"},
		{"needed quotes", `"ta ro"@example.org`, `"ta ro"@example.org`},
		{"quotes around dots", `"taro."@example.org`, `"taro."@example.org`},
		{"at in quotes", `"a@b"@example.org`, `"a@b"@example.org`},
		{"decomposed", "e\u0301@example.org", "é@example.org"},
		{"address literal", "taro@[192.0.2.1]", "taro@[192.0.2.1]"},
		{"underscore domain", "taro@my_host.example", "taro@my_host.example"},
		{"no at", "Taro", "taro"},
		{"empty", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := store.Normalize(c.in); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestNormalizeIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringMatching(`["a-zA-Zİé.+ ＠@]{0,12}@[a-zA-Z例え．.]{0,10}`)).Draw(t, "address")
		once := store.Normalize(s)
		if twice := store.Normalize(once); twice != once {
			t.Fatalf("%q: first %q, then %q", s, once, twice)
		}
	})
}

func FuzzParseToken(f *testing.F) {
	f.Add("abcdefghijklmnopqrstuvwxyy")
	f.Fuzz(func(t *testing.T, s string) {
		tok, err := store.ParseToken(s)
		if err == nil && !strings.EqualFold(string(tok), s) {
			t.Fatalf("another token came out of %q", s)
		}
	})
}
