package catalog

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/template"
	"time"

	_ "embed"

	"github.com/pgvigil/pgvigil/internal/spec"
)

//go:embed metrics.md.tmpl
var metricsTemplate string

// Metrics writes METRICS.md: every metric of the collectors, with what it costs
// and needs, pgvigil's own, and the names kept although promlint dislikes them.
func Metrics(w io.Writer, collectors []spec.Collector, own []spec.Series, kept []string) error {
	funcs := template.FuncMap{"cell": cell, "code": code, "codes": codes, "many": many}
	page, err := template.New("metrics.md.tmpl").Funcs(funcs).Parse(metricsTemplate)
	if err != nil {
		return fmt.Errorf("catalog: parse the page of metrics: %w", err)
	}
	data := reference{Oldest: spec.OldestMajor, Newest: spec.NewestMajor, Own: slices.Clone(own), Kept: slices.Sorted(slices.Values(kept))}
	slices.SortFunc(data.Own, func(a, b spec.Series) int { return cmp.Compare(a.Name, b.Name) })
	for _, c := range collectors {
		if c.Flag() == c.Name {
			data.Flags = append(data.Flags, newFlag(c, collectors))
		}
	}
	// Those of what is not PostgreSQL come after.
	slices.SortFunc(data.Flags, func(a, b flag) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Name, b.Name))
	})
	if err := page.Execute(w, data); err != nil {
		return fmt.Errorf("catalog: write the page of metrics: %w", err)
	}
	return nil
}

// reference is what the template shows.
type reference struct {
	Oldest, Newest spec.Version
	Flags          []flag
	Own            []spec.Series
	Kept           []string
}

// flag is a collector and those that share its flag.
type flag struct {
	spec.Collector
	Parts []part
}

func newFlag(c spec.Collector, all []spec.Collector) flag {
	f := flag{Collector: c, Parts: []part{{c}}}
	for _, other := range all {
		if other.Of == c.Name {
			f.Parts = append(f.Parts, part{other})
		}
	}
	slices.SortFunc(f.Parts[1:], func(a, b part) int { return cmp.Compare(a.Name, b.Name) })
	return f
}

// Count returns how many metrics are declared under the flag.
func (f flag) Count() int {
	n := 0
	for _, p := range f.Parts {
		n += len(p.Metrics)
	}
	return n
}

// part is a collector as the page shows it.
type part struct{ spec.Collector }

// Versioned reports whether majors of PostgreSQL apply.
func (p part) Versioned() bool { return p.Source == spec.PostgreSQL }

// How says how the collector runs and what it may take.
func (p part) How() string {
	bound := "at most " + many(p.Cost.MaxSeries, "series")
	switch p.Source {
	case spec.PgBouncer:
		return "Reads " + code(p.Queries[0].SQL) + " of each pooler with each scrape; " + bound
	case spec.Backup:
		return "Reads what the tool last told; " + bound
	default:
		return "Runs " + p.Runs() + "; " + p.Takes()
	}
}

// Runs says how often and where the collector runs.
func (p part) Runs() string {
	runs := "once a server"
	if p.Scope == spec.PerDatabase {
		runs = "once a database"
	}
	if p.Needs.Role != spec.AnyRole {
		runs += ", on a " + p.Needs.Role.String()
	}
	if p.Cost.Every == 0 {
		return runs + ", with each scrape"
	}
	return runs + ", every " + duration(p.Cost.Every)
}

// Takes says what the collector may take.
func (p part) Takes() string {
	return fmt.Sprintf("at most %s and %s; locks: %s", duration(p.Cost.Timeout), many(p.Cost.MaxSeries, "series"), p.Cost.Locks)
}

// Wants says what the collector cannot run without; empty for most.
func (p part) Wants() string {
	n := p.Needs
	var wants []string
	if n.Extension != "" {
		wants = append(wants, "extension "+code(n.Extension))
	}
	if n.Setting != "" {
		wants = append(wants, "setting "+code(n.Setting)+" on")
	}
	if len(n.Execute) > 0 {
		wants = append(wants, "EXECUTE on "+codes(n.Execute))
	}
	if len(n.Select) > 0 {
		wants = append(wants, "SELECT on "+codes(n.Select))
	}
	if n.Member != "" {
		wants = append(wants, "the rights of "+code(n.Member))
	}
	if n.Grant != "" {
		wants = append(wants, "given by "+code(n.Grant))
	}
	return strings.Join(wants, ", ")
}

// Folds says how the rows are bounded; empty for most.
func (p part) Folds() string {
	if p.Follow != nil {
		return "only what " + code(p.Follow.Of) + " shows is asked for"
	}
	f := p.Fold
	if f == nil {
		return ""
	}
	return fmt.Sprintf(`the %d label sets that count most over all databases, by %s, are shown; the rest of each database is added up in one whose labels read "other"`,
		f.Limit, codes(f.Rank))
}

// ShownLabels returns the labels in the order of the page.
func (p part) ShownLabels() []string {
	if p.Scope == spec.PerDatabase {
		return append([]string{"datname"}, p.Labels...)
	}
	return p.Labels
}

// ShownName returns the metric's whole name, with <name> where Emit makes it.
func (p part) ShownName(m spec.Metric) string {
	if m.Name == spec.Any {
		return p.FullName("<name>")
	}
	return p.FullName(m.Name)
}

// duration writes whole units without their zeros: 5m, not 5m0s.
func duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func code(s string) string { return "`" + cell(s) + "`" }

func codes(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = code(n)
	}
	return strings.Join(quoted, ", ")
}

// cell keeps a text from ending its column of a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// many counts things whose plural has an s more, or none.
func many(n int, what string) string {
	if n != 1 && !strings.HasSuffix(what, "s") {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
