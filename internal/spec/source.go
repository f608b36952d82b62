package spec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Source is where a collector's rows come from.
type Source uint8

const (
	// PostgreSQL is a server that is asked in SQL.
	PostgreSQL Source = iota
	// PgBouncer is a pooler's admin console, which is asked by SHOW commands.
	PgBouncer
	// Backup is a backup tool, which is asked at its own interval.
	Backup
)

// String returns the source as METRICS.md writes it.
func (s Source) String() string {
	switch s {
	case PgBouncer:
		return "PgBouncer"
	case Backup:
		return "backup tools"
	default:
		return "PostgreSQL"
	}
}

// first is the word that names of the source's collectors begin with; empty is any.
func (s Source) first() string {
	switch s {
	case PgBouncer:
		return "pgbouncer"
	case Backup:
		return "backup"
	default:
		return ""
	}
}

// From returns those of the collectors that read the source.
func From(source Source, all []Collector) []Collector {
	return slices.DeleteFunc(slices.Clone(all), func(c Collector) bool { return c.Source != source })
}

// Answer is what is known of the answer to a SHOW command, beside the columns that
// labels and metrics are made of.
type Answer struct {
	// Key and Value name two columns of an answer that has a row for each key. It
	// becomes one row with a column for each key.
	Key, Value string
	// Unused lists the columns that are known and not wanted, Any all keys.
	Unused []string
}

// Knows reports whether a column of the answer is a known one.
func (a Answer) Knows(column string) bool {
	return column != "" && (column == a.Key || column == a.Value) || slices.Contains(a.Unused, column)
}

// Term is a part of a metric that is made of several columns.
type Term struct {
	// Columns are names of one column, the newest first; none is the number Factor.
	Columns []string
	// Factor is what the column's value is multiplied by.
	Factor float64
}

// Terms returns what the metric is made of.
func (m Metric) Terms() ([]Term, error) {
	if m.From == "" {
		return []Term{{Columns: []string{m.Name}, Factor: 1}}, nil
	}
	var terms []Term
	for text := range strings.SplitSeq(m.From, " + ") {
		names, factor, scaled := strings.Cut(text, " * ")
		term := Term{Factor: 1}
		if v, err := strconv.ParseFloat(names, 64); err == nil {
			names, term.Factor = "", v
		}
		if scaled {
			v, err := strconv.ParseFloat(factor, 64)
			if err != nil {
				return nil, fmt.Errorf("metric %q: From has %q where a number belongs", m.Name, factor)
			}
			term.Factor *= v
		}
		if names != "" {
			term.Columns = strings.Split(names, " | ")
		}
		for _, name := range term.Columns {
			if !validName.MatchString(name) {
				return nil, fmt.Errorf("metric %q: From has %q where a column belongs", m.Name, name)
			}
		}
		terms = append(terms, term)
	}
	return terms, nil
}

// outside checks a collector that does not read PostgreSQL: nothing may be
// declared that nobody would heed.
func (v *validator) outside() {
	c := v.c
	first := c.Source.first()
	if c.Name != first && !strings.HasPrefix(c.Name, first+"_") {
		v.failf("Name does not begin with %s, as those of %s do", first, c.Source)
	}
	if c.Cost.MaxSeries <= 0 {
		v.failf("Cost.MaxSeries is not set")
	}
	if c.Cost.Timeout != 0 || c.Cost.Every != 0 || c.Cost.Locks != "" {
		v.failf("Cost has more than MaxSeries, and %s takes nothing else", c.Source)
	}
	if c.Scope != PerServer || c.Fold != nil || c.Follow != nil || c.Emit != nil || !c.Needs.none() {
		v.failf("has Scope, Needs, Fold, Follow or Emit, which are PostgreSQL's")
	}
	if c.Source == PgBouncer {
		v.command()
		return
	}
	if len(c.Queries) > 0 || c.Answer != nil {
		v.failf("has Queries or Answer, and nobody to ask")
	}
	v.plainMetrics()
}

func (n Needs) none() bool {
	return n.Role == AnyRole && n.Extension+n.Member+n.Setting+n.Grant == "" && len(n.Execute)+len(n.Select) == 0
}

// command checks what a collector asks a console and makes of the answer. SHOW FDS
// would show the secrets of clients.
func (v *validator) command() {
	if len(v.c.Queries) != 1 || v.c.Queries[0].Since != 0 || v.c.Queries[0].Until != 0 {
		v.failf("has not one Query for all versions")
		return
	}
	word, ok := strings.CutPrefix(v.c.Queries[0].SQL, "SHOW ")
	if !ok || word == "FDS" || word != strings.ToUpper(word) || !validName.MatchString(strings.ToLower(word)) {
		v.failf("the Query %q is not SHOW and a word, or is SHOW FDS", v.c.Queries[0].SQL)
	}
	if v.c.Answer == nil {
		v.failf("Answer is not set")
		return
	}
	if a := v.c.Answer; (a.Key == "") != (a.Value == "") || a.Key != "" && len(v.c.Labels) > 0 {
		v.failf("Answer needs both Key and Value, and then no labels")
	}
	for _, m := range v.c.Metrics {
		terms, err := m.Terms()
		if err != nil {
			v.failf("%w", err)
		}
		for _, t := range terms {
			for _, name := range t.Columns {
				if v.c.Answer.Knows(name) {
					v.failf("column %q is used and Unused", name)
				}
			}
		}
	}
}

// plainMetrics checks that no metric is made of columns.
func (v *validator) plainMetrics() {
	if slices.ContainsFunc(v.c.Metrics, func(m Metric) bool { return m.From != "" }) {
		v.failf("a metric has From, which is PgBouncer's")
	}
}
