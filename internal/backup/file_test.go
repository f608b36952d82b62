package backup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// lookAt reads a file with this text, of a source of the tool nightly, with the stanza main.
func lookAt(t testing.TB, text string) (Report, error) {
	t.Helper()
	return lookFile(Config{Kind: File, Tool: "nightly", Stanza: "main", Path: factsFile(t, text)})
}

// factsFile makes a file of facts.
func factsFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "facts")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func rfc(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// absentIsAbsent compares what spec.Absent returns, which is no number and so never equal.
var absentIsAbsent = cmp.FilterValues(func(a, b float64) bool { return spec.IsAbsent(a) && spec.IsAbsent(b) },
	cmp.Comparer(func(_, _ float64) bool { return true }))

func TestFileJSON(t *testing.T) {
	got, err := lookAt(t, `
{
  "format": 1, "tool": "nightly", "stanza": "main", "repository": "nas",
  "restore_proven": 1767268800.5,
  "backups": [
    {"label": "c", "type": "full", "state": "running", "start": "2026-01-04T02:00:00Z"},
    {"label": "b", "type": "incremental", "state": "done", "prior": "a", "start": "2026-01-02T02:00:00Z", "stop": "2026-01-02T03:30:00+01:00",
     "start_wal": "00000001000000AA000000F0", "stop_wal": "00000001000000AA000000F2",
     "database_bytes": 1000, "delta_bytes": 100, "stored_bytes": 500, "stored_delta_bytes": 50, "damaged": true},
    {"label": "x", "type": "full", "state": "failed", "start": "2026-01-03T02:00:00Z"},
    {"label": "a", "type": "full", "state": "done", "stop": 1767236400}
  ],
  "wal": [
    {"timeline": 2, "first": "00000002000000AA000000F3", "last": "00000002000000AA000000F3"},
    {"timeline": 1, "first": "00000001000000AA000000E0", "last": "00000001000000AA000000F3",
     "missing": [["00000001000000AA000000F1", "00000001000000AA000000F2"], ["00000001000000AA000000E5", "00000001000000AA000000E5"]]}
  ]
}`)
	if err != nil {
		t.Fatal(err)
	}
	none := spec.Absent()
	seg := func(timeline, low uint32) Segment { return Segment{Timeline: timeline, Log: 0xAA, Seg: low} }
	want := Report{
		Tool: "nightly", Stanza: "main", RestoreProven: rfc(t, "2026-01-01T12:00:00.5Z"),
		Repositories: []Repository{{
			Name: "nas", Status: StatusOK, Running: true, RunningSince: rfc(t, "2026-01-04T02:00:00Z"),
			Backups: []Backup{
				{Label: "a", Type: Full, Stop: rfc(t, "2026-01-01T03:00:00Z"), Database: none, Delta: none, Stored: none, StoredDelta: none},
				{
					Label: "b", Type: Incremental, Prior: "a", Start: rfc(t, "2026-01-02T02:00:00Z"), Stop: rfc(t, "2026-01-02T02:30:00Z"),
					StartWAL: seg(1, 0xF0), StopWAL: seg(1, 0xF2), Database: 1000, Delta: 100, Stored: 500, StoredDelta: 50, Damaged: true,
				},
				{Label: "x", Type: Full, State: Failed, Start: rfc(t, "2026-01-03T02:00:00Z"), Database: none, Delta: none, Stored: none, StoredDelta: none},
				{Label: "c", Type: Full, State: Running, Start: rfc(t, "2026-01-04T02:00:00Z"), Database: none, Delta: none, Stored: none, StoredDelta: none},
			},
			WAL: []WALRange{
				{
					Timeline: 1, First: seg(1, 0xE0), Last: seg(1, 0xF3), Checked: true,
					Missing: []SegmentRange{{seg(1, 0xE5), seg(1, 0xE5)}, {seg(1, 0xF1), seg(1, 0xF2)}},
				},
				{Timeline: 2, First: seg(2, 0xF3), Last: seg(2, 0xF3)},
			},
		}},
	}
	if diff := cmp.Diff(want, got, absentIsAbsent); diff != "" {
		t.Error(diff)
	}
}

func TestFileText(t *testing.T) {
	got, err := lookAt(t, `# HELP backup_last_stop_timestamp_seconds When it ended.
# TYPE backup_last_stop_timestamp_seconds gauge
backup_last_stop_timestamp_seconds{type="full",tool="nightly",repository="nas"} 1.7672364e+09
backup_last_start_timestamp_seconds{type="full",stanza="main"} 1767232800
backup_last_failure_timestamp_seconds{type="full"} 1767323000
backup_running_since_timestamp_seconds{type="incremental"} 1767409200
backup_last_stored_bytes{type="full"} 500
restore_proven_timestamp_seconds 1767268800
`)
	if err != nil {
		t.Fatal(err)
	}
	none := spec.Absent()
	want := Report{
		Tool: "nightly", Stanza: "main", RestoreProven: rfc(t, "2026-01-01T12:00:00Z"),
		Repositories: []Repository{{
			Name: "nas", Status: StatusOK, Running: true, RunningSince: rfc(t, "2026-01-03T03:00:00Z"),
			Backups: []Backup{
				{
					Label: "last full", Type: Full, Start: rfc(t, "2026-01-01T02:00:00Z"), Stop: rfc(t, "2026-01-01T03:00:00Z"),
					Database: none, Delta: none, Stored: 500, StoredDelta: none,
				},
				{Label: "failed full", Type: Full, State: Failed, Stop: time.Unix(1767323000, 0).UTC(), Database: none, Delta: none, Stored: none, StoredDelta: none},
				{Label: "running incremental", Type: Incremental, State: Running, Start: rfc(t, "2026-01-03T03:00:00Z"), Database: none, Delta: none, Stored: none, StoredDelta: none},
			},
		}},
	}
	if diff := cmp.Diff(want, got, absentIsAbsent); diff != "" {
		t.Error(diff)
	}
}

// TestFileRestoreOnly reads what a job writes that knows nothing of backups.
func TestFileRestoreOnly(t *testing.T) {
	want := Report{Tool: "nightly", Stanza: "main", RestoreProven: rfc(t, "2026-01-01T12:00:00Z")}
	for _, text := range []string{
		`{"format":1,"restore_proven":"2026-01-01T12:00:00Z"}`,
		"restore_proven_timestamp_seconds 1767268800\n",
	} {
		got, err := lookAt(t, text)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", text, err, diff)
		}
	}
}

