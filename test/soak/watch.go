package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/pgvigil/pgvigil/test/exporter"
)

// sample is the exporter's size when it wrote a page, as the page tells it.
type sample struct{ rss, heap, goroutines, files float64 }

// watcher notes the size of the exporter and what it has read.
type watcher struct {
	samples   []sample
	series    int
	refreshes int                // of collectors with a rhythm of their own
	last      map[string]float64 // good run, by labels
}

func newWatcher() *watcher { return &watcher{last: map[string]float64{}} }

func (w *watcher) note(p exporter.Page) {
	var s sample
	for name, into := range map[string]*float64{
		"process_resident_memory_bytes": &s.rss, "go_memstats_next_gc_bytes": &s.heap,
		"go_goroutines": &s.goroutines, "process_open_fds": &s.files,
	} {
		*into, _ = p.Value(name)
	}
	// The next collection is when what is alive has doubled.
	s.heap /= 2
	w.samples = append(w.samples, s)
	w.series = p.Series()
	w.countRefreshes(p)
}

// countRefreshes counts the good runs that are new on the page, of collectors
// whose runs outlast a page.
func (w *watcher) countRefreshes(p exporter.Page) {
	rhythmic := map[string]bool{}
	for labels := range p.Samples("pgvigil_collector_interval_seconds") {
		rhythmic[labels] = true
	}
	now := map[string]float64{}
	for labels, at := range p.Samples("pgvigil_collector_last_success_timestamp_seconds") {
		if !rhythmic[collectorLabel(labels)] {
			continue
		}
		now[labels] = at
		if w.last[labels] != at {
			w.refreshes++
		}
	}
	w.last = now
}

// collectorLabel is the first of the labels, which is the collector.
func collectorLabel(labels string) string {
	const start = len(`collector="`)
	for i := start; i < len(labels); i++ {
		if labels[i] == '"' {
			return labels[:i+1]
		}
	}
	return labels
}

const columns = "%8v %8v %9v %9v %11v %6v %8v %10v %8v %11v %10v"

func (w *watcher) heading() string {
	return fmt.Sprintf(columns, "scrapes", "elapsed", "RSS MB", "live MB", "goroutines", "files", "series", "refreshes", "tables", "statements", "databases")
}

func (w *watcher) line(elapsed time.Duration, c *churn) string {
	s := w.samples[len(w.samples)-1]
	return fmt.Sprintf(columns, len(w.samples), elapsed.Round(time.Second), mb(s.rss), mb(s.heap), s.goroutines, s.files,
		w.series, w.refreshes, c.tables.Load(), c.statements.Load(), c.databases.Load())
}

func mb(bytes float64) string { return fmt.Sprintf("%.1f", bytes/(1<<20)) }

// What is compared: the exporter has warmed up after a fifth of the scrapes, and
// the last tenth tells what it has become.
const (
	warmFrom, warmTo = 0.2, 0.3
	lastFrom         = 0.9
)

// measures are what must not grow, each with what it may grow by whatever its
// size: a few goroutines and files come and go with sessions.
var measures = []struct {
	name  string
	slack float64
	of    func(sample) float64
	text  func(float64) string
}{
	{"resident memory, MB", 0, func(s sample) float64 { return s.rss }, mb},
	{"live heap, MB", 1 << 20, func(s sample) float64 { return s.heap }, mb},
	{"goroutines", 5, func(s sample) float64 { return s.goroutines }, whole},
	{"open files", 5, func(s sample) float64 { return s.files }, whole},
}

func whole(n float64) string { return fmt.Sprintf("%.0f", n) }

// verdict prints each measure at the start and at the end, and fails if one has
// grown by more than that part.
func (w *watcher) verdict(out io.Writer, growth float64) error {
	part := func(from, to float64, of func(sample) float64) float64 {
		n := float64(len(w.samples))
		var list []float64
		for _, s := range w.samples[int(from*n):max(int(to*n), int(from*n)+1)] {
			list = append(list, of(s))
		}
		slices.Sort(list)
		return list[len(list)/2]
	}
	fmt.Fprintf(out, "\n%-20s %10s %10s %10s\n", "", "warmed up", "at the end", "growth")
	var errs []error
	for _, m := range measures {
		start, end := part(warmFrom, warmTo, m.of), part(lastFrom, 1, m.of)
		grown := end/start - 1
		fmt.Fprintf(out, "%-20s %10s %10s %9.1f%%\n", m.name, m.text(start), m.text(end), 100*grown)
		if !(grown <= growth || start > 0 && end-start <= m.slack) {
			errs = append(errs, fmt.Errorf("%s grew from %s to %s, by more than %.0f%%", m.name, m.text(start), m.text(end), 100*growth))
		}
	}
	return errors.Join(errs...)
}
