package backup_test

import (
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/google/go-cmp/cmp"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/backup"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// TestDeclared holds the rows to the declarations: each reading has a collector,
// with its labels and metrics in their order, and each collector has a reading.
func TestDeclared(t *testing.T) {
	type columns struct{ labels, metrics []string }
	want, got := map[string]columns{}, map[string]columns{}
	for _, c := range []spec.Collector{
		collector.Backup, collector.BackupCheck, collector.BackupLook, collector.BackupLookFailures,
		collector.BackupRepository, collector.BackupStatus, collector.BackupWAL,
	} {
		declared := columns{labels: c.Labels}
		for _, m := range c.Metrics {
			declared.metrics = append(declared.metrics, m.Name)
		}
		want[c.Name] = declared
	}
	group := backup.Group{backup.New(t.Context(), backup.Config{
		Kind: backup.File, Path: "testdata/none", Interval: time.Hour, Timeout: time.Minute,
	}, log.NewNopLogger())}
	defer group.Close()
	for _, r := range group.Read(t.Context()) {
		var here columns
		for _, c := range r.Rows.Columns() {
			if c.Kind == spec.Text {
				here.labels = append(here.labels, c.Name)
			} else {
				here.metrics = append(here.metrics, c.Name)
			}
		}
		got[r.Collector] = here
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(columns{})); diff != "" {
		t.Error(diff)
	}
}
