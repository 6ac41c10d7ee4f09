package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCommand prints what makes a shell complete our command line. The
// script is made from the command line itself and starts no program.
type completionCommand struct {
	Shell string `arg:"" help:"bash, zsh or fish." enum:"bash,zsh,fish"`
}

func (c completionCommand) Run(t *terminal, k *kong.Kong) error {
	write := map[string]func(*kong.Application) string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}[c.Shell]
	_, err := io.WriteString(t.stdout, write(k.Model))
	return err
}

// commandLevel is a place on the command line where a command, or flags, may follow.
type commandLevel struct {
	path []string // the commands so far
	node *kong.Node
}

func (l commandLevel) name() string { return strings.Join(l.path, " ") }

// flags are those a user may write, long form alone.
func (l commandLevel) flags() []*kong.Flag {
	var all []*kong.Flag
	for _, f := range l.node.Flags {
		if !f.Hidden {
			all = append(all, f)
		}
	}
	return all
}

func (l commandLevel) children() []*kong.Node {
	var all []*kong.Node
	for _, child := range l.node.Children {
		if !child.Hidden {
			all = append(all, child)
		}
	}
	return all
}

// words is what may be typed next, values of arguments included.
func (l commandLevel) words() []string {
	var all []string
	for _, child := range l.children() {
		all = append(all, child.Name)
	}
	for _, p := range l.node.Positional {
		all = append(all, choices(p)...)
	}
	for _, f := range l.flags() {
		all = append(all, "--"+f.Name)
	}
	return all
}

// levels is every level below and including the program's own.
func levels(app *kong.Application) []commandLevel {
	var all []commandLevel
	var visit func(path []string, n *kong.Node)
	visit = func(path []string, n *kong.Node) {
		l := commandLevel{path, n}
		all = append(all, l)
		for _, child := range l.children() {
			visit(append(path[:len(path):len(path)], child.Name), child)
		}
	}
	visit(nil, app.Node)
	return all
}

// choices are the values of a flag or an argument that takes one of a list.
func choices(v *kong.Value) []string {
	var all []string
	if v.Enum != "" {
		for _, one := range v.EnumSlice() {
			if one != "" {
				all = append(all, one)
			}
		}
	}
	return all
}

func bashCompletion(app *kong.Application) string {
	var b strings.Builder
	b.WriteString("# bash completion for careerrelay\n_careerrelay() {\n" +
		"\tlocal at='' word i cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n" +
		"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n\t\tword=${COMP_WORDS[i]}\n\t\tcase \"$at $word\" in\n")
	all := levels(app)
	for _, l := range all[1:] {
		fmt.Fprintf(&b, "\t\t' %s') at=' %s' ;;\n", l.name(), l.name())
	}
	b.WriteString("\t\tesac\n\tdone\n\tCOMPREPLY=()\n\tcase \"$at $prev\" in\n")
	for _, l := range all {
		for _, f := range l.flags() {
			if f.IsBool() {
				continue
			}
			what := "compgen -f -- \"$cur\""
			if c := choices(f.Value); len(c) > 0 {
				what = fmt.Sprintf("compgen -W '%s' -- \"$cur\"", strings.Join(c, " "))
			}
			fmt.Fprintf(&b, "\t'%s --%s') mapfile -t COMPREPLY < <(%s); return ;;\n", spaced(l), f.Name, what)
		}
	}
	b.WriteString("\tesac\n\tcase \"$at\" in\n")
	for _, l := range all {
		fmt.Fprintf(&b, "\t'%s') mapfile -t COMPREPLY < <(compgen -W '%s' -- \"$cur\") ;;\n", spaced(l), strings.Join(l.words(), " "))
	}
	b.WriteString("\tesac\n}\ncomplete -o bashdefault -o default -F _careerrelay careerrelay\n")
	return b.String()
}

// spaced is the level as the scripts remember it: a space before each command.
func spaced(l commandLevel) string {
	if len(l.path) == 0 {
		return ""
	}
	return " " + l.name()
}

