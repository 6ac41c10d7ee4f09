package main

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// The tests of this file are the whole product among strangers: swaks hands mail
// to the built binary, which hands it to a private Postfix, which delivers it to
// a mailbox; candidates open the link and opt in as a browser does.

// TestHop lets hops with a relay each share a mailbox.
func TestHop(t *testing.T) {
	t.Parallel()
	mailbox := startMailbox(t)
	for name, run := range map[string]func(*testing.T, *hop){
		"bytes": hopBytes, "link": hopLink, "credits": hopCredits, "twice": hopTwice, "killed": hopKilled, "refused": hopRefused, "resign": hopResign,
		"other": hopOtherAddress, "static": hopStatic,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHop(t, name, mailbox)
			h.start(t)
			run(t, h)
		})
	}
}

// hopBytes: what lies in the mailbox is what was sent plus the block, for
// every kind of mail; what is no rejection has no block.
func hopBytes(t *testing.T, h *hop) {
	for _, tt := range []struct {
		mail, boundary string
		gains          []int // sections that gain a block
		kinds          []string
	}{
		{"iso-2022-jp", "", []int{0}, []string{"text/plain"}},
		{"html", "=_part_7f3a", []int{1, 2}, []string{"text/plain", "text/html"}},
		{"english", "", []int{0}, []string{"text/plain"}},
		{"interview", "", nil, []string{"text/plain"}},
	} {
		t.Run(tt.mail, func(t *testing.T) {
			sent := h.letter(t, tt.mail, 1)
			got := h.deliver(t, sent)
			got.checkTop(t)
			checkGains(t, got.insertions(t, sent, tt.boundary), tt.gains)
			checkTexts(t, got, sent, tt.kinds)
			said := got.prove(t, sent)
			if blocks := strings.Count(said.stdout, "bytes inserted"); said.code != 0 || blocks != len(tt.gains) {
				t.Errorf("prove = %+v, want %d insertions", said, len(tt.gains))
			}
			if len(tt.gains) == 0 && !bytes.Equal(got.raw, sent.raw) {
				t.Errorf("arrived %q, was sent as %q", got.raw, sent.raw)
			}
		})
	}
	h.awaitReport(t, reportRow{Seen: 4, Matched: 3, Inserted: 3, Sent: 3})
}

// TestGain: the second opinion sees every change that is no insertion.
func TestGain(t *testing.T) {
	for _, tt := range []struct {
		name, before, after, gained string
		ok                          bool
	}{
		{"nothing", "ab", "ab", "", true},
		{"in the middle", "ab", "axb", "x", true},
		{"on top", "ab", "xab", "x", true},
		{"at the end", "ab", "abx", "x", true},
		{"what was there again", "ab", "aab", "a", true},
		{"two places", "abc", "axbxc", "", false},
		{"an octet changed", "abc", "aXc", "", false},
		{"an octet changed beside an insertion", "abc", "axXc", "", false},
		{"an octet lost", "abc", "ac", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gained, err := gain([]byte(tt.before), []byte(tt.after))
			if gained != tt.gained || (err == nil) != tt.ok {
				t.Errorf("gain = %q, %v, want %q, ok %v", gained, err, tt.gained, tt.ok)
			}
		})
	}
}

// checkGains checks which sections gained something.
func checkGains(t *testing.T, gained []string, want []int) {
	t.Helper()
	wanted := map[int]bool{}
	for _, i := range want {
		wanted[i] = true
	}
	for i, text := range gained {
		if (text != "") != wanted[i] {
			t.Errorf("section %d gained %q", i, text)
		}
	}
}

// checkTexts reads the message as a stranger does: the parts are those that were
// sent, and each says what it said plus a block with the one link.
func checkTexts(t *testing.T, got arrived, sent letter, kinds []string) {
	t.Helper()
	was, is := (arrived{raw: sent.raw}).texts(t), got.texts(t)
	link := got.link(t)
	if len(is) != len(kinds) || len(was) != len(kinds) {
		t.Errorf("parts arrived: %d, were sent: %d, want %q", len(is), len(was), kinds)
	}
	for _, kind := range kinds {
		block, err := gain([]byte(was[kind]), []byte(is[kind]))
		if err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if block != "" && !strings.Contains(block, link) || strings.Contains(block, "\uFFFD") {
			t.Errorf("%s gained %q", kind, block)
		}
	}
}

