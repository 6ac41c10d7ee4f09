//go:build !race

// The race detector multiplies memory: these bounds hold without it.

package smtp

import (
	"bufio"
	"fmt"
	"github.com/careerrelay/careerrelay/smtp/smtptest"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
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

// TestResidentMemory: a relay that carries 50 large messages at a time, beside
// 1,000 idle clients, stays below 64 MiB.
func TestResidentMemory(t *testing.T) {
	const clients, idle, size, bound = 50, 1000, 8 << 20, 64 << 10
	up := smtptest.NewUpstream(t, smtptest.Options{Discard: true, Extensions: []string{"8BITMIME", "SIZE 100000000"}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	l.Close()
	cmd := relayProcess(t, file, up.Addr(), filepath.Join(t.TempDir(), "referrals.db"))
	defer func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	}()
	for range idle {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	message := benchMessage(1, size) + ".\r\n"
	var running sync.WaitGroup
	for range clients {
		running.Go(func() {
			if err := sendSeveral(l.Addr().String(), []byte(message), 2); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	if peak := peakMemory(t, cmd.Process.Pid); peak > bound {
		t.Errorf("the relay took %d KiB, want at most %d", peak, bound)
	} else {
		t.Logf("the relay took %d KiB", peak)
	}
}

// peakMemory is the largest resident size of a process so far, in KiB.
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skipf("no way to ask for a process's memory here: %v", err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var peak int
	if _, err := fmt.Sscan(rest, &peak); err != nil {
		t.Fatal(err)
	}
	return peak
}
