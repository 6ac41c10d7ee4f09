package bolt

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/careerrelay/careerrelay/store"
)

// mount mounts a tmpfs of its own for the test, or skips where that is not
// allowed.
func mount(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		skip(t, "cannot mount a small file system: "+err.Error())
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" && os.Getuid() == 0 {
		t.Fatal(why)
	}
	t.Skip(why)
}

// readOnlyFolder is one that even root cannot write to.
func readOnlyFolder(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	dir := mount(t, "size=64k")
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestDiskFull fills the file system under a running store.
func TestDiskFull(t *testing.T) {
	dir := mount(t, "size=24m")
	s := openTest(t, filepath.Join(dir, "store.db"), Options{})
	first := testOffer(0)
	if _, err := s.Offer(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for chunk := make([]byte, 64<<10); err == nil; _, err = f.Write(chunk) {
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	kept, err := offerUntilError(t, s, 1)
	if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("full disk: got %v", err)
	}
	if _, err := s.Lookup(t.Context(), first.Token); err != nil {
		t.Errorf("reading on a full disk: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	waitUsable(t, s)
	for i := range kept {
		if _, err := s.Lookup(t.Context(), testOffer(i).Token); err != nil {
			t.Fatalf("acknowledged referral %d: %v", i, err)
		}
	}
	if _, err := s.Offer(t.Context(), testOffer(kept)); err != nil {
		t.Errorf("after making room: %v", err)
	}
}

// offerUntilError returns the number of acknowledged offers and the first error.
func offerUntilError(t *testing.T, s *Store, from int) (int, error) {
	t.Helper()
	for i := from; i < 20000; i++ {
		if _, err := s.Offer(t.Context(), testOffer(i)); err != nil {
			return i, err
		}
	}
	t.Fatal("no error")
	return 0, nil
}

// waitUsable waits until the pause after a failed commit is over.
func waitUsable(t *testing.T, s *Store) {
	t.Helper()
	await(t, "a usable store", func() bool { return s.Ping(t.Context()) == nil })
}

func TestMaxSize(t *testing.T) {
	path := dbPath(t)
	s := openTest(t, path, Options{MaxSize: 1 << 20})
	n, err := offerUntilError(t, s, 0)
	if !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("after %d offers: %v", n, err)
	}
	if _, err := s.Lookup(t.Context(), testOffer(0).Token); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > 17<<20 {
		t.Errorf("size %d, %v", info.Size(), err)
	}
}

func TestOpenInReadOnlyFolder(t *testing.T) {
	dir := readOnlyFolder(t)
	_, err := Open(filepath.Join(dir, "store.db"), Options{})
	if err == nil || !(errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), "read-only")) {
		t.Errorf("got %v", err)
	}
}
