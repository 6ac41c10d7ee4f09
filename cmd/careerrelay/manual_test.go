package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// TestManual: both pages are clean man(7), and say all that there is to say.
func TestManual(t *testing.T) {
	mandoc := smtptest.Program(t, "mandoc")
	for page, words := range map[string][]string{
		"careerrelay":      {"serve", "--config", "EXIT STATUS", "/var/lib/careerrelay"},
		"careerrelay.yaml": {"companies[].accept.users[]", "public_url", "listen", "MiB"},
	} {
		source := inProcess(t, "", "man", page)
		if source.code != 0 {
			t.Fatalf("man %s = %+v", page, source)
		}
		dir := t.TempDir()
		writeFiles(t, dir, map[string]string{"page": source.stdout})
		lint, err := exec.Command(mandoc, "-T", "lint", "-W", "warning,stop", filepath.Join(dir, "page")).CombinedOutput()
		if err != nil && !onlyDate(string(lint)) {
			t.Errorf("%s: %v\n%s", page, err, lint)
		}
		text, err := exec.Command(mandoc, "-T", "utf8", "-O", "width=200", filepath.Join(dir, "page")).Output()
		if err != nil {
			t.Fatal(err)
		}
		plain := overstruck(string(text))
		for _, w := range words {
			if !strings.Contains(plain, w) {
				t.Errorf("%s lacks %q:\n%s", page, w, plain)
			}
		}
	}
}

// onlyDate: pages without a date are built alike each time, and mandoc misses it.
func onlyDate(lint string) bool {
	for line := range strings.Lines(lint) {
		if !strings.Contains(line, "missing date") {
			return false
		}
	}
	return true
}

// overstruck is the text of a terminal without bold and underline.
func overstruck(text string) string {
	var out []rune
	for _, r := range text {
		if r == '\b' {
			out = out[:len(out)-1]
			continue
		}
		out = append(out, r)
	}
	return string(out)
}

func TestManualQuotes(t *testing.T) {
	m := &manual{}
	m.text(".a -b \\c\n'd")
	m.line("B", `say "x"`)
	if want := "\\&.a \\-b \\ec\n\\&'d\n.B \"say \\(dqx\\(dq\"\n"; m.String() != want {
		t.Errorf("page = %q, want %q", m.String(), want)
	}
}

var completions = []struct {
	name string
	line []string // what was typed; the last word is the one to complete
	want []string
}{
	{"command", []string{"careerrelay", "expl"}, []string{"explain"}},
	{"flag", []string{"careerrelay", "serve", "--c"}, []string{"--config"}},
	{"values of a flag", []string{"careerrelay", "sample", "--wordings", ""}, []string{"en", "ja"}},
	{"values of an argument", []string{"careerrelay", "completion", "f"}, []string{"fish"}},
	{"file of a flag", []string{"careerrelay", "serve", "--config", "compl"}, []string{"completion.yaml"}},
	{"flag after a flag", []string{"careerrelay", "explain", "--json", "--conf"}, []string{"--config"}},
}

// TestCompletion lets each shell complete a command line with our script.
func TestCompletion(t *testing.T) {
	for shell, complete := range map[string]func(t *testing.T, program, script string, line []string) string{
		"bash": completeInBash, "fish": completeInFish, "zsh": completeInZsh,
	} {
		t.Run(shell, func(t *testing.T) {
			program := smtptest.Program(t, shell)
			got := inProcess(t, "", "completion", shell)
			if got.code != 0 {
				t.Fatalf("completion = %+v", got)
			}
			dir := t.TempDir()
			writeFiles(t, dir, map[string]string{"script": got.stdout})
			for _, tt := range completions {
				out := complete(t, program, filepath.Join(dir, "script"), tt.line)
				words := strings.Fields(out)
				slices.Sort(words)
				if !slices.Equal(slices.Compact(words), tt.want) {
					t.Errorf("%s: %q completes to %q, want %q", tt.name, tt.line, out, tt.want)
				}
			}
		})
	}
}

func shellOutput(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = "testdata" // where files are completed
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + t.TempDir(), "TERM=dumb"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
	return string(out)
}

func completeInBash(t *testing.T, program, script string, line []string) string {
	t.Helper()
	return shellOutput(t, program, append([]string{"--norc", "-c", `source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _careerrelay; printf '%s\n' "${COMPREPLY[@]}"`, script}, line...)...)
}

func completeInFish(t *testing.T, program, script string, line []string) string {
	t.Helper()
	out := shellOutput(t, program, "--no-config", "-c", `source $argv[1]; complete -C (string join ' ' $argv[2..-1])`, script, strings.Join(line, " "))
	var words []string
	for l := range strings.Lines(out) {
		word, _, _ := strings.Cut(strings.TrimSpace(l), "\t")
		words = append(words, word)
	}
	return strings.Join(words, "\n")
}

// completeInZsh types the line and a tab on a terminal of zsh's own. Each try
// offers one candidate at most, or a list.
func completeInZsh(t *testing.T, program, script string, line []string) string {
	t.Helper()
	const typist = `
zmodload zsh/zpty zsh/zselect
zpty z ` + "`" + `which zsh` + "`" + ` -f -i
says() { local all= part; while [[ $all != *$1* ]]; do zpty -r z part || return 1; all+=$part; done; print -r -- $all >&3 }
zpty -w z "PS1=; unsetopt zle_bracketed_paste 2>/dev/null; autoload -Uz compinit; compinit -u -D; source '$1'; zstyle ':completion:*' format ''"
zpty -w z "compadd() { local -a w; builtin compadd -O w \"\$@\"; print -rl -- \"<\${(@)^w}>\" >> '$2'; builtin compadd \"\$@\" }; print rea''dy"
says ready 3>/dev/null
zpty -w -n z "$3"$'\t'
# Keys that wait would end the completion: the next ones only after its first word.
while [[ ! -s $2 ]] && (( SECONDS < 20 )); do zselect -t 2; done
zpty -w -n z $'\x15'"print do''ne"$'\n'
says done 3>/dev/null
zpty -d z
`
	out := filepath.Join(t.TempDir(), "words")
	shellOutput(t, program, "-f", "-c", typist, "zsh", script, out, strings.Join(line, " "))
	return readWords(t, out)
}

// readWords reads the candidates that zsh was offered, each between < and >.
func readWords(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for l := range strings.Lines(string(text)) {
		words = append(words, strings.Trim(strings.TrimSpace(l), "<>"))
	}
	return strings.Join(words, "\n")
}
