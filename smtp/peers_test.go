package smtp

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// TestPeers lets real clients send a rejection through the relay.
func TestPeers(t *testing.T) {
	a := newAuthority(t)
	const python = `
import smtplib, ssl, sys
port, file, tls = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "tls"
s = smtplib.SMTP("127.0.0.1", port, local_hostname="client.example")
if tls:
    c = ssl.create_default_context(); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE
    s.starttls(context=c); s.login("ats", "secret")
s.sendmail("hr@company.example", ["candidate@mail.example"], open(file, "rb").read(), mail_options=["BODY=8BITMIME"])
s.quit()
`
	for _, tc := range []struct {
		name, program string
		tls           bool
		args          func(port, file string) []string
	}{
		{"swaks", "swaks", false, func(port, file string) []string {
			return []string{"--server", "127.0.0.1", "--port", port, "--helo", "client.example", "--from", "hr@company.example", "--to", "candidate@mail.example", "--data", "@" + file}
		}},
		{"swaks, pipelining", "swaks", false, func(port, file string) []string {
			return []string{"--server", "127.0.0.1", "--port", port, "--helo", "client.example", "--pipeline", "--from", "hr@company.example", "--to", "candidate@mail.example", "--data", "@" + file}
		}},
		{"msmtp", "msmtp", false, func(port, _ string) []string {
			return []string{"--file=/dev/null", "--host=127.0.0.1", "--port=" + port, "--auth=off", "--tls=off", "--domain=client.example", "--from=hr@company.example", "candidate@mail.example"}
		}},
		{"smtplib", "python3", false, func(port, file string) []string { return []string{"-c", python, port, file, "plain"} }},
		{"smtplib, STARTTLS and login", "python3", true, func(port, file string) []string { return []string{"-c", python, port, file, "tls"} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := smtptest.Program(t, tc.program)
			r := newRig(t, func(o *Options, r *rig) {
				if tc.tls {
					withTLS(a)(o, r)
				}
			})
			_, port, err := net.SplitHostPort(r.addr)
			if err != nil {
				t.Fatal(err)
			}
			mail := "Message-ID: <p@company.example>\r\nSubject: result\r\n\r\n.dots\r\n..\r\nunfortunately é\r\n"
			file := filepath.Join(t.TempDir(), "mail.eml")
			if err := os.WriteFile(file, []byte(mail), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(path, tc.args(port, file)...)
			cmd.Stdin = strings.NewReader(mail)
			var said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &said, &said
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v:\n%s", err, &said)
			}
			got := r.upstream.got()
			if len(got) != 1 {
				t.Fatalf("%d messages arrived; %s said:\n%s", len(got), tc.name, &said)
			}
			if out := body(t, got[0].message); !strings.Contains(out, "\r\n.dots\r\n..\r\nunfortunately é\r\n") || linkOf(out) == "" {
				t.Errorf("delivered %q", out)
			}
		})
	}
}
