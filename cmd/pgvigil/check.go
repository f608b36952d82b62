package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/config"
	"github.com/pgvigil/pgvigil/internal/readiness"
	"github.com/pgvigil/pgvigil/internal/spec"
	"github.com/pgvigil/pgvigil/internal/web"
)

const aboutCheck = "Judge a server by the four factors of production-ready PostgreSQL, and say what to do. " +
	"It reads what the exporter reads, and changes nothing. It ends with 0; with 3 where a verdict is as bad as --fail-on, with 1 where the server cannot be judged, with 2 where the command line is wrong."

// checkCommand is pgvigil check.
func checkCommand(ctx context.Context, out outside, args []string) error {
	c := newCommandLine("check", aboutCheck, out)
	var format, failOn string
	var timeout time.Duration
	set(c.Application, "format", "Form of the report: text, json or markdown.", "text", &format, oneOf("text", "json", "markdown"))
	set(c.Application, "fail-on", "Verdict from which it ends with 3: warn, fail, or never.", "fail", &failOn, oneOf("warn", "fail", "never"))
	set(c.Application, "timeout", "Time for all of it.", "1m", &timeout, positive)
	// A report is all that is wanted, but for what went wrong.
	c.GetFlag("log.level").Default("warn")
	list := c.Flag("list", "List the checks and thresholds, and exit.").Bool()
	if done, err := c.parse(args); done || err != nil {
		return err
	}
	if *list {
		return listChecks(out.stdout)
	}
	target, err := c.server.find()
	if err != nil {
		return err
	}
	if target.Kind != config.PostgreSQL {
		return fmt.Errorf("the target is a %s: name a server", target.Kind)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	report, err := judge(ctx, c, target, out)
	if err != nil {
		return err
	}
	switch format {
	case "json":
		err = report.JSON(out.stdout)
	case "markdown":
		err = report.Markdown(out.stdout)
	default:
		err = report.Text(out.stdout, colourful(out))
	}
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if worst := report.Worst(); worst == readiness.Fail && failOn != "never" || worst == readiness.Warn && failOn == "warn" {
		return &verdictError{worst}
	}
	return nil
}

// judge watches the server for one scrape, as the exporter would.
func judge(ctx context.Context, c *commandLine, target config.Target, out outside) (readiness.Report, error) {
	collectors := collector.All()
	if err := spec.ValidateAll(collectors); err != nil {
		return readiness.Report{}, fmt.Errorf("check the collectors: %w", err)
	}
	opt := web.Options{
		Watch:  web.Watch{Collectors: collectors, Enabled: map[string]bool{}, Share: 1, ConnectTimeout: c.server.connectTimeout},
		Logger: c.log.logger(out.stderr),
	}
	for _, each := range collectors {
		if each.Of == "" {
			opt.Watch.Enabled[each.Flag()] = each.Default
		}
	}
	if target.Name == "" {
		opt.Main = &target
	}
	if c.server.configFile != "" {
		opt.Load = func() (config.File, error) { return config.Load(c.server.configFile, flagNames(collectors)) }
	}
	s, err := web.New(ctx, opt)
	if err != nil {
		return readiness.Report{}, err
	}
	defer s.Close()
	return s.Readiness(ctx, target.Name)
}

// verdictError is how a report ends a pipeline.
type verdictError struct{ verdict readiness.Verdict }

// Error says what the report came to, which it has printed itself.
func (e *verdictError) Error() string { return fmt.Sprintf("the report has checks that %s", e.verdict) }

// listChecks prints what is checked, and by which thresholds.
func listChecks(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, check := range readiness.Checks() {
		fmt.Fprintf(table, "%s\t%s\t%s\n", check.Factor, check.Name, check.Question)
	}
	fmt.Fprintln(table)
	for _, l := range readiness.DefaultLimits() {
		fmt.Fprintf(table, "limit\t%s: %g\t%s\n", l.Name, l.Default, l.About)
	}
	return table.Flush()
}

// colourful reports whether colours are wanted: on a terminal, unless NO_COLOR is set.
func colourful(out outside) bool {
	file, ok := out.stdout.(*os.File)
	if !ok || out.getenv("NO_COLOR") != "" {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
