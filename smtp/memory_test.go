package smtp

import (
	"bufio"
	"io"
	"net"
	"runtime"
	"testing"
	"time"
)

// TestIdleMemory: 2,000 clients that said EHLO and wait hold at most 64 MiB, the
// clients' own memory in this process included.
func TestIdleMemory(t *testing.T) {
	const clients, bound = 2000, 64 << 20
	r := newRig(t, func(o *Options, _ *rig) { o.Limits.ConnectionsPerIP = clients })
	before := memoryInUse()
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range clients {
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatalf("after %d clients: %v", len(conns), err)
		}
		conns = append(conns, conn)
		conn.SetDeadline(time.Now().Add(patience))
		io.WriteString(conn, "EHLO c\r\nMAIL FROM:<a@b>\r\nRSET\r\n")
		in := bufio.NewReaderSize(conn, 512)
		for line := ""; line != "250 2.0.0 Reset\r\n"; {
			if line, err = in.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
	}
	if used := memoryInUse() - before; used > bound {
		t.Errorf("%d idle clients hold %d KiB, want at most %d", clients, used>>10, bound>>10)
	} else {
		t.Logf("%d idle clients hold %d KiB", clients, used>>10)
	}
}

func memoryInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
