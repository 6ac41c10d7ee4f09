package smtp

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/careerrelay/careerrelay/rewrite"
)

// SigningKey signs the mail of a domain (RFC 6376): what its subdomains send is
// signed in its name too, as DMARC's relaxed alignment has it.
type SigningKey struct {
	Domain   string        // d=, in lower case and A-labels
	Selector string        // s=
	Key      crypto.Signer // with an RSA or Ed25519 public key
}

// String keeps the private key out of logs.
func (k SigningKey) String() string { return k.Name() }

// GoString is String, for %#v.
func (k SigningKey) GoString() string { return k.Name() }

// Name is where the public key stands in the DNS.
func (k SigningKey) Name() string { return k.Selector + "._domainkey." + k.Domain }

// Record is the TXT record of the public key (RFC 6376, section 3.6.1; RFC 8463,
// section 4).
func (k SigningKey) Record() (string, error) {
	if public, ok := k.Key.Public().(ed25519.PublicKey); ok {
		return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public), nil
	}
	der, err := x509.MarshalPKIXPublicKey(k.Key.Public())
	if err != nil {
		return "", fmt.Errorf("encode public key: %w", err)
	}
	return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der), nil
}

// Published tells whether the TXT records at Name have the public key; if not,
// the error says what is there.
func (k SigningKey) Published(records []string) error {
	var found []string
	for _, r := range records {
		if p, ok := publicKeyIn(r); ok {
			found = append(found, p)
		}
	}
	switch {
	case len(found) == 0:
		return errors.New("there is no DKIM record")
	case len(found) > 1:
		return fmt.Errorf("there are %d DKIM records, and verifiers take any of them", len(found))
	case found[0] == "":
		return errors.New("the key is revoked: p= is empty")
	}
	ours, err := k.Record()
	if err != nil {
		return err
	}
	if want, _ := publicKeyIn(ours); found[0] != want {
		return errors.New("the record has another key")
	}
	return nil
}

// publicKeyIn is the p= tag of a DKIM record (RFC 6376, section 3.6.1), an RSA
// key in the form that Record writes; false if the text is no such record.
func publicKeyIn(record string) (string, bool) {
	tags := map[string]string{"v": "DKIM1"}
	for tag := range strings.SplitSeq(record, ";") {
		name, value, _ := strings.Cut(tag, "=")
		tags[strings.TrimSpace(name)] = strings.Join(strings.Fields(value), "")
	}
	p, ok := tags["p"]
	if der, err := base64.StdEncoding.DecodeString(p); err == nil {
		if key, err := x509.ParsePKCS1PublicKey(der); err == nil { // RFC 6376 means this form, most publish the other
			if der, err = x509.MarshalPKIXPublicKey(key); err == nil {
				p = base64.StdEncoding.EncodeToString(der)
			}
		}
	}
	return p, ok && tags["v"] == "DKIM1"
}

// KeysFor are the keys for a sender's domain: all those of the longest domain
// that covers it.
func KeysFor(keys []SigningKey, sender string) []SigningKey {
	var best []SigningKey
	for _, k := range keys {
		switch {
		case sender == "" || !rewrite.DomainCovers(k.Domain, sender):
		case len(best) == 0 || len(k.Domain) > len(best[0].Domain):
			best = []SigningKey{k}
		case k.Domain == best[0].Domain:
			best = append(best, k)
		}
	}
	return best
}

// sign puts new signatures on top of an edited message that came signed.
func (o *offer) sign(keys []SigningKey) error {
	if len(keys) == 0 {
		return nil
	}
	o.stage = "sign"
	signatures, err := Sign(keys, o)
	if err == nil {
		o.trace = signatures + o.trace
	}
	return err
}

// signers are the keys that sign the message once it is edited. There are none
// if it did not come signed, if another hop signs, or if we have no key for its
// sender.
func (c *company) signers(h *header) []SigningKey {
	if !h.signed || c.DKIM != Resign {
		return nil
	}
	return KeysFor(c.SigningKeys, rewrite.SenderDomain(h.from))
}

