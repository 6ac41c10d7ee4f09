package bolt

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain runs helper processes, and otherwise the tests.
func TestMain(m *testing.M) {
	path := os.Getenv(childEnv + "_PATH")
	switch os.Getenv(childEnv) {
	case "":
		os.Exit(mainTests(m))
	case "use":
		hangGuard()
		os.Exit(exitCode(useDamaged(path)))
	case "cut", "zero", "scramble":
		hangGuard()
		os.Exit(exitCode(spoilRunning(os.Getenv(childEnv), path)))
	case "crash":
		os.Exit(exitCode(writeUntilKilled(path)))
	}
}

// hangGuard makes a helper process that hangs fail, with its stacks.
func hangGuard() { time.AfterFunc(2*time.Minute, func() { panic("hangs") }) }

func exitCode(err error) int {
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// mainTests runs the tests and then looks for goroutines left over.
func mainTests(m *testing.M) int {
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// readLines reads lines until the writer ends, and calls enough after n of them.
func readLines(r io.Reader, n int, enough func()) []string {
	var lines []string
	for sc := bufio.NewScanner(r); sc.Scan(); {
		if lines = append(lines, sc.Text()); len(lines) == n {
			enough()
		}
	}
	return lines
}
