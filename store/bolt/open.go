// Package bolt keeps the store in one bbolt file. It is the embedded default:
// nothing to install, one process at a time.
//
// # Durability
//
// One goroutine writes. It takes all functions that wait, runs them in one
// transaction and commits with one fsync; a method returns nil only after that.
// A kill at any instant loses nothing that was acknowledged.
//
// # Damage
//
// Every value carries a checksum. A damaged or shortened file, on which bbolt
// panics or faults, becomes store.ErrUnavailable: mail goes on unedited. The file
// is never repaired, replaced or created anew in that case.
//
// # Identity
//
// A database has a random id, kept in the file and beside it in FILE.id. An
// empty file, a file with another id, or no file where FILE.id says that there
// was one, is refused: a lost store must not begin again at zero unnoticed.
//
// # Caveats
//
// The open file is locked: no other process can read it, not even read-only.
// Reports ask the running process; Backup makes a copy that can be opened.
package bolt

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/engine"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Format is the version of the file layout that this package writes; see
// docs/store.md.
const Format = 4

// Errors of Open. Each comes with the path and the remedy.
var (
	ErrHeld     = errors.New("database is held by another process")
	ErrIdentity = errors.New("database is not the one that was here")
	ErrFormat   = errors.New("database has another format")
)

// Options of a store. The zero value has sensible defaults.
type Options struct {
	store.Policy
	Logger  *slog.Logger  // discards
	Timeout time.Duration // wait for another process to let go of the file; 2 s
	Loading bool          // it is opened to load a dump: one that is there in part is no error
	MaxSize int64         // bytes in use, at which commits fail; the file is up to 16 MiB larger. 0: no limit
}

func (o Options) withDefaults() Options {
	o.Policy = o.Policy.WithDefaults()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Second
	}
	return o
}

// Store is a store.Store in a bbolt file. Safe for concurrent use.
type Store struct {
	*engine.Engine
	path   string
	db     *bbolt.DB
	file   *os.File // db's own; see Close
	opt    Options
	log    *slog.Logger
	opened time.Time // base of retryAt, monotonic

	writes  chan *write
	stopped chan struct{} // closed when the writer has ended

	closing sync.RWMutex // guards closed, and the file while a reader uses it
	closed  bool

	broken  atomic.Pointer[error] // why the file is beyond use; nil while sound
	retryAt atomic.Int64          // nanoseconds after opened before which no commit is tried; 0: none
}

var _ store.Full = (*Store)(nil)

// database runs the engine's transactions.
type database struct{ s *Store }

// Read implements engine.DB.
func (d database) Read(ctx context.Context, do func(engine.Tx) error) error {
	return d.s.view(ctx, func(t *txn) error { return do(t) })
}

// Write implements engine.DB.
func (d database) Write(ctx context.Context, do func(engine.Tx) error) error {
	return d.s.update(ctx, func(t *txn) error { return do(t) })
}

// identity is what the file and its companion FILE.id hold.
type identity struct {
	Format  int    `json:"format"`
	ID      string `json:"id"`
	Created string `json:"created"` // RFC 3339, UTC
}

var keyPing = []byte("ping")

// Ping implements store.Store with a real commit: a full disk or a folder that
// turned read-only shows nowhere else.
func (s *Store) Ping(ctx context.Context) error {
	err := s.update(ctx, func(t *txn) error {
		return t.save(bucketMeta, keyPing, engine.ToMicros(store.Clock(s.opt.Now())))
	})
	if err != nil {
		return fmt.Errorf("ping store: %w", err)
	}
	return nil
}

// Open opens the database at path, or creates it when there was none.
func Open(path string, o Options) (*Store, error) {
	s := newStore(path, o)
	if err := s.open(migrations); err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	go s.writer()
	return s, nil
}

func newStore(path string, o Options) *Store {
	o = o.withDefaults()
	s := &Store{path: path, opt: o, log: o.Logger, opened: time.Now(),
		writes: make(chan *write, maxGroup), stopped: make(chan struct{})}
	// A transaction that wrote nothing is committed here, too.
	s.Engine = engine.New(database{s}, engine.Options{Policy: o.Policy, LookFirst: true})
	return s
}

func (s *Store) open(steps []migration) error {
	known, err := s.prepare()
	if err != nil {
		return err
	}
	if err := s.openFile(s.path); err != nil {
		return err
	}
	err = guardFaults(func() error {
		id, err := readIdentity(s.db)
		if err != nil {
			return err
		}
		if err := s.admit(known, id); err != nil {
			return err
		}
		if err := s.migrate(id, steps); err != nil {
			return err
		}
		if err := s.usable(); err != nil {
			return err
		}
		return s.continueIDs()
	})
	if err != nil {
		s.release()
	}
	return err
}

func (s *Store) usable() error {
	if s.opt.Loading {
		return nil
	}
	return s.db.View(func(tx *bbolt.Tx) error { return engine.Usable(&txn{tx: tx}) })
}

func (s *Store) continueIDs() error {
	return s.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketReferrals)
		if b == nil {
			return damaged("bucket %s is missing", bucketReferrals)
		}
		last, _ := b.Cursor().Last()
		s.After(hex.EncodeToString(last))
		return nil
	})
}

