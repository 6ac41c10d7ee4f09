package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/bolt"
	"github.com/careerrelay/careerrelay/web"
)

// registered is one invented candidate who opted in.
func registered(i int) web.Form {
	return web.Form{FamilyName: "山田", GivenName: fmt.Sprint("花子", i), Mail: fmt.Sprintf("hanako%d@mail.example.com", i),
		Phone: "03-0000-0000", Contact: "mail", Frequency: "asked", Adult: true, HandOver: true}
}

// fillStore opts n people in, from number first on.
func fillStore(t *testing.T, s store.Full, keys *store.Keys, sealer *store.Sealer, first, n int) {
	t.Helper()
	for i := first; i < first+n; i++ {
		f := registered(i)
		o := offerFor(keys, f.Mail)
		r, err := s.Offer(t.Context(), o)
		must(t, err)
		must(t, s.Confirm(t.Context(), o.Token))
		profile, err := json.Marshal(f)
		must(t, err)
		box, err := sealer.Seal(r.ID, profile)
		must(t, err)
		_, err = s.OptIn(t.Context(), o.Token, store.Consent{TextID: "optin-ja-2", TextSHA256: "aa", Locale: "ja", Method: "typed_address", Profile: box})
		must(t, err)
	}
}

func offerFor(keys *store.Keys, mail string) store.Offer {
	return store.Offer{Key: keys.Key("sample", "<1>", mail), Token: keys.Token("sample", "<1>", mail), Company: "sample",
		Person: keys.Person("sample", mail), Kind: store.KindRejection, Rule: "ja-declined", Language: "ja"}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// filled is a configuration whose store, which no relay has open, holds n people.
func filled(t *testing.T, n int) (file string) {
	t.Helper()
	s := startServer(t)
	fillStore(t, s.store, s.keys, s.sealer, 0, n)
	must(t, s.shutdown())
	return s.config.File()
}

// wantRun runs a command in this process.
func wantRun(t *testing.T, code int, stdin string, args ...string) result {
	t.Helper()
	got := inProcess(t, stdin, args...)
	if got.code != code {
		t.Fatalf("careerrelay %q: code %d, want %d\n%s%s", args, got.code, code, got.stdout, got.stderr)
	}
	return got
}

func wantText(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not in:\n%s", w, text)
		}
	}
}

// TestOffice runs every command that works on the store with the relay up, and
// once more without it: the answers must not depend on that.
func TestOffice(t *testing.T) {
	var outputs []string
	for _, up := range []bool{true, false} {
		t.Run(fmt.Sprint("relay up ", up), func(t *testing.T) {
			s := startServer(t)
			fillStore(t, s.store, s.keys, s.sealer, 0, 11)
			file := s.config.File()
			if !up {
				must(t, s.shutdown())
			}
			outputs = append(outputs, officeDay(t, file))
		})
	}
	if len(outputs) == 2 && outputs[0] != outputs[1] {
		t.Errorf("with the relay:\n%s\nwithout:\n%s", outputs[0], outputs[1])
	}
}

