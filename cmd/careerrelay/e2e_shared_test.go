//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/postgres"
	"github.com/careerrelay/careerrelay/store/postgres/postgrestest"
)

// fleet is three relays as the built binary, with one database, one set of keys and
// one mailbox behind them.
type fleet struct {
	all     []*hop
	cluster *postgrestest.Cluster
	url     string
}

func startFleet(t *testing.T) *fleet {
	t.Helper()
	mailbox := startMailbox(t)
	f := &fleet{cluster: postgrestest.Start(t, postgrestest.Options{Durable: true})}
	f.url = f.cluster.NewURL(t)
	address := urlFile(t, f.url)
	for range 3 {
		h := newHop(t, "fleet", mailbox)
		text := strings.Replace(h.text(), "127.0.0.1:2526", mailbox.Addr, 1)
		text = strings.Replace(text, "store: bbolt:data/careerrelay.db", "store: postgres\npostgres: {url: "+address+", timeout: 2s}", 1)
		if len(f.all) > 0 { // the keys of the first one
			text = strings.Replace(text, "secret_file: data/", "secret_file: "+f.all[0].dir+"/data/", 1)
			text = strings.Replace(text, "profile_key_file: data/", "profile_key_file: "+f.all[0].dir+"/data/", 1)
		}
		h.write(t, text)
		h.start(t)
		f.all = append(f.all, h)
	}
	return f
}

// deliver hands a mail over as a client with a queue does: to one relay after the
// other, until one takes it.
func (f *fleet) deliver(dir string, l letter, first int) error {
	limit := time.Now().Add(2 * patience)
	for i := first; ; i++ {
		err := f.all[i%len(f.all)].trySend(dir, l)
		if _, refused := errors.AsType[*errSwaks](err); err == nil || !refused || time.Now().After(limit) {
			return err
		}
		<-time.After(50 * time.Millisecond) // a queue waits, too
	}
}

// send hands n mails over from three clients at once and returns when all are
// taken.
func (f *fleet) send(t *testing.T, letters []letter) {
	t.Helper()
	dir := t.TempDir()
	var wg sync.WaitGroup
	for client := range 3 {
		wg.Go(func() {
			for i := client; i < len(letters); i += 3 {
				if err := f.deliver(dir, letters[i], i); err != nil {
					t.Errorf("mail %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestFleet: three relays on one database; one is killed and the database is
// restarted under load. No mail is lost or torn, mail flows unedited while the
// database is away, every link leads to one referral, and nothing counts twice.
func TestFleet(t *testing.T) {
	f := startFleet(t)
	letters := f.all[0].letters(t, "english", 45)
	f.send(t, letters[:15])

	load := make(chan struct{})
	go func() {
		defer close(load)
		f.send(t, letters[15:30])
	}()
	f.all[2].process.kill(t)
	f.cluster.Kill(t)
	<-load // all of it was taken without a database, or before it was away
	away := f.all[0].letter(t, "html", 1)
	if err := f.deliver(t.TempDir(), away, 0); err != nil {
		t.Fatal(err)
	}
	if got := f.all[0].awaitCopies(t, away.id, 1)[0]; !bytes.Equal(got.raw, away.raw) {
		t.Errorf("mail was changed while the database was away: %s", got.raw)
	}
	f.cluster.Start(t)
	f.all[2].start(t)
	f.send(t, letters[30:])
	f.check(t, letters)
}

// check holds the mailbox against the database.
func (f *fleet) check(t *testing.T, letters []letter) {
	t.Helper()
	s, err := postgres.Open(t.Context(), f.url, postgres.Options{})
	must(t, err)
	defer s.Close()
	edited := 0
	for _, l := range letters {
		await(t, "a copy of "+l.id, func() bool { return len(f.all[0].copies(t, l.id)) > 0 })
		links := map[string]bool{}
		for _, copied := range f.all[0].copies(t, l.id) { // a second one only if an answer was lost with its relay
			if !bytes.Equal(copied.raw, l.raw) {
				links[copied.link(t)] = true
			}
		}
		if len(links) > 1 {
			t.Errorf("%s came with different links", l.id)
		}
		edited += len(links)
		for link := range links {
			token, err := store.ParseToken(link[strings.LastIndex(link, "/")+1:])
			must(t, err)
			if _, err := s.Lookup(t.Context(), token); err != nil {
				t.Errorf("a link without referral: %v", err)
			}
			for range 2 { // nothing counts twice
				_, err = s.OptIn(t.Context(), token, store.Consent{TextID: "t"})
				must(t, err)
			}
		}
	}
	if edited < 30 {
		t.Errorf("%d of %d mails were edited, though the database was away for a third of them at most", edited, len(letters))
	}
	f.counts(t, s, edited)
}

func (f *fleet) counts(t *testing.T, s *postgres.Store, edited int) {
	t.Helper()
	rep, err := s.Audit(t.Context())
	must(t, err)
	rows, err := s.Report(t.Context(), "sample")
	must(t, err)
	if got := rows[0]; !rep.OK() || got.OptedIn != int64(edited) || got.Counted != int64(edited) || got.Earned != int64(edited/10) {
		t.Errorf("%d mails with a link, but %s; audit: %v", edited, fmt.Sprintf("%+v", got), rep.Problems)
	}
}
