package smtp

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// promised is what this package promises, by subject, and what holds each: tests,
// as "TestName" or "TestName/text of the case". A test of another package has the
// package's folder in front: "cmd/careerrelay.TestName".
var promised = []struct {
	subject string
	rows    map[string][]string
}{
	{"defects of go-smtp's server", map[string][]string{
		"rest of a timed-out DATA is executed":             {"TestTimeouts/message, and its rest is no command"},
		"aborted BDAT gives its verdict to the next":       {"TestAbortedBDAT", "TestDialogues/BDAT then RSET", "TestDialogues/BDAT with bare CR"},
		"failed STARTTLS stays usable in plaintext":        {"TestHandshakeFails", "TestMatrix"},
		"BDAT LAST cut short passes for whole":             {"TestTornEverywhere/in the last chunk", "TestTorn/BDAT LAST"},
		"CR CRLF.CRLF is no end, and hangs":                {"TestDecodeEndings", "TestDialogues/CR CRLF.CRLF", "TestTimeouts/CR . CR and silence"},
		"dot and CR at a line's start lose the CR":         {"TestDecodeEndings", "TestDecodeStuffed"},
		"quoted local part becomes two paths":              {"TestParsePath", "FuzzParsePath", "TestVerbatim", "TestInjection"},
		"errors become 554 with their inner text":          {"TestReplyFor/anything else says nothing about us", "TestReplyFor/wrapped twice", "TestErrorsKeepAddressesOut"},
		"slow steady DATA dies, as 554":                    {"TestTimeouts/steady", "TestTimeouts/message, and its rest is no command"},
		"line limit holds in DATA too":                     {"TestDialogues/long line in DATA", "TestDialogues/long command", "TestDialogues/endless command"},
		"message exactly at the limit is refused":          {"TestDialogues/exactly the limit", "TestDialogues/exactly the limit by SIZE"},
		"SIZE over 32 bits is refused as malformed":        {"TestDialogues/SIZE over 64 bits"},
		"second MAIL without RSET is accepted":             {"TestDialogues/second MAIL"},
		"a login that is needed is asked for with 502":     {"TestAuth/needed"},
		"idle clients send on while stopping":              {"TestDrain", "TestDrainTLS", "TestDrainEnds", "TestListenerLost"},
		"no hook before the greeting, no caps":             {"TestCaps", "TestProxyProtocol", "TestNotAllowed", "TestRecipientLimit"},
		"upstream's words on success reach the client":     {"TestSettle/2xx", "TestDialogues/BDAT"},
		"what the upstream offers, and only that, we do":   {"TestEHLOMirrorsUpstream", "TestExtensionsUnknown", "TestDialogues/BINARYMIME"},
		"decided alike where the standard leaves no doubt": {"TestDifferential"},
	}},
	{"defects of go-smtp's client", map[string][]string{
		"torn message gets a final dot":            {"TestTornNeverEnds", "TestTornByFault", "TestPoolAbandonedTransaction"},
		"EHLO localhost":                           {"TestHelloName", "TestNewUpstreamProblems", "TestPoolAbandonedTransaction"},
		"adds BODY=8BITMIME, turns AUTH=<> about":  {"TestEnvelopeVerbatim", "TestVerbatim", "TestPostfixEnvelope"},
		"no pipelining":                            {"TestEnvelopeAtOnce", "TestPipelinedEnvelope"},
		"no write deadline, 12 minutes of waiting": {"TestUpstreamFaults", "TestBudget", "TestSlowButSteady"},
		"rewrites bare LF":                         {"TestBareNewlines", "TestDotWriter"},
		"goes on after doubt":                      {"TestUnaskedReply", "TestEarlyAcceptance", "TestUpstreamFaults"},
	}},
	{"upstream side", map[string][]string{
		"case-blind EHLO":                         {"TestReadExtensions", "TestExtensionsMirror/8BitMime"},
		"STARTTLS, implicit TLS, verified":        {"TestTLS", "TestSTARTTLSInjectionUpstream"},
		"plaintext only in words":                 {"TestParseServer/smtp+insecure://127.0.0.1:26", "TestTLS/not offered"},
		"client certificate, EXTERNAL":            {"TestClientCertificateUpstream", "TestAuthUpstream/EXTERNAL"},
		"PLAIN, LOGIN, XOAUTH2":                   {"TestAuthUpstream/PLAIN", "TestAuthUpstream/LOGIN", "TestXOAuth2"},
		"exact dot-stuffing":                      {"TestDotWriter", "TestDotWriterReadsBack"},
		"replies verbatim, all lines":             {"TestReadReply", "TestPoolRefusalIsNoFailure", "TestUpstreamWords"},
		"DSN parameters":                          {"TestEnvelopeVerbatim", "TestVerbatim"},
		"max open, idle, messages; RSET":          {"TestPoolMaxOpen", "TestPoolConcurrent", "TestPoolIdleLife", "TestPoolReuse"},
		"stale connection retried before DATA":    {"TestPoolStale", "TestPoolReplayOnce", "TestPoolNeverTwice"},
		"failover before DATA only":               {"TestPoolFailover", "TestPoolNeverTwice", "TestPoolReturnsToFirstServer"},
		"breaker":                                 {"TestPoolBreaker", "TestBreaker"},
		"EHLO asked again after ten minutes":      {"TestExtensionsMirror"},
		"BDAT when the server has it":             {"TestBDAT", "TestBareNewlines"},
		"a refusal in mid-message is heard":       {"TestEarlyRefusal"},
		"missing extension is said, not dropped":  {"TestMissingExtension"},
		"a login's company is never in doubt":     {"TestPassCompanies"},
		"nothing of ours injected into a command": {"TestInjection"},
	}},
	{"bare line ends", map[string][]string{
		"bare LF becomes CRLF":                     {"TestDecodeChunk/bare LF", "TestSmuggling", "FuzzSession"},
		"LF.LF never ends a message, its dot goes": {"TestDecodeEndings", "TestSmuggling", "TestDifferential/LF . LF is content"},
		"bare CR is refused with 5.6.x":            {"TestDialogues/bare CR", "TestDialogues/BDAT that ends in CR"},
		"reject refuses both":                      {"TestRejectBareNewlines", "TestDecodeChunk/bare LF refused"},
	}},
	{"replies and referrals", map[string][]string{
		"2xx after the dot: its words, sent":              {"TestSettle/2xx"},
		"4xx: verbatim, stays offered":                    {"TestSettle/4xx", "TestUpstreamWords", "TestMatrix"},
		"5xx: verbatim, void":                             {"TestSettle/5xx", "TestSettle/5xx of several lines", "TestUpstreamWords"},
		"cannot connect: 451 4.4.1":                       {"TestReplyFor/cannot connect", "TestUpstreamFaults", "TestTroubleIsNamed"},
		"TLS not verified: 451 4.7.5":                     {"TestReplyFor/TLS not verified", "TestTLS", "TestTroubleIsNamed"},
		"login refused: 451 4.7.0":                        {"TestReplyFor/upstream refuses our login", "TestUpstreamFaults", "TestTroubleIsNamed"},
		"lost after the dot: 451 4.4.2, unknown":          {"TestReplyFor/silent after the final dot", "TestSettle/lost after the dot"},
		"the retry settles it":                            {"TestRetryToken", "TestMatrix"},
		"budgets: 451 4.4.5":                              {"TestBudget", "TestReplyFor/budget", "TestUpstreamFaults"},
		"too large: 552 5.3.4":                            {"TestReplyFor/too large", "TestDialogues/too large", "TestDialogues/BDAT far too large"},
		"too many Received: 554 5.4.6":                    {"TestReplyFor/loop", "TestLoops/51 Received"},
		"not allowed: 550 5.7.1":                          {"TestReplyFor/not allowed", "TestNotAllowed"},
		"no login: 530 5.7.0":                             {"TestReplyFor/no login", "TestAuth/needed"},
		"draining: 421 4.3.2":                             {"TestReplyFor/draining", "TestDrain"},
		"too many connections: 421 4.7.0":                 {"TestReplyFor/too many connections", "TestCaps"},
		"an upstream's 421 closes":                        {"TestUpstream421"},
		"every step with every fault":                     {"TestMatrix", "TestClientGone"},
		"a fault of ours is no fault of the mail":         {"TestFailOpen"},
		"what the client was told in between stays valid": {"TestLostUpstream"},
	}},
	{"who may send", map[string][]string{
		"never an open relay":             {"TestNewRefuses/open relay", "cmd/careerrelay.TestActivationRefuses/open relay"},
		"AUTH only under TLS":             {"TestAuthNeedsTLS", "TestPassInClear"},
		"STARTTLS forgets what came":      {"TestSTARTTLSInjection"},
		"company by what a client shows":  {"TestCompanyOf", "TestClientCertificate", "TestCertifiedDoor"},
		"user bound to sender domains":    {"TestAuth/foreign sender", "TestOwnSenders"},
		"passwords are hashed, and slow":  {"TestPasswords", "TestAuth/wrong three times"},
		"TLS 1.2 and later":               {"TestTLSVersions"},
		"certificates read again at once": {"TestCertificateChanges"},
	}},
	{"peers as they are", map[string][]string{
		"swaks, msmtp, Python smtplib": {"TestPeers/swaks", "TestPeers/msmtp", "TestPeers/smtplib, STARTTLS and login"},
		"Postfix":                      {"TestPostfix", "TestPostfixEnvelope"},
		"Haraka, before and behind":    {"TestHaraka/client", "TestHaraka/upstream"},
	}},
	{"stamp and signatures", map[string][]string{
		"every message has it":                   {"TestPassUnedited", "TestEdit"},
		"keyed over Message-ID, time, company":   {"TestStamp"},
		"ours and valid: unedited":               {"TestLoops/returned", "TestLoops/returned three times"},
		"ours, once too often: 554 5.4.6":        {"TestLoops/loops"},
		"not valid: stripped":                    {"TestLoops/forged stamp goes, mail is edited", "TestLoops/forged stamp goes, mail is not edited"},
		"signed: skip is the default":            {"TestReasons/signed"},
		"signed: insert":                         {"TestReasons/signed, policy insert"},
		"signed: resign":                         {"TestResign", "TestResignReasons"},
		"Received line of ours, whatever client": {"TestReceivedLine"},
	}},
}

