package store

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync"
	"time"
)

// IDLen is the length of a referral id in bytes; its text is hex, twice as long.
const IDLen = 12

// IDs makes referral ids that sort by the time of their making: 48 bits of
// milliseconds, 16 bits that count within one, 32 random bits that keep several
// nodes apart. Databases write time-ordered keys four times cheaper than random
// ones. The zero value is ready; safe for concurrent use.
type IDs struct {
	mu   sync.Mutex
	last uint64 // milliseconds<<16 | counter
}

// After makes the next ids greater than one that exists already: a store calls it
// with its last id when it is opened, since the clock may have gone back.
func (g *IDs) After(id string) {
	b, err := hex.DecodeString(id)
	if err != nil || len(b) != IDLen {
		return
	}
	g.mu.Lock()
	g.last = max(g.last, binary.BigEndian.Uint64(b))
	g.mu.Unlock()
}

// Next returns an id greater than all before it, even when the clock stands or
// goes back.
func (g *IDs) Next(now time.Time) string {
	at := uint64(max(now.UnixMilli(), 0)) << 16
	g.mu.Lock()
	at = max(at, g.last+1)
	g.last = at
	g.mu.Unlock()
	var id [IDLen]byte
	binary.BigEndian.PutUint64(id[:], at)
	rand.Read(id[8:]) // never fails (crypto/rand)
	return hex.EncodeToString(id[:])
}
