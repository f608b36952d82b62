package main

import (
	"io"
	"strings"
	"testing"

	"github.com/pgvigil/pgvigil/test/exporter"
)

func TestVerdict(t *testing.T) {
	for name, tt := range map[string]struct {
		rss  func(scrape float64) float64
		fail bool
	}{
		"flat":                 {func(float64) float64 { return 30 << 20 }, false},
		"grows while it warms": {func(n float64) float64 { return 10<<20 + min(n, 200)*(100<<10) }, false},
		"leaks":                {func(n float64) float64 { return 30<<20 + n*(10<<10) }, true},
		"unknown":              {func(float64) float64 { return 0 }, true},
	} {
		w := newWatcher()
		for n := range 1000 {
			w.samples = append(w.samples, sample{rss: tt.rss(float64(n)), heap: 4 << 20, goroutines: 10, files: 10 + float64(n%3)})
		}
		err := w.verdict(io.Discard, usualGrowth)
		if tt.fail != (err != nil) || err != nil && !strings.Contains(err.Error(), "resident memory") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefreshes(t *testing.T) {
	page := func(at string) exporter.Page {
		return exporter.Page{Body: []byte(`pgvigil_collector_interval_seconds{collector="xid"} 60
pgvigil_collector_last_success_timestamp_seconds{collector="wal",datname=""} ` + at + `
pgvigil_collector_last_success_timestamp_seconds{collector="xid",datname=""} ` + at + `
pgvigil_collector_last_success_timestamp_seconds{collector="xid",datname="b"} 1
`)}
	}
	w := newWatcher()
	for _, at := range []string{"5", "5", "6"} {
		w.note(page(at))
	}
	if w.refreshes != 3 {
		t.Errorf("counted %d refreshes: want the two of the first page and one of the third", w.refreshes)
	}
}
