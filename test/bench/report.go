package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"
)

// row is a line of the table: what it is, and its text for each workload.
type row struct {
	name string
	text func(f *figures) string
}

// report prints the tables and the bounds.
func report(w io.Writer, all []figures) error {
	var ordinary, lifted []*figures
	for i := range all {
		if all[i].load.lifted {
			lifted = append(lifted, &all[i])
		} else {
			ordinary = append(ordinary, &all[i])
		}
	}
	for _, part := range []struct {
		list []*figures
		rows []row
	}{{ordinary, rows()}, {lifted, liftedRows()}} {
		if err := printRows(w, part.list, part.rows); err != nil {
			return err
		}
	}
	for i := range all {
		if err := printCollectors(w, &all[i]); err != nil {
			return err
		}
	}
	return printBounds(w, all)
}

func printRows(w io.Writer, all []*figures, rows []row) error {
	if len(all) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, r := range rows {
		fmt.Fprintf(table, "%-50s\t", r.name)
		for _, f := range all {
			fmt.Fprintf(table, "%s\t", r.text(f))
		}
		fmt.Fprintln(table)
	}
	fmt.Fprintln(table)
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	return nil
}

// printCollectors tells what each collector beside the scrape costs, the dearest
// first.
func printCollectors(w io.Writer, f *figures) error {
	if f.load.databases < 2 {
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "%-50s\tserver CPU of a run, warm\trhythm in force\t\n", f.load.name+": collector")
	names := slices.SortedFunc(maps.Keys(f.bareBy), func(a, b string) int {
		return cmp.Or(cmp.Compare(f.bareBy[b], f.bareBy[a]), cmp.Compare(a, b))
	})
	for _, name := range names {
		rhythm := ""
		if c := f.hour.collectors[name]; c != nil {
			rhythm = c.rhythm.Round(time.Second).String()
		}
		fmt.Fprintf(table, "%-50s\t%s\t%s\t\n", name, ms(f.bareBy[name]), rhythm)
	}
	fmt.Fprintln(table)
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the collectors: %w", err)
	}
	return nil
}

func printBounds(w io.Writer, all []figures) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "workload\tbound\tat most\tmeasured\tmet\n")
	for i := range all {
		for _, b := range bounds(&all[i]) {
			fmt.Fprintf(table, "%s\t%s\t%g\t%s\t%s\n", all[i].load.name, b.name, b.bound, b.measured(), b.met())
		}
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the bounds: %w", err)
	}
	return nil
}

func rows() []row {
	exporterCPU := func(t turn) time.Duration { return t.exporter }
	return []row{
		{"workload", func(f *figures) string { return f.load.name }},
		{"PostgreSQL", func(f *figures) string { return f.version }},
		{"page: metrics", func(f *figures) string { return fmt.Sprint(f.families) }},
		{"page: series, after the paced scrapes", func(f *figures) string { return fmt.Sprintf("%d, %d", f.series, f.lastSeries) }},
		{"page: label sets folded", func(f *figures) string { return fmt.Sprint(f.folded) }},
		{"page: kB, with gzip", func(f *figures) string { return fmt.Sprintf("%d, %d", f.bytes>>10, f.zipped>>10) }},
		{"first scrape: wall", func(f *figures) string { return ms(f.firstWall) }},
		{"first scrape: exporter CPU, start included", func(f *figures) string { return ms(f.firstExporter) }},
		{"first scrape: server CPU", func(f *figures) string { return ms(f.firstServer) }},
		{"warm scrape: statements", func(f *figures) string { return fmt.Sprint(f.counted.statements) }},
		{"warm scrape: round trips", func(f *figures) string { return fmt.Sprint(f.counted.turns) }},
		{"warm scrape: rows", func(f *figures) string { return fmt.Sprint(f.counted.rows) }},
		{"warm scrape: wall min, median, p95", func(f *figures) string { return spread(f.wall) }},
		{"warm scrape: exporter CPU", func(f *figures) string { return ms(f.median(exporterCPU)) }},
		{"warm scrape: exporter CPU with gzip", func(f *figures) string { return ms(f.gzip) }},
		{"warm scrape: server CPU", func(f *figures) string { return ms(f.median(func(t turn) time.Duration { return t.server })) }},
		{"limit: bare statements, client CPU", func(f *figures) string { return ms(f.median(func(t turn) time.Duration { return t.bareClient })) }},
		{"limit: bare statements, server CPU", func(f *figures) string { return ms(f.median(func(t turn) time.Duration { return t.bareServer })) }},
		{"limit: bare in one batch, client CPU", func(f *figures) string { return ms(f.median(func(t turn) time.Duration { return t.batchClient })) }},
		{"limit: bare in one batch, server CPU", func(f *figures) string { return ms(f.median(func(t turn) time.Duration { return t.batchServer })) }},
		{"limit: same columns written, CPU", func(f *figures) string { return ms(f.median(func(t turn) time.Duration { return t.write })) }},
		{"server CPU, to bare and to one batch", func(f *figures) string { return ratios(f, serverToBare, serverToBatch) }},
		{"exporter CPU, to bare and to one batch, with write", func(f *figures) string { return ratios(f, exporterToBare, exporterToBatch) }},
		{"page of kept results: series", func(f *figures) string { return fmt.Sprint(f.kept.series) }},
		{"page of kept results: exporter CPU", func(f *figures) string { return ms(f.kept.median()) }},
		{"small page of kept results: series", func(f *figures) string { return fmt.Sprint(f.small.series) }},
		{"small page of kept results: exporter CPU", func(f *figures) string { return ms(f.small.median()) }},
		{"kept results and the process's own metrics: series", func(f *figures) string { return fmt.Sprint(f.own.series) }},
		{"kept results and the process's own metrics: CPU", func(f *figures) string { return ms(f.own.median()) }},
		{"paced scrapes: number", func(f *figures) string { return fmt.Sprint(len(f.pacedWall)) }},
		{"paced scrapes: wall min, median, p95", func(f *figures) string { return spread(f.pacedWall) }},
		{"paced scrapes: exporter CPU, refreshes included", unlessHour(func(f *figures) string { return ms(f.pacedExporter) })},
		{"paced scrapes: server CPU, refreshes included", unlessHour(func(f *figures) string { return ms(f.pacedServer) })},
		{"first and paced scrapes: most sessions at once", func(f *figures) string { return fmt.Sprint(f.sessions) }},
		{"paced scrapes: sessions opened, on main database", unlessHour(func(f *figures) string { return fmt.Sprintf("%d, %d", f.opened, f.openedMain) })},
		{"window of 15 s scrapes: length", ofHour(func(h *hourFigures) string { return h.window.Round(time.Second).String() })},
		{"window of 15 s scrapes: server CPU, bare", ofHour(func(h *hourFigures) string { return ms(h.exporter) + ", " + ms(h.bare) })},
		{"first scrape before the window: server CPU, bare", ofHour(func(h *hourFigures) string { return ms(h.firstExporter) + ", " + ms(h.firstBare) })},
		{"an hour of 15 s scrapes: server CPU, bare", ofHour(func(h *hourFigures) string {
			onExporter, onBare := h.perHour(ordinaryPace)
			return ms(onExporter) + ", " + ms(onBare)
		})},
		{"window of 15 s scrapes: most sessions at once", ofHour(func(h *hourFigures) string { return fmt.Sprint(h.seen) })},
		{"resident memory: now, peak, MB", memoryText},
		{"limit: bare refresh of all, server CPU, cold", func(f *figures) string { return ms(f.bareCold) }},
		{"limit: bare refresh of all, server CPU, warm", func(f *figures) string { return ms(f.bareWarm) }},
		{"pg_stat_statements: entries, columns read", ofStatements(func(s *statementFigures) string { return fmt.Sprintf("%d, %d", s.entries, s.columns) })},
		{"stat_statements: server CPU, of a plain SELECT", ofStatements(func(s *statementFigures) string {
			return ms(quantile(s.ours, 0.5)) + ", " + ms(quantile(s.plain, 0.5))
		})},
	}
}