// holderName is a folder, the test, and the text of a case.
var holderName = regexp.MustCompile(`^(?:([a-z/]+)\.)?(\w+)(?:/(.+))?$`)

// TestPromisedRows: every promise is held by tests that exist.
func TestPromisedRows(t *testing.T) {
	known := map[string]map[string]*ast.FuncDecl{}
	for _, p := range promised {
		for row, holders := range p.rows {
			if len(holders) == 0 {
				t.Errorf("%s, %s: nothing holds it", p.subject, row)
			}
			for _, holder := range holders {
				m := holderName.FindStringSubmatch(holder)
				if m == nil {
					t.Fatalf("%s, %s: %q is no test's name", p.subject, row, holder)
				}
				dir, name, text := filepath.Join("..", or(m[1], "smtp")), m[2], m[3]
				if known[dir] == nil {
					known[dir] = testsIn(t, dir)
				}
				if test := known[dir][name]; test == nil || text != "" && !says(test, text) {
					t.Errorf("%s, %s: there is no %s", p.subject, row, holder)
				}
			}
		}
	}
}

// testsIn are the tests and fuzz targets of a package.
func testsIn(t *testing.T, dir string) map[string]*ast.FuncDecl {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]*ast.FuncDecl{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && (strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Fuzz")) {
				tests[f.Name.Name] = f
			}
		}
	}
	return tests
}

// says tells whether a test has a case of that name: a string in its text.
func says(test *ast.FuncDecl, name string) (found bool) {
	ast.Inspect(test, func(n ast.Node) bool {
		if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING {
			value, err := strconv.Unquote(text.Value)
			found = found || err == nil && value == name
		}
		return !found
	})
	return found
}
