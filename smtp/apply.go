package smtp

import (
	"io"

	"github.com/careerrelay/careerrelay/rewrite"
)

// apply writes the message with its edits, which are in order.
func apply(w io.Writer, r io.ReaderAt, size int64, edits []rewrite.Edit) error {
	var at int64
	for _, e := range append(edits[:len(edits):len(edits)], rewrite.Edit{Start: size, End: size}) {
		if _, err := io.Copy(w, io.NewSectionReader(r, at, e.Start-at)); err != nil {
			return err
		}
		if _, err := w.Write(e.New); err != nil {
			return err
		}
		at = e.End
	}
	return nil
}
