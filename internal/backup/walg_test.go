package backup

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

const (
	walgList = "testdata/wal-g-3.0.7/backup-list.json"
	walgShow = "testdata/wal-g-3.0.7/wal-show.json"
	walgGap  = "testdata/wal-g-3.0.7/wal-show-gap.json"
)

// TestWALG reads what WAL-G 3.0.7 said of a full backup, a delta on it and another
// full one.
func TestWALG(t *testing.T) {
	r, err := replay(t, WALG, "testdata/wal-g.sh", walgList, walgShow)
	if err != nil {
		t.Fatal(err)
	}
	at := func(nanoseconds int) time.Time {
		return time.Date(2026, 11, 22, 20, 58, 0, 0, time.UTC).Add(time.Duration(nanoseconds) * time.Microsecond)
	}
	one, two := segment(t, "000000010000000000000001"), segment(t, "000000010000000000000002")
	four, six := segment(t, "000000010000000000000004"), segment(t, "000000010000000000000006")
	differs(t, "report", r, Report{Tool: "wal-g", Stanza: "main", SegmentSize: 16 << 20, Repositories: []Repository{{
		Name: "default", Status: StatusOK,
		Backups: []Backup{{
			Label: "base_000000010000000000000002", Type: Full, Start: at(1097632), Stop: at(1320499), StartWAL: two, StopWAL: two,
			Database: 25943292, Delta: 25943292, Stored: 4469368, StoredDelta: 4469368,
		}, {
			Label: "base_000000010000000000000004_D_000000010000000000000002", Prior: "base_000000010000000000000002",
			Type: Incremental, Start: at(1452985), Stop: at(1560523), StartWAL: four, StopWAL: four,
			Database: spec.Absent(), Delta: 969051, Stored: spec.Absent(), StoredDelta: 201170,
		}, {
			Label: "base_000000010000000000000006", Type: Full, Start: at(1701216), Stop: at(1925525), StartWAL: six, StopWAL: six,
			Database: 27580512, Delta: 27580512, Stored: 4827828, StoredDelta: 4827828,
		}},
		WAL: []WALRange{{Timeline: 1, First: one, Last: six, Checked: true}},
	}}})
	differs(t, "window", window(r.Repositories[0], r.SegmentSize, nil), Window{Oldest: at(1320499), Newest: at(1925525), LastGood: at(1925525)})
}

// TestWALGGap has lost segment 3, which the first backup needs to go on: the
// window begins with the delta, which begins in segment 4.
func TestWALGGap(t *testing.T) {
	r, err := replay(t, WALG, "testdata/wal-g.sh", walgList, walgGap)
	if err != nil {
		t.Fatal(err)
	}
	three := segment(t, "000000010000000000000003")
	differs(t, "missing", r.Repositories[0].WAL[0].Missing, []SegmentRange{{three, three}})
	differs(t, "window", window(r.Repositories[0], r.SegmentSize, nil).Oldest, time.Date(2026, 11, 22, 20, 58, 1, 560523000, time.UTC))
}

