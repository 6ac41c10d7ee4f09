package smtp

import (
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/careerrelay/careerrelay/rewrite"
	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// BenchmarkHop measures the whole hop against a TCP splice between the same
// generator and sink, and against its peers: 10 clients, 100 messages or one on a
// connection.
func BenchmarkHop(b *testing.B) {
	ways := []string{"splice", "off", "unedited", "edited", "postfix-queue", "postfix-proxy", "haraka", "postfix-altermime"}
	for _, perConnection := range []int{100, 1} {
		for _, size := range []int{2 << 10, 30 << 10, 2 << 20} {
			for _, way := range ways {
				if perConnection == 1 && (size > 30<<10 || way == "edited" || way == "postfix-altermime") {
					continue
				}
				b.Run(fmt.Sprintf("%d/%dKB/%s", perConnection, size>>10, way), func(b *testing.B) {
					sink := smtptest.NewSink(b)
					load := benchLoad(size)
					load.PerConnection = perConnection
					to := benchHop(b, way, sink)
					if queues(way) {
						load.Until = func() { sink.Await(b, int64(b.N)) }
					}
					load.Run(b, to)
				})
			}
		}
	}
}

// benchLoad is one mail, sent by 10 clients again and again.
func benchLoad(size int) smtptest.Load {
	message := "Message-ID: <b@company.example>\r\n" + smtptest.Letter("We must decline.\r\n", size)
	return smtptest.Load{
		Clients: 10, PerConnection: 100, From: "hr@company.example",
		Rcpt:    func(int64) string { return "candidate@mail.example" },
		Message: func(int64) string { return message },
	}
}

// benchHop is what stands between the generator and the sink.
func benchHop(b *testing.B, way string, sink *smtptest.Sink) string {
	switch way {
	case "splice":
		return smtptest.NewSplice(b, sink.Addr)
	case "off", "unedited", "edited":
		return relayTo(b, sink.Addr, way)
	}
	return benchPeer(b, way, sink.Addr)
}

// relayTo is a relay in front of a sink.
func relayTo(b *testing.B, to, way string) string {
	up, err := NewUpstream(UpstreamOptions{Servers: []Server{serverAt(b, to, Plaintext)}, Hostname: "relay.example"})
	if err != nil {
		b.Fatal(err)
	}
	o := testOptions(b, nil, &fakeReferrals{})
	o.Companies[0].upstream, o.Companies[0].Upstream = nil, up
	o.Companies[0].editor = nil
	o.Companies[0].Rules, o.Companies[0].Block = benchRules{way == "edited"}, testBlock
	if way == "off" {
		o.Companies[0].Mode = Off
	}
	proxy, err := New(o)
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
	b.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			b.Error(err)
		}
		up.Close()
	})
	return l.Addr().String()
}

// benchRules decide without looking: the cost of the rules is package rewrite's.
type benchRules struct{ edit bool }

func (r benchRules) Decide(*rewrite.Reading, rewrite.Envelope) rewrite.Verdict {
	if r.edit {
		return rewrite.Verdict{Kind: rewrite.Rejection, Rule: "bench", Language: "en"}
	}
	return rewrite.Verdict{Kind: rewrite.None, Reason: "no_rule"}
}
