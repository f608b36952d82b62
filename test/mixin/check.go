package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	// settled is how long panels that have yet no data are asked again. What a collector
	// reads every few minutes is read at its first scrape; rates want two.
	settled = 90 * time.Second
	again   = 3 * time.Second
)

// state is what came of asking for everything.
type state struct {
	panels, full   int
	empty          []string // with the reason they may be
	unexplained    []string
	failed         []string
	rules, alerts  int
	recordedNone   []string
	firing         []string
	waitingForRule bool
}

// check asks until nothing is missing, and reports.
func check(ctx context.Context, w io.Writer, p *prometheus, m rendered, majors []int) error {
	deadline := time.Now().Add(settled)
	for {
		s, err := look(ctx, p, m, majors)
		if err != nil {
			return err
		}
		if s.failed != nil || s.unexplained == nil && !s.waitingForRule || time.Now().After(deadline) {
			return s.report(w)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return errors.New("the Prometheus ended, for the reason it gave above")
		case <-time.After(again):
		}
	}
}

// look asks for everything once.
func look(ctx context.Context, p *prometheus, m rendered, majors []int) (state, error) {
	var s state
	if err := s.lookAtRules(ctx, p); err != nil {
		return s, err
	}
	for _, b := range m.boards {
		for _, major := range majors {
			s.lookAtBoard(ctx, p, m, b, clusterOf(major))
		}
	}
	return s, ctx.Err()
}

func (s *state) lookAtRules(ctx context.Context, p *prometheus) error {
	rules, err := p.rules(ctx)
	if err != nil {
		return fmt.Errorf("ask for the rules: %w", err)
	}
	if len(rules) == 0 {
		s.failed = append(s.failed, "no rule was loaded")
	}
	firing := map[string]bool{}
	for _, r := range rules {
		s.rules++
		s.waitingForRule = s.waitingForRule || r.Health == "unknown"
		if r.Health == "err" {
			s.failed = append(s.failed, r.Name+": "+r.LastError)
		}
		if r.Type == "alerting" {
			s.alerts++
			if r.State != "inactive" {
				firing[r.Name+" ("+r.State+")"] = true
			}
			continue
		}
		if found, err := p.query(ctx, r.Name); err != nil {
			s.failed = append(s.failed, r.Name+": "+err.Error())
		} else if len(found) == 0 {
			s.recordedNone = append(s.recordedNone, r.Name)
		}
	}
	s.firing = slices.Sorted(maps.Keys(firing))
	return nil
}

// lookAtBoard asks for what a board shows of one cluster.
func (s *state) lookAtBoard(ctx context.Context, p *prometheus, m rendered, b board, cluster string) {
	ask := func(where, expr string) bool {
		found, err := p.query(ctx, fill(expr, cluster))
		if err != nil && ctx.Err() == nil {
			s.failed = append(s.failed, fmt.Sprintf("%s: %v: %s", where, err, expr))
		}
		return slices.ContainsFunc(found, func(f sample) bool { return !math.IsNaN(f.value) })
	}
	for _, p := range b.all() {
		if len(p.Targets) == 0 {
			continue
		}
		where := fmt.Sprintf("%s / %s on %s", b.UID, p.Title, cluster)
		s.panels++
		full := false
		for _, t := range p.Targets {
			full = ask(where, t.Expr) || full // each is asked, since each may fail
		}
		switch why := m.may(b.UID, p.Title); {
		case full:
			s.full++
		case why != "":
			s.empty = append(s.empty, where+": "+why)
		default:
			s.unexplained = append(s.unexplained, where)
		}
	}
	for _, a := range b.Annotations.List {
		ask(b.UID+", annotation "+a.Name, a.Expr)
	}
	for _, v := range b.Templating.List {
		fields, _ := v.Query.(map[string]any)
		text, _ := fields["query"].(string)
		if m := values.FindStringSubmatch(text); m != nil && !ask(b.UID+", variable "+v.Name, m[1]) {
			s.unexplained = append(s.unexplained, b.UID+", variable "+v.Name+" on "+cluster)
		}
	}
}

// values is a query of a variable, which asks for the labels of a selector.
var values = regexp.MustCompile(`^label_values\((.*), *\w+\)$`)

// variable is one of Grafana's in a query; $1 is a group of label_replace.
var variable = regexp.MustCompile(`\$([A-Za-z_]\w*)|\$\{(\w+)[^}]*\}`)

// fill replaces variables as Grafana does where all is selected but the cluster.
func fill(expr, cluster string) string {
	return variable.ReplaceAllStringFunc(expr, func(text string) string {
		name := variable.FindStringSubmatch(text)
		switch name[1] + name[2] {
		case "__rate_interval", "__range", "__interval":
			return "1m"
		case "cluster":
			return "live"
		case "pg_cluster":
			return cluster
		default:
			return ".+"
		}
	})
}

// report tells what was found, and is the error of what should not be.
func (s state) report(w io.Writer) error {
	for _, text := range s.empty {
		fmt.Fprintln(w, "empty:", text)
	}
	for _, name := range s.recordedNone {
		fmt.Fprintln(w, "recorded nothing:", name)
	}
	fmt.Fprintf(w, "active alerts: %s\n", strings.Join(s.firing, ", "))
	fmt.Fprintf(w, "summary: mixin on real servers: %d rules, %d of them alerts; %d panels, %d with data, %d allowed empty, %d empty; %d errors\n",
		s.rules, s.alerts, s.panels, s.full, len(s.empty), len(s.unexplained), len(s.failed))
	var errs []error
	for _, text := range s.failed {
		errs = append(errs, errors.New(text))
	}
	for _, text := range s.unexplained {
		errs = append(errs, fmt.Errorf("%s is empty, and nothing says when it may be", text))
	}
	return errors.Join(errs...)
}
