package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// patience is how long the tests wait for what other programs do.
const patience = 30 * time.Second

// await asks again until done holds: files and ports of other programs give no
// signal.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for !done() {
		select {
		case <-pace.C:
		case <-limit.C:
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// hop is the way of a mail with real peers: swaks, the relay as its own process,
// a private Postfix that delivers to a mailbox.
type hop struct {
	*relay
	name    string // in every Message-ID and address: hops may share a mailbox
	swaks   string
	mailbox *smtptest.Postfix
	process *process // the running relay
}

// candidateDomain is where the candidates' mail is delivered.
const candidateDomain = "mail.example.com"

// Candidates whose mail Postfix takes to the last octet, and refuses then.
const (
	deferred = "deferred@" + candidateDomain
	refused  = "refused@" + candidateDomain
)

func startMailbox(t *testing.T) *smtptest.Postfix {
	t.Helper()
	smtptest.Program(t, "swaks") // it would be started for nothing
	return smtptest.StartPostfix(t, smtptest.PostfixOptions{Domain: candidateDomain, Main: []string{
		"smtpd_end_of_data_restrictions = check_recipient_access inline:{{" + deferred + " = 450 4.2.1 not this hour} {" + refused + " = 550 5.7.1 not this mail}}",
	}})
}

// newHop makes a relay in front of a mailbox and starts it.
func newHop(t *testing.T, name string, mailbox *smtptest.Postfix) *hop {
	t.Helper()
	h := &hop{relay: newRelay(t), name: name, swaks: smtptest.Program(t, "swaks"), mailbox: mailbox}
	h.write(t, strings.Replace(h.text(), "127.0.0.1:2526", h.mailbox.Addr, 1))
	return h
}

// process is a relay that runs as the built binary.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	mu   sync.Mutex    // guards log
	log  bytes.Buffer
}

// Write collects the standard error of the process.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *process) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// start runs the relay and waits until it is up. It ends with the test, which
// checks how it ends and what it wrote down.
func (h *hop) start(t *testing.T) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	h.startAs(t, exec.Command(path, "serve", "--config", h.file))
}

// startAs is start with a command of the test's own.
func (h *hop) startAs(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	p := &process{cmd: cmd, done: make(chan struct{})}
	p.cmd.Stderr = p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait() // its exit code is looked at by whoever waits for done
		close(p.done)
	}()
	h.process = p
	t.Cleanup(func() { p.end(t) })
	await(t, "the relay to be up", func() bool {
		select {
		case <-p.done:
			t.Fatalf("the relay ended:\n%s", p.logged())
		default:
		}
		return strings.Contains(p.logged(), "relay is up")
	})
}

// end stops the process in good order, unless it was killed.
func (p *process) end(t *testing.T) {
	p.cmd.Process.Signal(syscall.SIGTERM) // fails if it has ended
	select {
	case <-p.done:
	case <-time.After(patience):
		p.cmd.Process.Kill()
		t.Errorf("the relay did not stop in %v", patience)
		<-p.done
	}
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signal() != syscall.SIGKILL && p.cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("the relay ended with %v", p.cmd.ProcessState)
	}
	for _, secret := range []*regexp.Regexp{regexp.MustCompile(`[\w.]+@mail\.example\.com`), regexp.MustCompile(`\b[a-z2-7]{26}\b`)} {
		if found := secret.FindString(p.logged()); found != "" {
			t.Errorf("the log holds %q: an address or a token", found)
		}
	}
	if t.Failed() {
		t.Logf("the relay logged:\n%s", p.logged())
	}
}

// kill ends the process as kill -9 does.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.done
}

// letter is a mail to a candidate, as it is sent.
type letter struct {
	id  string // Message-ID
	to  string
	raw []byte // with CRLF
}

// The mails of the demo, and whom they go to.
var letterFiles = map[string]struct{ file, to string }{
	"iso-2022-jp": {"1-rejection-iso-2022-jp.eml", "hanako.yamada"},
	"html":        {"2-rejection-html.eml", "ichiro.suzuki"},
	"english":     {"3-rejection-english.eml", "alex.morgan"},
	"interview":   {"4-interview-iso-2022-jp.eml", "misaki.tanaka"},
}

var messageIDLine = regexp.MustCompile(`(?m)^Message-ID: (<[^>]+>)`)

