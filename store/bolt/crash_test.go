package bolt

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// TestDamage spoils a file in many ways and uses it in a process of its own: it
// may work or be refused, but neither crash nor hang, nor give wrong answers.
func TestDamage(t *testing.T) {
	pristine := dbPath(t)
	filled(t, pristine, 400)
	good := readFile(t, pristine)
	used := lastPage(good)
	rng := rand.New(rand.NewPCG(1, 2))
	spoilers := map[string]func(b []byte) []byte{
		"garbage":             func(b []byte) []byte { return []byte(strings.Repeat("garbage ", 4096)) },
		"first page only":     func(b []byte) []byte { return b[:4096] },
		"two pages":           func(b []byte) []byte { return b[:8192] },
		"half":                func(b []byte) []byte { return b[:used/2/4096*4096] },
		"half, odd":           func(b []byte) []byte { return b[:used/2+123] },
		"both metas zeroed":   func(b []byte) []byte { clear(b[:8192]); return b },
		"one meta zeroed":     func(b []byte) []byte { clear(b[:4096]); return b },
		"tail zeroed":         func(b []byte) []byte { clear(b[used/2:]); return b },
		"tail filled with ff": func(b []byte) []byte { fill(b[used/2:], 0xff); return b },
	}
	for i := range 12 {
		page := 2 + rng.IntN(used/4096-2)
		spoilers[fmt.Sprintf("page %d zeroed (%d)", page, i)] = func(b []byte) []byte { clear(b[page*4096:][:4096]); return b }
		noise := make([]byte, 4096)
		for j := range noise {
			noise[j] = byte(rng.Uint32())
		}
		spoilers[fmt.Sprintf("page %d random (%d)", page, i)] = func(b []byte) []byte { copy(b[page*4096:], noise); return b }
		at := 8192 + rng.IntN(used-8192)
		bit := byte(1) << rng.IntN(8)
		spoilers[fmt.Sprintf("bit flipped at %d", at)] = func(b []byte) []byte { b[at] ^= bit; return b }
	}
	for name, spoil := range spoilers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := dbPath(t)
			writeFile(t, path, spoil(append([]byte(nil), good...)))
			writeFile(t, path+".id", readFile(t, pristine+".id"))
			out, err := child(t, "use", path).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, last(out, 3000))
			}
		})
	}
}

// lastPage is the end of the pages in use, roughly: the file is grown in advance.
func lastPage(b []byte) int {
	n := len(b)
	for n > 0 && b[n-1] == 0 {
		n--
	}
	return (n + 4095) / 4096 * 4096
}

func fill(b []byte, v byte) {
	for i := range b {
		b[i] = v
	}
}

func last(b []byte, n int) string {
	return string(b[max(0, len(b)-n):])
}

// childEnv makes this test binary a helper process: see TestMain.
const childEnv = "CAREERRELAY_BOLT_TEST_CHILD"

func child(t *testing.T, job, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.timeout=60s")
	cmd.Env = append(os.Environ(), childEnv+"="+job, childEnv+"_PATH="+path)
	return cmd
}

// TestDamageWhileRunning spoils the file under a running store.
func TestDamageWhileRunning(t *testing.T) {
	for _, how := range []string{"cut", "zero", "scramble"} {
		t.Run(how, func(t *testing.T) {
			path := dbPath(t)
			filled(t, path, 400)
			out, err := child(t, how, path).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, last(out, 3000))
			}
			if !strings.Contains(string(out), "broken: true") {
				t.Errorf("the damage was not noticed:\n%s", last(out, 300))
			}
		})
	}
}

