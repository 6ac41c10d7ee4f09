package smtptest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"
)

// PostfixOptions make a private Postfix. It takes mail for everybody at Domain,
// and relays all other mail to Relayhost if there is one.
type PostfixOptions struct {
	Domain    string // that it delivers for ["mail.example"]
	Relayhost string // "[127.0.0.1]:2525": where mail for other domains goes
	// ContentFilter gets every message that came to Addr, after it was queued:
	// "smtp:[127.0.0.1]:2525". What comes back belongs to Reinjection.
	ContentFilter string
	// ProxyFilter is asked before a message that came to Addr is queued: "127.0.0.1:2525".
	ProxyFilter string
	// Main are further lines of main.cf: "smtpd_tls_security_level = may".
	Main []string
	// Services are further services of master.cf, for a ContentFilter to name.
	Services []string
}

// Postfix is a private Postfix with its own configuration, queue and mailboxes.
type Postfix struct {
	Addr        string // where it takes mail
	Reinjection string // where it takes mail past ContentFilter and ProxyFilter
	dir         string
	mail        string
	stopped     bool // by Stop
}

const postfixProgram = "/usr/sbin/postfix"

// StartPostfix starts a Postfix that ends with the test. Without Postfix, or
// without the right to start it, the test is skipped; where CI=true it fails.
func StartPostfix(t testing.TB, o PostfixOptions) *Postfix {
	t.Helper()
	if _, err := os.Stat(postfixProgram); err != nil {
		Missing(t, "Postfix is not installed")
	}
	if os.Geteuid() != 0 {
		Missing(t, "Postfix starts for root only")
	}
	if _, err := user.Lookup("postfix"); err != nil {
		Missing(t, "there is no user postfix")
	}
	if o.Domain == "" {
		o.Domain = "mail.example"
	}
	dir := postfixDir(t)
	p := &Postfix{Addr: FreeAddr(t), Reinjection: FreeAddr(t), dir: dir, mail: filepath.Join(dir, "mail")}
	p.configure(t, o)
	t.Cleanup(func() { p.cleanUp(t) }) // a start that fails may leave daemons
	p.run(t, "start")
	p.awaitPort(t, p.Addr)
	p.awaitPort(t, p.Reinjection)
	return p
}

// Stop ends Postfix at once, as a crash of its machine would.
func (p *Postfix) Stop(t testing.TB) {
	t.Helper()
	p.run(t, "abort")
	p.stopped = true
	p.poll(t, "its end", func() bool { return !listening(p.Addr) })
}

// Restart starts Postfix again after Stop, with what it had queued and delivered.
func (p *Postfix) Restart(t testing.TB) {
	t.Helper()
	p.run(t, "start")
	p.stopped = false
	p.awaitPort(t, p.Addr)
	p.awaitPort(t, p.Reinjection)
}

// Program is the path of a program to test with. Without it the test is
// skipped; where CI=true it fails.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, name+" is not installed")
	}
	return path
}

// Missing skips the test for what is not there, and fails it where everything is
// meant to be (CI=true).
func Missing(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s, and CI=true wants it", reason)
	}
	t.Skip(reason)
}

// postfixDir makes a folder that Postfix's own users can reach: t.TempDir is
// closed to all but its owner on some systems.
func postfixDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "postfix-")
	if err != nil {
		t.Fatalf("make folder: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatalf("open folder: %v", err)
	}
	return dir
}

func (p *Postfix) configure(t testing.TB, o PostfixOptions) {
	t.Helper()
	uid, gid := identity(t)
	for _, sub := range []string{"conf", "queue", "data", "mail"} {
		if err := os.Mkdir(filepath.Join(p.dir, sub), 0o755); err != nil {
			t.Fatalf("make folder: %v", err)
		}
	}
	for _, sub := range []string{"data", "mail"} {
		if err := os.Chown(filepath.Join(p.dir, sub), uid, gid); err != nil {
			t.Fatalf("give folder to postfix: %v", err)
		}
	}
	main := append([]string{
		"compatibility_level = 3.6",
		"queue_directory = " + filepath.Join(p.dir, "queue"),
		"data_directory = " + filepath.Join(p.dir, "data"),
		"maillog_file = " + filepath.Join(p.dir, "log"),
		"maillog_file_prefixes = " + os.TempDir() + ", " + p.dir,
		"myhostname = postfix.example",
		"mydestination =",
		"inet_interfaces = 127.0.0.1",
		"inet_protocols = ipv4",
		"mynetworks = 127.0.0.0/8",
		"smtpd_recipient_restrictions = permit_mynetworks, reject",
		"smtpd_relay_restrictions = permit_mynetworks, reject",
		"smtp_dns_support_level = disabled",
		"smtp_host_lookup = native",
		"disable_dns_lookups = yes",
		"smtpd_peername_lookup = no", // a closed network answers no query, and waiting for none takes long
		"alias_maps =",
		"alias_database =",
		"local_recipient_maps =",
		"virtual_mailbox_domains = " + o.Domain,
		"virtual_mailbox_base = " + p.mail,
		"virtual_mailbox_maps = static:all/",
		"virtual_uid_maps = static:" + strconv.Itoa(uid),
		"virtual_gid_maps = static:" + strconv.Itoa(gid),
		"virtual_minimum_uid = 1",
		"local_header_rewrite_clients =", // add nothing, complete nothing
		"smtputf8_enable = yes",
		"relayhost = " + o.Relayhost,
		"minimal_backoff_time = 1s",
		"queue_run_delay = 2s",
		"mailbox_size_limit = 0",
		"virtual_mailbox_limit = 0",
		"message_size_limit = 0",
	}, o.Main...)
	p.write(t, "main.cf", main)
	p.write(t, "master.cf", p.services(o))
}

