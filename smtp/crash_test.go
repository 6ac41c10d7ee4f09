package smtp

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/bolt"
)

// relayEnv makes the test binary a relay: it holds the address of the upstream
// and the file of the store. The listener is file 3, as from systemd.
const relayEnv = "CAREERRELAY_TEST_RELAY"

func crashKeys() (*store.Keys, error) { return store.NewKeys(bytes.Repeat([]byte{7}, 32)) }

// beRelay runs a relay until SIGTERM, or until it is killed.
func beRelay(config string) error {
	upstream, file, _ := strings.Cut(config, " ")
	db, err := bolt.Open(file, bolt.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	keys, err := crashKeys()
	if err != nil {
		return err
	}
	server, err := ParseServer("smtp+insecure://" + upstream)
	if err != nil {
		return err
	}
	up, err := NewUpstream(UpstreamOptions{Servers: []Server{server}, Hostname: "relay.example"})
	if err != nil {
		return err
	}
	limits := Limits{Connections: 2100, ConnectionsPerIP: 2100}
	limits.BoundMemory()
	proxy, err := New(Options{
		Companies: []Company{{ID: "sample", Domains: []string{"company.example"},
			Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Upstream: up, Rules: alwaysRejection{"en"}, Block: testBlock}},
		Hostname: "relay.example", Referrals: db, Keys: keys, StampKey: []byte("stamp key"), Limits: limits,
		Timeouts: Timeouts{Transaction: 5 * time.Minute}, // a busy machine is no fault
		Link:     func(_ string, t store.Token) (string, string) { return "https://jobs.example/r/" + string(t), "" },
	})
	if err != nil {
		return err
	}
	l, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return proxy.Serve(ctx, l)
}

// relayProcess is a relay in a process of its own.
func relayProcess(t *testing.T, listener *os.File, upstream, file string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), relayEnv+"="+upstream+" "+file)
	cmd.ExtraFiles = []*os.File{listener}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// TestCrash kills the relay again and again while clients send and try again.
// No accepted message is lost, none is torn, each link has its referral, a
// message that arrives twice has the same link twice, and no client ever finds
// the port closed.
func TestCrash(t *testing.T) {
	const clients, messages, kills = 4, 60, 6
	up := smtptest.NewUpstream(t, smtptest.Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	defer file.Close()
	db := filepath.Join(t.TempDir(), "referrals.db")
	var running sync.WaitGroup
	for i := range clients {
		running.Go(func() {
			for n := range messages {
				if err := sendUntilAccepted(addr, fmt.Sprintf("%d.%d", i, n)); err != nil {
					t.Errorf("message %d.%d: %v", i, n, err)
					return
				}
			}
		})
	}
	cmd := relayProcess(t, file, up.Addr(), db)
	for n := range kills {
		goal := (n + 1) * clients * messages / (kills + 1)
		up.Await(t, "messages", func() bool { return len(up.Messages()) >= goal })
		cmd.Process.Kill()
		cmd.Wait() // killed: its error says so
		cmd = relayProcess(t, file, up.Addr(), db)
	}
	running.Wait()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the relay stops with %v", err)
	}
	checkAfterCrash(t, up, db, clients*messages, clients*kills)
}

// checkAfterCrash: in each kill each client can have had one message between the
// upstream's answer and ours, so at most mayDouble came twice.
func checkAfterCrash(t *testing.T, up *smtptest.Upstream, file string, want, mayDouble int) {
	t.Helper()
	if torn := up.Torn(); len(torn) > 0 {
		t.Logf("%d transfers were cut, and none of them was kept", len(torn))
	}
	db, err := bolt.Open(file, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tokens, doubled := map[string]string{}, 0
	for _, m := range up.Messages() {
		_, rest, _ := strings.Cut(m.Body, "Message-ID: <")
		id, _, _ := strings.Cut(rest, ">")
		token := linkOf(m.Body)
		if before, again := tokens[id]; again {
			doubled++
			if before != token {
				t.Errorf("message %s came twice with different links", id)
			}
		}
		tokens[id] = token
		if token == "" || !strings.HasPrefix(m.Body[strings.Index(m.Body, "Subject"):], crashBody) {
			t.Errorf("message %s is not what was sent, with a link: %q", id, m.Body)
			continue
		}
		if r, err := db.Lookup(t.Context(), store.Token(token)); err != nil || r.State != store.Sent && r.State != store.Offered {
			t.Errorf("link of message %s: state %q, %v", id, r.State, err)
		}
	}
	if len(tokens) != want {
		t.Errorf("%d messages arrived, %d were accepted", len(tokens), want)
	}
	if t.Logf("%d of %d messages came twice", doubled, want); doubled > mayDouble {
		t.Errorf("that is more than %d", mayDouble)
	}
	counts, err := db.Report(t.Context(), "sample")
	if err != nil || len(counts) != 1 || counts[0].Sent > int64(want) {
		t.Errorf("report %+v, %v: want at most %d sent", counts, err, want)
	}
}

const crashBody = "Subject: result\r\n\r\nWe must unfortunately decline.\r\n"

// sendUntilAccepted is a client that tries again. A refused connection is an
// error: over a restart the port stays open.
func sendUntilAccepted(addr, id string) error {
	message := "Message-ID: <" + id + "@company.example>\r\n" + crashBody + ".\r\n"
	for deadline := time.Now().Add(3 * patience); time.Now().Before(deadline); {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		accepted := sendOnce(conn, "MAIL FROM:<hr@company.example>\r\n", "RCPT TO:<c"+id+"@mail.example>\r\n", "DATA\r\n", message)
		conn.Close()
		if accepted {
			return nil
		}
	}
	return fmt.Errorf("not accepted in %s", 3*patience)
}

// sendOnce tells whether all commands succeeded.
func sendOnce(conn net.Conn, commands ...string) bool {
	conn.SetDeadline(time.Now().Add(patience))
	in := make([]byte, 4096)
	for _, c := range append([]string{"", "HELO c\r\n"}, commands...) {
		if _, err := conn.Write([]byte(c)); err != nil {
			return false
		}
		n, err := conn.Read(in)
		if err != nil || n == 0 || in[0] != '2' && in[0] != '3' {
			return false
		}
	}
	return true
}
