package smtp

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// nobody is the hash that is compared for a name that does not exist, so that
// the time does not tell. Its password was random and is forgotten.
const nobody = "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"

// rightPassword checks a login; few at a time, for a hash is meant to be dear.
func (p *Proxy) rightPassword(ctx context.Context, name, password string) bool {
	select {
	case p.logins <- struct{}{}:
		defer func() { <-p.logins }()
	case <-ctx.Done():
		return false
	}
	l, found := p.directory.Load().users[name]
	hash := nobody
	if found {
		hash = l.user.Hash
	}
	return PasswordMatches(hash, password) && found
}

// PasswordMatches compares a password with its bcrypt or argon2id hash. What is
// neither matches nothing.
func PasswordMatches(hash, password string) bool {
	if strings.HasPrefix(hash, "$argon2id$") {
		return matchesArgon(hash, password)
	}
	return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
}

// Bounds of argon2id's cost, in KiB and passes: a hash beyond them is refused
// and not computed.
const (
	maxArgonMemory = 256 << 10
	maxArgonTime   = 16
)

// matchesArgon reads $argon2id$v=19$m=65536,t=3,p=4$salt$key.
func matchesArgon(hash, password string) bool {
	words := strings.Split(hash, "$")
	if len(words) != 6 || words[2] != "v=19" {
		return false
	}
	var memory, time uint32
	var threads uint8
	if _, err := fmt.Sscanf(words[3], "m=%d,t=%d,p=%d", &memory, &time, &threads); err != nil ||
		memory > maxArgonMemory || time == 0 || time > maxArgonTime || threads == 0 {
		return false
	}
	salt, err := base64.RawStdEncoding.DecodeString(words[4])
	if err != nil {
		return false
	}
	key, err := base64.RawStdEncoding.DecodeString(words[5])
	if err != nil || len(key) < 16 || len(key) > 64 {
		return false
	}
	got := argon2.IDKey([]byte(password), salt, time, memory, threads, uint32(len(key)))
	return subtle.ConstantTimeCompare(got, key) == 1
}
