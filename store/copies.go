package store

import (
	"context"
	"errors"
	"time"
)

// CopyLife is how long a delivered copy is remembered: as long as a client may try
// again (RFC 5321, section 4.5.4.1: four to five days).
const CopyLife = 5 * 24 * time.Hour

// Copies remembers which copies of a split message the upstream took. A copy with
// a link has its referral for that; one without, such as that for a colleague,
// would be sent twice when the client tries again after a restart.
type Copies interface {
	// AddCopy remembers a copy for CopyLife, and forgets what is older. key is
	// Keys.Copy.
	AddCopy(ctx context.Context, key string) error
	// HasCopy tells whether the copy is remembered.
	HasCopy(ctx context.Context, key string) (bool, error)
}

// CheckCopy says what is wrong with the key of a copy.
func CheckCopy(key string) error {
	if key == "" || len(key) > 64 || hasControl(key) {
		return errors.New("copy: bad key")
	}
	return nil
}