// TestFileNoBackup holds that an empty list, and one of failures only, are told from no list.
func TestFileNoBackup(t *testing.T) {
	for _, text := range []string{
		`{"format":1,"backups":[]}`,
		`{"format":1,"backups":[{"label":"a","type":"full","state":"failed","stop":1767323000}]}`,
		"backup_last_failure_timestamp_seconds{type=\"full\"} 1767323000\n",
	} {
		r, err := lookAt(t, text)
		if err != nil || len(r.Repositories) != 1 || r.Repositories[0].Status != StatusEmpty {
			t.Errorf("%s: %v: %+v", text, err, r)
		}
	}
}

// TestFileNoWAL holds that nothing archived is told from nothing said of the archive.
func TestFileNoWAL(t *testing.T) {
	for text, silent := range map[string]bool{
		`{"format":1,"backups":[],"wal":[]}`: false,
		`{"format":1,"backups":[]}`:          true,
	} {
		r, err := lookAt(t, text)
		if err != nil || (r.Repositories[0].WAL == nil) != silent {
			t.Errorf("%s: %v: %#v", text, err, r.Repositories)
		}
	}
}

// TestFileTextPrior holds that a backup rests on a full one that is older, never on a newer one.
func TestFileTextPrior(t *testing.T) {
	r, err := lookAt(t, `backup_last_stop_timestamp_seconds{type="differential"} 1767236400
backup_last_stop_timestamp_seconds{type="incremental"} 1767409200
backup_last_stop_timestamp_seconds{type="full"} 1767323000
`)
	if err != nil {
		t.Fatal(err)
	}
	got := map[Type]string{}
	for _, b := range r.Repositories[0].Backups {
		got[b.Type] = b.Prior
	}
	if diff := cmp.Diff(map[Type]string{Differential: "", Full: "", Incremental: "last full"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestFileUnreadable holds that what is no file ends a look at once.
func TestFileUnreadable(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, []byte(strings.Repeat(" ", fileLimit+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]Reason{
		filepath.Join(dir, "missing"): ReasonStart,
		dir:                           ReasonStart,
		fifo:                          ReasonStart,
		os.DevNull:                    ReasonStart,
		large:                         ReasonSize,
	} {
		_, err := lookFile(Config{Path: path})
		var look *LookError
		if !errors.As(err, &look) || look.Reason != want || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, not for the reason %s", path, err, want)
		}
	}
}
