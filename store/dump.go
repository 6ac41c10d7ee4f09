package store

import (
	"context"
	"errors"
	"io"
)

// Errors of a Dumper.
var (
	ErrDump     = errors.New("dump is damaged") // not whole, changed, or from a newer program
	ErrNotEmpty = errors.New("store is not empty: nothing is overwritten")
	// ErrUnfinished says that a dump was loaded in part only: the store may not be
	// used before Load has brought the rest.
	ErrUnfinished = errors.New("a dump was loaded into this store in part only")
	ErrOtherDump  = errors.New("another dump was loaded in part: begin anew with an empty store")
)

// Dumper moves all that a store holds, in a form that belongs to no database:
// for backups, and to change the database.
type Dumper interface {
	// Dump writes everything as it is at one moment, while mail goes on. It holds
	// hashes and sealed profiles, as the database does.
	Dump(ctx context.Context, w io.Writer) error
	// Load fills an empty store from a dump. One that was interrupted goes on where
	// it ended when it gets the same dump again. Nobody else may use the store
	// meanwhile.
	Load(ctx context.Context, r io.Reader) error
}
