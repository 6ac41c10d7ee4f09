// Command careerrelay is an outbound SMTP relay that adds a link to a licensed
// recruiting agency to mails that tell a job candidate "no", once, and counts
// the candidates who register through it.
//
// Exit codes: 0 done; 1 the answer is no, or something failed and was said on
// standard error; 2 the command line is wrong.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// commands is the command line.
type commands struct {
	Serve   serveCommand   `cmd:"" help:"Run the relay."`
	Demo    demoCommand    `cmd:"" help:"Show the whole product on this machine: relay, pages, inbox, four mails."`
	Check   checkCommand   `cmd:"" help:"Check a configuration file and name every mistake."`
	Sample  sampleCommand  `cmd:"" help:"Print a configuration to start from."`
	Pause   pauseCommand   `cmd:"" help:"Kill switch: insert nothing from now on, for one company or all."`
	Resume  resumeCommand  `cmd:"" help:"End a pause."`
	Doctor  doctorCommand  `cmd:"" help:"Hold a configuration against the world: DNS, TLS, upstreams, link hosts, the way through."`
	Recipe  recipeCommand  `cmd:"" help:"Print how to route a mail system's mail through this relay, and how to undo it."`
	Explain explainCommand `cmd:"" help:"Say what the relay would do with a mail, why, and show the edit."`
	Replay  replayCommand  `cmd:"" help:"Decide and edit stored mails without sending anything."`
	Score   scoreCommand   `cmd:"" help:"Compare verdicts with the labels of a corpus."`
	Train   trainCommand   `cmd:"" help:"Learn the model of rejections from labelled mails, or measure it on authors left out."`
	Prove   proveCommand   `cmd:"" help:"Tell whether a mail is another one plus insertions, and nothing else."`
	Report  reportCommand  `cmd:"" help:"Print counts and credits of each company."`
	Audit   auditCommand   `cmd:"" help:"Verify ledger, consents and journal, and print the heads of their chains."`
	Redeem  redeemCommand  `cmd:"" help:"Use one credit for a free introduction."`
	Ledger  ledgerCommand  `cmd:"" help:"Print a company's credits, introductions and ledger."`
	Journal journalCommand `cmd:"" help:"Print who looked, asked and deleted what."`
	Subject subjectCommand `cmd:"" help:"Export, correct or erase what is kept about a person."`
	Purge   purgeCommand   `cmd:"" help:"Apply the retention now, or only say what is due."`

	Introduction introductionCommand `cmd:"" help:"Take an introduction one step further."`
	Affected     affectedCommand     `cmd:"" help:"Say whose data the store held in a range of time, after a breach."`
	RotateKeys   rotateCommand       `cmd:"" help:"Bring sealed profiles under a new key."`
	Export       exportCommand       `cmd:"" help:"Write the people who were handed over, for the agency's register."`
	Outbox       outboxCommand       `cmd:"" help:"Print what waits for the agency, and send dead letters again."`
	Token        tokenCommand        `cmd:"" help:"Make a token for the agency's API."`

	Backup       backupCommand       `cmd:"" help:"Write all that the store holds into a file, while the relay runs."`
	Restore      restoreCommand      `cmd:"" help:"Fill an empty store from a backup, and verify it."`
	MigrateStore migrateStoreCommand `cmd:"" help:"Move everything from one database to another, and compare them."`

	Health     healthCommand     `cmd:"" help:"Ask the running relay whether it is well, for supervisors and containers."`
	Man        manCommand        `cmd:"" help:"Print a page of the manual."`
	Completion completionCommand `cmd:"" help:"Print the completion script of a shell."`

	Hash    hashCommand    `cmd:"" help:"Hash a password (from standard input) for accept.users."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// terminal is what a command may use of the process that runs it.
type terminal struct {
	ctx    context.Context // ends when the process is asked to stop
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// errSaid is a failure whose text was printed already.
var errSaid = errors.New("failed, see above")

// run is the whole program but for the process around it; it returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var cli commands
	helped := false
	parser, err := kong.New(&cli,
		kong.Name("careerrelay"),
		kong.Description("A link to help in every rejection, and nothing else changed."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { helped = true }), // kong goes on after printing help
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Bind(&terminal{ctx: ctx, stdin: stdin, stdout: stdout, stderr: stderr}),
	)
	if err != nil {
		fmt.Fprintln(stderr, "careerrelay:", err)
		return 2
	}
	command, err := parser.Parse(args)
	if helped {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "careerrelay: %v\nRun \"careerrelay --help\" for the commands.\n", err)
		return 2
	}
	if err := command.Run(); err != nil {
		if !errors.Is(err, errSaid) {
			fmt.Fprintln(stderr, "careerrelay:", err)
		}
		return 1
	}
	return 0
}
