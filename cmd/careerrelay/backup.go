package main

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/bolt"
	"github.com/careerrelay/careerrelay/store/engine"
)

// backupCommand writes all that the store holds into one file, while the relay
// runs.
type backupCommand struct {
	Config string `help:"Configuration file." default:"careerrelay.yaml" placeholder:"FILE"`
	To     string `arg:"" help:"File to make (dump, gzip). It must not exist."`
}

func (c *backupCommand) Run(t *terminal) error {
	err := privately(c.To, func(w io.Writer) error {
		z := gzip.NewWriter(w)
		return errors.Join(perform(t, c.Config, "backup", new(backupTask), z), z.Close())
	})
	if err != nil {
		return err
	}
	items, err := verifyBackup(c.To)
	if err != nil {
		return errors.Join(err, os.Remove(c.To))
	}
	fmt.Fprintf(t.stdout, "%s: %s, verified. Keep the key files elsewhere: without them it opens no link and no profile.\n",
		c.To, count64(items, "item", "items"))
	return nil
}

// backupTask dumps the store; whoever takes a copy stands in the journal.
type backupTask struct{}

func (*backupTask) do(ctx context.Context, o *office, out io.Writer) error {
	if err := o.note(ctx, store.NoteAccess, "backup", "", "", ""); err != nil {
		return err
	}
	return o.store.Dump(ctx, out)
}

// readBackup opens a backup for do.
func readBackup(path string, do func(io.Reader) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return errors.Join(fmt.Errorf("%s is no backup: %w", path, err), f.Close())
	}
	err = do(z)
	if errors.Is(err, gzip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: %w", store.ErrDump, err)
	}
	return errors.Join(err, f.Close())
}

func verifyBackup(path string) (items int64, err error) {
	err = readBackup(path, func(r io.Reader) (err error) {
		items, err = engine.VerifyDump(r)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("verify %s: %w", path, err)
	}
	return items, nil
}

// restoreCommand fills an empty store from a backup.
type restoreCommand struct {
	Config string `help:"Configuration file; its store is filled, bbolt or PostgreSQL." default:"careerrelay.yaml" placeholder:"FILE"`
	From   string `arg:"" help:"Backup to restore."`
}

func (c *restoreCommand) Run(t *terminal) error {
	config, err := loadConfig(t, c.Config)
	if err != nil {
		return err
	}
	if _, err := verifyBackup(c.From); err != nil { // all of it, before anything is written
		return err
	}
	to, err := openToLoad(t.ctx, config)
	if err != nil {
		return err
	}
	err = readBackup(c.From, func(r io.Reader) error { return to.Load(t.ctx, r) })
	if err != nil {
		return errors.Join(explainLoad(err), to.Close())
	}
	rep, err := to.Audit(t.ctx)
	if err == nil {
		printAudit(t.stdout, rep)
	}
	if err == nil && !rep.OK() {
		err = errSaid
	}
	return errors.Join(err, to.Close())
}

// openToLoad opens the configured store for loading, and makes it if need be.
func openToLoad(ctx context.Context, config *configs.Config) (store.Full, error) {
	if err := os.MkdirAll(filepath.Dir(config.StorePath()), 0o700); err != nil {
		return nil, fmt.Errorf("store: make its folder: %w", err)
	}
	s, err := openConfigured(ctx, config, opening{policy: policyOf(config), create: true, load: true})
	if errors.Is(err, bolt.ErrHeld) {
		return nil, fmt.Errorf("%w: stop the relay first", err)
	}
	return s, err
}

// explainLoad says what to do about a failed loading.
func explainLoad(err error) error {
	switch {
	case errors.Is(err, store.ErrNotEmpty):
		return fmt.Errorf("%w; name an empty store (another file, another database or schema), or move the old one away", err)
	case errors.Is(err, context.Canceled), errors.Is(err, store.ErrUnavailable):
		return fmt.Errorf("%w; run the command again, it goes on where it ended", err)
	}
	return err
}

// withCopy opens a backup, or a copy of the embedded database's file, for do.
func withCopy(ctx context.Context, path string, do func(store.Full) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	magic := make([]byte, 2)
	_, err = io.ReadFull(f, magic)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if string(magic) != "\x1f\x8b" { // RFC 1952, section 2.3.1
		s, err := bolt.Open(path, bolt.Options{})
		if err != nil {
			return err
		}
		return errors.Join(do(s), s.Close())
	}
	dir, err := os.MkdirTemp("", "careerrelay-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := bolt.Open(filepath.Join(dir, "store.db"), bolt.Options{Loading: true})
	if err != nil {
		return err
	}
	err = readBackup(path, func(r io.Reader) error { return s.Load(ctx, r) })
	if err == nil {
		err = do(s)
	}
	return errors.Join(err, s.Close())
}
