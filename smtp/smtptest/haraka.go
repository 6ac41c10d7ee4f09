package smtptest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// StartHaraka starts a Haraka that passes each message on to a port of this
// machine before it answers, and returns where it listens. It ends with the test.
// (Clients that may relay would have their mail queued but for enable_outbound.)
// Without Haraka the test is skipped, everywhere: no distribution has it.
func StartHaraka(t testing.TB, port string) string {
	t.Helper()
	haraka, err := exec.LookPath("haraka")
	if err != nil {
		t.Skip("Haraka is not installed")
	}
	addr, dir := FreeAddr(t), t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "config"), 0o755); err != nil {
		t.Fatalf("make folder: %v", err)
	}
	for name, text := range map[string]string{
		"smtp.ini": "listen=" + addr + "\nnodes=0\n", "plugins": "relay\nqueue/smtp_forward\n", "relay.ini": "[relay]\nacl=true\n",
		"relay_acl_allow": "127.0.0.1/32\n", "smtp_forward.ini": "host=127.0.0.1\nport=" + port + "\nenable_outbound=true\n", "databytes": "100000000\n",
		"me": "haraka.example\n", "connection.ini": "[main]\n[max]\nbytes=100000000\n[haproxy]\n[headers]\n[uuid]\nbanner_chars=6\n[message]\ngreeting[]=Haraka\nhelo=Haraka\nclose=bye\n", "loglevel": "ERROR\n", "log.ini": "[main]\nlevel=ERROR\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, "config", name), []byte(text), 0o644); err != nil {
			t.Fatalf("write %s: %v", name, err)
		}
	}
	cmd := exec.Command(haraka, "-c", dir)
	out, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatalf("make log: %v", err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	log := func() string {
		b, err := os.ReadFile(out.Name())
		return fmt.Sprintf("%s (%v)", b, err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start Haraka: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("Haraka logged:\n%s", log())
		}
	})
	poll(t, "Haraka's port", log, func() bool { return listening(addr) })
	return addr
}
