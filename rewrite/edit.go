package rewrite

import (
	"cmp"
	"io"
	"slices"
)

// Edit replaces the bytes Start to End (exclusive, offsets in the raw message)
// by New. An insertion has Start == End.
type Edit struct {
	Start, End int64
	New        []byte
}

// Apply writes the message with its edits, which are in order and do not
// overlap. It can touch no byte outside them.
func Apply(w io.Writer, r io.ReaderAt, size int64, edits []Edit) error {
	at := int64(0)
	buf := make([]byte, max(min(size, 32<<10), 1))
	for _, e := range edits {
		if _, err := io.CopyBuffer(w, io.NewSectionReader(r, at, e.Start-at), buf); err != nil {
			return err
		}
		if _, err := w.Write(e.New); err != nil {
			return err
		}
		at = e.End
	}
	_, err := io.CopyBuffer(w, io.NewSectionReader(r, at, size-at), buf)
	return err
}

func sortEdits(edits []Edit) {
	slices.SortFunc(edits, func(a, b Edit) int { return cmp.Compare(a.Start, b.Start) })
}

// editedSize is the size of the message after the edits.
func editedSize(size int64, edits []Edit) int64 {
	for _, e := range edits {
		size += int64(len(e.New)) - (e.End - e.Start)
	}
	return size
}
