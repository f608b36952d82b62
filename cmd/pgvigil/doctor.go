package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/go-kit/log"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/config"
	"github.com/pgvigil/pgvigil/internal/doctor"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
	"github.com/pgvigil/pgvigil/internal/web"
)

const aboutDoctor = "Say why a metric is missing, what the exporter may not see, with the GRANT that changes it, and what it costs. " +
	"It connects and scrapes as the exporter does, and changes nothing. It ends with 0, or with 1 where there is no session on the server."

// doctorCommand is pgvigil doctor.
func doctorCommand(ctx context.Context, out outside, args []string) error {
	c := newCommandLine("doctor", aboutDoctor, out)
	collectors := collector.All()
	if err := spec.ValidateAll(collectors); err != nil {
		return fmt.Errorf("check the collectors: %w", err)
	}
	f := &flags{watch: web.Watch{Collectors: collectors, Enabled: map[string]bool{}, Limits: map[string]int{}}}
	var format string
	var timeout, interval time.Duration
	var trial int
	set(c.Application, "format", "Form of the report: text or json.", "text", &format, oneOf("text", "json"))
	set(c.Application, "timeout", "Time for all of it.", "1m", &timeout, positive)
	set(c.Application, "scrape-interval", "Time between two scrapes, which the cost is reckoned by; half of it where two Prometheus servers scrape.",
		web.UsualInterval.String(), &interval, positive)
	c.Flag("series.max", "Scrape again with this as --series.max, and say what would be shown and what left out; 0 is without budgets.").PlaceHolder("N").
		SetValue(&value[int]{name: "series.max", into: &trial, parse: budget})
	c.exporterFlags(f, collectors)
	if done, err := c.parse(args); done || err != nil {
		return err
	}
	target, err := c.server.find()
	switch {
	case err != nil:
		return err
	case target.Kind != config.PostgreSQL:
		return fmt.Errorf("the target is a %s: name a server", target.Kind)
	}
	f.watch.Collectors, f.watch.ConnectTimeout = spec.Paced(collectors, f.rhythm), c.server.connectTimeout
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	found, err := findings(ctx, c, f.watch, target, scrape.Selection{}, out.stderr)
	if err != nil {
		return err
	}
	found.Interval = interval
	if trial != 0 && found.Engine.Up {
		if found.Trial, err = try(ctx, c, f.watch, target, found.Engine, trial, out.stderr); err != nil {
			return err
		}
	}
	return told(doctor.Examine(found), format, out)
}

// exporterFlags adds those of the exporter's flags that make a difference to what is
// scraped and how often, with their variables.
func (c *commandLine) exporterFlags(f *flags, collectors []spec.Collector) {
	before := c.Model().Flags
	f.databaseFlags(c.Application)
	f.rhythmFlags(c.Application)
	f.collectorFlags(c.Application, collectors)
	for _, flag := range c.Model().Flags[len(before):] {
		c.GetFlag(flag.Name).Envar(variableOf(flag.Name))
	}
}

// told prints a report.
func told(report doctor.Report, format string, out outside) error {
	var b bytes.Buffer
	write := report.Text
	if format == "json" {
		write = report.JSON
	}
	if err := write(&b); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if _, err := out.stdout.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if !report.Up {
		return fmt.Errorf("there is no session on the server: %s", report.Connection.Reason)
	}
	return nil
}

// findings watches the server as the exporter would, until nothing is left to be run.
func findings(ctx context.Context, c *commandLine, watch web.Watch, target config.Target, sel scrape.Selection, stderr io.Writer) (doctor.Findings, error) {
	opt := web.Options{Watch: watch, Logger: log.NewNopLogger()}
	// What an engine logs by default, the report says.
	if c.log.level == "debug" {
		opt.Logger = c.log.logger(stderr)
	}
	if target.Name == "" {
		opt.Main = &target
	}
	if c.server.configFile != "" {
		opt.Load = func() (config.File, error) { return config.Load(c.server.configFile, flagNames(watch.Collectors)) }
	}
	s, err := web.New(ctx, opt)
	if err != nil {
		return doctor.Findings{}, err
	}
	defer s.Close()
	found, err := s.Findings(ctx, target.Name, sel)
	if target.Name == "" {
		found.Server = target.Conn.Address()
	}
	return found, err
}

// try scrapes once more, with another budget, what that may make a difference to. The
// sessions of the scrape before are closed by now.
func try(ctx context.Context, c *commandLine, watch web.Watch, target config.Target, before scrape.Report, most int, stderr io.Writer) (*doctor.Trial, error) {
	wanted := map[string]bool{}
	for _, each := range before.Collectors {
		if matters(each, most) {
			wanted[each.Collector.Flag()] = true
		}
	}
	for _, each := range before.Collectors {
		if follow := each.Collector.Follow; follow != nil && wanted[each.Collector.Flag()] {
			wanted[follow.Of] = true
		}
	}
	trial := &doctor.Trial{MaxSeries: most}
	if len(wanted) == 0 {
		return trial, nil
	}
	watch.MaxSeries = most
	found, err := findings(ctx, c, watch, target, scrape.Selection{Key: "trial", Want: func(flag string) bool { return wanted[flag] }}, stderr)
	if err != nil {
		return nil, err
	}
	for _, each := range found.Engine.Collectors {
		if wanted[each.Collector.Flag()] {
			trial.Collectors = append(trial.Collectors, each)
		}
	}
	return trial, nil
}

// matters reports whether a budget may make a difference to what a collector shows.
func matters(c scrape.CollectorReport, most int) bool {
	if c.Collector.Fold != nil || c.Collector.Follow != nil {
		return true
	}
	for _, run := range c.Runs {
		if most > 0 && run.Series > most || run.Outcome == scrape.Fails && run.Reason == postgres.ReasonLimit {
			return true
		}
	}
	return false
}
