package smtp

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// TestSpool: what was written is read, whatever the sizes, the window and the
// memory that others leave.
func TestSpool(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		m := &memory{budget: int64(rapid.IntRange(0, 8).Draw(t, "chunks")) * chunkSize}
		s := &spool{memory: m, window: int64(rapid.IntRange(0, 5*chunkSize).Draw(t, "window")), limit: 1 << 30, dir: dir}
		defer s.Close()
		var want []byte
		for i, n := range rapid.SliceOfN(rapid.IntRange(0, 3*chunkSize), 0, 6).Draw(t, "sizes") {
			p := bytes.Repeat([]byte{byte(i + 1)}, n)
			want = append(want, p...)
			if _, err := s.Write(p); err != nil {
				t.Fatal(err)
			}
		}
		if s.Size() != int64(len(want)) {
			t.Fatalf("size %d, want %d", s.Size(), len(want))
		}
		for range 2 {
			var got bytes.Buffer
			if n, err := s.WriteTo(&got); err != nil || n != s.Size() || !bytes.Equal(got.Bytes(), want) {
				t.Fatalf("WriteTo wrote %d bytes, %v", n, err)
			}
		}
		off := rapid.IntRange(0, len(want)).Draw(t, "offset")
		p := make([]byte, rapid.IntRange(0, len(want)+10).Draw(t, "length"))
		n, err := s.ReadAt(p, int64(off))
		if !bytes.Equal(p[:n], want[off:min(off+len(p), len(want))]) || (n < len(p)) != (err == io.EOF) {
			t.Fatalf("ReadAt(%d, %d) read %d bytes, %v", len(p), off, n, err)
		}
		if err := s.Close(); err != nil || m.lent.Load() != 0 {
			t.Fatalf("after Close %d bytes are lent, %v", m.lent.Load(), err)
		}
	})
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("files left behind: %v, %v", left, err)
	}
}

func TestSpoolReader(t *testing.T) {
	s := &spool{memory: &memory{budget: 1 << 20}, window: 0, limit: 1 << 20, dir: t.TempDir()}
	defer s.Close()
	want := bytes.Repeat([]byte("0123456789"), 10000)
	s.Write(want)
	if err := iotest.TestReader(io.NewSectionReader(s, 0, s.Size()), want); err != nil {
		t.Error(err)
	}
	if _, err := s.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("a negative offset is accepted")
	}
}

func TestSpoolLimits(t *testing.T) {
	m := &memory{budget: 1 << 20}
	s := &spool{memory: m, window: 1 << 20, limit: 10}
	defer s.Close()
	if _, err := s.Write(make([]byte, 10)); err != nil {
		t.Errorf("exactly the limit: %v", err)
	}
	if _, err := s.Write([]byte{1}); !errors.Is(err, errTooLarge) {
		t.Errorf("one more: got %v, want errTooLarge", err)
	}
	full := &spool{memory: m, window: 0, limit: 1 << 20, dir: "/nowhere"}
	defer full.Close()
	if _, err := full.Write(make([]byte, chunkSize+1)); !errors.Is(err, errSpool) {
		t.Errorf("no file can be made: got %v, want errSpool", err)
	}
}
