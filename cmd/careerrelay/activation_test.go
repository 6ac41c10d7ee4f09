package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

func TestSocketNames(t *testing.T) {
	for _, tt := range []struct {
		list string
		n    int
		want []string
	}{
		{"smtp", 1, []string{"smtp"}},
		{"smtp:smtp:web", 3, []string{"smtp", "smtp", "web"}},
		{"", 2, []string{"", ""}},
		{"smtp:web", 1, []string{"smtp"}},
	} {
		if got := socketNames(tt.list, tt.n); !slices.Equal(got, tt.want) {
			t.Errorf("socketNames(%q, %d) = %q, want %q", tt.list, tt.n, got, tt.want)
		}
	}
}

// held are sockets that the test holds open, as systemd does.
type held struct {
	names []string
	files []*os.File
}

func (h *held) listen(t *testing.T, name, address string) string {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	file, err := l.(*net.TCPListener).File()
	if err := errors.Join(err, l.Close()); err != nil { // the file is the socket now
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	h.names, h.files = append(h.names, name), append(h.files, file)
	return l.Addr().String()
}

// command is the relay as systemd starts it: the shell writes down its own
// process number, which becomes the relay's.
func (h *held) command(t *testing.T, config string) *exec.Cmd {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" serve --config "$1"`, path, config)
	cmd.Env = append(os.Environ(), fmt.Sprintf("LISTEN_FDS=%d", len(h.files)), "LISTEN_FDNAMES="+strings.Join(h.names, ":"))
	cmd.ExtraFiles = h.files
	return cmd
}

// mailClient sends mails one after the other, each on a connection of its own,
// and tries again as a mail system does.
type mailClient struct {
	number  int
	address string
	refused func(error) // a connection was not accepted
}

func (c *mailClient) run(ctx context.Context) (sent []string) {
	for i := 0; ctx.Err() == nil; i++ {
		id := fmt.Sprintf("<%d.%d@sample.example.jp>", c.number, i)
		for !c.try(id) {
		}
		sent = append(sent, id)
	}
	return sent
}

// try tells whether the mail was accepted.
func (c *mailClient) try(id string) bool {
	conn, err := net.DialTimeout("tcp", c.address, patience)
	if err != nil {
		c.refused(err)
		return true
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	in := bufio.NewReader(conn)
	mail := "Message-ID: " + id + "\r\nSubject: hello\r\n\r\nGood morning.\r\n.\r\n"
	for _, step := range []struct{ say, want string }{
		{"", "220 "}, {"HELO ats.example\r\n", "250 "}, {"MAIL FROM:<hr@sample.example.jp>\r\n", "250 "},
		{"RCPT TO:<one@mail.example.com>\r\n", "250 "}, {"DATA\r\n", "354 "}, {mail, "250 "},
	} {
		if _, err := fmt.Fprint(conn, step.say); err != nil {
			return false
		}
		if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, step.want) {
			return false
		}
	}
	return true
}

// TestActivation: the relay is restarted again and again under load, while
// somebody else holds its sockets. No connection is refused, no mail is lost, and
// none is doubled.
func TestActivation(t *testing.T) {
	upstream := smtptest.NewUpstream(t, smtptest.Options{})
	h := &held{}
	r := newRelay(t)
	text := strings.Replace(r.text(), "127.0.0.1:2526", upstream.Addr(), 1)
	r.smtp, r.web, r.admin = h.listen(t, "smtp", "127.0.0.1:0"), h.listen(t, "web", "127.0.0.1:0"), h.listen(t, "admin", "127.0.0.1:0")
	r.write(t, text) // whose addresses are free, and stay so

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var clients sync.WaitGroup
	sent := make([][]string, 4)
	for i := range sent {
		c := &mailClient{number: i, address: r.smtp, refused: func(err error) {
			t.Errorf("a connection was refused: %v", err)
			stop()
		}}
		clients.Go(func() { sent[i] = c.run(ctx) })
	}
	one := &hop{relay: r}
	for range 4 {
		before := len(upstream.Messages())
		one.startAs(t, h.command(t, r.file))
		upstream.Await(t, "mail to flow", func() bool { return len(upstream.Messages()) > before+20 || ctx.Err() != nil })
		if code, body := (&running{relay: r}).get(t, "/readyz"); code != 200 {
			t.Errorf("readyz = %d %s", code, body)
		}
		if code, body := (&running{relay: r}).post(t, "/-/reload"); code != 200 {
			t.Errorf("reload = %d %s", code, body)
		}
		if err := one.process.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-one.process.done
	}
	one.startAs(t, h.command(t, r.file)) // for what the clients are still busy with
	stop()
	clients.Wait()
	arrived := map[string]int{}
	for _, m := range upstream.Messages() {
		arrived[messageIDLine.FindStringSubmatch(strings.ReplaceAll(m.Body, "\r\n", "\n"))[1]]++
	}
	for _, id := range slices.Concat(sent...) {
		if arrived[id] != 1 {
			t.Errorf("%s arrived %d times, want once", id, arrived[id])
		}
	}
	if len(arrived) < 80 {
		t.Errorf("only %d mails were sent", len(arrived))
	}
}

// TestActivationRefuses: a socket that nobody would serve, and one that strangers
// could reach although the file says otherwise.
func TestActivationRefuses(t *testing.T) {
	for _, tt := range []struct{ name, socket, address, change, want string }{
		{"unknown name", "careerrelay.socket", "127.0.0.1:0", "", "FileDescriptorName=smtp, smtps, web, admin or agency"},
		{"admin for everybody", "admin", "0.0.0.0:0", "", "the admin listener has no password"},
		{"open relay", "smtp", "0.0.0.0:0", "      networks: [127.0.0.0/8]", "would be an open relay"},
		{"implicit TLS without certificate", "smtps", "127.0.0.1:0", "", "needs a certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := &held{}
			h.listen(t, tt.socket, tt.address)
			r := newRelay(t)
			if tt.change != "" {
				r.write(t, strings.Replace(r.text(), tt.change, "", 1))
			}
			said, err := h.command(t, r.file).CombinedOutput()
			if err == nil || !strings.Contains(string(said), tt.want) {
				t.Errorf("err %v, said %q; want %q", err, said, tt.want)
			}
		})
	}
}
