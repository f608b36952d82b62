package backup

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgvigil/pgvigil/internal/spec"
)

func sample(t testing.TB, name string) []byte {
	t.Helper()
	out, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestParsePgBackRest(t *testing.T) {
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }
	span := []WALRange{{Timeline: 1, First: seg(1, 1), Last: seg(1, 8)}}
	full := Backup{
		Label: "20261122-205354F", Type: Full, Start: at(1795380834), Stop: at(1795380836), StartWAL: seg(1, 2), StopWAL: seg(1, 2),
		Database: 33200212, Delta: 33200212, Stored: 3812897, StoredDelta: 3812897,
	}
	want := Report{Tool: "pgbackrest", Stanza: "main", Repositories: []Repository{
		{Name: "1", System: 7711101953047924888, Status: StatusOK, WAL: span, Backups: []Backup{
			full,
			{
				Label: "20261122-205354F_20261122-205357D", Prior: full.Label, Type: Differential,
				Start: at(1795380837), Stop: at(1795380838), StartWAL: seg(1, 4), StopWAL: seg(1, 4),
				Database: 33593428, Delta: 3817738, Stored: 3845436, StoredDelta: 149223,
			},
			{
				Label: "20261122-205354F_20261122-205359I", Prior: "20261122-205354F_20261122-205357D", Type: Incremental,
				Start: at(1795380839), Stop: at(1795380840), StartWAL: seg(1, 6), StopWAL: seg(1, 6),
				Database: 33953876, Delta: 3571978, Stored: 3863800, StoredDelta: 124467,
			},
		}},
		{Name: "2", System: 7711101953047924888, Status: StatusOK, WAL: span, Backups: []Backup{{
			Label: "20261122-205400F", Type: Full, Start: at(1795380840), Stop: at(1795380843), StartWAL: seg(1, 7), StopWAL: seg(1, 8),
			Database: 33953876, Delta: 33953876, Stored: 3863803, StoredDelta: 3863803,
		}}},
	}}
	got, err := parsePgBackRest("main", sample(t, "pgbackrest-info-one-stanza.json"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestParsePgBackRestStates reads what the other recorded answers tell.
func TestParsePgBackRestStates(t *testing.T) {
	for name, c := range map[string]struct{ stanza, want string }{
		"pgbackrest-info-missing-stanza.json":      {"nosuch", "1 missing 0 backups, 2 missing 0 backups"},
		"pgbackrest-info-no-backup.json":           {"main", "1 no_backup 0 backups, 2 no_backup 0 backups"},
		"pgbackrest-info-running.json":             {"main", "1 ok 3 backups runs 1-28, 2 ok 1 backups runs 1-28"},
		"pgbackrest-info-page-checksum-error.json": {"analytics", "1 ok 2 backups 1 damaged 1-5, 2 no_backup 0 backups 1-5"},
	} {
		r, err := parsePgBackRest(c.stanza, sample(t, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, r := range r.Repositories {
			s := fmt.Sprintf("%s %s %d backups", r.Name, r.Status, len(r.Backups))
			for _, b := range r.Backups {
				if b.Damaged {
					s += " 1 damaged"
				}
			}
			if r.Running {
				s += " runs"
			}
			for _, w := range r.WAL {
				s += fmt.Sprintf(" %d-%d", w.First.Seg, w.Last.Seg)
			}
			got = append(got, s)
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%s: got %s, want %s", name, s, c.want)
		}
	}
}

// spoil changes the recorded answer of one stanza, as other releases would.
func spoil(t *testing.T, change func(stanza map[string]any)) []byte {
	t.Helper()
	var all []map[string]any
	if err := json.Unmarshal(sample(t, "pgbackrest-info-one-stanza.json"), &all); err != nil {
		t.Fatal(err)
	}
	change(all[0])
	out, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func each(stanza map[string]any, list string, change func(map[string]any)) {
	for _, item := range stanza[list].([]any) {
		change(item.(map[string]any))
	}
}

// TestOtherReleases reads answers without the keys that came late, and with keys
// and nulls that came later.
func TestOtherReleases(t *testing.T) {
	oldest := spoil(t, func(s map[string]any) {
		delete(s, "repo")
		key := func(m map[string]any) { delete(m, "repo-key") }
		s["db"], s["archive"], s["backup"] = s["db"].([]any)[:1], s["archive"].([]any)[:1], s["backup"].([]any)[:3]
		each(s, "db", key)
		each(s, "archive", func(m map[string]any) { key(m["database"].(map[string]any)) })
		each(s, "backup", func(m map[string]any) {
			key(m["database"].(map[string]any))
			delete(m, "error")
			delete(m, "lsn")
		})
	})
	r, err := parsePgBackRest("main", oldest)
	if err != nil || len(r.Repositories) != 1 {
		t.Fatalf("before 2.32: %d repositories, %v", len(r.Repositories), err)
	}
	if one := r.Repositories[0]; one.Name != "1" || one.Status != StatusOK || len(one.Backups) != 3 || len(one.WAL) != 1 {
		t.Errorf("before 2.32: %+v", one)
	}
	newest := spoil(t, func(s map[string]any) {
		s["future"] = []any{1, "x"}
		s["status"].(map[string]any)["lock"] = map[string]any{
			"backup": map[string]any{"held": true, "size": 10, "size-cplt": 5}, "restore": map[string]any{"held": false},
		}
		each(s, "backup", func(m map[string]any) {
			m["error"] = nil
			m["info"].(map[string]any)["repository"] = map[string]any{"delta-map": 1, "size-map": nil, "delta": nil}
			m["archive"] = map[string]any{"start": nil, "stop": nil}
		})
	})
	r, err = parsePgBackRest("main", newest)
	if err != nil {
		t.Fatal(err)
	}
	if b := r.Repositories[0].Backups[0]; !r.Repositories[0].Running || !spec.IsAbsent(b.Stored) || b.Database != 33200212 || !b.StartWAL.IsZero() {
		t.Errorf("a newer release: %+v", r.Repositories[0])
	}
	upgraded := spoil(t, func(s map[string]any) {
		s["db"] = append(s["db"].([]any), map[string]any{"id": 2, "repo-key": 1})
	})
	if r, err = parsePgBackRest("main", upgraded); err != nil || len(r.Repositories[0].Backups) != 0 || len(r.Repositories[1].Backups) != 1 {
		t.Errorf("after pg_upgrade: %+v, %v", r, err)
	}
}

// TestPgBackRestRefuses holds that what cannot be understood is no answer.
func TestPgBackRestRefuses(t *testing.T) {
	whole := sample(t, "pgbackrest-info-one-stanza.json")
	field := func(list, name string, v any) []byte {
		return spoil(t, func(s map[string]any) { each(s, list, func(m map[string]any) { m[name] = v }) })
	}
	for name, out := range map[string][]byte{
		"empty":             nil,
		"cut in half":       whole[:len(whole)/2],
		"no stanza":         []byte("[]"),
		"another":           sample(t, "pgbackrest-info-missing-stanza.json"),
		"no status":         []byte(`[{"name":"main"}]`),
		"not a list":        []byte(`{}`),
		"text":              []byte("stanza: main\n    status: ok\n"),
		"a type of backup":  field("backup", "type", "reverse"),
		"another time":      field("backup", "timestamp", map[string]any{"start": "yesterday"}),
		"no time":           field("backup", "timestamp", map[string]any{}),
		"a backup's WAL":    field("backup", "archive", map[string]any{"start": "0/28"}),
		"the archive's WAL": field("archive", "max", "0/28"),
	} {
		if r, err := parsePgBackRest("main", out); reasonOf(err) != ReasonFormat {
			t.Errorf("%s: got %+v, %v", name, r, err)
		}
	}
	failing := func(context.Context, ...string) (answer, error) { return answer{out: whole, status: 37}, nil }
	if _, err := lookPgBackRest(t.Context(), Config{Stanza: "main"}, failing); reasonOf(err) != ReasonExit {
		t.Errorf("exit status 37: %v", err)
	}
}

func archiveList(size uint64, names ...string) string {
	var text strings.Builder
	for _, name := range names {
		fmt.Fprintf(&text, "%s/%.16s/%[2]s-%040x.gz\n", "15-1", name, size)
	}
	return text.String()
}

func TestParseArchive(t *testing.T) {
	files := archiveList(0, "0000000100000000000000FE", "0000000100000000000000FF", "000000010000000100000000", "000000010000000100000003",
		"000000020000000100000003", "000000020000000100000004") +
		"15-1/00000002.history\n15-1/0000000100000001/000000010000000100000004.partial-" + strings.Repeat("a", 40) + ".gz\n" +
		"15-1/0000000100000001/000000010000000100000001.00000028.backup\n14-1/0000000100000000/000000010000000000000001-" + strings.Repeat("b", 40) + "\n"
	got, err := parseArchive([]byte(files), newGeometry(0))
	if err != nil {
		t.Fatal(err)
	}
	want := []WALRange{
		{
			Timeline: 1, First: segment(t, "000000010000000000000001"), Last: segment(t, "000000010000000100000003"), Checked: true,
			Missing: []SegmentRange{
				{segment(t, "000000010000000000000002"), segment(t, "0000000100000000000000FD")},
				{segment(t, "000000010000000100000001"), segment(t, "000000010000000100000002")},
			},
		},
		{Timeline: 2, First: segment(t, "000000020000000100000003"), Last: segment(t, "000000020000000100000004"), Checked: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	upgraded, err := parseArchive([]byte(files+strings.ReplaceAll(archiveList(0, "000000010000000200000000"), "15-1", "16-2")), newGeometry(0))
	if err != nil || len(upgraded) != 1 || upgraded[0].First.Log != 2 {
		t.Errorf("after pg_upgrade: %v, %v", upgraded, err)
	}
}

// TestSegmentSizes holds that a wrong wal_segment_size is told, and is no gap.
func TestSegmentSizes(t *testing.T) {
	var names []string
	for log := range 4 {
		for seg := range 64 {
			names = append(names, fmt.Sprintf("00000001%08X%08X", log, seg))
		}
	}
	large := []byte(archiveList(0, names...))
	if got, err := parseArchive(large, newGeometry(64<<20)); err != nil || len(got) != 1 || len(got[0].Missing) != 0 {
		t.Errorf("64 MB: %v, %v", got, err)
	}
	if got, err := parseArchive(large, newGeometry(0)); err == nil || !strings.Contains(err.Error(), "wal_segment_size, 67108864") {
		t.Errorf("64 MB taken for 16 MB: %v, %v", got, err)
	}
	small := []byte(archiveList(0, "0000000100000000000001FF"))
	if got, err := parseArchive(small, newGeometry(0)); err == nil || !strings.Contains(err.Error(), "configure the server's wal_segment_size") {
		t.Errorf("1 MB taken for 16 MB: %v, %v", got, err)
	}
	gap := append(names[:100:100], names[101:]...)
	if got, err := parseArchive([]byte(archiveList(0, gap...)), newGeometry(64<<20)); err != nil || len(got[0].Missing) != 1 {
		t.Errorf("a gap: %v, %v", got, err)
	}
}

func TestRefine(t *testing.T) {
	listed := []WALRange{wal(1, 1, 20, 5, 15), wal(2, 20, 30)}
	for name, c := range map[string]struct{ told, want []WALRange }{
		"nothing archived": {[]WALRange{}, []WALRange{}},
		"as listed": {
			[]WALRange{{Timeline: 1, First: seg(1, 1)}, {Timeline: 2, Last: seg(2, 30)}},
			[]WALRange{wal(1, 1, 20, 5, 15), wal(2, 20, 30)},
		},
		"expired and gone on": {
			[]WALRange{{Timeline: 1, First: seg(1, 10)}, {Timeline: 2, Last: seg(2, 40)}},
			[]WALRange{wal(1, 10, 20, 15), wal(2, 20, 40)},
		},
		"the old timeline expired": {
			[]WALRange{{Timeline: 2, First: seg(2, 25), Last: seg(2, 40)}},
			[]WALRange{wal(2, 25, 40)},
		},
		"another timeline since": {
			[]WALRange{{Timeline: 2, First: seg(2, 25)}, {Timeline: 3, Last: seg(3, 50)}},
			[]WALRange{wal(2, 25, 30), {Timeline: 3, Last: seg(3, 50)}},
		},
	} {
		if diff := cmp.Diff(c.want, refine(c.told, listed, newGeometry(0))); diff != "" {
			t.Errorf("%s\n%s", name, diff)
		}
	}
}

func FuzzParsePgBackRest(f *testing.F) {
	// Short ones: the fuzzer spends its time on making what it finds shorter.
	f.Add([]byte(`[{"name":"main","status":{"code":1}}]`))
	f.Add([]byte(`[{"name":"main","status":{"code":0},"db":[{"id":1}],"archive":[{"database":{"id":1},"min":"000000010000000000000001","max":"000000020000000000000004"}],` +
		`"backup":[{"type":"full","database":{"id":1},"timestamp":{"start":1,"stop":2},"archive":{"start":"000000010000000000000002"}}]}]`))
	f.Fuzz(func(t *testing.T, out []byte) {
		r, err := parsePgBackRest("main", out)
		if err != nil {
			if reasonOf(err) != ReasonFormat {
				t.Errorf("an answer that cannot be understood: %v", err)
			}
			return
		}
		for _, r := range r.Repositories {
			if w := window(r, 0, nil); w.Newest.Before(w.Oldest) {
				t.Errorf("a window that ends before it begins: %+v", w)
			}
		}
	})
}

func FuzzParseArchive(f *testing.F) {
	f.Add([]byte(archiveList(0, "0000000100000000000000FE", "000000010000000100000003")), uint64(16<<20))
	f.Fuzz(func(t *testing.T, out []byte, size uint64) {
		g := newGeometry(size)
		ranges, err := parseArchive(out, g)
		if err != nil {
			return
		}
		for i, r := range ranges {
			if i > 0 && ranges[i-1].Timeline >= r.Timeline || g.place(r.First) > g.place(r.Last) {
				t.Errorf("ranges in disorder: %v", ranges)
			}
			if diff := cmp.Diff(r.Missing, clip(r.Missing, r, g)); diff != "" {
				t.Error(diff)
			}
		}
	})
}
