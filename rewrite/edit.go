package rewrite

// Edit replaces the bytes Start to End (exclusive, offsets in the raw message)
// by New. An insertion has Start == End.
type Edit struct {
	Start, End int64
	New        []byte
}