// hopLink: scanners change nothing, the candidate's own POST does.
func hopLink(t *testing.T, h *hop) {
	sent := h.letter(t, "iso-2022-jp", 1)
	c := newCandidate(h.deliver(t, sent).link(t), sent.to)
	want := reportRow{Seen: 1, Matched: 1, Inserted: 1, Sent: 1}
	h.awaitReport(t, want)
	for _, method := range []string{http.MethodHead, http.MethodGet, http.MethodGet} {
		if page := c.open(t, method); page.status != http.StatusOK {
			t.Fatalf("%s = %d", method, page.status)
		}
	}
	want.OpenedMachine = 1 // within two minutes of the mail nobody else comes
	h.awaitReport(t, want)
	page := c.open(t, http.MethodGet)
	to, form, err := page.form(c.link[strings.LastIndexByte(c.link, '/'):])
	if err != nil {
		t.Fatal(err)
	}
	if page, err = c.ask(http.MethodPost, to+"/apply", form); err != nil || page.status != http.StatusUnprocessableEntity {
		t.Errorf("POST of the empty form = %d, %v", page.status, err)
	}
	h.awaitReport(t, want)
	optInAll(t, c)
	want.OptedIn, want.Counted = 1, 1
	h.awaitReport(t, want)
	optInAgain(t, c)
	h.awaitReport(t, want)
}

// optInAgain: the link now shows the receipt, which has no form to apply by.
func optInAgain(t *testing.T, c *candidate) {
	t.Helper()
	page := c.open(t, http.MethodGet)
	if _, _, err := page.form("/apply"); err == nil || page.status != http.StatusOK || strings.Contains(page.body, c.mail) {
		t.Errorf("after the opt-in the link shows %d:\n%s", page.status, page.body)
	}
}

// hopCredits: ten candidates make one credit, nine none, eleven still one; a
// restart in good order changes no count at all.
func hopCredits(t *testing.T, h *hop) {
	var all []*candidate
	sent := h.letters(t, "english", 11)
	h.send(t, sent...)
	for _, l := range sent {
		all = append(all, newCandidate(h.awaitCopies(t, l.id, 1)[0].link(t), l.to))
	}
	want := reportRow{Seen: 11, Matched: 11, Inserted: 11, Sent: 11}
	for _, step := range []struct{ from, to, earned int }{{0, 9, 0}, {9, 10, 1}, {10, 11, 1}} {
		optInAll(t, all[step.from:step.to]...)
		n := int64(step.to)
		want.OpenedMachine, want.OptedIn, want.Counted, want.Earned = n, n, n, int64(step.earned)
		h.awaitReport(t, want)
	}
	h.process.end(t)
	h.start(t)
	h.awaitReport(t, want)
}

// hopTwice: a mail sent again carries the same link, and is one referral;
// another mail to the same person carries none.
func hopTwice(t *testing.T, h *hop) {
	sent := h.letter(t, "html", 1)
	h.send(t, sent, sent)
	copies := h.awaitCopies(t, sent.id, 2)
	link := copies[0].link(t)
	if link == "" || copies[1].link(t) != link || !bytes.Equal(copies[0].raw, copies[1].raw) {
		t.Errorf("links %q and %q, or the copies differ", link, copies[1].link(t))
	}
	h.awaitReport(t, reportRow{Seen: 2, Matched: 2, Inserted: 2, Sent: 1})
	another := h.letter(t, "html", 1)
	another.id = "<twice-another@sample.example.jp>"
	another.raw = messageIDLine.ReplaceAll(sent.raw, []byte("Message-ID: "+another.id))
	if got := h.deliver(t, another); !bytes.Equal(got.raw, another.raw) {
		t.Errorf("a second mail to the same person arrived as %q", got.raw)
	}
	h.awaitReport(t, reportRow{Seen: 3, Matched: 3, Inserted: 2, Sent: 1})
}

// hopRefused: what Postfix says to the whole message is what the client hears, and
// no referral is counted as sent.
func hopRefused(t *testing.T, h *hop) {
	for i, tt := range []struct{ to, reply string }{{deferred, "450 4.2.1 "}, {refused, "550 5.7.1 "}} {
		sent := h.letter(t, "english", i)
		sent.raw = bytes.Replace(sent.raw, []byte(sent.to), []byte(tt.to), 1)
		sent.to = tt.to
		err := h.trySend(t.TempDir(), sent)
		if told, ok := errors.AsType[*errSwaks](err); !ok || !strings.HasPrefix(told.reply, tt.reply) || !strings.Contains(told.reply, ": not this ") {
			t.Errorf("swaks: %v, want %s", err, tt.reply)
		}
	}
	h.awaitReport(t, reportRow{Seen: 2, Matched: 2})
}

