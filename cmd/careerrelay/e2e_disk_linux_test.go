package main

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// smallDisk puts the relay's data folder on a file system of its own.
func (h *hop) smallDisk(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(h.dir, "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		if os.Getenv("CI") == "true" && os.Getuid() == 0 {
			t.Fatalf("mount a small file system: %v", err)
		}
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// fill leaves no room on a disk; remove the file to make room again.
func fill(t *testing.T, dir string) (ballast string) {
	t.Helper()
	ballast = filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for chunk := make([]byte, 4<<10); err == nil; _, err = f.Write(chunk) {
	}
	if closed := f.Close(); !errors.Is(err, syscall.ENOSPC) || closed != nil {
		t.Fatalf("fill the disk: %v, %v", err, closed)
	}
	return ballast
}

// maxOnFullDisk bounds the mails that are still edited on a full disk: a few
// pages that the store had before are left to it.
const maxOnFullDisk = 50

// TestHopDiskFull: on a full disk mail flows as it was sent; when there is room
// again, it is edited again, and what was recorded before still stands.
func TestHopDiskFull(t *testing.T) {
	t.Parallel()
	h := newHop(t, "disk", startMailbox(t))
	dir := h.smallDisk(t)
	h.start(t)
	first := h.letter(t, "english", 0)
	c := newCandidate(h.deliver(t, first).link(t), first.to)
	ballast := fill(t, dir)
	n := 1
	for ; ; n++ {
		sent := h.letter(t, "english", n)
		if got := h.deliver(t, sent); bytes.Equal(got.raw, sent.raw) {
			break
		}
		if n == maxOnFullDisk {
			t.Fatalf("%d mails were edited on a full disk", n)
		}
	}
	for _, mail := range []string{"iso-2022-jp", "html"} {
		sent := h.letter(t, mail, 0)
		if got := h.deliver(t, sent); !bytes.Equal(got.raw, sent.raw) {
			t.Errorf("%s was edited on a full disk: %s", mail, got.raw)
		}
	}
	if page := c.open(t, http.MethodGet); page.status != http.StatusOK {
		t.Errorf("the link on a full disk = %d", page.status)
	}
	if err := c.optIn(); err == nil || !strings.Contains(err.Error(), "status 503") {
		t.Errorf("opt-in on a full disk: %v, want status 503", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	await(t, "a mail with a link", func() bool {
		n++
		return h.deliver(t, h.letter(t, "english", n)).link(t) != ""
	})
	optInAll(t, c)
	if got := h.report(t); got.OptedIn != 1 || got.Counted != 1 {
		t.Errorf("report = %+v, want one opted in", got)
	}
}
