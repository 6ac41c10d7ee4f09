package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/store"
	"go.etcd.io/bbolt"
)

// testOffer is the offer of the i-th message to the i-th person.
func testOffer(i int) store.Offer {
	k, err := store.NewKeys([]byte("a secret for the tests of bolt.."))
	if err != nil {
		panic(err)
	}
	address, message := string(rune('a'+i%26))+strings.Repeat("x", i/26)+"@example.org", "<"+strings.Repeat("m", i)+">"
	return store.Offer{Key: k.Key("c", message, address), Token: k.Token("c", message, address), Company: "c",
		Person: k.Person("c", address), Kind: "rejection", Rule: "ja.oinori", Language: "ja"}
}

// filled makes a database with n sent referrals and closes it.
func filled(t *testing.T, path string, n int) {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		o := testOffer(i)
		if _, err := s.Offer(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if err := s.Confirm(t.Context(), o.Token); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func wantOpenError(t *testing.T, path string, want error, words ...string) {
	t.Helper()
	s, err := Open(path, Options{Timeout: 100 * time.Millisecond})
	if err == nil {
		s.Close()
		t.Fatal("opened")
	}
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
	for _, w := range append(words, path) {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
}

func TestOpenHeldByAnother(t *testing.T) {
	path := dbPath(t)
	openTest(t, path, Options{})
	wantOpenError(t, path, ErrHeld, "held by another process")
}

func TestIdentity(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, path string)
		want  error
		words string
	}{
		{"file gone", func(t *testing.T, p string) { remove(t, p) }, ErrIdentity, "restore a backup"},
		{"file emptied", func(t *testing.T, p string) { writeFile(t, p, nil) }, ErrIdentity, "is empty"},
		{"empty file, no companion", func(t *testing.T, p string) { writeFile(t, p, nil); remove(t, p+".id") }, ErrIdentity, "is empty"},
		{"another store", func(t *testing.T, p string) {
			other := dbPath(t)
			filled(t, other, 1)
			writeFile(t, p, readFile(t, other))
		}, ErrIdentity, "put the right file back"},
		{"companion unreadable", func(t *testing.T, p string) { writeFile(t, p+".id", []byte("{")) }, ErrIdentity, "cannot be read"},
		{"companion empty", func(t *testing.T, p string) { writeFile(t, p+".id", nil) }, ErrIdentity, "cannot be read"},
		{"a folder", func(t *testing.T, p string) {
			remove(t, p)
			if err := os.Mkdir(p, 0o700); err != nil {
				t.Fatal(err)
			}
		}, nil, "not a regular file"},
		{"foreign bbolt file", func(t *testing.T, p string) {
			remove(t, p)
			db, err := bbolt.Open(p, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket(bucketMeta); return err }); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}, ErrIdentity, "not made by Career Relay"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := dbPath(t)
			filled(t, path, 1)
			c.spoil(t, path)
			before, _ := os.ReadFile(path)
			if c.want == nil {
				c.want = store.ErrNotFound
				s, err := Open(path, Options{})
				if err == nil || !strings.Contains(err.Error(), c.words) {
					t.Errorf("got %v, %v", s, err)
				}
				return
			}
			wantOpenError(t, path, c.want, c.words)
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the refused file was changed")
			}
			if matches, _ := filepath.Glob(filepath.Dir(path) + "/*.new-*"); matches != nil {
				t.Errorf("left behind: %v", matches)
			}
		})
	}
}

func TestBackupWithoutCompanionIsAdopted(t *testing.T) {
	path := dbPath(t)
	filled(t, path, 3)
	before := readFile(t, path+".id")
	remove(t, path+".id")
	s := openTest(t, path, Options{})
	if _, err := s.Lookup(t.Context(), testOffer(2).Token); err != nil {
		t.Error(err)
	}
	var a, b identity
	var err error
	if b, err = readCompanion(path); err != nil {
		t.Fatal(err)
	}
	writeFile(t, path+".id", before)
	if a, err = readCompanion(path); err != nil || a.ID != b.ID {
		t.Errorf("companion names %s, then %s (%v)", a.ID, b.ID, err)
	}
}

