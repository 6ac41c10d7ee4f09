package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/bolt"
	"github.com/careerrelay/careerrelay/store/postgres"
)

// migrateStoreCommand moves everything from one database to another.
type migrateStoreCommand struct {
	From string `arg:"" help:"bbolt:FILE, or postgres: with a file that holds the URL, or postgres:env:NAME."`
	To   string `arg:"" help:"The same; it must be empty, or hold what this command has brought before."`
}

func (c *migrateStoreCommand) Run(t *terminal) error {
	from, err := openNamed(t.ctx, c.From, false)
	if err != nil {
		return fmt.Errorf("open %s: %w", c.From, err)
	}
	to, err := openNamed(t.ctx, c.To, true)
	if err != nil {
		return errors.Join(fmt.Errorf("open %s: %w", c.To, err), from.Close())
	}
	err = copyStore(t.ctx, from, to)
	if err == nil {
		err = compareStores(t, from, to)
	}
	return errors.Join(err, to.Close(), from.Close())
}

// openNamed opens a store by its name on the command line.
func openNamed(ctx context.Context, name string, load bool) (store.Full, error) {
	kind, place, _ := strings.Cut(name, ":")
	switch {
	case place != "" && kind == "postgres":
		url, err := configs.SecretAt(place).Read()
		if err != nil {
			return nil, err
		}
		s, err := postgres.Open(ctx, url, postgres.Options{Loading: load})
		if err != nil {
			return nil, err
		}
		return s, nil
	case place != "" && kind == "bbolt":
		if _, err := os.Stat(place); err != nil && !load {
			return nil, err
		}
		s, err := bolt.Open(place, bolt.Options{Loading: load})
		if errors.Is(err, bolt.ErrHeld) {
			err = fmt.Errorf("%w: stop the relay first", err)
		}
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	return nil, errors.New("write bbolt:FILE, postgres:FILE-WITH-THE-URL or postgres:env:NAME")
}

// copyStore pours one store into another.
func copyStore(ctx context.Context, from, to store.Dumper) error {
	r, w := io.Pipe()
	dumped := make(chan error, 1)
	go func() {
		err := from.Dump(ctx, w)
		w.CloseWithError(err)
		dumped <- err
	}()
	err := to.Load(ctx, r)
	r.CloseWithError(errors.New("the other store takes no more"))
	if source := <-dumped; err == nil {
		err = source
	}
	return explainLoad(err)
}

// compareStores holds both against each other: the audit, with the heads of all
// chains, and the counts of all companies.
func compareStores(t *terminal, from, to store.Full) error {
	a, b := new(standing), new(standing)
	if err := errors.Join(a.read(t.ctx, from), b.read(t.ctx, to)); err != nil {
		return err
	}
	printAudit(t.stdout, b.Audit)
	if !a.Audit.OK() || !b.Audit.OK() {
		return errors.New("the audit found something wrong: see above, and the audit of the old store")
	}
	if !reflect.DeepEqual(a, b) {
		return errors.New("the stores differ: was the old one changed meanwhile? Stop all relays, and begin anew with an empty store")
	}
	fmt.Fprintln(t.stdout, "Both stores are the same: heads of all chains, counts, referrals.")
	return nil
}

// standing is what two equal stores have in common.
type standing struct {
	Audit  store.AuditReport
	Counts []store.Counts
}

func (s *standing) read(ctx context.Context, from store.Full) (err error) {
	if s.Audit, err = from.Audit(ctx); err != nil {
		return err
	}
	s.Counts, err = from.Report(ctx, "")
	return err
}
