package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/config"
	"github.com/pgvigil/pgvigil/internal/postgres"
)

// command is what may stand in front of the flags, for what is not the exporter.
type command struct {
	name  string
	about string // one line of --help
	run   func(ctx context.Context, out outside, args []string) error
}

// outside is what a command has of the world.
type outside struct {
	getenv         func(string) string
	stdout, stderr io.Writer
}

// commands are all there are, in the order of --help.
func commands() []command {
	return []command{
		{"check", "Judge a server by the four factors of production-ready PostgreSQL.", checkCommand},
		{"doctor", "Say why a metric is missing, what may not be seen, and what it costs.", doctorCommand},
		{"explain", "Show the plan of a statement of pg_stat_statements, without executing it.", explainCommand},
	}
}

// commandOf returns the command that the first argument names, if it does.
func commandOf(all []command, args []string) (command, bool) {
	if len(args) == 0 {
		return command{}, false
	}
	i := slices.IndexFunc(all, func(c command) bool { return c.name == args[0] })
	if i < 0 {
		return command{}, false
	}
	return all[i], true
}

// commandLine is a command's own, with the flags that all of them share: those that
// say which server it is about.
type commandLine struct {
	*kingpin.Application
	name   string
	server server
	log    logging
}

// newCommandLine returns the command line of a command, to which it adds what it
// takes besides. Shared flags have the variables that the exporter's have.
func newCommandLine(name, about string, out outside) *commandLine {
	c := &commandLine{Application: kingpin.New("pgvigil "+name, about), name: name, server: server{getenv: out.getenv}}
	c.UsageWriter(out.stdout).UsageTemplate(commandTemplate).UsageFuncs(template.FuncMap{"arguments": arguments, "flags": flagRows})
	c.HelpFlag.Short('h').Help("Print this and exit.")
	c.Flag("config.file", "YAML file that names servers.").PlaceHolder("FILE").Envar("PGVIGIL_CONFIG_FILE").StringVar(&c.server.configFile)
	c.Flag("target", "Server by its name in the file; without, that of DATA_SOURCE_NAME or DATA_SOURCE_URI, or the only one of the file.").
		PlaceHolder("NAME").StringVar(&c.server.target)
	set(c.Application, "connect.timeout", "Time to connect within.", postgres.DefaultConnectTimeout.String(), &c.server.connectTimeout, positive)
	c.log.flags(c.Application)
	for _, shared := range []string{"connect.timeout", "log.level", "log.format"} {
		c.GetFlag(shared).Envar(variableOf(shared))
	}
	return c
}

// variableOf is the variable of one of the exporter's flags.
func variableOf(flag string) string {
	return "PGVIGIL_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(flag))
}

// parse reads what stands behind the command. Help that was asked for is printed,
// and nothing is left to be done.
func (c *commandLine) parse(args []string) (done bool, err error) {
	c.Terminate(func(int) { done = true })
	// As in parseFlags: it may be a connection string.
	stray := c.Arg("", "").Hidden().Strings()
	_, err = c.Parse(args)
	switch {
	case done:
		return true, nil
	case err != nil:
		return false, c.wrong(err)
	case len(*stray) > 0:
		return false, c.wrong(errors.New("there is an argument too many: a connection string goes into DATA_SOURCE_NAME, where no list of processes shows it"))
	}
	return false, nil
}

// wrong says that the command line is.
func (c *commandLine) wrong(err error) error { return &usageError{err: err, command: c.name} }

// server says which server a command is about.
type server struct {
	getenv         func(string) string
	configFile     string
	target         string
	connectTimeout time.Duration
}

// find returns the server. What it has no name for is that of the environment.
func (s *server) find() (config.Target, error) {
	main, ok, err := config.Environment(s.getenv)
	switch {
	case s.target == "" && err != nil:
		return config.Target{}, err
	case s.target == "" && ok:
		return main, nil
	case s.configFile == "" && s.target != "":
		return config.Target{}, errors.New("--target is a name in the file of --config.file, which is not given")
	case s.configFile == "":
		return config.Target{}, errors.New("no server is named: set DATA_SOURCE_NAME or DATA_SOURCE_URI, or name one by --config.file and --target")
	}
	file, err := config.Load(s.configFile, flagNames(collector.All()))
	if err != nil {
		return config.Target{}, err
	}
	var names []string
	var servers []config.Target
	for _, t := range file.Targets {
		if t.Name == s.target {
			return t, nil
		}
		names = append(names, t.Name)
		if t.Kind == config.PostgreSQL {
			servers = append(servers, t)
		}
	}
	switch {
	case len(names) == 0:
		return config.Target{}, fmt.Errorf("%s names no server", s.configFile)
	case s.target == "" && len(servers) == 1:
		return servers[0], nil
	case s.target == "":
		return config.Target{}, fmt.Errorf("say by --target which one of %s: %s", s.configFile, strings.Join(names, ", "))
	}
	// A name that is wrong is not repeated: it may be a connection string.
	return config.Target{}, fmt.Errorf("--target is none of %s, which has %s", s.configFile, strings.Join(names, ", "))
}

// commandTemplate is the usage of a command.
const commandTemplate = `usage: {{.App.Name}} [flags]{{arguments .App.Args}}

{{.App.Help|Wrap 0}}
{{flags .Context.Flags|FormatTwoColumns}}`

// arguments are those of a usage.
func arguments(all []*kingpin.ArgModel) string {
	var b strings.Builder
	for _, a := range all {
		if a.Name != "" {
			b.WriteString(" " + strings.ToUpper(a.Name))
		}
	}
	return b.String()
}

// flagRows are flags as a usage lists them.
func flagRows(all []*kingpin.FlagModel) [][2]string {
	var rows [][2]string
	for _, f := range all {
		if !f.Hidden {
			rows = append(rows, [2]string{written(f), f.Help + standing(f)})
		}
	}
	return rows
}
