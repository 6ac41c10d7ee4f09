package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"
)

func TestTap(t *testing.T) {
	message := "Message-ID: <1@a.example>\r\nSubject: DATA\r\n\r\n..leading dot\r\nDATA\r\nend\r\n"
	unstuffed := strings.Replace(message, "\r\n..", "\r\n.", 1)
	dialogue := "EHLO a\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\ndata\r\n" + message + ".\r\n" +
		"MAIL FROM:<a@a.example>\r\nDATA\r\nMessage-ID: <2@a.example>\r\n\r\nsecond\r\n.\r\nQUIT\r\n"
	for _, size := range []int{1, 7, 4096} {
		t.Run(fmt.Sprint("reads of ", size), func(t *testing.T) {
			box := newInbox()
			tap := tap{box: box}
			for rest := []byte(dialogue); len(rest) > 0; {
				n := min(size, len(rest))
				tap.see(rest[:n])
				rest = rest[n:]
			}
			if got := string(box.sent["<1@a.example>"]); got != unstuffed {
				t.Errorf("first = %q, want %q", got, unstuffed)
			}
			if got := string(box.sent["<2@a.example>"]); got != "Message-ID: <2@a.example>\r\n\r\nsecond\r\n" {
				t.Errorf("second = %q", got)
			}
		})
	}
}

func TestInboxIsBounded(t *testing.T) {
	box := newInbox()
	for i := range 3 * inboxMessages {
		raw := fmt.Appendf(nil, "Message-ID: <%d@a.example>\r\n\r\n", i)
		box.remember(raw)
		box.add(arrival{Raw: raw})
	}
	if got := box.all(); len(got) != inboxMessages || got[0].ID != 3*inboxMessages || got[0].Before == nil {
		t.Errorf("kept %d, newest %d", len(got), got[0].ID)
	}
	if len(box.sent) != inboxMessages || len(box.order) != inboxMessages {
		t.Errorf("remembers %d, %d", len(box.sent), len(box.order))
	}
}

func TestDemoUpstream(t *testing.T) {
	box := newInbox()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newDemoUpstream(box, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- server.Serve(tapListener{l, box}) }()
	t.Cleanup(func() { server.Close(); <-done })

	message := []byte("Message-ID: <1@a.example>\r\nSubject: hello\r\n\r\n.dot\r\n")
	client, err := gosmtp.Dial(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.SendMail("a@a.example", []string{"b@b.example", "c@c.example"}, bytes.NewReader(message)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	got, err := box.wait(ctx, "<1@a.example>")
	if err != nil {
		t.Fatal(err)
	}
	if got.From != "a@a.example" || len(got.To) != 2 || !bytes.Equal(got.Raw, message) || !bytes.Equal(got.Before, message) {
		t.Errorf("arrival = %+v", got)
	}
}

func TestAddition(t *testing.T) {
	tests := []struct{ name, before, after, want string }{
		{"a line in the middle", "a\nb\n", "a\n*x\nb\n", "*x\n"},
		{"line that begins like the next", "a\n*y\n", "a\n*x\n*y\n", "*x\n"},
		{"an element before an element", "<p>1</p><p>2</p>", "<p>1</p><div>x</div><p>2</p>", "<div>x</div>"},
		{"at the end", "a\n", "a\nx\n", "x\n"},
		{"at the start", "a", "xa", "x"},
		{"nothing", "a", "a", ""},
		{"two changes", "abc", "aXbYc", ""},
		{"removal", "abc", "ac", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, all := "", ""
			for _, p := range addition(tt.before, tt.after) {
				all += p.Text
				if p.Mark != "" {
					got += p.Text
				}
			}
			if got != tt.want || all != tt.after {
				t.Errorf("addition = %q of %q, want %q", got, all, tt.want)
			}
		})
	}
}

// anyPorts lets the demo choose free ports.
var anyPorts = []string{"--smtp", "127.0.0.1:0", "--web", "127.0.0.1:0", "--admin", "127.0.0.1:0"}

// TestDemoOnce runs the whole product through the built binary.
func TestDemoOnce(t *testing.T) {
	got := asBinary(t, append([]string{"demo", "--once"}, anyPorts...)...)
	if got.code != 0 || got.stderr != "" {
		t.Fatalf("demo = %+v", got)
	}
	fates := strings.Split(got.stdout, "\n\n")[1:]
	if len(fates) != 4 {
		t.Fatalf("told the fate of %d mails:\n%s", len(fates), got.stdout)
	}
	for i, want := range []string{"1 part", "2 parts", "1 part", ""} {
		inserted := strings.Contains(fates[i], "Link inserted in "+want+", proven") && strings.Contains(fates[i], "  open  http://")
		passed := strings.Contains(fates[i], "Passed on unedited.") && !strings.Contains(fates[i], "  open  ")
		if inserted != (want != "") || passed != (want == "") {
			t.Errorf("mail %d: %s", i+1, fates[i])
		}
	}
}

// TestDemoStaysUp looks at the pages of a running demo and stops it.
func TestDemoStaysUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, in := io.Pipe()
	code := make(chan int, 1)
	data := t.TempDir()
	go func() {
		code <- run(ctx, append([]string{"demo", "--data", data}, anyPorts...), nil, in, io.Discard)
		in.Close()
	}()
	lines := bufio.NewScanner(out)
	var pages []string
	for lines.Scan() {
		_, url, found := strings.Cut(lines.Text(), "http://")
		if found {
			pages = append(pages, "http://"+url)
		}
		if strings.HasPrefix(lines.Text(), "Send mail of your own") {
			break
		}
	}
	shown := ""
	for _, url := range pages {
		status, body := answer(t)(http.Get(url))
		if status != 200 {
			t.Errorf("GET %s = %d", url, status)
		}
		shown += body
	}
	for _, want := range []string{
		`<ins class="block">* * * *`, `<ins class="trace">Received: from `, "選考結果のご連絡【株式会社サンプル】", "outline:3px solid",
		"株式会社サンプルエージェント", "careerrelay_", "Link inserted in 2 parts, proven byte for byte.",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("no page shows %q", want)
		}
	}
	cancel()
	go io.Copy(io.Discard, out)
	select {
	case got := <-code:
		if got != 0 {
			t.Errorf("demo ended with %d", got)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the demo did not stop in 20 s")
	}
	if files, _ := filepath.Glob(filepath.Join(data, "careerrelay.*")); len(files) < 2 {
		t.Errorf("--data kept %q", files)
	}
}

func TestDemoPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := inProcess(t, "", "demo", "--smtp", l.Addr().String(), "--web", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	if got.code != 1 || !strings.Contains(got.stderr, "in use by another program") || !strings.Contains(got.stderr, "--smtp") {
		t.Errorf("demo = %+v", got)
	}
}
