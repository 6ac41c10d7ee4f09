package smtptest

import (
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
)

// lastPort is the last port that FreeAddr tried: no two tests of a process get
// the same one.
var lastPort atomic.Uint32

// FreeAddr is a loopback address on which nothing listened a moment ago, for
// programs that must be told their port. It lies below the ports that systems
// give to outgoing connections, so that none of these takes it meanwhile.
func FreeAddr(t testing.TB) string {
	t.Helper()
	const first, ports = 20000, 12000
	for range ports {
		port := first + (uint32(os.Getpid())*97+lastPort.Add(1))%ports
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
		if err != nil {
			continue // somebody else's
		}
		defer l.Close()
		return l.Addr().String()
	}
	t.Fatal("no free port")
	return ""
}
