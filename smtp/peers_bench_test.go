package smtp

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// queues tells whether a peer answers before it has passed the message on.
func queues(way string) bool { return way == "postfix-queue" || way == "postfix-altermime" }

// benchPeer starts another mail server in front of the sink. What is not installed is
// skipped.
func benchPeer(b *testing.B, way, sink string) string {
	b.Helper()
	_, port, err := net.SplitHostPort(sink)
	if err != nil {
		b.Fatal(err)
	}
	o := smtptest.PostfixOptions{Domain: "front.example", Relayhost: "[127.0.0.1]:" + port}
	switch way {
	case "postfix-queue":
		return smtptest.StartPostfix(b, o).Addr
	case "postfix-proxy":
		o.ProxyFilter = sink
		return smtptest.StartPostfix(b, o).Addr
	case "postfix-altermime":
		return startAltermime(b, o, sink)
	case "haraka":
		return smtptest.StartHaraka(b, port)
	}
	b.Fatalf("no peer %s", way)
	return ""
}

// startAltermime is Postfix with the filter script of altermime's manual: each
// message goes from the queue through altermime, which puts a footer in, and on.
func startAltermime(b *testing.B, o smtptest.PostfixOptions, sink string) string {
	b.Helper()
	altermime, msmtp := smtptest.Program(b, "altermime"), smtptest.Program(b, "msmtp")
	dir, err := os.MkdirTemp("", "altermime-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	host, port, _ := net.SplitHostPort(sink)
	script := fmt.Sprintf("#!/bin/sh\nf=$(mktemp %s/m.XXXXXX)\ntrap 'rm -f $f' EXIT\ncat > $f\n%s --input=$f --disclaimer=%s --disclaimer-html=%s || exit 75\n%s --host=%s --port=%s -f \"$1\" -- \"$2\" < $f || exit 75\n",
		dir, altermime, filepath.Join(dir, "footer"), filepath.Join(dir, "footer"), msmtp, host, port)
	for name, text := range map[string]string{"filter": script, "footer": "A link\r\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o777); err != nil { // the filter runs as nobody
		b.Fatal(err)
	}
	o.ContentFilter = "footer:"
	o.Services = []string{"footer unix - n n - 10 pipe\n  flags=Rq user=nobody null_sender= argv=" + filepath.Join(dir, "filter") + " ${sender} ${recipient}"}
	return smtptest.StartPostfix(b, o).Addr
}
