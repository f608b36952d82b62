package backup

import (
	"errors"
	"strings"
	"testing"
)

// TestFileWrong holds that what is wrong is told with its line.
func TestFileWrong(t *testing.T) {
	const backup = `{"label":"a","type":"full","state":"done","stop":1767236400}`
	backups := func(list string) string { return `{"format":1,"backups":[` + list + `]}` }
	wal := func(list string) string { return `{"format":1,"backups":[],"wal":[` + list + `]}` }
	const (
		a1 = `"0000000100000000000000A1"`
		a2 = `"0000000100000000000000A2"`
		a3 = `"0000000100000000000000A3"`
		a4 = `"0000000100000000000000A4"`
	)
	for _, c := range []struct{ text, want string }{
		// The file as a whole.
		{"", "the file is empty: its writer should"},
		{" \n\n", "the file is empty"},
		{"{\n \"format\": 1,\n", ":2: column 14: not JSON: unexpected end of JSON input; its writer should write a new file beside it and rename that"},
		{"{\n \"format\": 1,,\n}", ":2: column 14: not JSON: invalid character ','"},
		{"{\"format\":1}\n{}", ":2: column 1: not JSON: invalid character '{' after top-level value"},
		{"{\"format\":1,\"tool\":\"\xff\"}", "not JSON: it is not UTF-8"},
		{strings.Repeat(`{"a":`, 20) + "1" + strings.Repeat("}", 20), ":1: lists and objects within each other"},
		{`{}`, `:1: the file has no "format": add it`},
		{`{"format":2,"restore_proven":1767236400}`, ":1: format is not 1"},
		{`{"format":1}`, "it tells neither of backups nor of a restore"},
		{"{\"format\":1,\n\"backup\":[]}", `:2: unknown key "backup" in the file: it has the keys backups, format, repository, restore_proven, stanza, tool, wal`},
		{"{\"format\":1,\n\"pass word\":[]}", ":2: unknown key in the file: it has"},
		{"{\"format\":1,\n\"format\":1}", `:2: key "format" for the second time in the file`},
		{"{\"format\":1,\n\"stanza\":\"other\",\"backups\":[]}", `:2: stanza is not that of the source, "main": is it the file of another server?`},
		{`{"format":1,"tool":"barman","backups":[]}`, `:1: tool "barman" is read by a source of that kind`},
		{`{"format":1,"tool":"a b","backups":[]}`, ":1: tool is not made of up to 63 letters"},
		{`{"format":1,"tool":"other","backups":[]}`, `:1: tool is not that of the source, "nightly": write tool: other there`},
		{`{"format":1,"tool":7,"backups":[]}`, ":1: tool is not a text in quotes"},
		{`{"format":1,"repository":"","backups":[]}`, ":1: repository is not a text in quotes"},
		{`{"format":1,"repository":"nas","restore_proven":1767236400}`, ":1: repository without backups"},
		{`{"format":1,"wal":[],"restore_proven":1767236400}`, ":1: wal without backups"},
		{`{"format":1,"backups":null}`, ":1: backups is not a list in brackets"},
		// Times.
		{`{"format":1,"restore_proven":0}`, ":1: restore_proven is no time: write 2026-01-31T04:05:06Z"},
		{`{"format":1,"restore_proven":1767236400000}`, ":1: restore_proven is no time"},
		{`{"format":1,"restore_proven":"1767236400"}`, ":1: restore_proven is no time"},
		{`{"format":1,"restore_proven":"2026-01-01 12:00:00"}`, ":1: restore_proven is no time"},
		{`{"format":1,"restore_proven":"0001-01-01T00:00:00Z"}`, ":1: restore_proven is no time"},
		{`{"format":1,"restore_proven":null}`, ":1: restore_proven is no time"},
		// Backups.
		{backups(`7`), ":1: a backup is not an object in braces"},
		{backups(`{"type":"full","state":"failed"}`), `:1: a backup has no "label"`},
		{backups(`{"label":"a","state":"failed"}`), `:1: a backup has no "type"`},
		{backups(`{"label":"a","type":"full"}`), `:1: a backup has no "state"`},
		{backups(`{"label":"a","type":"base","state":"failed"}`), ":1: type is not one of full, differential, incremental"},
		{backups(`{"label":"a","type":"full","state":"ok"}`), ":1: state is not one of done, failed, running"},
		{backups(backup + ",\n" + backup), ":2: a second backup with the label of line 1"},
		{backups(`{"label":"a","type":"full","state":"done"}`), `:1: a backup that is done has no "stop"`},
		{backups(`{"label":"a","type":"full","state":"failed"}`), `:1: a backup that failed has neither "start" nor "stop"`},
		{backups(`{"label":"a","type":"full","state":"running","stop":1767236400}`), ":1: stop of a backup that is running"},
		{backups(`{"label":"a","type":"full","state":"done","start":1767236401,"stop":1767236400}`), ":1: stop is before start"},
		{backups(`{"label":"a","type":"full","state":"failed","stop":1767236400,"prior":"b"}`), ":1: prior of a full backup"},
		{backups(`{"label":"a","type":"incremental","state":"done","stop":1767236400}`), `:1: a backup that is incremental has no "prior"`},
		{backups("{\"label\":\"a\",\"type\":\"incremental\",\"state\":\"failed\",\"stop\":1767236400,\"prior\":\"b\"},\n{\"label\":\"b\",\"type\":\"incremental\",\"state\":\"failed\",\"stop\":1767236400,\"prior\":\"a\"}"), ":1: the backup rests on itself"},
		{backups(`{"label":"a","type":"full","state":"failed","stored_bytes":-1}`), ":1: stored_bytes is not a whole number without quotes"},
		{backups(`{"label":"a","type":"full","state":"failed","stored_bytes":"1"}`), ":1: stored_bytes is not a whole number without quotes"},
		{backups(`{"label":"a","type":"full","state":"failed","stored_bytes":1e999}`), ":1: stored_bytes is not a whole number without quotes"},
		{backups(`{"label":"a","type":"full","state":"failed","damaged":"no"}`), ":1: damaged is neither true nor false"},
		{backups(`{"label":"a","type":"full","state":"failed","start_wal":"A1"}`), ":1: start_wal is not the name of a WAL segment"},
		{backups(`{"label":"a","type":"full","state":"failed","stop":1767236400,"start_wal":` + a2 + `,"stop_wal":` + a1 + `}`), ":1: stop_wal is before start_wal"},
		// WAL.
		{wal(`{"timeline":1,"first":` + a1 + `}`), `:1: an item of wal has no "last"`},
		{wal(`{"timeline":0,"first":` + a1 + `,"last":` + a2 + `}`), ":1: timeline is not a number from 1 to 4294967295"},
		{wal(`{"timeline":2,"first":` + a1 + `,"last":` + a2 + `}`), ":1: first is not of timeline 2"},
		{wal(`{"timeline":1,"first":` + a2 + `,"last":` + a1 + `}`), ":1: a range of segments ends before it begins"},
		{wal(`{"timeline":1,"first":` + a1 + `,"last":"0000000200000000000000A2"}`), ":1: a range of segments ends before it begins, or on another timeline"},
		{wal(`{"timeline":1,"first":"00000000000000000000000A","last":` + a2 + `}`), ":1: first is not the name of a WAL segment"},
		{wal(`{"timeline":1,"first":` + a1 + `,"last":` + a2 + "},\n" + `{"timeline":1,"first":` + a3 + `,"last":` + a4 + `}`), ":2: timeline 1 for the second time"},
		{wal(`{"timeline":1,"first":` + a1 + `,"last":` + a4 + `,"missing":[` + a2 + `]}`), ":1: an item of missing is not a list"},
		{wal(`{"timeline":1,"first":` + a1 + `,"last":` + a4 + `,"missing":[[` + a2 + `]]}`), ":1: an item of missing is not a list of two segments"},
		{wal(`{"timeline":1,"first":` + a1 + `,"last":` + a4 + `,"missing":[[` + a3 + `,` + a2 + `]]}`), ":1: a range of segments ends before it begins"},
		{wal(`{"timeline":1,"first":` + a1 + `,"last":` + a4 + `,"missing":[[` + a1 + `,` + a2 + `]]}`), ":1: what is missing is not between first and last"},
		{wal(`{"timeline":1,"first":` + a1 + `,"last":` + a4 + `,"missing":[[` + a2 + `,` + a3 + `],[` + a2 + `,` + a2 + `]]}`), ":1: ranges of what is missing overlap"},
		// Text.
		{"# nothing\n", "it tells neither of backups nor of a restore"},
		{"restore_proven_timestamp_seconds 1767", ":1: not the text format of Prometheus: unexpected end of input stream; its writer should"},
		{"# c\nrestore_proven_timestamp_seconds now\n", ":2: not the text format of Prometheus: write NAME"},
		{"\n{\"restore_proven_timestamp_seconds\"} 1767268800\n", "not JSON"}, // chosen by the first character
		{"# c\n{\"restore_proven_timestamp_seconds\"} 1767268800\n", ":2: a line begins with a brace"},
		{"secret\n", "not the text format of Prometheus"},
		{"# TYPE restore_proven_timestamp_seconds counter\nrestore_proven_timestamp_seconds 1767268800\n", "restore_proven_timestamp_seconds: its TYPE is not gauge"},
		{"# c\nrestored_timestamp_seconds 1767268800\n", ":2: restored_timestamp_seconds: unknown metric"},
		{"restore_proven_timestamp_seconds 0\n", ":1: restore_proven_timestamp_seconds: value is no time"},
		{"restore_proven_timestamp_seconds NaN\n", ":1: restore_proven_timestamp_seconds: value is no time"},
		{"restore_proven_timestamp_seconds 1767268800 1767268800\n", ":1: restore_proven_timestamp_seconds: a second number"},
		{"restore_proven_timestamp_seconds 1767268800\nrestore_proven_timestamp_seconds 1767268800\n", ":2: restore_proven_timestamp_seconds: told already in line 1"},
		{"restore_proven_timestamp_seconds{type=\"full\"} 1767268800\n", ":1: restore_proven_timestamp_seconds: label type: remove it"},
		{"restore_proven_timestamp_seconds{host=\"a\"} 1767268800\n", `:1: restore_proven_timestamp_seconds: unknown label "host"`},
		{"restore_proven_timestamp_seconds{stanza=\"other\"} 1767268800\n", ":1: stanza is not that of the source"},
		{"restore_proven_timestamp_seconds{tool=\"wal-g\"} 1767268800\n", `:1: restore_proven_timestamp_seconds: label tool "wal-g" is read by`},
		{"backup_last_stop_timestamp_seconds 1767268800\n", ":1: backup_last_stop_timestamp_seconds: label type is not one of"},
		{"backup_last_stop_timestamp_seconds{type=\"full\",repository=\"a\"} 1767268800\nbackup_last_stored_bytes{type=\"full\",repository=\"b\"} 1\n", ":2: backup_last_stored_bytes: label repository is not as in the lines before"},
		{"backup_last_stored_bytes{type=\"full\"} 1\n", `:1: backup_last_stop_timestamp_seconds{type="full"} is not there`},
		{"backup_last_stored_bytes{type=\"full\"} -1\n", ":1: backup_last_stored_bytes: value is no number of bytes"},
		{"backup_last_stop_timestamp_seconds{type=\"full\"} 1767268800\nbackup_last_start_timestamp_seconds{type=\"full\"} 1767268801\n", ":2: backup_last_stop_timestamp_seconds{type=\"full\"} is before its start"},
	} {
		r, err := lookAt(t, c.text)
		var look *LookError
		switch {
		case err == nil:
			t.Errorf("%s\nis taken: %+v", c.text, r)
		case !errors.As(err, &look) || look.Reason != ReasonFormat:
			t.Errorf("%s\n%v: the reason is not its format", c.text, err)
		case !strings.Contains(err.Error(), c.want):
			t.Errorf("%s\n%v\nwant %s", c.text, err, c.want)
		case strings.Contains(err.Error(), "secret"):
			t.Errorf("the error quotes a file: %v", err)
		}
	}
}