// inQuotes lets a text stand between the single quotes of a shell, within the
// brackets and colons of zsh.
var inQuotes = strings.NewReplacer("'", "’", ":", `\:`, "[", "(", "]", ")")

func zshCompletion(app *kong.Application) string {
	var b strings.Builder
	b.WriteString("#compdef careerrelay\n_careerrelay() {\n\tlocal at='' i last=1\n\tlocal -a commands\n" +
		"\tfor ((i = 2; i < CURRENT; i++)); do\n\t\tcase \"$at ${words[i]}\" in\n")
	all := levels(app)
	for _, l := range all[1:] {
		fmt.Fprintf(&b, "\t\t(' %s') at=' %s'; last=$i ;;\n", l.name(), l.name())
	}
	b.WriteString("\t\tesac\n\tdone\n\t(( CURRENT -= last - 1 ))\n\tshift $((last - 1)) words\n\tcase \"$at\" in\n")
	for _, l := range all {
		fmt.Fprintf(&b, "\t('%s')\n", spaced(l))
		zshLevel(&b, l)
		b.WriteString("\t\t;;\n")
	}
	b.WriteString("\tesac\n}\nif [[ $funcstack[1] == _careerrelay ]]; then _careerrelay \"$@\"; else compdef _careerrelay careerrelay; fi\n")
	return b.String()
}

func zshLevel(b *strings.Builder, l commandLevel) {
	if len(l.children()) > 0 {
		b.WriteString("\t\tcommands=(")
		for _, child := range l.children() {
			fmt.Fprintf(b, " '%s:%s'", child.Name, inQuotes.Replace(child.Help))
		}
		b.WriteString(" )\n\t\t_describe command commands\n")
		return
	}
	b.WriteString("\t\t_arguments")
	for _, f := range l.flags() {
		fmt.Fprintf(b, " '--%s[%s]", f.Name, inQuotes.Replace(f.Help))
		if !f.IsBool() {
			fmt.Fprintf(b, ":%s:%s", f.Name, zshValues(f.Value))
		}
		b.WriteString("'")
	}
	for _, p := range l.node.Positional {
		fmt.Fprintf(b, " '*:%s:%s'", p.Name, zshValues(p))
	}
	b.WriteString("\n")
}

func zshValues(v *kong.Value) string {
	if c := choices(v); len(c) > 0 {
		return "(" + strings.Join(c, " ") + ")"
	}
	return "_files"
}

func fishCompletion(app *kong.Application) string {
	var b strings.Builder
	b.WriteString("# fish completion for careerrelay\n")
	for _, l := range levels(app) {
		here := "__fish_use_subcommand"
		if len(l.path) > 0 {
			here = "__fish_seen_subcommand_from " + strings.Join(l.path, "; and __fish_seen_subcommand_from ")
		}
		for _, child := range l.children() {
			fmt.Fprintf(&b, "complete -c careerrelay -n '%s' -f -a %s -d '%s'\n", here, child.Name, inFish.Replace(child.Help))
		}
		for _, p := range l.node.Positional {
			if c := choices(p); len(c) > 0 {
				fmt.Fprintf(&b, "complete -c careerrelay -n '%s' -f -a '%s'\n", here, strings.Join(c, " "))
			}
		}
		for _, f := range l.flags() {
			fmt.Fprintf(&b, "complete -c careerrelay -n '%s' -l %s%s -d '%s'\n", here, f.Name, fishValues(f), inFish.Replace(f.Help))
		}
	}
	return b.String()
}

var inFish = strings.NewReplacer(`\`, `\\`, "'", `\'`)

func fishValues(f *kong.Flag) string {
	if f.IsBool() {
		return ""
	}
	if c := choices(f.Value); len(c) > 0 {
		return fmt.Sprintf(" -x -a '%s'", strings.Join(c, " "))
	}
	return " -r -F"
}
