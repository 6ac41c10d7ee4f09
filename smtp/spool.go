package smtp

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

// chunkSize is the unit in which a message is kept in memory.
const chunkSize = 32 << 10

// memory lends chunks to spools and bounds what all of them hold together.
type memory struct {
	budget int64 // bytes for all messages in flight
	lent   atomic.Int64
	pool   sync.Pool
}

// get returns a chunk. A spool's first chunk is always granted, for without one
// it could keep nothing; more come only within the budget.
func (m *memory) get(first bool) (*[chunkSize]byte, bool) {
	if lent := m.lent.Add(chunkSize); lent > m.budget && !first {
		m.lent.Add(-chunkSize)
		return nil, false
	}
	if c, ok := m.pool.Get().(*[chunkSize]byte); ok {
		return c, true
	}
	return new([chunkSize]byte), true
}

func (m *memory) put(c *[chunkSize]byte) {
	m.lent.Add(-chunkSize)
	m.pool.Put(c)
}

// spool keeps one message: up to the window in memory, the rest in a temporary
// file that has no name any more when the first byte is written to it. It is
// written once, then read; not for concurrent writing.
type spool struct {
	memory *memory
	window int64 // bytes that may stay in memory
	limit  int64 // largest size; beyond it Write gives errTooLarge
	dir    string

	chunks []*[chunkSize]byte // the bytes from inFile to size
	file   *os.File           // nil until the window is full
	inFile int64
	size   int64
}

// Size is the number of bytes written.
func (s *spool) Size() int64 { return s.size }

// Write appends p.
func (s *spool) Write(p []byte) (int, error) {
	if s.size+int64(len(p)) > s.limit {
		return 0, errTooLarge
	}
	written := 0
	for written < len(p) {
		room, err := s.room()
		if err != nil {
			return written, err
		}
		n := copy(room, p[written:])
		written += n
		s.size += int64(n)
	}
	return written, nil
}

// room returns the free end of the last chunk, making one if it is full.
func (s *spool) room() ([]byte, error) {
	held := s.size - s.inFile
	if held == int64(len(s.chunks))*chunkSize {
		c, ok := (*[chunkSize]byte)(nil), false
		if held < max(s.window, chunkSize) {
			c, ok = s.memory.get(len(s.chunks) == 0)
		}
		if !ok {
			if err := s.spill(); err != nil {
				return nil, fmt.Errorf("%w: %w", errSpool, err)
			}
			return s.chunks[0][:], nil
		}
		s.chunks = append(s.chunks, c)
	}
	return s.chunks[len(s.chunks)-1][held%chunkSize:], nil
}

// spill moves all that is in memory to the file. One chunk stays as buffer.
func (s *spool) spill() error {
	if s.file == nil {
		f, err := os.CreateTemp(s.dir, "careerrelay-*") // mode 0600
		if err != nil {
			return err
		}
		if err := os.Remove(f.Name()); err != nil {
			f.Close()
			return err
		}
		s.file = f
	}
	for _, c := range s.chunks {
		if _, err := s.file.WriteAt(c[:], s.inFile); err != nil {
			return err
		}
		s.inFile += chunkSize
	}
	for _, c := range s.chunks[1:] {
		s.memory.put(c)
	}
	s.chunks = s.chunks[:1]
	return nil
}

// ReadAt reads the message at an offset; safe for concurrent use after the last
// Write.
func (s *spool) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read message at %d: negative offset", off)
	}
	n := 0
	for n < len(p) && off < s.size {
		got, err := s.readSome(p[n:], off)
		if err != nil {
			return n, err
		}
		n += got
		off += int64(got)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (s *spool) readSome(p []byte, off int64) (int, error) {
	if off < s.inFile {
		p = p[:min(int64(len(p)), s.inFile-off)]
		n, err := s.file.ReadAt(p, off)
		if n > 0 {
			return n, nil
		}
		return 0, fmt.Errorf("read message from file: %w", err)
	}
	held := off - s.inFile
	c := s.chunks[held/chunkSize][held%chunkSize:]
	return copy(p[:min(int64(len(p)), s.size-off)], c), nil
}

// head is the start of the message as far as it lies in one piece of memory;
// nil if it went to the file.
func (s *spool) head() []byte {
	if s.inFile > 0 || len(s.chunks) == 0 {
		return nil
	}
	return s.chunks[0][:min(s.size, chunkSize)]
}

// WriteTo writes the whole message; it may be called again.
func (s *spool) WriteTo(w io.Writer) (int64, error) {
	var written int64
	if s.inFile > 0 {
		buf, _ := s.memory.get(true)
		n, err := io.CopyBuffer(w, io.NewSectionReader(s.file, 0, s.inFile), buf[:])
		s.memory.put(buf)
		written += n
		if err != nil {
			return written, err
		}
	}
	for rest, i := s.size-s.inFile, 0; rest > 0; i++ {
		n, err := w.Write(s.chunks[i][:min(rest, chunkSize)])
		written += int64(n)
		rest -= int64(n)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// Close gives the memory and the file back. The spool is empty afterwards; a nil
// spool is empty always.
func (s *spool) Close() error {
	if s == nil {
		return nil
	}
	for _, c := range s.chunks {
		s.memory.put(c)
	}
	f := s.file
	s.chunks, s.file, s.inFile, s.size = nil, nil, 0, 0
	if f == nil {
		return nil
	}
	return f.Close()
}