// officeDay goes through the commands; it returns what they said, without ids and
// hashes.
func officeDay(t *testing.T, file string) string {
	var said []string
	do := func(code int, stdin string, args ...string) string {
		t.Helper()
		got := wantRun(t, code, stdin, append(args, "--config", file)...)
		said = append(said, blurred(got.stdout)+blurred(got.stderr))
		return got.stdout + got.stderr
	}
	wantText(t, do(0, "", "audit"), "sample: 11 counted, 1 earned (by 10 each), 0 redeemed", "11 referrals checked", "Nothing is wrong")
	wantText(t, do(1, "", "redeem", "simple"), `no company "simple"`, `"sample"`)
	wantText(t, do(0, "", "redeem", "sample", "--note", "営業職"), "introduction 1 of sample is reserved; 0 credits left")
	wantText(t, do(1, "", "redeem", "sample"), "no credit to redeem")
	wantText(t, do(1, "", "introduction", "sample", "1", "hire"), "transition not allowed")
	for _, step := range []string{"introduce", "not-hired", "return"} {
		do(0, "", "introduction", "sample", "1", step)
	}
	wantText(t, do(0, "", "redeem", "sample"), "introduction 2 of sample")
	wantText(t, do(1, "", "introduction", "sample", "9", "close"), "no such")
	wantText(t, do(0, "", "ledger", "sample"), "11 counted, 1 earned, 1 redeemed, 0 left", "営業職", "credit 1 by", "introduction 2")
	wantText(t, do(0, "", "affected", "--from", "2020-01-01", "--to", "2100-01-01"), "sample: 11 people with a sealed profile")
	wantText(t, do(0, "", "affected", "--from", "2020-01-01", "--to", "2020-01-02"), "sample: 0 people")
	wantText(t, do(0, "", "purge", "--dry-run"), "would be deleted", "0  profiles")
	wantText(t, do(0, "", "rotate-keys"), "0 profiles resealed")
	wantText(t, do(0, "hanako3@mail.example.com\n", "subject", "erase", "--yes"), "erase done")
	wantText(t, do(1, "hanako3@mail.example.com\n", "subject", "erase", "--yes"), "nothing to erase")
	wantText(t, do(0, "", "audit"), "10 counted", "Nothing is wrong")
	journal := do(0, "", "journal")
	wantText(t, journal, "redeem", "introduction", "rotate-keys", "erase", "affected", "audit", whoami())
	if strings.Contains(journal, "hanako") {
		t.Error("the journal has an address")
	}
	return strings.Join(said, "")
}

var (
	hexes   = regexp.MustCompile(`[0-9a-f]{24,64}`)
	moments = regexp.MustCompile(`\d{4}-\d{2}-\d{2} \d{2}:\d{2}Z`)
)

// blurred is text without what is another one each time.
func blurred(text string) string {
	return moments.ReplaceAllString(hexes.ReplaceAllString(text, "HEX"), "TIME")
}

func TestRedeemRace(t *testing.T) {
	s := startServer(t)
	fillStore(t, s.store, s.keys, s.sealer, 0, 10)
	var mu sync.Mutex
	var won, lost int
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			got := inProcess(t, "", "redeem", "sample", "--config", s.config.File())
			mu.Lock()
			defer mu.Unlock()
			switch {
			case got.code == 0 && strings.Contains(got.stdout, "introduction 1 of sample"):
				won++
			case got.code == 1 && strings.Contains(got.stderr, "no credit to redeem"):
				lost++
			default:
				t.Errorf("%+v", got)
			}
		})
	}
	all.Wait()
	if won != 1 || lost != 5 {
		t.Errorf("%d redeemed the last credit, %d did not", won, lost)
	}
	wantRun(t, 0, "", "audit", "--config", s.config.File())
}

// TestControlSocket: only our own user can open it, a killed relay's is replaced,
// and it is gone when the relay is.
func TestControlSocket(t *testing.T) {
	s := startServer(t)
	path := controlPath(s.config)
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 || info.Mode().Type() != fs.ModeSocket {
		t.Errorf("mode %v", info.Mode())
	}
	must(t, s.shutdown())
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket is still there")
	}
	left, err := listenPrivately(path)
	must(t, err)
	must(t, left.Close()) // as a killed relay leaves it
	wantRun(t, 0, "", "audit", "--config", s.config.File())
	l, err := openListeners(s.config.Listen, nil)
	must(t, err)
	again, err := start(s.config, l, newLogger(os.Stderr, configs.Log{Level: "error"}))
	must(t, err)
	wantRun(t, 0, "", "audit", "--config", s.config.File())
	must(t, again.shutdown())
}

func TestOfficeWithoutStore(t *testing.T) {
	r := newRelay(t)
	wantText(t, wantRun(t, 1, "", "audit", "--config", r.file).stderr, "there is no store", "has the relay been started")
	if files, _ := filepath.Glob(filepath.Join(r.dir, "data", "*")); len(files) > 0 {
		t.Errorf("the command made %q", files)
	}
}

// TestOfficeHeld: somebody else has the store open.
func TestOfficeHeld(t *testing.T) {
	file := filled(t, 1)
	config, err := configs.Load(file)
	must(t, err)
	s, err := bolt.Open(config.StorePath(), bolt.Options{Policy: policyOf(config)})
	must(t, err)
	wantText(t, wantRun(t, 1, "", "audit", "--config", file).stderr, "held by another process", "does not answer", "as its user")
	must(t, s.Close())
}

