package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// rotateCommand brings sealed profiles under a new key.
type rotateCommand struct {
	Prepare bool   `help:"Make a new key file, and say what to write into the configuration."`
	Config  string `help:"Configuration file." default:"careerrelay.yaml" placeholder:"FILE"`
}

func (c *rotateCommand) Run(t *terminal) error {
	if !c.Prepare {
		return perform(t, c.Config, "rotate-keys", new(rotateTask), t.stdout)
	}
	config, err := loadConfig(t, c.Config)
	if err != nil {
		return err
	}
	current := string(config.ProfileKeyFile)
	next := filepath.Join(filepath.Dir(current), "profile-key-"+time.Now().UTC().Format("20060102-150405"))
	err = privately(filepath.Join(filepath.Dir(config.Path(config.ProfileKeyFile)), filepath.Base(next)), func(w io.Writer) error {
		var key [32]byte
		rand.Read(key[:]) // never fails (crypto/rand)
		_, err := io.WriteString(w, hex.EncodeToString(key[:])+"\n")
		return err
	})
	if err != nil {
		return err
	}
	old := []string{current}
	for _, p := range config.OldProfileKeyFiles {
		old = append(old, string(p))
	}
	fmt.Fprintf(t.stdout, `A new key is in %s. Back it up apart from the store, then
1. write into %s:
     profile_key_file: %[1]s
     old_profile_key_files: %[3]q
2. restart the relay,
3. run "careerrelay rotate-keys"; when it says so, the old keys can go.
`, next, c.Config, old)
	return nil
}

type rotateTask struct{}

// do reseals what is sealed with an old key. It can be stopped at any time; the
// next run does what is left.
func (*rotateTask) do(ctx context.Context, o *office, out io.Writer) error {
	sealer, err := o.sealer()
	if err != nil {
		return err
	}
	if err := o.note(ctx, store.NoteAccess, "rotate-keys", "", "", ""); err != nil {
		return err
	}
	closed := map[string]error{}
	n, err := o.store.Reseal(ctx, func(referral string, box []byte) ([]byte, error) {
		if !sealer.Stale(box) {
			return nil, nil
		}
		next, err := sealer.Reseal(referral, box)
		if errors.Is(err, store.ErrSealed) { // one that no key opens must not keep the others waiting
			closed[referral] = err
			return nil, nil
		}
		return next, err
	})
	if err != nil {
		return fmt.Errorf("%s resealed, then: %w", count64(n, "profile", "profiles"), err)
	}
	if len(closed) > 0 {
		fmt.Fprintf(out, "%s resealed\n", count64(n, "profile", "profiles"))
		for _, referral := range slices.Sorted(maps.Keys(closed)) {
			fmt.Fprintf(out, "referral %s: %v\n", referral, closed[referral])
		}
		return fmt.Errorf("%s cannot be opened: put the key that made them into old_profile_key_files and run this again",
			count(len(closed), "profile", "profiles"))
	}
	fmt.Fprintf(out, "%s resealed. All profiles are under the current key: old_profile_key_files can go, with backups older than this.\n",
		count64(n, "profile", "profiles"))
	return nil
}
