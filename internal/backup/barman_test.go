package backup

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// TestBarmanRecorded reads what Barman 3.4 said of four backups and a failed one;
// show-backup is that of the newest, and answers for the oldest too.
func TestBarmanRecorded(t *testing.T) {
	r, err := replay(t, Barman, "testdata/barman.sh", "testdata/barman-3.4")
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Repositories) != 1 || len(r.Repositories[0].Backups) != 5 {
		t.Fatalf("repositories: %+v", r.Repositories)
	}
	repo := r.Repositories[0]
	begun := time.Date(2026, 11, 22, 20, 57, 46, 107182000, time.UTC)
	first, last := segment(t, "000000010000000000000009"), segment(t, "00000001000000000000000A")
	differs(t, "newest", repo.Backups[3], Backup{
		Label: "20261122T205746", Type: Full, State: Done, Start: begun, Stop: begun.Add(295522 * time.Microsecond),
		StartWAL: first, StopWAL: first,
		Database: spec.Absent(), Delta: spec.Absent(), Stored: 27382264, StoredDelta: 27365800,
	})
	differs(t, "one of which no details are asked", repo.Backups[2], Backup{
		Label: "20261122T205537", Type: Full, State: Done, Stop: time.Unix(1795380946, 0),
		Database: spec.Absent(), Delta: spec.Absent(), Stored: 27382283, StoredDelta: spec.Absent(),
	})
	differs(t, "failed", repo.Backups[4], Backup{
		Label: "20261122T205747", Type: Full, State: Failed, Start: time.Date(2026, 11, 22, 20, 57, 47, 0, time.Local),
		Database: spec.Absent(), Delta: spec.Absent(), Stored: spec.Absent(), StoredDelta: spec.Absent(),
	})
	differs(t, "WAL", repo.WAL, []WALRange{{Timeline: 1, First: first, Last: last}})
	if repo.Status != StatusOK || repo.Running || r.SegmentSize != DefaultSegmentSize || r.Tool != "barman" || r.Stanza != "main" {
		t.Errorf("report: %+v", r)
	}
	if len(r.Checks) != 22 {
		t.Errorf("%d checks", len(r.Checks))
	}
	if bad := failing(r); !slices.Equal(bad, []string{"failed_backups"}) {
		t.Errorf("failed checks: %v", bad)
	}
}

// failing are the names of the checks that failed.
func failing(r Report) []string {
	var names []string
	for _, c := range r.Checks {
		if !c.OK {
			names = append(names, c.Name)
		}
	}
	return names
}

// TestBarmanIncremental reads what releases from 3.11 on say. The answers are not
// recorded, but written after their source.
func TestBarmanIncremental(t *testing.T) {
	r, err := replay(t, Barman, "testdata/barman.sh", "testdata/barman-3.11")
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		Label, Prior string
		Type         Type
		State        State
		StartWAL     string
	}
	var got []row
	for _, b := range r.Repositories[0].Backups {
		got = append(got, row{b.Label, b.Prior, b.Type, b.State, b.StartWAL.String()})
	}
	const none = "000000000000000000000000"
	differs(t, "backups", got, []row{
		{"20240814T050000", "", Full, Done, "00000001000000080000002C"},
		{"20240814T060000", "", Full, Done, none},
		{"20240814T063000", "", Full, Failed, none}, // killed, as another has begun since
		{"20240814T070000", "", Full, Done, "000000010000000800000040"},
		{"20240814T080000", "", Incremental, Done, none}, // no details are asked of it
		{"20240814T090000", "20240814T070000", Incremental, Done, "000000010000000800000050"},
		{"20240814T100000", "", Full, Running, none},
	})
	newest := r.Repositories[0].Backups[5]
	differs(t, "sizes", []float64{newest.Database, newest.Delta, newest.Stored, newest.StoredDelta},
		[]float64{230 << 20, spec.Absent(), spec.Absent(), 2 << 20})
	differs(t, "WAL", r.Repositories[0].WAL, []WALRange{{
		Timeline: 1, First: segment(t, "00000001000000080000002C"), Last: segment(t, "000000010000000800000060"),
	}})
	if w := window(r.Repositories[0], r.SegmentSize, nil); !w.LastGood.Equal(newest.Stop) {
		t.Errorf("the incremental backup is not good: %+v", w)
	}
	if since := r.Repositories[0].RunningSince; !since.Equal(time.Date(2024, 8, 14, 10, 0, 0, 0, time.Local)) {
		t.Errorf("running since %v", since)
	}
}