func TestCreationRace(t *testing.T) {
	path := dbPath(t)
	type result struct {
		s   *Store
		err error
	}
	results := make(chan result)
	for range 4 {
		go func() {
			s, err := Open(path, Options{Timeout: 500 * time.Millisecond})
			results <- result{s, err}
		}()
	}
	var winner *Store
	for range 4 {
		r := <-results
		switch {
		case r.err == nil && winner == nil:
			winner = r.s
		case r.err == nil:
			t.Error("two processes own the store")
			r.s.Close()
		case !errors.Is(r.err, ErrHeld) && !errors.Is(r.err, ErrIdentity):
			t.Errorf("loser: %v", r.err)
		}
	}
	if winner == nil {
		t.Fatal("nobody won")
	}
	if err := winner.Close(); err != nil {
		t.Error(err)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	path := dbPath(t)
	filled(t, path, 1)
	setFormat(t, path, Format+1)
	wantOpenError(t, path, ErrFormat, "newer")
	setFormat(t, path, 0)
	wantOpenError(t, path, ErrFormat, "unknown")
}

func TestMigration(t *testing.T) {
	path := dbPath(t)
	filled(t, path, 3)
	var ran []int
	step := func(to int, err error) migration {
		return migration{to: to, name: "test", do: func(t *txn) error {
			ran = append(ran, to)
			return errors.Join(t.put(bucketMeta, []byte("step"), []byte{byte(to)}), err)
		}}
	}
	first, second := step(Format+1, nil), step(Format+2, nil)

	if err := migrateOnce(t, path, first, step(Format+2, errBusiness)); !errors.Is(err, errBusiness) {
		t.Fatalf("failing step: %v", err)
	}
	if err := migrateOnce(t, path, first, second); err != nil { // begins where it stopped
		t.Fatal(err)
	}
	if err := migrateOnce(t, path, first, second); err != nil { // nothing to do
		t.Fatal(err)
	}
	if want := []int{Format + 1, Format + 2, Format + 2}; !slices.Equal(ran, want) {
		t.Errorf("ran %v, want %v", ran, want)
	}
	if err := migrateOnce(t, path, step(Format+4, nil)); !errors.Is(err, ErrFormat) {
		t.Errorf("gap: got %v", err)
	}
	wantOpenError(t, path, ErrFormat, "newer")

	// The copy made before the first step is a working store of the old format.
	kept := dbPath(t)
	writeFile(t, kept, readFile(t, fmt.Sprint(path, ".format-", Format)))
	s := openTest(t, kept, Options{})
	if _, err := s.Lookup(t.Context(), testOffer(2).Token); err != nil {
		t.Error(err)
	}
}

func migrateOnce(t *testing.T, path string, steps ...migration) error {
	t.Helper()
	s := newStore(path, Options{})
	if err := s.open(steps); err != nil {
		return err
	}
	return s.release()
}

func setFormat(t *testing.T, path string, format int) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	id, err := readIdentity(db)
	if err != nil {
		t.Fatal(err)
	}
	id.Format = format
	if err := errors.Join(writeIdentity(db, id), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestBackup(t *testing.T) {
	s := openTest(t, dbPath(t), Options{})
	for i := range 20 {
		if _, err := s.Offer(t.Context(), testOffer(i)); err != nil {
			t.Fatal(err)
		}
	}
	to := filepath.Join(t.TempDir(), "copy.db")
	writeFile(t, to, []byte("yesterday's"))
	if err := s.Backup(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Offer(t.Context(), testOffer(20)); err != nil {
		t.Fatal(err)
	}
	b := openTest(t, to, Options{})
	if _, err := b.Lookup(t.Context(), testOffer(19).Token); err != nil {
		t.Errorf("in the copy: %v", err)
	}
	if _, err := b.Lookup(t.Context(), testOffer(20).Token); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("later than the copy: %v", err)
	}
	if err := s.Backup(t.Context(), filepath.Join(t.TempDir(), "no", "such", "folder")); err == nil {
		t.Error("backup into nowhere: no error")
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
