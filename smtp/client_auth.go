package smtp

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"
)

// maxAuthCommand is the longest AUTH command with its first response (RFC 4954,
// section 4); a longer response waits for the server's question.
const maxAuthCommand = 12288

// Auth is one way to log in at a server (RFC 4954). Printed, it shows no secret.
type Auth struct {
	mechanisms []string // the first that the server offers is taken
	// begin makes the client's side of one login by one of the mechanisms.
	begin func(ctx context.Context, mechanism string) (sasl.Client, error)
	// refused is told that the login was refused; true asks for another try.
	refused func() bool
}

// String is the mechanisms.
func (a *Auth) String() string { return strings.Join(a.mechanisms, " ") }

// Password gives a password each time it is needed, so that it may change.
type Password func() (string, error)

// PlainAuth logs in with PLAIN (RFC 4616).
func PlainAuth(user string, password Password) *Auth { return passwordAuth(user, password, "PLAIN") }

// LoginAuth logs in with LOGIN, which no RFC defines: some servers have nothing else.
func LoginAuth(user string, password Password) *Auth { return passwordAuth(user, password, "LOGIN") }

// PasswordAuth logs in with PLAIN, or with LOGIN where the server lacks it.
func PasswordAuth(user string, password Password) *Auth {
	return passwordAuth(user, password, "PLAIN", "LOGIN")
}

func passwordAuth(user string, password Password, mechanisms ...string) *Auth {
	return &Auth{mechanisms: mechanisms, begin: func(_ context.Context, mechanism string) (sasl.Client, error) {
		p, err := password()
		if mechanism == "LOGIN" {
			return &loginClient{answers: []string{user, p}}, err
		}
		return sasl.NewPlainClient("", user, p), err
	}}
}

// ExternalAuth logs in as the identity that the client certificate proves (RFC
// 4422, appendix A); identity may be empty.
func ExternalAuth(identity string) *Auth {
	return &Auth{mechanisms: []string{"EXTERNAL"}, begin: func(context.Context, string) (sasl.Client, error) {
		return sasl.NewExternalClient(identity), nil
	}}
}

// XOAuth2 logs in with an access token, as Microsoft 365 and Google ask for.
func XOAuth2(user string, tokens *TokenSource) *Auth {
	return &Auth{
		mechanisms: []string{"XOAUTH2"},
		begin: func(ctx context.Context, _ string) (sasl.Client, error) {
			token, err := tokens.Token(ctx)
			return &xoauth2Client{user: user, token: token}, err
		},
		refused: tokens.forget,
	}
}

// loginClient answers the two questions of LOGIN, whatever their words.
// go-sasl's sends the user name unasked and knows one spelling only.
type loginClient struct{ answers []string }

func (l *loginClient) Start() (string, []byte, error) { return "LOGIN", nil, nil }

func (l *loginClient) Next([]byte) ([]byte, error) {
	if len(l.answers) == 0 {
		return nil, sasl.ErrUnexpectedServerChallenge
	}
	answer := l.answers[0]
	l.answers = l.answers[1:]
	return []byte(answer), nil
}

type xoauth2Client struct{ user, token string }

func (x *xoauth2Client) Start() (string, []byte, error) {
	return "XOAUTH2", []byte("user=" + x.user + "\x01auth=Bearer " + x.token + "\x01\x01"), nil
}

// Next answers the description of an error with nothing, upon which the server refuses.
func (x *xoauth2Client) Next([]byte) ([]byte, error) { return nil, nil }

// logIn logs in, a second time if the first was refused for a token that may
// have been old.
func (c *conversation) logIn(ctx context.Context, a *Auth) error {
	i := slices.IndexFunc(a.mechanisms, func(m string) bool { return slices.Contains(c.mechanisms, m) })
	if i < 0 {
		return refusedLogin{fmt.Errorf("server does not offer %s but %q", a, c.mechanisms)}
	}
	err := c.logInOnce(ctx, a, a.mechanisms[i])
	if errors.Is(err, errRefusedLogin) && a.refused != nil && a.refused() && !c.over {
		err = c.logInOnce(ctx, a, a.mechanisms[i])
	}
	return err
}

func (c *conversation) logInOnce(ctx context.Context, a *Auth, mechanism string) error {
	client, err := a.begin(ctx, mechanism)
	if err != nil {
		return refusedLogin{err}
	}
	_, response, err := client.Start()
	if err != nil {
		return refusedLogin{err}
	}
	command := "AUTH " + mechanism
	if first := command + " " + encodeResponse(response); response != nil && len(first) <= maxAuthCommand {
		command, response = first, nil
	}
	r, err := c.ask(ctx, command)
	for questions := 0; err == nil && r.Code == 334; questions++ {
		if questions == 8 {
			return refusedLogin{errors.New("server asks without end")}
		}
		if response == nil {
			if response, err = answerQuestion(client, r); err != nil {
				return refusedLogin{err}
			}
		}
		r, err = c.ask(ctx, base64.StdEncoding.EncodeToString(response))
		response = nil
	}
	if err != nil {
		return err
	}
	if r.Code != 235 {
		return refusedLogin{&ReplyError{r}}
	}
	return nil
}

// encodeResponse encodes a first response; an empty one is "=".
func encodeResponse(response []byte) string {
	if len(response) == 0 {
		return "="
	}
	return base64.StdEncoding.EncodeToString(response)
}

func answerQuestion(client sasl.Client, r Reply) ([]byte, error) {
	question, err := base64.StdEncoding.DecodeString(r.Lines[0])
	if err != nil { // some ask in clear
		question = []byte(r.Lines[0])
	}
	return client.Next(question)
}

// refusedLogin marks an error as one of logging in.
type refusedLogin struct{ error }

func (e refusedLogin) Unwrap() error        { return e.error }
func (e refusedLogin) Is(target error) bool { return target == errRefusedLogin }