// TestAuditFindsFlippedBits flips a bit in one line of every book in the file.
func TestAuditFindsFlippedBits(t *testing.T) {
	file := filled(t, 11)
	config, err := configs.Load(file)
	must(t, err)
	wantRun(t, 0, "", "redeem", "sample", "--config", file)
	whole, err := os.ReadFile(config.StorePath())
	must(t, err)
	for _, line := range []string{`"kind":"count"`, `"kind":"earn"`, `"kind":"reserve"`, `"kind":"consent"`, `"action":"redeem"`, `"counted":11`} {
		t.Run(line, func(t *testing.T) {
			at := bytes.Index(whole, []byte(line))
			if at < 0 {
				t.Fatal("not in the file")
			}
			for ; at >= 0; at = nextAt(whole, at, line) { // free pages hold old lines too
				broken := slices.Clone(whole)
				broken[at+len(line)-2] ^= 1
				path := filepath.Join(t.TempDir(), "copy.db")
				must(t, os.WriteFile(path, broken, 0o600))
				if got := inProcess(t, "", "audit", "--file", path); got.code == 1 {
					if !strings.Contains(got.stdout+got.stderr, "damaged") {
						t.Errorf("audit: %+v", got)
					}
					return
				}
			}
			t.Error("no audit found the flipped bit")
		})
	}
	path := filepath.Join(t.TempDir(), "copy.db")
	must(t, os.WriteFile(path, whole[:16<<10], 0o600))
	if got := inProcess(t, "", "audit", "--file", path); got.code != 1 {
		t.Errorf("a piece of a file: %+v", got)
	}
}

func nextAt(whole []byte, at int, line string) int {
	next := bytes.Index(whole[at+1:], []byte(line))
	if next < 0 {
		return -1
	}
	return at + 1 + next
}

// TestAuditNoted: a store that was made anew is sound in itself, but not the one
// that was noted.
func TestAuditNoted(t *testing.T) {
	file, other := filled(t, 11), filled(t, 12)
	noted := filepath.Join(t.TempDir(), "noted.json")
	must(t, os.WriteFile(noted, []byte(wantRun(t, 0, "", "audit", "--json", "--config", file).stdout), 0o600))
	wantRun(t, 0, "", "redeem", "sample", "--config", file)
	wantText(t, wantRun(t, 0, "", "audit", "--noted", noted, "--config", file).stdout, "Nothing is wrong")
	wantRun(t, 0, "", "audit", "--config", other)
	wantText(t, wantRun(t, 1, "", "audit", "--noted", noted, "--config", other).stdout,
		"ledger of sample: line 12 is not the one", "consent book of sample: line 11", "journal: line 1")
	wantText(t, wantRun(t, 1, "", "audit", "--noted", file, "--config", file).stderr, "is not the output of audit --json")
}

