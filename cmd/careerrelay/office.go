package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/bolt"
)

// office is where a command meets the store: inside the running relay, which
// alone can open the embedded database, or in the command's own process when
// none runs. What a command does there is the same.
type office struct {
	store  store.Full
	config *configs.Config
	actor  string // who runs the command
	keys   func() (*store.Keys, error)
	sealer func() (*store.Sealer, error)
}

// task is a command that works on the store. Its fields are what it was asked;
// they travel to the running relay as JSON.
type task interface {
	do(ctx context.Context, o *office, out io.Writer) error
}

// note writes into the journal what is about to be done. Who cannot be noted may
// not look.
func (o *office) note(ctx context.Context, kind store.NoteKind, action, company, referral, detail string) error {
	_, err := o.store.Note(ctx, store.Note{Kind: kind, Actor: o.actor, Role: "system", Action: action,
		Company: company, Referral: referral, Detail: detail})
	if err != nil {
		return fmt.Errorf("%s: the journal must know first: %w", action, err)
	}
	return nil
}

// companies are the ids of all companies, configured or in the store.
func (o *office) companies(ctx context.Context) ([]string, error) {
	counts, err := o.store.Report(ctx, "")
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, row := range reportRows(counts, companyIDs(o.config), pauses{}) {
		ids = append(ids, row.Company)
	}
	return ids, nil
}

// knows refuses a company that nobody has heard of: a typing mistake must not
// look like an empty answer.
func (o *office) knows(ctx context.Context, company string) error {
	ids, err := o.companies(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if id == company {
			return nil
		}
	}
	return fmt.Errorf("there is no company %q; known: %q", company, ids)
}

// perform does a task in the running relay if there is one, else here. name is
// the command's.
func perform(t *terminal, path, name string, job task, out io.Writer) error {
	config, err := loadConfig(t, path)
	if err != nil {
		return err
	}
	err = askRelay(t.ctx, config, name, job, out)
	if !errors.Is(err, errNoRelay) {
		return err
	}
	o, err := openOffice(t.ctx, config)
	if err != nil {
		return err
	}
	return errors.Join(job.do(t.ctx, o, out), o.store.Close())
}

// openOffice opens the store of a configuration. It never makes one.
func openOffice(ctx context.Context, config *configs.Config) (*office, error) {
	s, err := openConfigured(ctx, config, opening{policy: policyOf(config)})
	if errors.Is(err, bolt.ErrHeld) {
		return nil, fmt.Errorf("%w; a relay holds the store but does not answer at %s: run the command on its machine, "+
			"with the configuration it was started with, as its user", err, controlPath(config))
	}
	if err != nil {
		return nil, err
	}
	return &office{store: s, config: config, actor: whoami(), keys: func() (*store.Keys, error) {
		secret, err := config.Secret()
		if err != nil {
			return nil, err
		}
		return store.NewKeys(secret)
	}, sealer: func() (*store.Sealer, error) { return newSealer(config) }}, nil
}

func newSealer(config *configs.Config) (*store.Sealer, error) {
	keys, err := config.ProfileKeys()
	if err != nil {
		return nil, err
	}
	return store.NewSealer(keys[0], keys[1:]...)
}

// whoami is the person at the terminal, for the journal: who became root with
// sudo is named too.
func whoami() string {
	name := "uid " + fmt.Sprint(os.Getuid())
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	if before := os.Getenv("SUDO_USER"); before != "" && before != name {
		name += " (sudo: " + before + ")"
	}
	return name
}

// privately makes a new file that nobody else can read, for what a command found
// out about people. An existing file is not touched. A command that fails leaves
// none behind.
func privately(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
