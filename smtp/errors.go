package smtp

import "errors"

// Errors of the server half; replies says what the client hears.
var (
	errTooLarge          = errors.New("message is larger than the limit")
	errBareCR            = errors.New("message has a CR that is not part of CRLF") // a receiver could see a line end in it
	errBareLF            = errors.New("message has a LF that is not part of CRLF") // only with Options.RejectBareLF
	errLoop              = errors.New("message passed too many hosts")             // Received lines, or stamps of our own
	errNotAllowed        = errors.New("client may not send through this relay")
	errNotOwnSender      = errors.New("user may not send for this domain")
	errAuthNeeded        = errors.New("client must log in first")
	errCertificateNeeded = errors.New("client must show a certificate") // of an authority that is believed
	errDraining          = errors.New("relay is stopping")
	errTooMany           = errors.New("too many connections")
	errTooManyRecipients = errors.New("too many recipients")
	errSpool             = errors.New("keep message") // the temporary file failed; wraps the cause
	errBusy              = errors.New("too many messages are inspected already")
	errStalled           = errors.New("client fell silent in the middle of a message")
	// errTorn: the client's transfer broke. It is never forwarded, and there is
	// nobody to answer.
	errTorn = errors.New("transfer is torn")
)

// Errors of the upstream half: no reply that could be handed on.
var (
	errUnreachable    = errors.New("upstream cannot be reached")
	errUntrusted      = errors.New("upstream cannot be verified") // TLS missing, or its certificate is not right
	errRefusedLogin   = errors.New("upstream refused our login")
	errLost           = errors.New("connection to upstream is lost")
	errOutcomeUnknown = errors.New("no answer after the final dot") // the upstream may have the message
	errLoginLost      = errors.New("connection that the client logged in on is lost")
	errNonsense       = errors.New("reply makes no sense here")
)
