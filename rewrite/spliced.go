package rewrite

import (
	"fmt"
	"io"
)

// spliced reads an edited message at any place without building it.
type spliced struct {
	r      io.ReaderAt
	size   int64 // of the original
	edits  []Edit
	length int64
}

func newSpliced(r io.ReaderAt, size int64, edits []Edit) *spliced {
	return &spliced{r: r, size: size, edits: edits, length: editedSize(size, edits)}
}

// ReadAt implements io.ReaderAt.
func (s *spliced) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		got, err := s.piece(p[n:], off+int64(n))
		n += got
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// piece reads from the one stretch that holds the offset: original bytes or an edit.
func (s *spliced) piece(p []byte, off int64) (int, error) {
	from, at := int64(0), int64(0) // next byte of the original, its place in the result
	for _, e := range s.edits {
		if kept := e.Start - from; off < at+kept {
			return s.original(p, from+off-at, e.Start)
		} else {
			at += kept
		}
		if off < at+int64(len(e.New)) {
			return copy(p, e.New[off-at:]), nil
		}
		at, from = at+int64(len(e.New)), e.End
	}
	return s.original(p, from+off-at, s.size)
}

func (s *spliced) original(p []byte, from, end int64) (int, error) {
	if from >= end {
		return 0, io.EOF
	}
	n := min(int64(len(p)), end-from)
	got, err := s.r.ReadAt(p[:n], from)
	if int64(got) == n {
		return got, nil
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return got, fmt.Errorf("read message: %w", err)
}
