package collector

import (
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// TestRoleWatch: no time of change before a change was seen, and then that of the
// latest, whichever way it went.
func TestRoleWatch(t *testing.T) {
	const primary, standby = 0.0, 1.0
	watch := Server.Emit()
	for i, step := range []struct {
		replica float64
		want    float64
	}{
		{standby, spec.Absent()},
		{standby, spec.Absent()},
		{spec.Absent(), spec.Absent()}, // the column was dropped: nothing is known, nothing has changed
		{primary, 1003},
		{primary, 1003},
		{standby, 1005},
		{standby, 1005},
	} {
		in := spec.NewRows([]spec.Column{
			{Name: "pg_replication_is_replica", Kind: spec.Value},
			{Name: "pg_postmaster_start_time_seconds", Kind: spec.Value},
		})
		in.AppendValue(step.replica)
		in.AppendValue(900)
		if err := in.EndRow(); err != nil {
			t.Fatal(err)
		}
		sink := spec.NewSink(Server)
		run := spec.Run{Now: time.Unix(1000+int64(i), 0)}
		if err := watch.Emit(run, in, sink); err != nil {
			t.Fatal(err)
		}
		out, _, err := sink.Close()
		if err != nil {
			t.Fatal(err)
		}
		if got := out.Value(0, "role_changed_timestamp_seconds"); !sameValue(got, step.want) {
			t.Errorf("run %d: role changed at %v, want %v", i, got, step.want)
		}
		if got := out.Value(0, "pg_replication_is_replica"); !sameValue(got, step.replica) {
			t.Errorf("run %d: is_replica %v, want %v", i, got, step.replica)
		}
		if got := out.Value(0, "pg_postmaster_start_time_seconds"); got != 900 {
			t.Errorf("run %d: start time %v, want 900", i, got)
		}
		if got := out.Value(0, "data_checksums"); !spec.IsAbsent(got) {
			t.Errorf("run %d: data_checksums %v, want absent", i, got)
		}
	}
}

// sameValue compares samples: absent is a value like any other.
func sameValue(a, b float64) bool {
	return a == b || spec.IsAbsent(a) && spec.IsAbsent(b)
}