func TestWALGForms(t *testing.T) {
	list, show := string(content(t, walgList)), string(content(t, walgShow))
	const backup = `{"backup_name": "base_000000010000000000000002", "time": "2026-11-22T20:58:01Z", "wal_file_name": "000000010000000000000002"}`
	for _, tt := range []struct {
		name, list, show string
		reason           Reason // of the error, "" for none
		says             string
	}{
		{"half a list", list[:len(list)/2], show, ReasonFormat, "wal-g backup-list"},
		{"half the segments", list, show[:len(show)/2], ReasonFormat, "wal-g wal-show"},
		{"no list", "", show, ReasonFormat, "wal-g backup-list"},
		{"no segments", list, "", ReasonFormat, "wal-g wal-show"},
		{"another form", `{"backups": []}`, show, ReasonFormat, "wal-g backup-list"},
		{"an empty archive", `[]`, `[]`, "", ""},
		{"numbers as strings, more keys", `[{"backup_name": "base_000000010000000000000002", "finish_time": "2026-11-22T20:58:01Z",
			"start_lsn": "33554472", "compressed_size": "12", "new": {"a": [1]}}]`, show, "", ""},
		{"an older release", "[" + backup + "]", show, "", ""},
		{"a backup without a name", `[{"time": "2026-11-22T20:58:01Z"}]`, show, ReasonFormat, "without a name"},
		{"a backup without an end", `[{"backup_name": "base_000000010000000000000002"}]`, show, ReasonFormat, "ended"},
		{"a backup of another database", `[{"backup_name": "stream_20261122T205801Z", "time": "2026-11-22T20:58:01Z"}]`, show, ReasonFormat, "stream_"},
		{"a time in words", `[{"backup_name": "base_000000010000000000000002", "time": "yesterday"}]`, show, ReasonFormat, "yesterday"},
		{"no segment", list, `[{"id": 1, "start_segment": "a", "end_segment": "b"}]`, ReasonFormat, "not the name of a WAL segment"},
		{"no range", list, `[{"start_segment": "000000010000000000000002", "end_segment": "000000010000000000000001"}]`, ReasonFormat, "not a range"},
		{"a missing segment that is none", list, `[{"start_segment": "000000010000000000000001", "end_segment": "000000010000000000000003",
			"missing_segments": ["2"]}]`, ReasonFormat, "not the name of a WAL segment"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			paths := []string{filepath.Join(dir, "list"), filepath.Join(dir, "show")}
			for i, text := range []string{tt.list, tt.show} {
				if err := os.WriteFile(paths[i], []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			r, err := replay(t, WALG, "testdata/wal-g.sh", paths[0], paths[1])
			fails(t, err, tt.reason, tt.says)
			if err == nil {
				sound(t, r)
			}
		})
	}
	t.Run("ends with an error", func(t *testing.T) {
		_, err := replay(t, WALG, "testdata/wal-g.sh", filepath.Join(t.TempDir(), "none"), walgShow)
		fails(t, err, ReasonExit, "wal-g backup-list ended with exit status 1")
	})
}

// TestWALGStorages has a delta in each of two storages, and one rests on a delta.
func TestWALGStorages(t *testing.T) {
	backup := func(name, storage, end string) string {
		return `{"backup_name": "` + name + `", "storage_name": "` + storage + `", "time": "2026-11-22T20:58:0` + end + `Z"}`
	}
	const (
		full   = "base_000000010000000000000002"
		delta  = "base_000000010000000000000004_D_000000010000000000000002"
		second = "base_000000010000000000000006_D_000000010000000000000004"
	)
	list := "[" + backup(second, "default", "3") + "," + backup(delta, "other", "2") + "," + backup(delta, "default", "2") + "," + backup(full, "default", "1") + "]"
	r, err := lookWALG(t.Context(), Config{Stanza: "main", SegmentSize: 64 << 20}, fixed(map[string]answer{
		"backup-list": {out: []byte(list)},
		"wal-show": {out: []byte(`[{"start_segment": "000000020000000000000004", "end_segment": "000000020000000100000003",
			"missing_segments": ["000000020000000000000005", "000000020000000100000000", "00000002000000000000003F"]},
			{"start_segment": "000000010000000000000002", "end_segment": "000000010000000000000004", "missing_segments": []}]`)},
	}))
	if err != nil {
		t.Fatal(err)
	}
	sound(t, r)
	got := map[string][]string{}
	for _, repo := range r.Repositories {
		for _, b := range repo.Backups {
			got[repo.Name] = append(got[repo.Name], b.Label+" on "+b.Prior)
		}
	}
	differs(t, "backups", got, map[string][]string{
		"default": {full + " on ", delta + " on " + full, second + " on " + delta},
		"other":   {delta + " on " + full},
	})
	five := segment(t, "000000020000000000000005")
	differs(t, "missing", r.Repositories[1].WAL[1].Missing, []SegmentRange{
		{five, five}, {segment(t, "00000002000000000000003F"), segment(t, "000000020000000100000000")},
	})
}

// The seeds are short: a fuzzer spends a minute on making a long one shorter.
func FuzzWALG(f *testing.F) {
	f.Add([]byte(`[{"backup_name":"base_000000010000000000000004_D_000000010000000000000002","time":"2026-11-22T20:58:01.5Z",`+
		`"wal_file_name":"000000010000000000000004","start_lsn":67108904,"finish_lsn":"67109120","compressed_size":1.5}]`),
		[]byte(`[{"start_segment":"000000010000000000000001","end_segment":"000000010000000000000006","missing_segments":["000000010000000000000003"]}]`))
	f.Add([]byte(`[]`), []byte(`[]`))
	f.Fuzz(func(t *testing.T, list, show []byte) {
		r, err := lookWALG(t.Context(), Config{Stanza: "main"}, fixed(map[string]answer{"backup-list": {out: list}, "wal-show": {out: show}}))
		var look *LookError
		if err != nil && (!errors.As(err, &look) || look.Reason != ReasonFormat) {
			t.Errorf("look: %v", err)
		}
		sound(t, r)
	})
}
