package packaging

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// patience is how long the tests wait for other programs.
const patience = 30 * time.Second

// built is where the packages of these sources are; set by TestMain.
var built string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "careerrelay-packages-")
	if err != nil {
		panic(err)
	}
	built = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// packages makes the packages, once and only if a test asks.
var packages = sync.OnceValue(func() error {
	out, err := exec.Command("make", "--no-print-directory", "OUT="+built, "deb", "rpm").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
})

// packageFile is the package with this ending.
func packageFile(t *testing.T, ending string) string {
	t.Helper()
	if err := packages(); err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(built, "*"+ending))
	if err != nil || len(found) != 1 {
		t.Fatalf("found %q, %v", found, err)
	}
	return found[0]
}

// TestDebLife installs the package, uses it as the unit would, upgrades it,
// removes it and purges it.
func TestDebLife(t *testing.T) {
	for _, way := range []struct {
		name string
		more []string // programs of the system
	}{{"with systemd", []string{"systemd-sysusers"}}, {"without systemd", nil}} {
		t.Run(way.name, func(t *testing.T) {
			r := newRoot(t, way.more...)
			before := r.files(t)
			deb := packageFile(t, ".deb")
			said := r.dpkg(t, "--install", deb)
			if !strings.Contains(said, "systemctl enable --now careerrelay") {
				t.Errorf("the installation does not say how to go on:\n%s", said)
			}
			uid, gid := r.account(t, "careerrelay")
			checkOwners(t, r, uid, gid)
			text := useInstalled(t, r, uid, gid)

			r.dpkg(t, "--install", newer(t, deb))
			if r.read(t, "etc/careerrelay/careerrelay.yaml") != text {
				t.Error("the upgrade changed the configuration")
			}
			checkOwners(t, r, uid, gid)

			r.dpkg(t, "--remove", "careerrelay")
			for name, want := range map[string]bool{"usr/bin/careerrelay": false, "usr/lib/systemd/system/careerrelay.service": false,
				"etc/careerrelay/careerrelay.yaml": true, "var/lib/careerrelay/careerrelay.db": true, "var/lib/careerrelay/secret": true} {
				if r.has(name) != want {
					t.Errorf("after the removal: %s is there: %v, want %v", name, !want, want)
				}
			}
			said = r.dpkg(t, "--purge", "careerrelay")
			if !strings.Contains(said, "/var/lib/careerrelay stays") {
				t.Errorf("the purge does not say that the data stays:\n%s", said)
			}
			checkLeft(t, r, before)
		})
	}
}

// TestDebUnused: a package that was never used leaves nothing, its user included.
func TestDebUnused(t *testing.T) {
	r := newRoot(t)
	before := r.files(t)
	users := r.read(t, "etc/passwd")
	r.dpkg(t, "--install", packageFile(t, ".deb"))
	r.dpkg(t, "--purge", "careerrelay")
	after := slices.DeleteFunc(r.files(t), func(name string) bool { return slices.Contains(before, name) || passwordFile.MatchString(name) })
	if len(after) > 0 || r.read(t, "etc/passwd") != users {
		t.Errorf("a purge leaves %q and the users\n%s", after, r.read(t, "etc/passwd"))
	}
}

// passwordFile: those that useradd and its kind keep beside the four.
var passwordFile = regexp.MustCompile(`^/etc/(\.pwd\.lock|(passwd|shadow|group|gshadow|subuid|subgid)-?)$`)