// TestFileTruncated holds that no beginning of a JSON file is taken for the whole.
func TestFileTruncated(t *testing.T) {
	const text = `{"format":1,"restore_proven":1767268800,"backups":[{"label":"a","type":"full","state":"done","stop":1767236400}]}`
	for n := range len(text) {
		if r, err := lookAt(t, text[:n]); err == nil {
			t.Errorf("%s is taken: %+v", text[:n], r)
		}
	}
}

func FuzzFile(f *testing.F) {
	f.Add([]byte(`{"format":1,"tool":"t","stanza":"main","repository":"r","restore_proven":"2026-01-01T00:00:00Z","backups":[{"label":"a","type":"full","state":"done","start":1767236400,"stop":1767236400,"stored_bytes":1,"damaged":true},{"label":"b","type":"incremental","state":"failed","stop":1767236400,"prior":"a"}],"wal":[{"timeline":1,"first":"0000000100000000000000A1","last":"0000000100000000000000A3","missing":[["0000000100000000000000A2","0000000100000000000000A2"]]}]}`))
	f.Add([]byte("# TYPE backup_last_stop_timestamp_seconds gauge\nbackup_last_stop_timestamp_seconds{type=\"full\",tool=\"t\"} 1767236400\nrestore_proven_timestamp_seconds 1767268800\n"))
	f.Add([]byte("# TYPE a histogram\na_bucket{le=\"1\"} 2\n"))
	f.Add([]byte(" \n{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := facts{path: "facts", data: data}
		r, err := c.parse(Config{Kind: File, Stanza: "main"})
		if err != nil {
			return
		}
		if len(r.Repositories) == 0 && r.RestoreProven.IsZero() || len(r.Repositories) > 1 || r.Stanza != "main" || r.Tool == "" {
			t.Fatalf("%q is taken as %+v", data, r)
		}
		for _, repo := range r.Repositories {
			for _, b := range repo.Backups {
				if b.Label == "" || b.Type == "" || b.State == Done && b.Stop.IsZero() {
					t.Fatalf("%q has the backup %+v", data, b)
				}
			}
		}
	})
}
