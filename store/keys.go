package store

// Token is the secret in a candidate's link: 26 characters of lower-case
// base32, 128 bits. A token is a credential: it prints as <token>.
type Token string

// PersonHash is the keyed hash of a company id and a normalised address, in hex.
type PersonHash string
