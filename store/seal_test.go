package store_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/careerrelay/careerrelay/store"
	"pgregory.net/rapid"
)

func sealKey(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func sealer(t *testing.T, current []byte, old ...[]byte) *store.Sealer {
	t.Helper()
	s, err := store.NewSealer(current, old...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSealRotation(t *testing.T) {
	before := sealer(t, sealKey(1))
	box, err := before.Seal("ref", []byte("山田太郎"))
	if err != nil {
		t.Fatal(err)
	}
	during := sealer(t, sealKey(2), sealKey(1))
	if !during.Stale(box) || before.Stale(box) {
		t.Error("only the old key's box is stale")
	}
	fresh, err := during.Reseal("ref", box)
	if err != nil {
		t.Fatal(err)
	}
	after := sealer(t, sealKey(2))
	text, err := after.Open("ref", fresh)
	if err != nil || string(text) != "山田太郎" {
		t.Fatalf("got %q, %v", text, err)
	}
	if _, err := after.Open("ref", box); !errors.Is(err, store.ErrSealed) {
		t.Errorf("dropped key: got %v", err)
	}
}

func TestSealRefusesEveryChange(t *testing.T) {
	s := sealer(t, sealKey(1))
	box, err := s.Seal("ref", []byte("profile"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range box {
		bad := bytes.Clone(box)
		bad[i] ^= 1
		if _, err := s.Open("ref", bad); !errors.Is(err, store.ErrSealed) {
			t.Errorf("bit flipped in byte %d: got %v", i, err)
		}
		if _, err := s.Open("ref", box[:i]); !errors.Is(err, store.ErrSealed) {
			t.Errorf("cut to %d bytes: got %v", i, err)
		}
	}
	if _, err := s.Open("another", box); !errors.Is(err, store.ErrSealed) {
		t.Errorf("moved to another referral: got %v", err)
	}
}

func TestNewSealerRefusesShortKeys(t *testing.T) {
	if _, err := store.NewSealer(nil); err == nil {
		t.Error("no key: no error")
	}
	if _, err := store.NewSealer(sealKey(1), make([]byte, 31)); err == nil {
		t.Error("short old key: no error")
	}
}

func TestSealOpensWhatItSealed(t *testing.T) {
	s := sealer(t, sealKey(1))
	rapid.Check(t, func(t *rapid.T) {
		id, text := rapid.String().Draw(t, "id"), rapid.SliceOf(rapid.Byte()).Draw(t, "text")
		box, err := s.Seal(id, text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Open(id, box)
		if err != nil || !bytes.Equal(got, text) {
			t.Fatalf("got %q, %v", got, err)
		}
	})
}