func identity(t testing.TB) (uid, gid int) {
	t.Helper()
	u, err := user.Lookup("postfix")
	if err != nil {
		t.Fatalf("look up postfix: %v", err)
	}
	if uid, err = strconv.Atoi(u.Uid); err == nil {
		gid, err = strconv.Atoi(u.Gid)
	}
	if err != nil {
		t.Fatalf("read ids of postfix: %v", err)
	}
	return uid, gid
}

func (p *Postfix) services(o PostfixOptions) []string {
	front := p.Addr + " inet n - n - - smtpd"
	switch {
	case o.ProxyFilter != "":
		front += "\n  -o smtpd_proxy_filter=" + o.ProxyFilter + "\n  -o smtpd_proxy_options=speed_adjust"
	case o.ContentFilter != "":
		front += "\n  -o content_filter=" + o.ContentFilter
	}
	return append([]string{
		front,
		p.Reinjection + " inet n - n - - smtpd\n  -o content_filter=\n  -o smtpd_authorized_xforward_hosts=127.0.0.0/8",
		"pickup unix n - n 60 1 pickup",
		"cleanup unix n - n - 0 cleanup",
		"qmgr unix n - n 300 1 qmgr",
		"rewrite unix - - n - - trivial-rewrite",
		"bounce unix - - n - 0 bounce",
		"defer unix - - n - 0 bounce",
		"trace unix - - n - 0 bounce",
		"verify unix - - n - 1 verify",
		"flush unix n - n 1000? 0 flush",
		"proxymap unix - - n - - proxymap",
		"smtp unix - - n - - smtp",
		"relay unix - - n - - smtp",
		"showq unix n - n - - showq",
		"error unix - - n - - error",
		"retry unix - - n - - error",
		"discard unix - - n - - discard",
		"virtual unix - n n - - virtual",
		"anvil unix - - n - 1 anvil",
		"scache unix - - n - 1 scache",
		"tlsmgr unix - - n 1000? 1 tlsmgr",
		"postlog unix-dgram n - n - 1 postlogd",
	}, o.Services...)
}

func (p *Postfix) write(t testing.TB, name string, lines []string) {
	t.Helper()
	text := strings.Join(lines, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(p.dir, "conf", name), []byte(text), 0o644); err != nil {
		t.Fatalf("write %s: %v", name, err)
	}
}

// run gives Postfix a command.
func (p *Postfix) run(t testing.TB, command string) {
	t.Helper()
	if out, err := p.command(command); err != nil {
		t.Fatalf("postfix %s: %v\n%s\n%s", command, err, out, p.Log())
	}
}

func (p *Postfix) command(word string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 6*Patience) // a script with many steps, slow on a busy machine
	defer cancel()
	cmd := exec.CommandContext(ctx, postfixProgram, "-c", filepath.Join(p.dir, "conf"), word)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second // its daemons may keep the pipe open
	err := cmd.Run()
	return out.Bytes(), err
}

func (p *Postfix) cleanUp(t testing.TB) {
	if t.Failed() {
		t.Logf("Postfix logged:\n%s", p.Log())
	}
	if p.stopped {
		return
	}
	if out, err := p.command("abort"); err != nil {
		t.Errorf("stop Postfix: %v\n%s", err, out)
		return
	}
	p.poll(t, "its end", func() bool { return !listening(p.Addr) })
}

// Flush makes Postfix try everything in its queue now.
func (p *Postfix) Flush(t testing.TB) {
	t.Helper()
	p.run(t, "flush")
}

// Log is what Postfix wrote down.
func (p *Postfix) Log() string {
	b, err := os.ReadFile(filepath.Join(p.dir, "log"))
	if err != nil {
		return fmt.Sprintf("(no log: %v)", err)
	}
	return string(b)
}

// Mails are the messages in the mailboxes of Domain, as Postfix wrote them
// (with LF, and its own lines on top), in no order that means anything.
func (p *Postfix) Mails(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.mail, "all", "new", "*"))
	if err != nil {
		t.Fatalf("list mails: %v", err)
	}
	sort.Strings(files)
	var mails []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatalf("read mail: %v", err)
		}
		mails = append(mails, string(b))
	}
	return mails
}

// Await waits until there are n mails and returns them.
func (p *Postfix) Await(t testing.TB, n int) []string {
	t.Helper()
	p.poll(t, fmt.Sprintf("%d mails", n), func() bool { return len(p.Mails(t)) >= n })
	return p.Mails(t)
}

// AwaitLog waits until Postfix logged text.
func (p *Postfix) AwaitLog(t testing.TB, text string) {
	t.Helper()
	p.poll(t, "the log to say "+text, func() bool { return strings.Contains(p.Log(), text) })
}

func (p *Postfix) awaitPort(t testing.TB, addr string) {
	t.Helper()
	p.poll(t, "the port", func() bool { return listening(addr) })
}

func listening(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func (p *Postfix) poll(t testing.TB, what string, ok func() bool) {
	t.Helper()
	poll(t, what, p.Log, ok)
}

// poll asks again until ok holds: another program's files and ports give no
// signal. log is what the program wrote down.
func poll(t testing.TB, what string, log func() string, ok func() bool) {
	t.Helper()
	limit := time.NewTimer(3 * Patience)
	defer limit.Stop()
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for !ok() {
		select {
		case <-pace.C:
		case <-limit.C:
			t.Fatalf("waited for %s; the program logged:\n%s", what, log())
		}
	}
}