func checkOwners(t *testing.T, r root, uid, gid uint32) {
	t.Helper()
	for name, want := range map[string]string{
		"usr/bin/careerrelay":              "0:0 0755",
		"etc/careerrelay":                  fmt.Sprintf("0:%d 0750", gid),
		"etc/careerrelay/careerrelay.yaml": fmt.Sprintf("0:%d 0640", gid),
		"var/lib/careerrelay":              fmt.Sprintf("%d:%d 0700", uid, gid),
	} {
		if got := r.owned(t, name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

// checkLeft: of all that was there, the data alone is left, and its owner.
func checkLeft(t *testing.T, r root, before []string) {
	t.Helper()
	var data []string
	for _, name := range r.files(t) {
		switch {
		case slices.Contains(before, name), passwordFile.MatchString(name):
		case strings.HasPrefix(name, "/var/lib/careerrelay"):
			data = append(data, filepath.Base(name))
		default:
			t.Errorf("the purge leaves %s", name)
		}
	}
	for _, want := range []string{"careerrelay.db", "secret", "profile-key"} {
		if !slices.Contains(data, want) {
			t.Errorf("the purge took %s: it leaves %q", want, data)
		}
	}
	r.account(t, "careerrelay")
}

// newer is the package with a later version, as an upgrade brings it.
func newer(t *testing.T, deb string) string {
	t.Helper()
	dir, file := filepath.Join(t.TempDir(), "tree"), filepath.Join(t.TempDir(), "newer.deb")
	command(t, ".", "dpkg-deb", "--raw-extract", deb, dir)
	control := filepath.Join(dir, "DEBIAN", "control")
	text, err := os.ReadFile(control)
	if err != nil {
		t.Fatal(err)
	}
	changed := regexp.MustCompile(`(?m)^Version: .*$`).ReplaceAll(text, []byte("Version: 99.0.0"))
	if err := os.WriteFile(control, changed, 0o644); err != nil {
		t.Fatal(err)
	}
	command(t, ".", "dpkg-deb", "--build", "-Znone", dir, file)
	return file
}

var execStart = regexp.MustCompile(`(?m)^ExecStart=(.*)$`)

// useInstalled runs the command line of the unit as its user, sends a rejection
// through, and brings the configuration that it was used with.
func useInstalled(t *testing.T, r root, uid, gid uint32) string {
	t.Helper()
	text := useTraced(t, r, uid, gid, nil)
	for _, key := range []string{"secret", "profile-key", "careerrelay.db"} {
		if got, want := r.owned(t, "var/lib/careerrelay/"+key), fmt.Sprintf("%d:%d 0600", uid, gid); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
	return text
}

// useTraced is useInstalled with other words before the command line.
func useTraced(t *testing.T, r root, uid, gid uint32, before []string) string {
	t.Helper()
	const file = "etc/careerrelay/careerrelay.yaml"
	if out, err := r.within(uid, gid, "/usr/bin/careerrelay", "check", "/"+file).CombinedOutput(); err != nil || !strings.Contains(string(out), "ok, 1 company, 0 warnings") {
		t.Errorf("check of the packaged configuration: %v\n%s", err, out)
	}
	upstream := smtptest.NewUpstream(t, smtptest.Options{})
	mail := smtptest.FreeAddr(t)
	text := strings.NewReplacer("127.0.0.1:2525", mail, "127.0.0.1:8080", smtptest.FreeAddr(t), "127.0.0.1:9090", smtptest.FreeAddr(t),
		"127.0.0.1:2526", upstream.Addr(), "mode: observe", "mode: insert").Replace(r.read(t, file))
	r.write(t, file, text)

	stop := startRelay(t, r.within(uid, gid, append(before, unitCommand(t, r)...)...))
	sendRejection(t, mail)
	if health, err := r.within(uid, gid, "/usr/bin/careerrelay", "health", "--ready", "--config", "/"+file).CombinedOutput(); err != nil {
		t.Errorf("health: %v\n%s", err, health)
	}
	stop()
	checkDelivered(t, upstream.Messages())
	return text
}

// unitCommand is the command line of the installed unit.
func unitCommand(t *testing.T, r root) []string {
	t.Helper()
	line := execStart.FindStringSubmatch(r.read(t, "usr/lib/systemd/system/careerrelay.service"))
	if line == nil {
		t.Fatal("the unit has no ExecStart")
	}
	return strings.Fields(line[1])
}

func checkDelivered(t *testing.T, messages []smtptest.Message) {
	t.Helper()
	if len(messages) != 1 || !strings.Contains(messages[0].Body, "X-Career-Relay:") || !strings.Contains(messages[0].Body, "/r/") {
		t.Errorf("the upstream has %d messages, or no link in them: %+v", len(messages), messages)
	}
}

// startRelay starts a relay and waits until it is up. stop ends it in good order.
func startRelay(t *testing.T, cmd *exec.Cmd) (stop func()) {
	t.Helper()
	log := &lines{up: make(chan struct{})}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	running := true
	stop = func() {
		if !running {
			return
		}
		running = false
		syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) // strace does not pass it on; fails if it has ended, which is looked at next
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the relay ended with %v:\n%s", err, log.text())
			}
		case <-time.After(patience):
			cmd.Process.Kill()
			t.Errorf("the relay did not stop in %v:\n%s", patience, log.text())
		}
	}
	t.Cleanup(stop)
	select {
	case <-log.up:
	case err := <-ended:
		running = false
		t.Fatalf("the relay ended with %v:\n%s", err, log.text())
	case <-time.After(patience):
		t.Fatalf("the relay is not up after %v:\n%s", patience, log.text())
	}
	return stop
}

// lines is the log of a relay; up is closed when it says that it is up.
type lines struct {
	mu   sync.Mutex // guards the fields below
	log  bytes.Buffer
	once sync.Once
	up   chan struct{}
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.log.Write(b)
	if bytes.Contains(l.log.Bytes(), []byte("relay is up")) {
		l.once.Do(func() { close(l.up) })
	}
	return n, err
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.String()
}

// sendRejection hands a mail of the demo over that tells a candidate no.
func sendRejection(t *testing.T, addr string) {
	t.Helper()
	mail, err := os.ReadFile("../cmd/careerrelay/demo/3-rejection-english.eml")
	if err != nil {
		t.Fatal(err)
	}
	c := smtptest.Dial(t, addr)
	defer c.Close()
	c.Talk("S: 220 *", "C: EHLO ats.sample.example.jp", "S: 250*", "C: MAIL FROM:<hr@sample.example.jp>", "S: 250 *",
		"C: RCPT TO:<alex.morgan@mail.example.com>", "S: 250 *", "C: DATA", "S: 354 *")
	c.Send(string(mail))
	c.Talk("C: .", "S: 250 *", "C: QUIT", "S: 221 *")
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
