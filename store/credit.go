package store

import "fmt"

// Tally is the arithmetic of free introductions, and the only place where it is
// done: ratio counted referrals earn one credit, the remainder is carried for
// ever. A ratio below one means DefaultRatio.
//
// Reversed referrals can bring Earned below Redeemed. The used introduction
// stays used, and the next credits earned make up for it: see Available.
func Tally(counted, redeemed int64, ratio int) Credits {
	return Credits{Counted: counted, Earned: max(counted, 0) / int64(perCredit(ratio)), Redeemed: redeemed}
}

// perCredit is the number of referrals behind one credit.
func perCredit(ratio int) int {
	if ratio < 1 {
		return DefaultRatio
	}
	return ratio
}

// Available is the number of credits that can be redeemed now.
func (c Credits) Available() int64 { return max(c.Earned-c.Redeemed, 0) }

// Redeem uses one credit, or says ErrNoCredit.
func (c *Credits) Redeem() error {
	if c.Available() == 0 {
		return fmt.Errorf("redeem: %d earned, %d redeemed: %w", c.Earned, c.Redeemed, ErrNoCredit)
	}
	c.Redeemed++
	return nil
}
