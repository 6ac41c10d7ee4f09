package rewrite

import (
	"strings"
)

// Reasons of a verdict None: a closed set, fit for a metric label.
const (
	ReasonNoRule         = "no_rule"            // nothing a rule needs was found
	ReasonBelowThreshold = "below_threshold"    // a near miss
	ReasonModelDoubts    = "model_doubts"       // a rule would have decided, and the model objects
	ReasonContrary       = "contrary"           // a veto was found
	ReasonNoText         = "no_text"            // nothing to read
	ReasonNoCandidate    = "no_candidate"       // every recipient is the company's own
	ReasonSeveral        = "several_candidates" // one text cannot carry two links
	ReasonAutoReply      = "auto_reply"         // an answer nobody wrote
	ReasonList           = "list_mail"          // a mailing list or bulk mail
	ReasonSkip           = "skip_header"        // X-Career-Relay: skip
	ReasonExcluded       = "excluded"           // address, domain or header a rule excepts
	ReasonForwarded      = "forwarded"          // somebody else's message
	skipHeader           = "X-Career-Relay"
	skipWord             = "skip"
	autoSubmittedReplied = "auto-replied" // RFC 3834, section 5.2
	autoSubmittedField   = "Auto-Submitted"
	precedenceField      = "Precedence"
	listIDField          = "List-Id" // RFC 2919: a list, not a bulk sender
	listPostField        = "List-Post"
)

// guard is the reason why the text need not be read, or "".
func (rs *Rules) guard(r *Reading, env Envelope) string {
	switch {
	case r.says(skipHeader, skipWord):
		return ReasonSkip
	case rs.excepted(r, env):
		return ReasonExcluded
	case isAutoReply(r):
		return ReasonAutoReply
	case isList(r):
		return ReasonList
	case r.Forwarded:
		return ReasonForwarded
	case strings.TrimSpace(r.Text) == "":
		return ReasonNoText
	}
	return env.candidates()
}

// candidates is the reason why the recipients are not one candidate, or "".
func (env Envelope) candidates() string {
	found := map[string]bool{}
	for _, rcpt := range env.Recipients {
		if address := strings.ToLower(rcpt); !within(address, env.OwnDomains) {
			found[address] = true
		}
	}
	switch len(found) {
	case 0:
		return ReasonNoCandidate
	case 1:
		return ""
	}
	return ReasonSeveral
}

// within reports whether an address is in one of the domains or below it.
func within(address string, domains []string) bool {
	_, domain, ok := cutLast(strings.Trim(address, "<>"), "@")
	if !ok {
		return false
	}
	domain = strings.TrimSuffix(domain, ".")
	for _, own := range domains {
		own = strings.ToLower(own)
		if domain == own || strings.HasSuffix(domain, "."+own) {
			return true
		}
	}
	return false
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// excepted reports whether a rule file takes this message out.
func (rs *Rules) excepted(r *Reading, env Envelope) bool {
	for _, rcpt := range env.Recipients {
		address := strings.ToLower(rcpt)
		for _, a := range rs.except.Addresses {
			if strings.EqualFold(a, address) {
				return true
			}
		}
		if within(address, rs.except.Domains) {
			return true
		}
	}
	for name, word := range rs.except.Headers {
		if r.says(name, word) {
			return true
		}
	}
	return false
}

// isAutoReply reports an answer that no person wrote (RFC 3834). What an
// applicant system generates of itself is no answer.
func isAutoReply(r *Reading) bool {
	return r.says(autoSubmittedField, autoSubmittedReplied) || r.says("X-Autoreply", "") || r.says("X-Autorespond", "") ||
		r.says(precedenceField, "auto_reply")
}

// isList reports mail through a mailing list. List-Unsubscribe alone says
// nothing: applicant systems put it on letters to one person.
func isList(r *Reading) bool {
	return r.says(listPostField, "") || r.says(precedenceField, "list") ||
		r.says(listIDField, "") && r.says(precedenceField, "bulk")
}

// says reports whether a header field is there and has the word in its value.
func (r *Reading) says(field, word string) bool {
	for name, values := range r.Header {
		if !strings.EqualFold(name, field) {
			continue
		}
		for _, v := range values {
			if strings.Contains(strings.ToLower(v), strings.ToLower(word)) {
				return true
			}
		}
	}
	return false
}
