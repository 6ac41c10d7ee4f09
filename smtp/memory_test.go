//go:build !race

// The race detector multiplies memory: these bounds hold without it.

package smtp

import (
	"bufio"
	"fmt"
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

	"github.com/careerrelay/careerrelay/smtp/smtptest"
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

// TestResidentMemory: a relay that carries 50 messages of 25 MB at a time, each
// edited, beside 2,000 idle clients, stays below 64 MB.
func TestResidentMemory(t *testing.T) {
	const clients, idle, size, bound = 50, 2000, 25e6, 64e6
	sink := smtptest.NewSink(t)
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
	cmd := relayProcess(t, file, sink.Addr, filepath.Join(t.TempDir(), "referrals.db"))
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
	message := "Message-ID: <m@company.example>\r\n" + smtptest.Letter("We must decline.\r\n", size)
	var running sync.WaitGroup
	for i := range clients {
		running.Go(func() {
			if err := smtptest.Send(l.Addr().String(), "hr@company.example", fmt.Sprintf("c%d@mail.example", i), message); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	if peak := peakMemory(t, cmd.Process.Pid); peak > bound {
		t.Errorf("the relay took %d KB, want at most %d", peak/1000, int(bound)/1000)
	} else {
		t.Logf("the relay took %d KB", peak/1000)
	}
}

// peakMemory is the largest resident size of a process so far, in octets.
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
	return peak << 10 // the kernel counts in KiB
}