func TestSubject(t *testing.T) {
	s := startServer(t)
	fillStore(t, s.store, s.keys, s.sealer, 0, 2)
	file, mail := s.config.File(), registered(1).Mail
	moved := registered(2)
	moved.Mail = "other@mail.example.com" // registered with another address than the mail went to
	o := offerFor(s.keys, "hanako2@mail.example.com")
	r, err := s.store.Offer(t.Context(), o)
	must(t, err)
	profile, err := json.Marshal(moved)
	must(t, err)
	box, err := s.sealer.Seal(r.ID, profile)
	must(t, err)
	_, err = s.store.OptIn(t.Context(), o.Token, store.Consent{TextID: "optin-ja-2", Profile: box})
	must(t, err)

	for _, typed := range []string{"ＨＡＮＡＫＯ１@mail.example.com", mail} {
		out := wantRun(t, 0, typed+"\n", "subject", "export", "--config", file).stdout
		wantText(t, out, "花子1", "opted_in", "optin-ja-2", `"records"`)
		if strings.Contains(out, "花子0") {
			t.Error("the export has another person's data")
		}
	}
	wantText(t, wantRun(t, 0, moved.Mail+"\n", "subject", "export", "--config", file).stdout, "花子2")
	wantText(t, wantRun(t, 0, mail+"\n", "subject", "export", "--text", "--config", file).stdout, "given_name: 花子1", "action: export")

	path := filepath.Join(t.TempDir(), "export.json")
	wantRun(t, 0, mail+"\n", "subject", "export", "--out", path, "--config", file)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || info.Size() == 0 {
		t.Errorf("export file: %v, %v", info, err)
	}
	wantText(t, wantRun(t, 1, mail+"\n", "subject", "export", "--out", path, "--config", file).stderr, "file exists")

	changes := filepath.Join(t.TempDir(), "changes.json")
	for _, c := range []struct{ changes, says string }{
		{`{"phone": "nobody"}`, "phone"},
		{`{"mail": "new@mail.example.com"}`, "cannot be corrected"},
		{`{"salary": "1"}`, "fields of the form"},
		{`{"kana": "やまだ"}`, ""},
	} {
		must(t, os.WriteFile(changes, []byte(c.changes), 0o600))
		got := inProcess(t, mail+"\n", "subject", "correct", "--changes", changes, "--config", file)
		if (got.code == 0) != (c.says == "") || !strings.Contains(got.stderr, c.says) {
			t.Errorf("correct %s: %+v", c.changes, got)
		}
	}
	wantText(t, wantRun(t, 0, mail+"\n", "subject", "export", "--config", file).stdout, "ヤマダ")
	wantRun(t, 0, mail+"\n", "subject", "stop", "--config", file)
	wantRun(t, 0, mail+"\n", "subject", "withdraw", "--config", file)
	out := wantRun(t, 0, mail+"\n", "subject", "export", "--config", file).stdout
	wantText(t, out, `"notices_stopped": true`, "withdrawn", `"action": "correct"`, `"action": "withdraw"`)
	if strings.Contains(out, "花子1") {
		t.Error("the profile is still there")
	}
	wantText(t, wantRun(t, 1, mail+"\n", "subject", "erase", "--config", file).stderr, "needs --yes")
	wantText(t, wantRun(t, 1, "hanako\n", "subject", "export", "--config", file).stderr, "standard input")
	wantText(t, wantRun(t, 1, mail+"\n", "subject", "export", "--company", "simple", "--config", file).stderr, "no company")
	if got := wantRun(t, 0, "stranger@mail.example.com\n", "subject", "export", "--config", file).stdout; got != "[]\n" {
		t.Errorf("a stranger: %s", got)
	}
}

func TestAffectedAddresses(t *testing.T) {
	file := filled(t, 3)
	path := filepath.Join(t.TempDir(), "people.csv")
	wantRun(t, 0, "", "affected", "--from", "2020-01-01", "--to", "2100-01-01", "--addresses", "--out", path, "--config", file)
	info, err := os.Stat(path)
	must(t, err)
	raw, err := os.ReadFile(path)
	must(t, err)
	rows, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
	if err != nil || len(rows) != 4 || rows[3][2] != "hanako2@mail.example.com" || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v, %v", rows, err, info.Mode())
	}
	wantText(t, wantRun(t, 0, "", "journal", "--config", file).stdout, "affected with addresses")
	wantText(t, wantRun(t, 1, "", "affected", "--from", "2020-01-01", "--to", "2100-01-01", "--addresses", "--config", file).stderr, "belong together")
	wantText(t, wantRun(t, 1, "", "affected", "--from", "2020-01-02", "--to", "2020-01-02", "--config", file).stderr, "before --to")
	wantText(t, wantRun(t, 2, "", "affected", "--from", "yesterday", "--to", "2020-01-02", "--config", file).stderr, "is not a time")
	config, err := configs.Load(file)
	must(t, err)
	must(t, os.Remove(config.Path(config.ProfileKeyFile)))
	other := filepath.Join(t.TempDir(), "people.csv")
	wantText(t, wantRun(t, 1, "", "affected", "--from", "2020-01-01", "--to", "2100-01-01", "--addresses", "--out", other, "--config", file).stderr, "sealed")
	if _, err := os.Stat(other); err == nil {
		t.Error("a file without the key")
	}
}