// prepare decides from the files in the folder whether to create, to open or to
// refuse. It returns the id that FILE.id names, or "".
func (s *Store) prepare() (known string, err error) {
	beside, err := readCompanion(s.path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && beside.ID == "":
		return "", s.create()
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%w: the file is gone but %s names store %s: restore a backup, or remove %[2]s to begin with an empty store",
			ErrIdentity, companion(s.path), beside.ID)
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", errors.New("not a regular file")
	case info.Size() == 0:
		return "", fmt.Errorf("%w: the file is empty: restore a backup, or remove it and %s to begin with an empty store",
			ErrIdentity, companion(s.path))
	}
	return beside.ID, nil
}

// create makes a new database under a temporary name and links it into place
// complete with its identity, so that a crash leaves either nothing or all, and
// of two processes one wins.
func (s *Store) create() error {
	tmp, err := os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+".new-*")
	if err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	defer os.Remove(tmp.Name())
	if err := tmp.Close(); err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	db, err := bbolt.Open(tmp.Name(), 0o600, &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	id := identity{Format: Format, ID: strings.ToLower(rand.Text()), Created: s.opt.Now().UTC().Format(time.RFC3339)}
	err = errors.Join(writeIdentity(db, id), db.Close())
	if err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	if err := os.Link(tmp.Name(), s.path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create database (the file system must know hard links): %w", err)
	}
	return syncDir(s.path)
}

// admit compares the identities inside and beside the file.
func (s *Store) admit(known string, id identity) error {
	switch {
	case known == "":
		// New, or a backup put in place without its companion: the file is whole
		// and says who it is.
		return writeCompanion(s.path, id)
	case known != id.ID:
		return fmt.Errorf("%w: the file is store %s but %s names %s: put the right file back, or remove %[3]s to accept this one",
			ErrIdentity, id.ID, companion(s.path), known)
	}
	return nil
}

// openFile opens a file that exists, after reading it through once read-only:
// bbolt's own reading for free pages runs in a goroutine whose panic on a
// damaged page would end the process.
func (s *Store) openFile(path string) error {
	if err := s.inspect(path); err != nil {
		return err
	}
	opt := s.bboltOptions()
	opt.OpenFile = func(name string, flag int, mode os.FileMode) (*os.File, error) {
		f, err := os.OpenFile(name, flag&^os.O_CREATE, mode)
		s.file = f
		return f, err
	}
	err := guardFaults(func() (err error) {
		s.db, err = bbolt.Open(path, 0o600, opt)
		return err
	})
	return s.openError(err)
}

func (s *Store) inspect(path string) error {
	err := guardFaults(func() error {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: s.opt.Timeout})
		if err != nil {
			return err
		}
		return errors.Join(walk(db), db.Close())
	})
	return s.openError(err)
}

func (s *Store) bboltOptions() *bbolt.Options {
	o := &bbolt.Options{
		Timeout: s.opt.Timeout, // zero would wait for ever
		// The free list is rebuilt at open: synced, it grows with every commit
		// while a reader is open, to hundreds of megabytes.
		NoFreelistSync: true,
		FreelistType:   bbolt.FreelistMapType, // the array type is slow when fragmented
		MaxSize:        int(s.opt.MaxSize),
		NoStatistics:   true,
	}
	if strconv.IntSize == 64 {
		o.InitialMmapSize = 1 << 30 // address space only; growing the map waits for all readers
	}
	return o
}

// openError says in words what bbolt's errors mean to an operator.
func (s *Store) openError(err error) error {
	var path *fs.PathError
	switch {
	case err == nil, errors.As(err, &path):
		return err
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("%w (waited %v): stop it, or let it do the work", ErrHeld, s.opt.Timeout)
	}
	return fmt.Errorf("%w: restore a backup (the file was left as it is): %w", store.ErrUnavailable, err)
}

// Close commits what waits, refuses what comes later, and lets go of the file.
// Closing twice is no error.
func (s *Store) Close() error {
	s.closing.Lock()
	if s.closed {
		s.closing.Unlock()
		return nil
	}
	s.closed = true
	close(s.writes)
	s.closing.Unlock()
	<-s.stopped
	if err := s.release(); err != nil {
		return fmt.Errorf("close store %s: %w", s.path, err)
	}
	return nil
}

// release closes the database. A broken one may hold bbolt's locks for ever, so
// only its file is let go, for whoever repairs it.
func (s *Store) release() error {
	if s.broken.Load() != nil {
		return abandon(s.file)
	}
	return guardFaults(s.db.Close)
}

func companion(path string) string { return path + ".id" }

func readCompanion(path string) (identity, error) {
	var id identity
	b, err := os.ReadFile(companion(path))
	if errors.Is(err, fs.ErrNotExist) {
		return id, nil
	}
	if err != nil {
		return id, fmt.Errorf("read identity: %w", err)
	}
	if err := json.Unmarshal(b, &id); err != nil || id.ID == "" {
		return id, fmt.Errorf("%w: %s cannot be read: remove it if the database beside it is the right one", ErrIdentity, companion(path))
	}
	return id, nil
}

func writeCompanion(path string, id identity) error {
	b, err := json.Marshal(id)
	if err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	if err := replaceFile(companion(path), append(b, '\n')); err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	return nil
}

// replaceFile writes a file so that a crash leaves the old or the new one.
func replaceFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(path)
}

// syncDir makes a new name in the folder of path durable.
func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
