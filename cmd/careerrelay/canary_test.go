package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
	gosmtp "github.com/emersion/go-smtp"
)

// canaries are strings that nobody else writes. None may ever lie readable in what
// the product leaves behind: in the files beside its database, in its log at the
// most talkative level, in its metrics, in the dump of a crash.
var canaries = map[string]string{
	"address": "canary-hanako@canary-mail.example.org",
	"local":   "canary-hanako",
	"domain":  "canary-mail",
	"family":  "可奈理屋",
	"given":   "鳥子canary",
	"subject": "選考結果canarysubject",
	"body":    "canarybody慎重に",
	"phone":   "0312345670",
}

const canaryMail = "From: =?UTF-8?B?5Lq65LqL?= <saiyo@sample.example.jp>\r\n" +
	"To: canary-hanako@canary-mail.example.org\r\n" +
	"Subject: 選考結果canarysubject\r\n" +
	"Message-ID: <canary-message-1@sample.example.jp>\r\n" +
	"Date: Mon, 02 Nov 2026 10:15:00 +0900\r\n" +
	"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" +
	"可奈理屋 鳥子canary 様 (0312345670)\r\n\r\n先日は面接にお越しいただき、ありがとうございました。\r\ncanarybody慎重に選考いたしました結果、誠に残念ではございますが、\r\n今回は採用を見送らせていただくこととなりました。\r\n" +
	"今後のご活躍を心よりお祈り申し上げます。\r\n"

// TestCanaries sends a mail with them to a relay of its own, lets the candidate
// register, and looks through everything after each step. In between the process
// is made to dump what its goroutines do, as in a crash.
func TestCanaries(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	box := startBox(t)
	closed := smtptest.FreeAddr(t) // the agency does not answer: what it is to get stays in the queue
	must(t, os.WriteFile(filepath.Join(r.dir, "hook"), []byte("whsec_"+base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{9}, 32))), 0o600))
	text := strings.NewReplacer("127.0.0.1:2526", box.address, "agency:  ",
		"log: {level: debug}\nagency:\n  webhook: {url: \"http://"+closed+"/hook\", secret: hook}\n  ").Replace(r.text())
	r.write(t, text)
	p := startProcess(t, r.file)

	client, err := gosmtp.Dial(r.smtp)
	must(t, err)
	must(t, client.SendMail("saiyo@sample.example.jp", []string{canaries["address"]}, strings.NewReader(canaryMail)))
	must(t, client.Quit())
	got, err := box.inbox.next(t.Context(), 0)
	must(t, err)
	link := regexp.MustCompile(`http://\S+/r/[a-z2-7]{26}`).FindString(string(got.Raw))
	if link == "" {
		t.Fatalf("no link in:\n%s", got.Raw)
	}
	needles := map[string]string{"token": link[len(link)-26:]}
	for name, text := range canaries {
		needles[name] = text
	}
	c := newCandidate(link, canaries["address"])
	if _, err := c.ask(http.MethodGet, link, nil); err != nil {
		t.Fatal(err)
	}
	crash(t, p)
	lookThrough(t, "before the opt-in", r, p, needles)

	p = startProcess(t, r.file)
	must(t, c.optInAs(canaries["family"], canaries["given"], canaries["phone"]))
	await(t, "a try to tell the agency", func() bool { return strings.Contains(p.logged(), "delivery to the agency failed") })
	lookAtMetrics(t, r, needles)
	crash(t, p)
	lookThrough(t, "after the opt-in", r, p, needles)

	out := wantRun(t, 0, canaries["address"]+"\n", "subject", "export", "--config", r.file).stdout
	wantText(t, out, canaries["family"], canaries["phone"], "opted_in") // it is there, sealed
	wantText(t, wantRun(t, 0, "", "audit", "--config", r.file).stdout, "1 counted", "Nothing is wrong")
	lookThrough(t, "after the export", r, p, needles)
	wantRun(t, 0, canaries["address"]+"\n", "subject", "erase", "--yes", "--config", r.file)
	wantText(t, wantRun(t, 0, canaries["address"]+"\n", "subject", "export", "--config", r.file).stdout, `"erased_before": true`)
}