// TestRotateKeys goes the whole way that the command prints.
func TestRotateKeys(t *testing.T) {
	s := startServer(t)
	fillStore(t, s.store, s.keys, s.sealer, 0, 130)
	file := s.config.File()
	must(t, s.shutdown())
	out := wantRun(t, 0, "", "rotate-keys", "--prepare", "--config", file).stdout
	_, lines, _ := strings.Cut(out, "write into")
	_, lines, _ = strings.Cut(lines, "\n")
	lines, _, _ = strings.Cut(lines, "2. restart")
	text, err := os.ReadFile(file)
	must(t, err)
	must(t, os.WriteFile(file, []byte(string(text)+"\n"+strings.ReplaceAll(lines, "     ", "")), 0o600))
	wantText(t, wantRun(t, 0, "", "rotate-keys", "--config", file).stdout, "130 profiles resealed", "can go")
	wantText(t, wantRun(t, 0, "", "rotate-keys", "--config", file).stdout, "0 profiles resealed")
	config, err := configs.Load(file)
	must(t, err)
	must(t, os.Remove(config.Path("data/profile-key")))
	without, _, _ := strings.Cut(string(text)+"\n"+strings.ReplaceAll(lines, "     ", ""), "old_profile_key_files")
	must(t, os.WriteFile(file, []byte(without), 0o600))
	wantText(t, wantRun(t, 0, "hanako7@mail.example.com\n", "subject", "export", "--config", file).stdout, "花子7")

	// A profile that no key opens does not keep the others from their new key.
	strange, err := store.NewSealer(bytes.Repeat([]byte{7}, 32))
	must(t, err)
	keys := secretsOf(t, config)
	db, err := bolt.Open(config.StorePath(), bolt.Options{})
	must(t, err)
	fillStore(t, db, keys, strange, 200, 1)
	must(t, db.Close())
	got := wantRun(t, 1, "", "rotate-keys", "--config", file)
	wantText(t, got.stdout+got.stderr, "1 profile cannot be opened", "old_profile_key_files")
}

func secretsOf(t *testing.T, config *configs.Config) *store.Keys {
	t.Helper()
	secret, err := config.Secret()
	must(t, err)
	keys, err := store.NewKeys(secret)
	must(t, err)
	return keys
}

// TestPurgeCommand: a dry run says what the real one then does.
func TestPurgeCommand(t *testing.T) {
	file := filled(t, 0)
	config, err := configs.Load(file)
	must(t, err)
	past := time.Now().Add(-121 * 24 * time.Hour)
	db, err := bolt.Open(config.StorePath(), bolt.Options{Policy: store.Policy{Now: func() time.Time { return past }}})
	must(t, err)
	keys := secretsOf(t, config)
	for i := range 3 {
		_, err := db.Offer(t.Context(), offerFor(keys, registered(i).Mail))
		must(t, err)
	}
	must(t, db.Close())
	for _, args := range [][]string{{"purge", "--dry-run"}, {"purge", "--dry-run"}, {"purge"}} {
		got := wantRun(t, 0, "", append(args, "--json", "--config", file)...)
		var purged store.Purged
		if err := json.Unmarshal([]byte(got.stdout), &purged); err != nil || purged != (store.Purged{Unused: 3}) {
			t.Errorf("%q: %s, %v", args, got.stdout, err)
		}
	}
	wantText(t, wantRun(t, 0, "", "purge", "--config", file).stdout, "0  unused referrals")
	wantText(t, wantRun(t, 0, "", "journal", "--kind", "deletion", "--json", "--config", file).stdout, `"action":"purge"`, `\"unused\":3`)
}

// TestOwnRatioReloads: a company's own ratio is taken into use by a reload.
func TestOwnRatioReloads(t *testing.T) {
	s := startServer(t)
	text, err := os.ReadFile(s.config.File())
	must(t, err)
	must(t, os.WriteFile(s.config.File(), []byte(strings.Replace(string(text), "    mode: insert", "    ratio: 2\n    mode: insert", 1)), 0o600))
	must(t, s.reloader.reload())
	fillStore(t, s.store, s.keys, s.sealer, 0, 3)
	if c, err := s.store.Credits(t.Context(), "sample"); err != nil || c.Earned != 1 {
		t.Errorf("credits: %+v, %v", c, err)
	}
	wantText(t, wantRun(t, 0, "", "audit", "--config", s.config.File()).stdout, "1 earned (by 2 each)")
}
