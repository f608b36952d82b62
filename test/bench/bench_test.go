package main

import (
	"slices"
	"testing"
	"time"
)

func TestChoose(t *testing.T) {
	all := workloads(false)
	if got, err := choose(all, " "); err != nil || len(got) != 6 {
		t.Errorf("no names choose %v, %v", got, err)
	}
	got, err := choose(workloads(false), "L-lifted S")
	if err != nil || len(got) != 2 || got[0].name != "S" || got[1].name != "L-lifted" || !got[1].lifted || got[1].tables != 2000 {
		t.Errorf("two names choose %v, %v", got, err)
	}
	if _, err := choose(all, "S XL"); err == nil || err.Error() != `there is no workload "XL": choose of S M L S-lifted M-lifted L-lifted` {
		t.Errorf("an unknown name: %v", err)
	}
}

func TestStatementTexts(t *testing.T) {
	seen := map[string]bool{}
	for i := range 5000 {
		text := statementText(i)
		if seen[text] {
			t.Fatalf("text %d is there twice: %s", i, text)
		}
		if len(text) < statementSize-30 || len(text) > statementSize+30 {
			t.Fatalf("text %d has %d bytes", i, len(text))
		}
		seen[text] = true
	}
}

// TestPerHour has a window of two minutes with one collector that ran twice where
// one run each 30 s is fair, and one of an hour that did not run at all.
func TestPerHour(t *testing.T) {
	h := hourFigures{
		window: 2 * time.Minute, exporter: 1000 * time.Millisecond, bare: 500 * time.Millisecond,
		firstExporter: 400 * time.Millisecond, firstBare: 200 * time.Millisecond,
		collectors: map[string]*hourCollector{
			"often": {rhythm: 33 * time.Second, databases: 10, first: 100 * time.Millisecond, runs: 20},
			"rare":  {rhythm: time.Hour, databases: 1, first: 300 * time.Millisecond},
		},
	}
	// The first lacks two runs of 100 ms, the second a twenty-seventh of one of 300 ms:
	// it may be as early as the scrape after 54 minutes.
	missing := 200 + 300/27.0
	wantExporter, wantBare := 30*(1000+2*missing), 30*(500+missing)
	onExporter, onBare := h.perHour(15 * time.Second)
	if d := inMS(onExporter) - wantExporter; d < -1 || d > 1 {
		t.Errorf("the exporter takes %v, want %v ms", onExporter, wantExporter)
	}
	if d := inMS(onBare) - wantBare; d < -1 || d > 1 {
		t.Errorf("bare takes %v, want %v ms", onBare, wantBare)
	}
}

func TestMarks(t *testing.T) {
	if got := collectorOf("/* pgvigil stat_wal */\nSELECT 1"); got != "stat_wal" {
		t.Errorf("got %q", got)
	}
	if got := collectorOf("SELECT 1 /* pgvigil stat_wal */"); got != "" {
		t.Errorf("got %q", got)
	}
	for text, want := range map[string]bool{"SELECT pg_catalog.pg_table_size(c.oid)": true, "SELECT relpages FROM pg_class": false} {
		if readsSizes.MatchString(text) != want {
			t.Errorf("%s: reads sizes is %v", text, !want)
		}
	}
}

func TestParameters(t *testing.T) {
	// No formats; a value of three bytes, NULL, and an empty value; then the formats
	// of the result.
	body := []byte{0, 0, 0, 3, 0, 0, 0, 3, '{', 'a', '}', 255, 255, 255, 255, 0, 0, 0, 0, 0, 1, 0, 1}
	if got := parameters(body); !slices.Equal(got, []any{"{a}", nil, ""}) {
		t.Errorf("got %q", got)
	}
	if got := parameters([]byte{0, 0, 0, 0, 0, 0}); len(got) != 0 {
		t.Errorf("got %q of a statement without", got)
	}
}
