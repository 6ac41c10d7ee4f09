package smtptest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Script runs a shell script as the admin of this Postfix would: postconf,
// postfix and their like mean it. A reload that the script asks for is over
// when Script returns.
func (p *Postfix) Script(t testing.TB, script string) {
	t.Helper()
	const reloaded = "reload -- version"
	before := strings.Count(p.Log(), reloaded)
	cmd := exec.Command("sh")
	cmd.Stdin = strings.NewReader(script)
	cmd.Env = append(os.Environ(), "MAIL_CONFIG="+filepath.Join(p.dir, "conf"), "PATH="+os.Getenv("PATH")+":"+filepath.Dir(postfixProgram))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("script: %v\n%s\n%s", err, out, script)
	}
	if strings.Contains(script, "postfix reload") {
		p.poll(t, "the reload", func() bool { return strings.Count(p.Log(), reloaded) > before })
	}
}

// Setting is a setting of main.cf, or a service of master.cf as postconf -M or
// -P names it; "" if it is not set.
func (p *Postfix) Setting(t testing.TB, arguments ...string) string {
	t.Helper()
	arguments = append([]string{"-c", filepath.Join(p.dir, "conf")}, arguments...)
	out, err := exec.Command(filepath.Join(filepath.Dir(postfixProgram), "postconf"), arguments...).Output()
	if err != nil {
		t.Fatalf("postconf %q: %v", arguments, err)
	}
	return strings.TrimSpace(string(out))
}