// letter is a mail of the demo, of its own for each number.
func (h *hop) letter(t *testing.T, name string, number int) letter {
	t.Helper()
	one, ok := letterFiles[name]
	if !ok {
		t.Fatalf("no mail %q", name)
	}
	raw, err := os.ReadFile(filepath.Join("demo", one.file))
	if err != nil {
		t.Fatal(err)
	}
	l := letter{
		id: fmt.Sprintf("<%s-%s-%d@sample.example.jp>", h.name, name, number),
		to: fmt.Sprintf("%s.%s.%d@%s", one.to, h.name, number, candidateDomain),
	}
	raw = bytes.Replace(raw, []byte(one.to+"@"+candidateDomain), []byte(l.to), 1)
	l.raw = messageIDLine.ReplaceAll(raw, []byte("Message-ID: "+l.id))
	if !bytes.Contains(l.raw, []byte(l.to)) || !bytes.Contains(l.raw, []byte(l.id)) {
		t.Fatalf("%s is not as this test expects it", one.file)
	}
	return l
}

// letters are n mails of one kind to n candidates.
func (h *hop) letters(t *testing.T, name string, n int) []letter {
	t.Helper()
	var all []letter
	for i := range n {
		all = append(all, h.letter(t, name, i+1))
	}
	return all
}

// errSwaks is what swaks was told when it could not hand its mail over.
type errSwaks struct {
	reply string // the first reply that swaks did not like; "" if there was none
	said  string // all it printed
}

func (e *errSwaks) Error() string { return fmt.Sprintf("swaks was told %q:\n%s", e.reply, e.said) }

var swaksRefusal = regexp.MustCompile(`(?m)^ ?<\*\* (\d{3} .*)$`)

// trySend lets swaks hand a mail over, octet by octet as it is. The error is an
// *errSwaks if the relay refused or was gone. It may run beside the test.
func (h *hop) trySend(dir string, l letter) error {
	file, err := os.CreateTemp(dir, "*.data")
	if err != nil {
		return err
	}
	stuffed := bytes.ReplaceAll(l.raw, []byte("\r\n."), []byte("\r\n.."))
	_, err = file.Write(append(stuffed, ".\r\n"...))
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(h.smtp)
	if err != nil {
		return err
	}
	out, err := exec.Command(h.swaks, "--server", host, "--port", port, "--helo", "ats.sample.example.jp",
		"--from", "saiyo@sample.example.jp", "--to", l.to, "--no-data-fixup", "--data", "@"+file.Name()).CombinedOutput()
	if err == nil {
		return nil
	}
	if _, ran := errors.AsType[*exec.ExitError](err); !ran {
		return err
	}
	failure := &errSwaks{said: string(out)}
	if m := swaksRefusal.FindSubmatch(out); m != nil {
		failure.reply = string(m[1])
	}
	return failure
}

func (h *hop) send(t *testing.T, all ...letter) {
	t.Helper()
	for _, l := range all {
		if err := h.trySend(t.TempDir(), l); err != nil {
			t.Fatal(err)
		}
	}
}

// copies are the messages of the mailbox with this Message-ID.
func (h *hop) copies(t *testing.T, id string) []arrived {
	t.Helper()
	var all []arrived
	for _, mail := range h.mailbox.Mails(t) {
		if strings.Contains(mail, "\nMessage-ID: "+id+"\n") {
			all = append(all, arrivedOf(t, mail))
		}
	}
	return all
}

// awaitCopies waits until the mailbox holds n messages with this Message-ID.
func (h *hop) awaitCopies(t *testing.T, id string, n int) []arrived {
	t.Helper()
	await(t, fmt.Sprintf("%d copies of %s", n, id), func() bool { return len(h.copies(t, id)) >= n })
	all := h.copies(t, id)
	if len(all) != n {
		t.Fatalf("%d copies of %s were delivered, want %d", len(all), id, n)
	}
	return all
}

// deliver sends a mail and brings what the mailbox then holds.
func (h *hop) deliver(t *testing.T, l letter) arrived {
	t.Helper()
	h.send(t, l)
	return h.awaitCopies(t, l.id, 1)[0]
}

// report asks the running relay with the command.
func (h *hop) report(t *testing.T) reportRow {
	t.Helper()
	got := asBinary(t, "report", "--config", h.file, "--json")
	var rows []reportRow
	if err := json.Unmarshal([]byte(got.stdout), &rows); err != nil || got.code != 0 || len(rows) != 1 {
		t.Fatalf("report = %+v, %v", got, err)
	}
	return rows[0]
}

// awaitReport waits until the report is as wanted: the relay settles a referral
// after its client has the answer, and hands traffic counts over by and by.
func (h *hop) awaitReport(t *testing.T, want reportRow) {
	t.Helper()
	want.Company = "sample"
	limit := time.Now().Add(patience)
	for pace := time.Tick(50 * time.Millisecond); time.Now().Before(limit); <-pace {
		rows, err := askReport(t.Context(), h.admin)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) == 1 && rows[0] == want {
			break
		}
	}
	if got := h.report(t); got != want {
		t.Fatalf("report = %+v, want %+v", got, want)
	}
}
