package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// maxExposure is what "systemd-analyze security" may reckon, in tenths: 12 is
// 1.2 of 10. What is left is the network (0.5 and 0.3), which a mail relay needs,
// addresses that are not listed (0.2), and two tenths of a root folder of its own
// and of the clock device that ProtectClock lets be read.
const maxExposure = "12"

var units = []string{"careerrelay.service", "careerrelay.socket", "careerrelay-smtps.socket", "careerrelay-web.socket"}

// TestUnitsVerify lets systemd read the installed units.
func TestUnitsVerify(t *testing.T) {
	analyze := smtptest.Program(t, "systemd-analyze")
	r := newRoot(t)
	r.dpkg(t, "--install", packageFile(t, ".deb"))
	targets, err := filepath.Glob("/usr/lib/systemd/system/*.target")
	if err != nil || len(targets) < 10 {
		t.Fatalf("this system has the targets %q, %v", targets, err)
	}
	for _, target := range targets {
		r.copyFile(t, target)
	}
	args := []string{"--root=" + r.dir, "--man=no", "verify"}
	for _, unit := range units {
		args = append(args, r.path("usr/lib/systemd/system/"+unit))
	}
	cmd := exec.Command(analyze, args...)
	cmd.Env = []string{"SYSTEMD_LOG_LEVEL=warning", "PATH=/usr/bin:/bin"}
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "careerrelay") {
		t.Errorf("verify: %v\n%s", err, out)
	}
}

func TestUnitExposure(t *testing.T) {
	analyze := smtptest.Program(t, "systemd-analyze")
	service, err := filepath.Abs("systemd/careerrelay.service")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(analyze, "security", "--offline=true", "--threshold="+maxExposure, "--no-pager", service).CombinedOutput()
	level := regexp.MustCompile(`Overall exposure level for careerrelay\.service: [0-9.]+`).Find(out)
	if err != nil || level == nil {
		t.Errorf("more exposed than %s tenths: %v\n%s", maxExposure, err, out)
	}
	t.Logf("%s", level)
}

// TestUnitSystemCalls: the relay at work, a mail and a stop included, makes no
// system call that the unit forbids.
func TestUnitSystemCalls(t *testing.T) {
	analyze, strace := smtptest.Program(t, "systemd-analyze"), smtptest.Program(t, "strace")
	r := newRoot(t, "strace")
	r.dpkg(t, "--install", packageFile(t, ".deb"))
	allowed := systemCalls(t, analyze, "@system-service")
	for _, group := range []string{"@privileged", "@resources"} {
		for _, call := range systemCalls(t, analyze, group) {
			allowed = slices.DeleteFunc(allowed, func(a string) bool { return a == call })
		}
	}
	r.copyFile(t, strace)
	uid, gid := r.account(t, "careerrelay")
	trace := r.path("tmp/trace")
	useTraced(t, r, uid, gid, []string{strace, "-f", "-qq", "-o", "/tmp/trace"})
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\d+ +(\w+)\(`).FindAllStringSubmatch(r.read(t, strings.TrimPrefix(trace, r.dir)), -1) {
		seen[m[1]] = true
	}
	for call := range seen {
		// What Go asks for and does without: the unit answers EPERM.
		if !slices.Contains(allowed, call) && call != "prlimit64" && call != "setrlimit" {
			t.Errorf("the relay calls %s, which SystemCallFilter forbids", call)
		}
	}
	if !seen["accept4"] || !seen["fdatasync"] {
		t.Errorf("the trace shows no work: %v", seen)
	}
}

// systemCalls is a group of system calls, groups within it included.
func systemCalls(t *testing.T, analyze, group string) []string {
	t.Helper()
	var all []string
	for line := range strings.Lines(command(t, ".", analyze, "syscall-filter", "--no-pager", group)) {
		name := strings.TrimSpace(line)
		switch {
		case name == "" || name == group || strings.HasPrefix(name, "#"):
		case strings.HasPrefix(name, "@"):
			all = append(all, systemCalls(t, analyze, name)...)
		default:
			all = append(all, name)
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s has only %q", group, all)
	}
	return all
}

// TestSocketNames: each socket goes to the service, under the name that the relay
// looks for.
func TestSocketNames(t *testing.T) {
	for unit, want := range map[string]string{"careerrelay.socket": "smtp", "careerrelay-smtps.socket": "smtps", "careerrelay-web.socket": "web"} {
		text := read(t, filepath.Join("systemd", unit))
		for _, line := range []string{"FileDescriptorName=" + want, "Service=careerrelay.service", "WantedBy=sockets.target"} {
			if !strings.Contains(text, "\n"+line+"\n") {
				t.Errorf("%s lacks %q", unit, line)
			}
		}
	}
}

// TestRPM: the same files as the deb, the same configuration file.
func TestRPM(t *testing.T) {
	rpm := smtptest.Program(t, "rpm")
	file := packageFile(t, ".rpm")
	r := newRoot(t)
	before := r.files(t)
	r.dpkg(t, "--install", packageFile(t, ".deb"))
	for _, name := range strings.Fields(command(t, ".", rpm, "-qpl", file)) {
		if !r.has(name) {
			t.Errorf("the rpm has %s, the deb has not", name)
		}
		before = append(before, name)
	}
	for _, name := range r.files(t) {
		info, err := os.Lstat(r.path(name))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(before, name) && info.Mode().IsRegular() && !passwordFile.MatchString(name) {
			t.Errorf("the deb has %s, the rpm has not", name)
		}
	}
	if got := strings.TrimSpace(command(t, ".", rpm, "-qp", "--configfiles", file)); got != "/etc/careerrelay/careerrelay.yaml" {
		t.Errorf("configuration files of the rpm: %q", got)
	}
	scripts := command(t, ".", rpm, "-qp", "--scripts", file)
	for _, want := range []string{"postinstall scriptlet", "preuninstall scriptlet", "postuninstall scriptlet", "systemd-sysusers"} {
		if !strings.Contains(scripts, want) {
			t.Errorf("the scripts of the rpm lack %q", want)
		}
	}
}