func liftedRows() []row {
	return []row{
		{"workload", func(f *figures) string { return f.load.name }},
		{"PostgreSQL", func(f *figures) string { return f.version }},
		{"page: series", func(f *figures) string { return fmt.Sprint(f.lifted.series) }},
		{"page: MB", func(f *figures) string { return fmt.Sprintf("%.1f", mb(int(f.lifted.bytes))) }},
		{"first scrape: wall", func(f *figures) string { return ms(f.firstWall) }},
		{"first scrape: exporter CPU, start included", func(f *figures) string { return ms(f.firstExporter) }},
		{"first scrape: server CPU", func(f *figures) string { return ms(f.firstServer) }},
		{"warm scrape: number", func(f *figures) string { return fmt.Sprint(len(f.wall)) }},
		{"warm scrape: wall min, median, p95", func(f *figures) string { return spread(f.wall) }},
		{"warm scrape: exporter CPU, refreshes included", func(f *figures) string { return ms(f.lifted.exporter) }},
		{"warm scrape: most sessions at once", func(f *figures) string { return fmt.Sprint(f.sessions) }},
		{"resident memory: now, peak, MB", memoryText},
		{"bare refresh of all, server CPU, cold", func(f *figures) string { return ms(f.bareCold) }},
		{"bare refresh of all, server CPU, warm", func(f *figures) string { return ms(f.bareWarm) }},
		{"bare refresh without file sizes, server CPU, warm", func(f *figures) string { return ms(f.bareNoSizes) }},
	}
}

// What only some workloads have.

const nothing = "-"

func ofHour(text func(h *hourFigures) string) func(*figures) string {
	return func(f *figures) string {
		if f.hour.window == 0 {
			return nothing
		}
		return text(&f.hour)
	}
}

func unlessHour(text func(f *figures) string) func(*figures) string {
	return func(f *figures) string {
		if f.hour.window > 0 {
			return nothing
		}
		return text(f)
	}
}

func ofStatements(text func(s *statementFigures) string) func(*figures) string {
	return func(f *figures) string {
		if !f.statements.measured {
			return nothing
		}
		return text(&f.statements)
	}
}

func memoryText(f *figures) string { return fmt.Sprintf("%.1f, %.1f", mb(f.rss), mb(f.peak)) }

func ratios(f *figures, one, other func(turn) (above, below time.Duration)) string {
	return fmt.Sprintf("%.2f, %.2f", f.ratio(one), f.ratio(other))
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", inMS(d)) }

func inMS(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

func mb(bytes int) float64 { return float64(bytes) / (1 << 20) }

// spread tells the least, the median and the 95th percentile.
func spread(list []time.Duration) string {
	return fmt.Sprintf("%s, %s, %s", ms(quantile(list, 0)), ms(quantile(list, 0.5)), ms(quantile(list, 0.95)))
}