// Sign makes a DKIM-Signature field with each key, to stand on top of the
// message, and verifies them as a receiver would. It goes through the message
// three times and keeps no more of it than the header.
func Sign(keys []SigningKey, message io.WriterTo) (string, error) {
	fields, err := signedFields(message)
	if err != nil {
		return "", err
	}
	var signers []*dkim.Signer
	var to []io.Writer
	for _, k := range keys {
		s, err := dkim.NewSigner(&dkim.SignOptions{
			Domain: k.Domain, Selector: k.Selector, Signer: k.Key, HeaderKeys: fields,
			HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
		})
		if err != nil {
			return "", errors.Join(err, closeAll(signers))
		}
		signers, to = append(signers, s), append(to, s)
	}
	_, err = message.WriteTo(io.MultiWriter(to...))
	if err = errors.Join(err, closeAll(signers)); err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	var all strings.Builder
	for _, s := range signers {
		all.WriteString(s.Signature())
	}
	return all.String(), verifySignatures(keys, all.String(), message)
}

// closeAll ends every signer, which its goroutine waits for.
func closeAll(signers []*dkim.Signer) error {
	var all []error
	for _, s := range signers {
		all = append(all, s.Close())
	}
	return errors.Join(all...)
}

// The fields that a signature covers, where the message has them (RFC 6376,
// section 5.4.1): what a reader sees, and what says how to read the body. Each is
// named once more than it is there, so that none can be added above the signed
// one; those of the first list also where the message has none, for nobody on the
// way adds them in good faith.
var (
	alwaysSigned  = []string{"From", "To", "Subject", "Reply-To"}
	signedIfThere = []string{
		"Date", "Message-ID", "Cc", "Sender", "In-Reply-To", "References", "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
		"List-Unsubscribe", "List-Unsubscribe-Post",
	}
)

// maxSameFields bounds the work on a header that repeats one field, which no
// honest message does.
const maxSameFields = 10

// signedFields is the h= list for the message.
func signedFields(message io.WriterTo) ([]string, error) {
	var head headWriter
	if _, err := message.WriteTo(&head); err != nil && !errors.Is(err, errWholeHead) {
		return nil, err
	}
	count := map[string]int{}
	for at := 0; at < len(head.bytes); {
		end := fieldEnd(head.bytes, at)
		name, _, _ := bytes.Cut(head.bytes[at:end], []byte(":"))
		count[strings.ToLower(string(bytes.TrimRight(name, " \t")))]++
		at = end
	}
	var list []string
	for i, name := range append(alwaysSigned[:len(alwaysSigned):len(alwaysSigned)], signedIfThere...) {
		n := count[strings.ToLower(name)]
		if n > maxSameFields {
			return nil, fmt.Errorf("message has %d %s fields", n, name)
		}
		if n > 0 || i < len(alwaysSigned) {
			for range n + 1 {
				list = append(list, name)
			}
		}
	}
	return list, nil
}

var errWholeHead = errors.New("the header is complete")

// headWriter keeps what is written up to the end of the header.
type headWriter struct{ bytes []byte }

func (h *headWriter) Write(p []byte) (int, error) {
	from := max(len(h.bytes)-2, 0)
	h.bytes = append(h.bytes, p...)
	for _, end := range []string{"\n\r\n", "\n\n"} { // a message in a file may have bare LF
		if i := bytes.Index(h.bytes[from:], []byte(end)); i >= 0 {
			h.bytes = h.bytes[:from+i+1]
			return len(p), errWholeHead
		}
	}
	return len(p), nil
}

// verifySignatures checks our signatures, which stand on top of the message,
// against the records that their keys should have in the DNS.
func verifySignatures(keys []SigningKey, signatures string, message io.WriterTo) error {
	records := map[string]string{}
	for _, k := range keys {
		record, err := k.Record()
		if err != nil {
			return err
		}
		records[k.Name()] = record
	}
	lookup := func(name string) ([]string, error) { return []string{records[name]}, nil }
	signed, end := readWritten(message)
	results, err := dkim.VerifyWithOptions(io.MultiReader(strings.NewReader(signatures), signed),
		&dkim.VerifyOptions{LookupTXT: lookup, MaxVerifications: len(keys)})
	if err == nil || errors.Is(err, dkim.ErrTooManySignatures) { // the others are not ours
		err = nil
		for _, r := range results {
			err = errors.Join(err, r.Err)
		}
	}
	end()
	if err != nil || len(results) != len(keys) {
		return fmt.Errorf("verify %d of %d signatures: %w", len(results), len(keys), err)
	}
	return nil
}

// readWritten is a reader of what the message writes; end must be called, and
// returns when the message is not in use any more.
func readWritten(message io.WriterTo) (r io.Reader, end func()) {
	pr, pw := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		var err error
		defer func() { pw.CloseWithError(err) }()
		defer recovered(&err)
		_, err = message.WriteTo(pw)
	}()
	return pr, func() {
		pr.Close()
		<-done
	}
}
