package smtp

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

func sizes() []int { return []int{2 << 10, 30 << 10, 2 << 20} }

// BenchmarkUpstream sends whole mails, from MAIL to the last reply, on pooled connections.
func BenchmarkUpstream(b *testing.B) {
	for _, prefer := range []bool{false, true} {
		for _, size := range sizes() {
			b.Run(fmt.Sprintf("chunking=%t/%dKB", prefer, size>>10), func(b *testing.B) {
				up := smtptest.NewUpstream(b, smtptest.Options{Discard: true, Extensions: append(smtptest.Extensions(), "CHUNKING")})
				u := newPool(b, func(o *UpstreamOptions) { o.PreferChunking = prefer }, up)
				letter := letterText(size)
				b.SetBytes(int64(len(letter)))
				b.ReportAllocs()
				for b.Loop() {
					if got := carry(context.Background(), u, letter); got.reply.Class() != 2 {
						b.Fatalf("got %q: %v", got.heard(), got.err)
					}
				}
			})
		}
	}
}

func BenchmarkDotWriter(b *testing.B) {
	letter := []byte(letterText(2 << 20))
	buf := make([]byte, 0, transferBuffer)
	b.SetBytes(int64(len(letter)))
	for b.Loop() {
		if _, err := newDotWriter(io.Discard, buf).Write(letter); err != nil {
			b.Fatal(err)
		}
	}
}
