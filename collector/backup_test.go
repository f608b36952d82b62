package collector_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/test/exporter"
)

// facts of backups as a job of one's own writes them: with a gap, one that failed
// and one that runs.
const facts = `{
  "format": 1,
  "backups": [
    {"label": "1", "type": "full", "state": "done", "start": 1769306400, "stop": 1769310600, "start_wal": "0000000100000000000000A1",
     "stop_wal": "0000000100000000000000A1", "database_bytes": 90000000, "delta_bytes": 90000000, "stored_bytes": 20000000, "stored_delta_bytes": 20000000},
    {"label": "2", "type": "incremental", "state": "done", "prior": "1", "start": 1769392800, "stop": 1769393400, "start_wal": "0000000100000000000000A4",
     "stop_wal": "0000000100000000000000A4"},
    {"label": "3", "type": "incremental", "state": "failed", "start": 1769479200},
    {"label": "4", "type": "incremental", "state": "running", "start": 1769565600}
  ],
  "wal": [{"timeline": 1, "first": "0000000100000000000000A1", "last": "0000000100000000000000A6",
           "missing": [["0000000100000000000000A3", "0000000100000000000000A3"]]}],
  "restore_proven": 1769418000
}`

// ofBackups reports whether a name is on pages with backups only.
func ofBackups(name string) bool { return strings.HasPrefix(name, "pg_backup_") }

// TestWholeBackups runs the binary with a file of backups and a real Barman, and no
// server: promtool is content with the page, and it has all of METRICS.md's names.
func TestWholeBackups(t *testing.T) {
	t.Parallel()
	barman := pgtest.NewBarman(t, 15)
	dir := t.TempDir()
	binary, err := exporter.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	file, config := filepath.Join(dir, "backups.json"), filepath.Join(dir, "pgvigil.yml")
	yaml := fmt.Sprintf("backups:\n  - {kind: file, stanza: main, path: %q}\n  - {kind: barman, server: %s, command: [%q, %q, %q]}\n",
		file, pgtest.BarmanServer, barman.Command()[0], barman.Command()[1], barman.Command()[2])
	for path, text := range map[string]string{file: facts, config: yaml} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e, err := exporter.Start(t.Context(), binary, freeAddress(t), "", "--config.file="+config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	parser := expfmt.NewTextParser(model.LegacyValidation)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		page, err := e.Get(t.Context(), "/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		families, err := parser.TextToMetricFamilies(bytes.NewReader(page.Body))
		if err != nil {
			t.Fatal(err)
		}
		var lacks []string
		for name := range documentedNames(t) {
			if ofBackups(name) && families[name] == nil {
				lacks = append(lacks, name)
			}
		}
		if len(lacks) == 0 {
			checkByPromtool(t, page.Body)
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the page lacks %q:\n%s", lacks, page.Body)
		}
	}
}