// spoilRunning opens a sound store, spoils its file, and uses it.
func spoilRunning(how, path string) error {
	s, err := Open(path, Options{})
	if err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	used := lastPage(b)
	switch how {
	case "cut":
		err = os.Truncate(path, 8192)
	case "zero":
		clear(b[8192:])
	case "scramble":
		fill(b[8192:used], 0xa5)
	}
	if err == nil && how != "cut" {
		// In place: the store has this very file mapped.
		var f *os.File
		if f, err = os.OpenFile(path, os.O_WRONLY, 0); err == nil {
			_, err = f.WriteAt(b[8192:], 8192)
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		return err
	}
	return use(s)
}

// useDamaged opens a spoiled store of 400 sent referrals and uses it.
func useDamaged(path string) error {
	s, err := Open(path, Options{})
	if err != nil {
		fmt.Println("refused:", err)
		return nil
	}
	return use(s)
}

func use(s *Store) error {
	ctx := context.Background()
	failed := 0
	for i := range 400 {
		o := testOffer(i)
		r, err := s.Lookup(ctx, o.Token)
		// With one of its two meta pages lost the file is one transaction older,
		// the confirmation of the last referral: bbolt cannot know, nor can we.
		older := i == 399 && r.State == store.Offered
		switch {
		case err == nil && ((r.State != store.Sent && !older) || r.Person != o.Person || r.Company != "c"):
			return fmt.Errorf("referral %d: wrong answer %v", i, r)
		case errors.Is(err, store.ErrUnavailable):
			failed++
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return fmt.Errorf("referral %d: %w", i, err)
		}
		if i%8 != 0 {
			continue
		}
		if err := s.View(ctx, o.Token, true); err != nil && !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("view %d: %w", i, err)
		}
	}
	for i := range 10 {
		if _, err := s.Offer(ctx, testOffer(400+i)); err != nil && !errors.Is(err, store.ErrUnavailable) {
			return fmt.Errorf("offer %d: %w", i, err)
		}
	}
	fmt.Printf("opened; %d of 400 unreadable; broken: %v\n", failed, s.broken.Load() != nil)
	broken := s.broken.Load() != nil
	if err := s.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	if broken { // the file must be free for whoever repairs it
		_, err := Open(s.path, Options{Timeout: 50 * time.Millisecond})
		if err == nil || errors.Is(err, ErrHeld) {
			return fmt.Errorf("open what is broken: %v", err)
		}
	}
	return nil
}

// TestKill kills a writing process again and again at moments that the disk and
// the scheduler choose: what it acknowledged must be there, once.
func TestKill(t *testing.T) {
	path := dbPath(t)
	acknowledged := 0
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range rounds {
		cmd := child(t, "crash", path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// The child prints a line per acknowledged step; it dies after some.
		lines := readLines(out, 1+rng.IntN(60), func() { cmd.Process.Kill() })
		cmd.Wait()
		for _, l := range lines {
			n, err := strconv.Atoi(l)
			if err != nil {
				t.Fatalf("child: %s", l)
			}
			acknowledged = max(acknowledged, n)
		}
		checkAfterKill(t, path, round, acknowledged)
	}
	if acknowledged < rounds {
		t.Fatalf("only %d steps in %d rounds", acknowledged, rounds)
	}
}

func checkAfterKill(t *testing.T, path string, round, acknowledged int) {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatalf("round %d: %v", round, err)
	}
	defer s.Close()
	for i := range acknowledged {
		r, err := s.Lookup(t.Context(), testOffer(i).Token)
		if err != nil || r.State != store.OptedIn || !r.Counted {
			t.Fatalf("round %d: acknowledged referral %d: %v, %v", round, i, r, err)
		}
	}
	c, err := s.Credits(t.Context(), "c")
	if err != nil || c.Counted < int64(acknowledged) || c.Counted > int64(acknowledged)+1 || c.Earned != c.Counted/10 {
		t.Fatalf("round %d: %d acknowledged, credits %+v, %v", round, acknowledged, c, err)
	}
}

// writeUntilKilled offers, confirms and opts in one person after the other, and
// prints the number of those done.
func writeUntilKilled(path string) error {
	s, err := Open(path, Options{})
	if err != nil {
		return err
	}
	for i := range 5000 {
		o := testOffer(i)
		if _, err := s.Offer(context.Background(), o); err != nil {
			return err
		}
		if err := s.Confirm(context.Background(), o.Token); err != nil {
			return err
		}
		if _, err := s.OptIn(context.Background(), o.Token, store.Consent{TextID: "t"}); err != nil {
			return err
		}
		fmt.Println(i + 1)
	}
	return nil
}