func TestBarmanUnclear(t *testing.T) {
	good := map[string]answer{
		"list-backup": {out: content(t, "testdata/barman-3.4/list-backup.json")},
		"check":       {out: content(t, "testdata/barman-3.4/check.json"), status: 1},
		"show-backup": {out: content(t, "testdata/barman-3.4/show-backup.json")},
	}
	text := func(status int, out string) answer { return answer{out: []byte(out), status: status} }
	half := func(command string) answer { return answer{out: good[command].out[:len(good[command].out)/2]} }
	for _, tt := range []struct {
		name, command string
		answer        answer
		reason        Reason // of the error, "" for none
		says          string
	}{
		{"half a list", "list-backup", half("list-backup"), ReasonFormat, "barman list-backup"},
		{"half a check", "check", half("check"), ReasonFormat, "barman check"},
		{"half the details", "show-backup", half("show-backup"), ReasonFormat, "barman show-backup"},
		{"no list", "list-backup", text(0, ""), ReasonFormat, "barman list-backup"},
		{"no check", "check", text(0, ""), ReasonFormat, "barman check"},
		{"no details", "show-backup", text(0, ""), ReasonFormat, "barman show-backup"},
		{"no list and a status", "list-backup", text(2, "usage: barman"), ReasonExit, "status 2"},
		{"unknown server", "list-backup", text(1, `{"_ERROR": ["Unknown server 'main'"]}`), ReasonExit, "status 1: Unknown server 'main'"},
		{"an exception", "list-backup", text(1, `{"_EXCEPTION": ["no room\nSee log file for more details."], "main": []}`), ReasonExit, "no room"},
		{"inactive server", "list-backup", text(0, `{}`), ReasonFormat, "inactive"},
		{"another form", "list-backup", text(0, `{"main": {"backups": []}}`), ReasonFormat, "barman list-backup"},
		{"unknown status", "list-backup", text(0, `{"main": [{"backup_id": "20260101T000000", "status": "ARCHIVED"}]}`), ReasonFormat, "ARCHIVED"},
		{"no end", "list-backup", text(0, `{"main": [{"backup_id": "20260101T000000", "status": "DONE"}]}`), ReasonFormat, "ended"},
		{"no check is made", "check", text(1, `{"main": {}}`), ReasonFormat, "0 checks"},
		{"a check's status", "check", text(0, `{"main": {"wal": {"status": "WARNING"}}}`), ReasonFormat, "WARNING"},
		{"no segment", "show-backup", text(0, `{"main": {"base_backup_information": {"begin_wal": "pg_wal"}}}`), ReasonFormat, "pg_wal"},
		{"a time without its zone", "show-backup", text(0, `{"main": {"base_backup_information": {"end_time": "2026-01-01 00:00:00"}}}`), ReasonFormat, "zone"},
		{"no WAL", "show-backup", text(0, `{"main": {"wal_information": {"last_available": null}}}`), "", ""},
		{"numbers and more keys", "list-backup", text(0, `{"_WARNING": ["x"], "other": 1, "main": [{"backup_id": "20260101T000000", "status": "DONE",
			"end_time_timestamp": 1767225600, "size_bytes": "12", "new": {"a": [1]}}]}`), "", ""},
		{"a name for a label", "check", text(0, `{"main": {"WAL streamer (3)": {"status": "OK", "hint": 1, "new": true}}}`), "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set := map[string]answer{}
			for command, a := range good {
				set[command] = a
			}
			set[tt.command] = tt.answer
			r, err := lookBarman(t.Context(), Config{Stanza: "main"}, fixed(set))
			fails(t, err, tt.reason, tt.says)
			if err == nil {
				sound(t, r)
			}
		})
	}
}

// The seeds are short: a fuzzer spends a minute on making a long one shorter.
func FuzzBarman(f *testing.F) {
	f.Add([]byte(`{"main":[{"backup_id":"20260101T000001","status":"FAILED"},{"backup_id":"20260101T000000","status":"DONE","end_time_timestamp":"1767225600","size_bytes":12}]}`),
		[]byte(`{"main":{"wal_size":{"hint":"","status":"OK"},"a-b":{"status":"FAILED"}}}`),
		[]byte(`{"main":{"base_backup_information":{"begin_time":"2026-01-01 00:00:00.5+01:00","begin_wal":"000000010000000000000009","end_wal":"000000010000000000000009",`+
			`"end_lsn":"0/A000000","incremental_size_bytes":5},"wal_information":{"last_available":"00000001000000000000000A"}}}`),
		[]byte(`{"_INFO":["/a/000000010000000000000001","/a/000000010000000000000003","/a/00000002.history"]}`))
	f.Add([]byte(`{"_ERROR":["no"]}`), []byte(`{}`), []byte(`{"main":{"catalog_information":{"root_backup_id":"20260101T000000"}}}`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, list, check, show, files []byte) {
		run := fixed(map[string]answer{"list-backup": {out: list}, "check": {out: check}, "show-backup": {out: show}, "list-files": {out: files}})
		r, err := lookBarman(t.Context(), Config{Stanza: "main"}, run)
		if err == nil {
			sound(t, r)
			repo := r.Repositories[0]
			repo.WAL, err = barman{"main", run}.archived(t.Context(), repo.Backups, newGeometry(r.SegmentSize))
			if err == nil {
				sound(t, Report{Repositories: []Repository{repo}})
			}
		}
		var look *LookError
		if err != nil && (!errors.As(err, &look) || look.Reason != ReasonFormat && look.Reason != ReasonExit) {
			t.Errorf("look: %v", err)
		}
	})
}
