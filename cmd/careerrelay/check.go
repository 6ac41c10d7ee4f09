package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"

	"github.com/careerrelay/careerrelay/configs"
)

// checkCommand validates a configuration: 0 if the relay would start with it.
type checkCommand struct {
	File string `arg:"" help:"Configuration file." default:"careerrelay.yaml"`
	DNS  bool   `name:"dns" help:"Also look up whether the DNS has the public keys of dkim_keys, and print the records that it lacks."`
}

func (c *checkCommand) Run(t *terminal) error {
	config, err := loadConfig(t, c.File)
	if err != nil {
		return err
	}
	if err := checkPostgres(config); err != nil {
		return err
	}
	if c.DNS {
		if err := checkDKIM(t, config, net.DefaultResolver.LookupTXT); err != nil {
			return err
		}
	}
	fmt.Fprintf(t.stdout, "%s: ok, %s, %s\n", c.File, count(len(config.Companies), "company", "companies"),
		count(len(config.Warnings()), "warning", "warnings"))
	return nil
}

// checkDKIM compares the keys that sign edited mail with their records in the
// DNS: without the right record receivers take the signature for a forgery.
func checkDKIM(t *terminal, config *configs.Config, lookup func(context.Context, string) ([]string, error)) error {
	wrong := 0
	for i := range config.Companies {
		for _, found := range publishedKeys(t.ctx, &config.Companies[i], lookup) {
			if found.err != nil {
				wrong++
				fmt.Fprintf(t.stderr, "%s: %v\n  publish this TXT record: %s\n", found.name, found.err, found.record)
			}
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%s not published as the relay signs", count(wrong, "DKIM key is", "DKIM keys are"))
	}
	return nil
}

// publishedKey is a key that signs mail, as the DNS has it.
type publishedKey struct {
	name   string // of the record
	record string // as it should be
	err    error  // nil: it is so
}

// publishedKeys looks up the DKIM keys of a company.
func publishedKeys(ctx context.Context, c *configs.Company, lookup func(context.Context, string) ([]string, error)) []publishedKey {
	var all []publishedKey
	for _, k := range signingKeys(c) {
		found := publishedKey{name: k.Name()}
		var records []string
		if found.record, found.err = k.Record(); found.err == nil {
			records, found.err = lookup(ctx, k.Name())
		}
		if found.err == nil {
			found.err = k.Published(records)
		}
		all = append(all, found)
	}
	return all
}

// loadConfig loads a configuration and prints every problem; warnings do not fail.
func loadConfig(t *terminal, path string) (*configs.Config, error) {
	return loadConfigOn(t, path, configs.Listen{})
}

// loadConfigOn is loadConfig for a relay that has sockets already.
func loadConfigOn(t *terminal, path string, sockets configs.Listen) (*configs.Config, error) {
	config, err := configs.LoadOn(path, sockets)
	if problems, ok := errors.AsType[configs.Problems](err); ok {
		fmt.Fprintln(t.stderr, problems)
		fmt.Fprintf(t.stderr, "%s: %s\n", path, count(len(problems.Mistakes()), "mistake", "mistakes"))
		return nil, errSaid
	}
	if err != nil {
		return nil, err
	}
	for _, w := range config.Warnings() {
		fmt.Fprintln(t.stderr, w)
	}
	return config, nil
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// sampleCommand prints the configuration that is shipped, or the wordings of one
// language, to start from.
type sampleCommand struct {
	Wordings string `help:"Print the texts of the block in this language instead: ja or en." enum:",ja,en" default:"" placeholder:"LANGUAGE"`
}

func (c sampleCommand) Run(t *terminal) error {
	text := configs.Sample
	if c.Wordings != "" {
		var err error
		if text, err = configs.ShippedWordings(c.Wordings); err != nil {
			return err
		}
	}
	_, err := t.stdout.Write(text)
	return err
}

// hashCommand makes the hash of a password.
type hashCommand struct {
	Dashboard bool `help:"For dashboard.users: argon2id, which costs a guesser memory, too. Without it the hash is for accept.users."`
}

func (c hashCommand) Run(t *terminal) error {
	line, err := bufio.NewReader(t.stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read password: %w", err)
	}
	password := strings.TrimRight(line, "\r\n")
	if password == "" {
		return errors.New("no password: write it to standard input, as one line")
	}
	if c.Dashboard {
		fmt.Fprintln(t.stdout, argonHash(password))
		return nil
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		return fmt.Errorf("hash password: %w", err)
	}
	fmt.Fprintf(t.stdout, "%s\n", hash)
	return nil
}

// argonHash is the argon2id hash of a password, with the second recommended
// parameters of RFC 9106, section 4: 64 MiB, three passes.
func argonHash(password string) string {
	const memory, passes, lanes = 64 << 10, 3, 4
	var salt [16]byte
	rand.Read(salt[:]) // never fails (crypto/rand)
	key := argon2.IDKey([]byte(password), salt[:], passes, memory, lanes, 32)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, passes, lanes, b64(salt[:]), b64(key))
}

// versionCommand prints what was built, from what, with what.
type versionCommand struct{}

func (versionCommand) Run(t *terminal) error {
	fmt.Fprintln(t.stdout, "careerrelay", version())
	return nil
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	out := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			out += " " + s.Value[:min(12, len(s.Value))]
		}
	}
	return out + " " + info.GoVersion
}
