package packaging

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// root is a small system in a folder: the programs that installing and removing
// a package needs, with their libraries, and no user but root.
type root struct{ dir string }

// essential are the programs that the scripts of the package, dpkg and systemd's
// checks look for.
var essential = []string{"sh", "cat", "chown", "chmod", "install", "rmdir", "getent", "useradd", "userdel", "kill", "dpkg-deb", "tar", "rm", "dpkg-split", "dpkg-trigger", "diff"}

// newRoot makes a root folder. It needs root's rights: packages change owners,
// and scripts run below another root.
func newRoot(t *testing.T, more ...string) root {
	t.Helper()
	if os.Getuid() != 0 {
		smtptest.Missing(t, "no root: dpkg changes owners and roots")
	}
	r := root{filepath.Join(t.TempDir(), "root")}
	for _, dir := range []string{"etc", "tmp", "var/lib/dpkg/info", "var/lib/dpkg/updates", "var/log", "run", "proc", "dev", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64"} {
		if err := os.MkdirAll(r.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range map[string]string{"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"} {
		if err := os.Symlink(to, r.path(from)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(r.path("tmp"), 0o1777); err != nil {
		t.Fatal(err)
	}
	r.write(t, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
	r.write(t, "etc/group", "root:x:0:\n")
	r.write(t, "etc/shadow", "root:*:1::::::\n")
	r.write(t, "etc/gshadow", "root:*::\n")
	r.write(t, "etc/login.defs", "SYS_UID_MIN 100\nSYS_UID_MAX 999\nSYS_GID_MIN 100\nSYS_GID_MAX 999\n")
	r.write(t, "var/lib/dpkg/status", "")
	r.write(t, "dev/null", "") // a file does
	for _, name := range append(more, essential...) {
		r.copyProgram(t, name)
	}
	return r
}

func (r root) path(name string) string { return filepath.Join(r.dir, name) }

func (r root) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(r.path(name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (r root) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(r.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (r root) has(name string) bool {
	_, err := os.Lstat(r.path(name))
	return err == nil
}

// copyProgram brings a program of this system in, with the libraries it names.
func (r root) copyProgram(t *testing.T, name string) {
	t.Helper()
	file := smtptest.Program(t, name)
	r.copyFile(t, file)
	libraries, _ := exec.Command("ldd", file).Output() // fails for a static program, which has none
	for _, field := range strings.Fields(string(libraries)) {
		if strings.HasPrefix(field, "/") {
			r.copyFile(t, field)
		}
	}
}

func (r root) copyFile(t *testing.T, file string) {
	t.Helper()
	to := r.path(file)
	if r.has(file) {
		return
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, 0o755); err != nil {
		t.Fatal(err)
	}
}

// files is every path below the root but those that dpkg keeps for itself.
func (r root) files(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(r.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, r.dir)
		if d.IsDir() && (name == "/var/lib/dpkg" || name == "/var/log") {
			return fs.SkipDir
		}
		all = append(all, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// dpkg runs dpkg on the root; what the package depends on is not in its database.
func (r root) dpkg(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(smtptest.Program(t, "dpkg"), append([]string{"--root=" + r.dir, "--force-depends", "--force-confdef", "--force-confold", "--force-not-root"}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("dpkg %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// account is the user and the group of a name in the root.
func (r root) account(t *testing.T, name string) (uid, gid uint32) {
	t.Helper()
	for line := range strings.Lines(r.read(t, "etc/passwd")) {
		fields := strings.Split(line, ":")
		if fields[0] != name {
			continue
		}
		u, err1 := strconv.ParseUint(fields[2], 10, 32)
		g, err2 := strconv.ParseUint(fields[3], 10, 32)
		if err1 != nil || err2 != nil || u == 0 {
			t.Fatalf("the user %s is %q", name, line)
		}
		return uint32(u), uint32(g)
	}
	t.Fatalf("there is no user %s in\n%s", name, r.read(t, "etc/passwd"))
	return 0, 0
}

// owned tells owner, group and mode of a file.
func (r root) owned(t *testing.T, name string) string {
	t.Helper()
	info, err := os.Lstat(r.path(name))
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%d:%d %04o", stat.Uid, stat.Gid, info.Mode().Perm())
}

// within makes a command run below the root as a user of it.
func (r root) within(uid, gid uint32, args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: r.dir, Setpgid: true, Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	return cmd
}
