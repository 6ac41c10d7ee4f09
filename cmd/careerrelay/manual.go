package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/careerrelay/careerrelay/configs"
)

// manCommand prints a page of the manual, in the language of man(7): from the
// command line itself and from the types of the configuration.
type manCommand struct {
	Page string `arg:"" help:"careerrelay, the commands, or careerrelay.yaml, the configuration file." enum:"careerrelay,careerrelay.yaml" default:"careerrelay"`
}

func (c manCommand) Run(t *terminal, k *kong.Kong) error {
	page := &manual{}
	if c.Page == "careerrelay.yaml" {
		if err := page.configuration(); err != nil {
			return err
		}
	} else {
		page.commands(k.Model)
	}
	_, err := io.WriteString(t.stdout, page.String())
	return err
}

// manual is a page in the making.
type manual struct{ strings.Builder }

// roff lets every character of a text stand for itself.
var roff = strings.NewReplacer(`\`, `\e`, `-`, `\-`, "\n.", "\n\\&.", "\n'", "\n\\&'")

// quoted is a text as the argument of a macro.
func quoted(text string) string {
	return `"` + strings.ReplaceAll(roff.Replace(text), `"`, `\(dq`) + `"`
}

// line writes a macro with its arguments.
func (m *manual) line(macro string, arguments ...string) {
	m.WriteString("." + macro)
	for _, a := range arguments {
		m.WriteString(" " + quoted(a))
	}
	m.WriteString("\n")
}

// text writes running text; no line of it is taken for a macro.
func (m *manual) text(text string) {
	m.WriteString(strings.TrimPrefix(roff.Replace("\n"+text), "\n") + "\n")
}

// item writes one entry of a list.
func (m *manual) item(name, text string) {
	m.line("TP")
	m.line("B", name)
	m.text(text)
}

func (m *manual) head(name, section, about string) {
	m.line("TH", strings.ToUpper(name), section, "", "Career Relay", "Career Relay")
	m.line("SH", "NAME")
	m.text(name + " - " + about)
}

// commands is careerrelay(1).
func (m *manual) commands(app *kong.Application) {
	m.head("careerrelay", "1", "outbound SMTP relay that adds a link to help to rejection mails")
	m.line("SH", "SYNOPSIS")
	m.line("B", "careerrelay COMMAND [FLAG...] [ARGUMENT...]")
	m.line("SH", "DESCRIPTION")
	m.text(app.Help)
	m.line("SH", "COMMANDS")
	for _, leaf := range app.Leaves(true) {
		m.command(leaf)
	}
	m.line("SH", "EXIT STATUS")
	m.item("0", "Done, or the answer is yes.")
	m.item("1", "The answer is no, or something failed and standard error says why.")
	m.item("2", "The command line is wrong.")
	m.line("SH", "FILES")
	m.item("/etc/careerrelay/careerrelay.yaml", "The configuration of the packaged service.")
	m.item("/var/lib/careerrelay", "Its database and its keys.")
	m.line("SH", "SEE ALSO")
	m.line("BR", "careerrelay.yaml", "(5)")
}

func (m *manual) command(n *kong.Node) {
	m.line("SS", n.Summary())
	m.text(n.Help)
	if n.Detail != "" {
		m.line("PP")
		m.text(n.Detail)
	}
	for _, p := range n.Positional {
		m.item(p.Summary(), p.Help)
	}
	for _, f := range n.Flags {
		if !f.Hidden && f.Name != "help" {
			m.item(f.String(), f.Help)
		}
	}
}

// configuration is careerrelay.yaml(5).
func (m *manual) configuration() error {
	blocks, err := configs.Reference()
	if err != nil {
		return err
	}
	m.head("careerrelay.yaml", "5", "configuration of careerrelay")
	m.line("SH", "DESCRIPTION")
	m.text(`One YAML file. Unknown keys are mistakes. "careerrelay check FILE" names every mistake with its line and its remedy; ` +
		`"careerrelay sample" prints a file to start from. Relative file names start from the folder of the file. ` +
		`The relay takes a change into use by itself, within seconds.`)
	for _, b := range blocks {
		m.line("SH", cmp.Or(b.Name, "TOP LEVEL"))
		m.text(b.About)
		for _, k := range b.Keys {
			m.item(fmt.Sprintf("%s (%s)", k.Name, k.Default), k.Meaning)
		}
	}
	m.line("SH", "SEE ALSO")
	m.line("BR", "careerrelay", "(1)")
	return nil
}
