package smtp

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// BenchmarkServer is the server half alone: one client, 100 messages a
// connection, an upstream that takes everything at once. MB/s is message octets.
func BenchmarkServer(b *testing.B) {
	for _, size := range []int{2 << 10, 30 << 10, 2 << 20} {
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			u := &fakeUpstream{extensions: Extensions{"8BITMIME": "", "SIZE": "100000000"}, discard: true}
			proxy, err := New(testOptions(b, u, &fakeReferrals{}))
			if err != nil {
				b.Fatal(err)
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			ctx, stop := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- proxy.Serve(ctx, l) }()
			line := strings.Repeat("x", 74) + "\r\n"
			message := "Message-ID: <b@company.example>\r\n\r\n" + strings.Repeat(line, size/len(line)) + ".\r\n"
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			in := bufio.NewReader(conn)
			step := func(text string) {
				if _, err := io.WriteString(conn, text); err != nil {
					b.Fatal(err)
				}
				for {
					line, err := in.ReadString('\n')
					if err != nil {
						b.Fatal(err)
					}
					if line[3] == ' ' {
						return
					}
				}
			}
			step("")
			step("EHLO c\r\n")
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				step("MAIL FROM:<a@company.example>\r\n")
				step("RCPT TO:<x@company.example>\r\n")
				step("DATA\r\n")
				step(message)
			}
			b.StopTimer()
			conn.SetDeadline(time.Now())
			conn.Close()
			stop()
			if err := <-done; err != nil {
				b.Error(err)
			}
		})
	}
}
