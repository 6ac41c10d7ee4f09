package smtptest

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// DKIMResult is what an independent verifier says about one DKIM-Signature field.
type DKIMResult struct {
	Domain   string `json:"domain"`
	Selector string `json:"selector"`
	Valid    bool   `json:"valid"`
	Error    string `json:"error"` // why it could not be verified; "" if it is just wrong
}

const dkimpy = `
import base64, dkim, json, sys
job = json.load(sys.stdin)
def dns(name, timeout=5):
    record = job["records"].get(name.decode().rstrip("."))
    return record.encode() if record else None
answer = []
for mail in job["mails"]:
    d, results = dkim.DKIM(base64.b64decode(mail), minkey=1024), []
    for i in range(sum(1 for n, v in d.headers if n.lower() == b"dkim-signature")):
        result = {"domain": "", "selector": "", "valid": False, "error": ""}
        try: result["valid"] = d.verify(idx=i, dnsfunc=dns)
        except Exception as e: result["error"] = type(e).__name__ + ": " + str(e)
        for key, field in (("domain", d.domain), ("selector", d.selector)):
            if field: result[key] = field.decode()
        results.append(result)
    answer.append(results)
json.dump(answer, sys.stdout)
`

// VerifyDKIM lets dkimpy, which shares no code with our signer, verify every
// signature of every mail, top to bottom. records are the TXT records of the DNS
// by name. Without dkimpy the test is skipped; where CI=true it fails.
func VerifyDKIM(t testing.TB, records map[string]string, mails ...[]byte) [][]DKIMResult {
	t.Helper()
	script, err := os.ReadFile(Program(t, "dkimverify"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(script), "\n")
	python := strings.Fields(strings.TrimPrefix(line, "#!")) // the Python that has the module
	if err := exec.Command(python[0], append(python[1:], "-c", "import dkim, nacl")...).Run(); err != nil {
		Missing(t, "dkimpy or PyNaCl is not installed")
	}
	job, err := json.Marshal(map[string]any{"records": records, "mails": mails})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python[0], append(python[1:], "-c", dkimpy)...)
	var complaint bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(job), &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("dkimpy: %v\n%s", err, &complaint)
	}
	var results [][]DKIMResult
	if err := json.Unmarshal(out, &results); err != nil || len(results) != len(mails) {
		t.Fatalf("dkimpy answered for %d mails of %d, %v", len(results), len(mails), err)
	}
	return results
}
