package rewrite

import (
	"errors"
	"strings"
	"testing"
)

// TestProofFailureTellsStructure: a refused edit says how the message is built,
// and no word of what it says.
func TestProofFailureTellsStructure(t *testing.T) {
	raw := whole(multi("mixed", multi("canary", "Content-Type: text/canary; charset=canary; name=canary\nContent-Transfer-Encoding: canary\n\ncanary"),
		"Content-Type: text/plain; charset=cp932\nContent-Transfer-Encoding: 8bit\n\nNo, canary.\n", pdfPart))
	raw = strings.Replace(raw, "Subject: result", "Subject: canary", 1)
	e, err := mustParse(t, []byte(raw)).Edit(testBlock(t, "en-standard"), EditOptions{})
	if err != nil {
		t.Fatal(err)
	}
	e.changes[0].edit.New = append(e.changes[0].edit.New, "more than the block"...)
	err = e.Prove()
	if !errors.Is(err, ErrProof) {
		t.Fatalf("Prove: %v", err)
	}
	for _, want := range []string{"structure: multipart/mixed header", "(other header", "text/plain header", "8bit shift_jis", "application/pdf header", "base64"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("quotes the message: %v", err)
	}
}

func TestStructureIsBounded(t *testing.T) {
	parts := make([]string, 150)
	for i := range parts {
		parts[i] = utf8Part + "\nx"
	}
	if got := mustParse(t, []byte(whole(multi("mixed", parts...)))).structure(); strings.Count(got, "header") != describedParts {
		t.Errorf("%d parts described, want %d", strings.Count(got, "header"), describedParts)
	}
}