// optInAs is optIn under a name.
func (c *candidate) optInAs(family, given, phone string) error {
	page, err := c.ask(http.MethodGet, c.link, nil)
	if err != nil {
		return err
	}
	form := c.fill()
	form.Set("family_name", family)
	form.Set("given_name", given)
	form.Set("phone", phone)
	token := c.link[strings.LastIndexByte(c.link, '/'):]
	if page, err = c.submit(page, token, form); err != nil {
		return err
	}
	_, err = c.submit(page, token+"/apply", nil)
	return err
}

// lookThrough searches the files of the relay and its log.
func lookThrough(t *testing.T, when string, r *relay, p *process, needles map[string]string) {
	t.Helper()
	if !strings.Contains(p.logged(), "goroutine ") {
		t.Errorf("%s: there is no dump in the log", when)
	}
	search(t, when+": log and dump", []byte(p.logged()), needles)
	n := 0
	err := filepath.WalkDir(r.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		n++
		content, err := os.ReadFile(path)
		search(t, when+": "+filepath.Base(path), content, needles)
		return err
	})
	if err != nil || n < 4 {
		t.Errorf("looked through %d files, %v", n, err)
	}
}

func lookAtMetrics(t *testing.T, r *relay, needles map[string]string) {
	t.Helper()
	for _, path := range []string{"/metrics", "/report", "/readyz"} {
		resp, err := http.Get("http://" + r.admin + path)
		must(t, err)
		body, err := io.ReadAll(resp.Body)
		must(t, err)
		resp.Body.Close()
		search(t, path, body, needles)
	}
}

// search finds a needle as it is, in hex, in base64 and in any case.
func search(t *testing.T, where string, hay []byte, needles map[string]string) {
	t.Helper()
	low := bytes.ToLower(hay)
	for name, text := range needles {
		for form, needle := range map[string]string{"plain": strings.ToLower(text), "hex": hex.EncodeToString([]byte(text))} {
			if bytes.Contains(low, []byte(needle)) {
				t.Errorf("%s holds the %s (%s)", where, name, form)
			}
		}
		for shift := range 3 { // wherever it begins in a longer text
			b64 := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + text))
			if core := strings.TrimRight(b64, "=")[4 : len(strings.TrimRight(b64, "="))-2]; bytes.Contains(hay, []byte(core)) {
				t.Errorf("%s holds the %s (base64)", where, name)
			}
		}
	}
}

// TestSearch: the search finds what it is to find.
func TestSearch(t *testing.T) {
	for _, hay := range []string{"xCANARY-HANAKOx", hex.EncodeToString([]byte("canary-hanako")),
		base64.StdEncoding.EncodeToString([]byte("canary-hanako")), base64.StdEncoding.EncodeToString([]byte("x canary-hanako y"))} {
		probe := &testing.T{}
		search(probe, "hay", []byte(hay), map[string]string{"local": "canary-hanako"})
		if !probe.Failed() {
			t.Errorf("%q was not found", hay)
		}
	}
}

// box is a mail server that keeps what arrives.
type box struct {
	inbox   *inbox
	address string
}

func startBox(t *testing.T) *box {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	b := &box{newInbox(), l.Addr().String()}
	s := newDemoUpstream(b.inbox, slog.New(slog.DiscardHandler))
	go s.Serve(l) // ends with Close
	t.Cleanup(func() { s.Close() })
	return b
}

// startProcess runs the built relay and waits until it is up.
func startProcess(t *testing.T, file string) *process {
	t.Helper()
	path, err := binary()
	must(t, err)
	p := &process{cmd: exec.Command(path, "serve", "--config", file), done: make(chan struct{})}
	p.cmd.Stderr = p
	p.cmd.Env = append(os.Environ(), "GOTRACEBACK=all")
	must(t, p.cmd.Start())
	go func() {
		p.cmd.Wait() // whoever crashes it looks no further
		close(p.done)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill() // fails if it has ended
		<-p.done
	})
	await(t, "the relay to be up", func() bool { return strings.Contains(p.logged(), "relay is up") })
	return p
}

// crash makes the process dump its goroutines and die.
func crash(t *testing.T, p *process) {
	t.Helper()
	must(t, p.cmd.Process.Signal(syscall.SIGQUIT))
	<-p.done
}
