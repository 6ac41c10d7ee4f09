package smtp

import (
	"crypto/sha256"
	"sync"
	"time"
)

// Deliveries are remembered as long as a client may try again (RFC 5321, section
// 4.5.4.1: four to five days), and no more than so many.
const (
	rememberFor  = 5 * 24 * time.Hour
	rememberMost = 100_000
)

// delivered remembers which copies of split messages were delivered, as hashes.
type delivered struct {
	mu    sync.Mutex // guards the fields below
	when  map[[sha256.Size]byte]time.Time
	queue [][sha256.Size]byte // oldest first
}

// deliveryKey names the copy of a message for one recipient.
func deliveryKey(company, messageKey, path string) [sha256.Size]byte {
	return sha256.Sum256([]byte(company + "\x00" + messageKey + "\x00" + path))
}

func (d *delivered) has(key [sha256.Size]byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, found := d.when[key]
	return found
}

func (d *delivered) add(key [sha256.Size]byte, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.when == nil {
		d.when = make(map[[sha256.Size]byte]time.Time)
	}
	for len(d.queue) > 0 && (len(d.queue) >= rememberMost || now.Sub(d.when[d.queue[0]]) > rememberFor) {
		delete(d.when, d.queue[0])
		d.queue = d.queue[1:]
	}
	if _, found := d.when[key]; !found {
		d.when[key] = now
		d.queue = append(d.queue, key)
	}
}