// TestHopUpstreamStopped: without the mail server the client keeps its mail, and
// nothing counts; when the server is back, so is the mail.
func TestHopUpstreamStopped(t *testing.T) {
	t.Parallel()
	h := newHop(t, "stopped", startMailbox(t))
	h.start(t)
	first, second := h.letter(t, "iso-2022-jp", 1), h.letter(t, "english", 2)
	h.deliver(t, first) // leaves a connection that will be stale
	want := reportRow{Seen: 1, Matched: 1, Inserted: 1, Sent: 1}
	h.awaitReport(t, want)
	h.mailbox.Stop(t)
	for range 2 { // the stale connection, then none
		err := h.trySend(t.TempDir(), second)
		if refused, ok := errors.AsType[*errSwaks](err); !ok || !strings.HasPrefix(refused.reply, "451 4.4.1 ") {
			t.Fatalf("swaks: %v, want 451 4.4.1", err)
		}
	}
	h.awaitReport(t, want)
	h.mailbox.Restart(t)
	var err error
	await(t, "the relay to try again", func() bool { err = h.trySend(t.TempDir(), second); return err == nil })
	if link := h.awaitCopies(t, second.id, 1)[0].link(t); link == "" {
		t.Error("the mail came without a link")
	}
	h.awaitReport(t, reportRow{Seen: 2, Matched: 2, Inserted: 2, Sent: 2})
}

// hopKilled kills the relay in the middle of its work, as kill -9 does.
func hopKilled(t *testing.T, h *hop) {
	early := h.letter(t, "iso-2022-jp", 100)
	before := newCandidate(h.deliver(t, early).link(t), early.to)
	optInAll(t, before)
	h.awaitReport(t, reportRow{Seen: 1, Matched: 1, Inserted: 1, Sent: 1, OpenedMachine: 1, OptedIn: 1, Counted: 1})
	torn := h.beginLetter(t)
	sent := h.letters(t, "iso-2022-jp", 12)
	failed := h.sendAndKill(t, sent)
	h.start(t)
	h.send(t, failed...) // as every client does
	var all []*candidate
	for _, l := range sent {
		all = append(all, newCandidate(h.copiesWithOneLink(t, l), l.to))
	}
	if torn.Close(); len(h.copies(t, tornID)) != 0 {
		t.Error("half a message was delivered")
	}
	if page := before.open(t, http.MethodGet); page.status != http.StatusOK {
		t.Errorf("the link from before the kill = %d", page.status)
	}
	optInAll(t, all[:9]...)
	got := h.report(t)
	if got.OptedIn != 10 || got.Counted != 10 || got.Earned != 1 {
		t.Errorf("report = %+v, want 10 opted in, counted, and a credit", got)
	}
	if got.Sent > int64(len(sent))+1 {
		t.Errorf("report = %+v: more than one referral for a candidate", got)
	}
}

const tornID = "<torn@sample.example.jp>"

// beginLetter leaves a client in the middle of a message.
func (h *hop) beginLetter(t *testing.T) *smtptest.Client {
	t.Helper()
	c := smtptest.Dial(t, h.smtp)
	c.Talk("S: 220 *", "C: EHLO ats.sample.example.jp", "S: 250-*", "C: MAIL FROM:<saiyo@sample.example.jp>", "S: 250 *",
		"C: RCPT TO:<torn@"+candidateDomain+">", "S: 250 *", "C: DATA", "S: 354 *", "C: Message-ID: "+tornID+"\r\nSubject: half\r\n\r\nHalf a line")
	return c
}

// sendAndKill sends mails side by side, kills the relay when some are through,
// and brings those that swaks could not hand over.
func (h *hop) sendAndKill(t *testing.T, all []letter) (failed []letter) {
	t.Helper()
	dir := t.TempDir()
	through := make(chan struct{}, len(all))
	errs := make([]error, len(all))
	var group sync.WaitGroup
	for part := range 3 {
		group.Go(func() {
			for i := part; i < len(all); i += 3 {
				errs[i] = h.trySend(dir, all[i])
				through <- struct{}{}
			}
		})
	}
	for range 3 {
		<-through
	}
	h.process.kill(t)
	group.Wait()
	for i, err := range errs {
		if _, refused := errors.AsType[*errSwaks](err); err != nil && !refused {
			t.Fatal(err)
		}
		if err != nil {
			failed = append(failed, all[i])
		}
	}
	if len(failed) == 0 || len(failed) == len(all) {
		t.Fatalf("%d of %d mails failed: the kill was not in the middle", len(failed), len(all))
	}
	return failed
}

// copiesWithOneLink waits for a mail whose client may have sent it twice. Each
// copy must be whole and carry the same link.
func (h *hop) copiesWithOneLink(t *testing.T, l letter) string {
	t.Helper()
	await(t, "the mail "+l.id, func() bool { return len(h.copies(t, l.id)) > 0 })
	link := ""
	for _, got := range h.copies(t, l.id) {
		checkGains(t, got.insertions(t, l, ""), []int{0})
		if found := got.link(t); found == "" || link != "" && found != link {
			t.Errorf("%s came with the links %q and %q", l.id, link, found)
		}
		link = got.link(t)
	}
	return link
}
