//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package bolt

import "os"

// abandon closes a file that stays mapped; its lock ends with the process.
func abandon(f *os.File) error { return f.Close() }
