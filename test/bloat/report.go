package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
)

// The goals, in points of a hundred: how far an estimated ratio may be from the
// measured.
const (
	tableMedian = 3.0
	indexMedian = 5.0
	worst       = 15.0
)

// report prints a major's table and how its errors stand to the goals.
func report(w io.Writer, o outcome) (good bool, err error) {
	fmt.Fprintf(w, "PostgreSQL %s: wasted, in %%\n", o.version)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "relation\twhat\tkB\testimate\tmeasured\terror\trewritten\terror\t")
	good = true
	errs := map[bool][]float64{}
	for _, f := range o.figures {
		note := ""
		switch {
		case f.blind && f.estimate != nil:
			note, good = "MISS: a number, and nothing to know it by", false
		case !f.blind && f.estimate == nil:
			note, good = "MISS: no number", false
		case !f.blind:
			errs[f.index] = append(errs[f.index], distance(f.estimate, f.measured))
		}
		fmt.Fprintf(table, "%s\t%s\t%.0f\t%s\t%s\t%s\t%s\t%s\t%s\n", f.name, f.what, f.size/1024, percent(f.estimate),
			percent(f.measured), points(f.estimate, f.measured), percent(f.rewritten), points(f.estimate, f.rewritten), note)
	}
	if err := table.Flush(); err != nil {
		return false, fmt.Errorf("print the table: %w", err)
	}
	for _, goal := range []struct {
		what   string
		index  bool
		median float64
	}{{"tables", false, tableMedian}, {"indexes", true, indexMedian}} {
		e := errs[goal.index]
		slices.Sort(e)
		middle, last := e[len(e)/2], e[len(e)-1]
		verdict := "PASS"
		if middle > goal.median || last > worst {
			verdict, good = "MISS", false
		}
		if _, err := fmt.Fprintf(w, "%s  %d %s: error against the measured: median %.1f, at most %g; worst %.1f, at most %g\n",
			verdict, len(e), goal.what, middle, goal.median, last, worst); err != nil {
			return false, fmt.Errorf("print the goals: %w", err)
		}
	}
	fmt.Fprintln(w)
	return good, nil
}

func distance(a, b *float64) float64 { return 100 * math.Abs(*a-*b) }

func points(a, b *float64) string {
	if a == nil || b == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f", distance(a, b))
}

func percent(ratio *float64) string {
	if ratio == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f", 100**ratio)
}
