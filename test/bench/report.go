package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// row is a line of the table: what it is, and its text for each workload.
type row struct {
	name string
	text func(f *figures) string
}

// report prints the table and the bounds.
func report(w io.Writer, all []figures) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, r := range rows() {
		fmt.Fprintf(table, "%-50s\t", r.name)
		for i := range all {
			fmt.Fprintf(table, "%s\t", r.text(&all[i]))
		}
		fmt.Fprintln(table)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	fmt.Fprintln(w)
	for i := range all {
		for _, b := range bounds(&all[i]) {
			verdict := "PASS"
			if b.value > b.bound {
				verdict = "MISS"
			}
			if _, err := fmt.Fprintf(w, "%s  %s  %-56s %7.2f, at most %g\n", verdict, all[i].load.name, b.name, b.value, b.bound); err != nil {
				return fmt.Errorf("print the bounds: %w", err)
			}
		}
	}
	return nil
}

func rows() []row {
	exporterCPU := func(t turn) time.Duration { return t.exporter }
	return []row{
		{"workload", func(f *figures) string { return f.load.name }},
		{"PostgreSQL", func(f *figures) string { return f.version }},
		{"page: metrics", func(f *figures) string { return fmt.Sprint(f.families) }},
		{"page: series, after the first minute", func(f *figures) string { return fmt.Sprintf("%d, %d", f.series, f.lastSeries) }},
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
		{"paced scrapes: exporter CPU, refreshes included", func(f *figures) string { return ms(f.pacedExporter) }},
		{"paced scrapes: server CPU, refreshes included", func(f *figures) string { return ms(f.pacedServer) }},
		{"paced scrapes: most sessions at once", func(f *figures) string { return fmt.Sprint(f.sessions) }},
		{"paced scrapes: sessions opened, on main database", func(f *figures) string { return fmt.Sprintf("%d, %d", f.opened, f.openedMain) }},
		{"resident memory: now, peak, MB", func(f *figures) string { return fmt.Sprintf("%.1f, %.1f", mb(f.rss), mb(f.peak)) }},
		{"limit: bare refresh of all, server CPU, cold", func(f *figures) string { return ms(f.bareCold) }},
		{"limit: bare refresh of all, server CPU, warm", func(f *figures) string { return ms(f.bareWarm) }},
	}
}

// bound is a figure that must not exceed its bound.
type bound struct {
	name         string
	value, bound float64
}

func bounds(f *figures) []bound {
	kept := float64(f.kept.median().Nanoseconds()) / 1000 / float64(f.kept.series)
	list := []bound{
		{"server CPU, to the bare statements", f.ratio(serverToBare), 1.3},
		{"exporter CPU, to the bare read and the write", f.ratio(exporterToBare), 1.5},
		{"microseconds a series of a page of kept results", kept, 1},
		{"round trips of a warm scrape", float64(f.counted.turns), 4},
	}
	if f.load.name != "M" {
		return list
	}
	return append(list,
		bound{"wall p95 of warm scrapes one after the other, ms", float64(quantile(f.wall, 0.95).Microseconds()) / 1000, 100},
		bound{"wall p95 of paced scrapes, ms", float64(quantile(f.pacedWall, 0.95).Microseconds()) / 1000, 100},
		bound{"resident memory, MB", mb(f.rss), 64},
		bound{"sessions at once", float64(f.sessions), 3},
		bound{"sessions opened on the main database", float64(f.openedMain), 0},
	)
}

// What is compared with what.
func serverToBare(t turn) (above, below time.Duration)    { return t.server, t.bareServer }
func serverToBatch(t turn) (above, below time.Duration)   { return t.server, t.batchServer }
func exporterToBare(t turn) (above, below time.Duration)  { return t.exporter, t.bareClient + t.write }
func exporterToBatch(t turn) (above, below time.Duration) { return t.exporter, t.batchClient + t.write }

func ratios(f *figures, one, other func(turn) (above, below time.Duration)) string {
	return fmt.Sprintf("%.2f, %.2f", f.ratio(one), f.ratio(other))
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Nanoseconds())/1e6) }

func mb(bytes int) float64 { return float64(bytes) / (1 << 20) }

// spread tells the least, the median and the 95th percentile.
func spread(list []time.Duration) string {
	return fmt.Sprintf("%s, %s, %s", ms(quantile(list, 0)), ms(quantile(list, 0.5)), ms(quantile(list, 0.95)))
}
