package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/pgvigil/pgvigil/internal/config"
	"github.com/pgvigil/pgvigil/internal/explain"
	"github.com/pgvigil/pgvigil/internal/postgres"
)

const aboutExplain = `Shows the plan of a statement of pg_stat_statements without executing it, what it has cost, the state of its tables, and what stands out.

QUERYID is the number that pg_stat_statements and the label queryid show. docs/explain.md says which statements have a plan, which rights that takes, and what planning may evaluate.`

// explainTimeout bounds all of it.
const explainTimeout = time.Minute

// explainCommand is pgvigil explain.
func explainCommand(ctx context.Context, out outside, args []string) error {
	line := newCommandLine("explain", aboutExplain, out)
	var req explain.Request
	var opt explain.Options
	var format string
	line.Arg("queryid", "").StringVar(&req.QueryID)
	line.Flag("database", "Database of the statement, where several have one of this queryid.").PlaceHolder("NAME").StringVar(&req.Database)
	line.Flag("user", "User of the statement, in the same way.").PlaceHolder("NAME").StringVar(&req.User)
	line.Flag("search-path", "search_path of the statement; without, that of its user in its database.").PlaceHolder("PATH").StringVar(&req.SearchPath)
	line.Flag("type", "Type of a parameter that is not inferred, as in 2=integer; repeatable.").PlaceHolder("N=TYPE").SetValue(&parameterTypes{into: &req.Types})
	set(line.Application, "large-table", "Size from which on a sequential scan is pointed out.", "8MB", &opt.LargeTable, bytesOf)
	line.Flag("allow-superuser", "Plan with the rights of a superuser: planning may evaluate functions that others have written.").BoolVar(&opt.Superuser)
	set(line.Application, "format", "Format of the answer: text or json.", "text", &format, oneOf("text", "json"))
	if done, err := line.parse(numbersLast(args)); done || err != nil {
		return err
	}
	if req.QueryID == "" {
		return line.wrong(errors.New("the queryid is missing"))
	}
	server, err := line.server.open()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	defer server.Close(ctx)
	report, err := explain.Explain(ctx, server, req, opt)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	write := report.WriteText
	if format == "json" {
		write = report.WriteJSON
	}
	if err := write(&b); err != nil {
		return err
	}
	_, err = out.stdout.Write(b.Bytes())
	return err
}

// open returns the server that the command is about, not connected yet.
func (s *server) open() (*postgres.Server, error) {
	t, err := s.find()
	switch {
	case err != nil:
		return nil, err
	case t.Kind != config.PostgreSQL:
		return nil, fmt.Errorf("the target is a %s: name a server", t.Kind)
	}
	way := t.Conn.Config()
	way.ConnectTimeout = s.connectTimeout
	return postgres.New(way)
}

var negative = regexp.MustCompile(`^-[0-9]+$`)

// numbersLast puts negative numbers, which half of all queryids are, where they are
// not taken for flags.
func numbersLast(args []string) []string {
	var first, last []string
	for i, arg := range args {
		switch {
		case arg == "--":
			return append(append(first, arg), append(last, args[i+1:]...)...)
		case negative.MatchString(arg):
			last = append(last, arg)
		default:
			first = append(first, arg)
		}
	}
	if len(last) == 0 {
		return first
	}
	return append(append(first, "--"), last...)
}

// bytesOf reads a size.
func bytesOf(s string) (int64, error) {
	for suffix, factor := range map[string]int64{"kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30} {
		if digits, ok := strings.CutSuffix(s, suffix); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 32); err == nil && n > 0 {
				return n * factor, nil
			}
		}
	}
	return 0, fmt.Errorf("%q is not a size: write a number and a unit, such as 100MB", s)
}

// parameterTypes is a flag that may be repeated, each time N=TYPE.
type parameterTypes struct{ into *map[int]string }

// maxParameter is the highest number that a parameter may have in the protocol.
const maxParameter = 65535

// Set adds one.
func (v *parameterTypes) Set(s string) error {
	number, name, ok := strings.Cut(strings.TrimPrefix(s, "$"), "=")
	n, err := strconv.Atoi(number)
	if !ok || err != nil || n < 1 || n > maxParameter || name == "" {
		return named("type", fmt.Errorf("%q is not the type of a parameter: write it like 2=integer", s))
	}
	if *v.into == nil {
		*v.into = map[int]string{}
	}
	(*v.into)[n] = name
	return nil
}

// String returns all.
func (v *parameterTypes) String() string { return "" }

// IsCumulative tells kingpin that the flag may be repeated.
func (v *parameterTypes) IsCumulative() bool { return true }
