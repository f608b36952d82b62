package backup

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// own is what pgBackRest itself says of the last backup of the test's stanza.
type own struct {
	Type      string
	Error     bool
	Timestamp struct{ Start, Stop float64 }
	Info      struct {
		Size, Delta float64
		Repository  struct{ Size, Delta float64 }
	}
}

func lastBackup(t *testing.T, b *pgtest.PgBackRest) own {
	t.Helper()
	var all []struct{ Backup []own }
	if err := json.Unmarshal([]byte(b.Run(t, "info", "--output=json")), &all); err != nil {
		t.Fatal(err)
	}
	return all[0].Backup[len(all[0].Backup)-1]
}

// archive switches to new segments and waits until they are archived.
func archive(t *testing.T, srv *pgtest.Server, segments int) {
	t.Helper()
	for range segments {
		last := srv.Query(t, "postgres", "SELECT pg_logical_emit_message(false, 'test', 'x'); SELECT pg_walfile_name(pg_switch_wal())")
		until(t, last+" is archived", func() bool {
			return srv.Query(t, "postgres", "SELECT last_archived_wal >= '"+last+"' FROM pg_stat_archiver") == "t"
		})
	}
}

// archived is what the server itself says of its archiver.
func archived(t *testing.T, srv *pgtest.Server) Archived {
	t.Helper()
	const last = "FROM pg_stat_archiver WHERE last_archived_wal !~ 'backup'"
	at, err := strconv.ParseFloat(srv.Query(t, "postgres", "SELECT extract(epoch FROM last_archived_time) "+last), 64)
	if err != nil {
		t.Fatal(err)
	}
	system, err := strconv.ParseUint(srv.Query(t, "postgres", "SELECT system_identifier FROM pg_control_system()"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return Archived{segment(t, srv.Query(t, "postgres", "SELECT last_archived_wal "+last)), time.UnixMilli(int64(at * 1000)), system}
}

func TestPgBackRest(t *testing.T) {
	for _, major := range []int{14, 15} { // 2.45 refuses newer ones
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			b := pgtest.NewPgBackRest(t, major, 1)
			w := watch(t, Config{Kind: PgBackRest, Stanza: pgtest.Stanza, Command: b.Command(), WALInterval: time.Nanosecond})
			stage := pgBackRestStage{b, w}
			stage.nothing(t)
			first := stage.backups(t)
			stage.running(t)
			stage.archiver(t)
			stage.damaged(t, first)
			stage.gap(t, first)
			stage.away(t)
			if n := w.log.count("level=warn"); n != 1 {
				t.Errorf("%d warnings: %s", n, w.log.text.String())
			}
		})
	}
}

type pgBackRestStage struct {
	*pgtest.PgBackRest
	w watched
}

func (s pgBackRestStage) nothing(t *testing.T) {
	expect(t, s.w.after(t), map[string]float64{
		"backup_repository_status{main,1,no_backup}": 1, "backup_repository_status{main,1,ok}": 0, "backup_look_success{main}": 1,
		"backup_completed{main,1,full}": 0, "backup_repository_last_good_timestamp_seconds{main,1}": spec.Absent(),
		"backup_repository_oldest_recoverable_timestamp_seconds{main,1}": spec.Absent(), "backup_repository_running{main,1}": 0,
	})
}

// backups makes one of each type and returns what the full one says of itself.
func (s pgBackRestStage) backups(t *testing.T) own {
	types := map[string]string{"full": "full", "diff": "differential", "incr": "incremental"}
	var first own
	for _, kind := range []string{"full", "diff", "incr"} {
		s.Run(t, "backup", "--type="+kind)
		b := lastBackup(t, s.PgBackRest)
		if kind == "full" {
			first = b
		}
		labels := "{main,1," + types[kind] + "}"
		got := s.w.after(t)
		expect(t, got, map[string]float64{
			"backup_last_start_timestamp_seconds" + labels: b.Timestamp.Start, "backup_last_stop_timestamp_seconds" + labels: b.Timestamp.Stop,
			"backup_last_duration_seconds" + labels: b.Timestamp.Stop - b.Timestamp.Start, "backup_completed" + labels: 1, "backup_last_damaged" + labels: 0,
			"backup_last_database_bytes" + labels: b.Info.Size, "backup_last_delta_bytes" + labels: b.Info.Delta,
			"backup_last_repository_bytes" + labels: b.Info.Repository.Size, "backup_last_repository_delta_bytes" + labels: b.Info.Repository.Delta,
			"backup_last_attempt_failed" + labels: spec.Absent(), "backup_repository_status{main,1,ok}": 1, "backup_look_success{main}": 1,
			"backup_repository_last_good_timestamp_seconds{main,1}":          b.Timestamp.Stop,
			"backup_repository_oldest_recoverable_timestamp_seconds{main,1}": first.Timestamp.Stop,
			"backup_repository_newest_recoverable_timestamp_seconds{main,1}": b.Timestamp.Stop,
			"backup_repository_recovery_window_seconds{main,1}":              b.Timestamp.Stop - first.Timestamp.Stop,
			"backup_wal_gaps{main,1,1}":                                      0,
		})
	}
	return first
}

// running holds a backup at its beginning: it waits for a checkpoint that takes its
// time, a tenth of a second a page. Then it is killed, and leaves no trace.
func (s pgBackRestStage) running(t *testing.T) {
	s.Server.Exec(t, "CREATE TABLE pages (t text)", "INSERT INTO pages SELECT repeat('x', 1000) FROM generate_series(1, 7000)")
	began := time.Now()
	end := s.Begin(t, "backup", "--type=full", "--no-start-fast")
	var got map[string]float64
	until(t, "the running backup is seen", func() bool { got = s.w.after(t); return got["backup_repository_running{main,1}"] == 1 })
	since := got["backup_repository_running_since_timestamp_seconds{main,1}"]
	if since < float64(began.Unix()) || since > float64(time.Now().Unix()+1) {
		t.Errorf("it runs since %v, and began at %v", since, began.Unix())
	}
	expect(t, s.w.after(t), map[string]float64{"backup_repository_running_since_timestamp_seconds{main,1}": since, "backup_completed{main,1,full}": 1})
	end()
	until(t, "the killed backup is gone", func() bool { got = s.w.after(t); return got["backup_repository_running{main,1}"] == 0 })
	expect(t, got, map[string]float64{"backup_repository_running_since_timestamp_seconds{main,1}": spec.Absent(), "backup_completed{main,1,full}": 1})
}

// archiver holds the newest moment against the server's own.
func (s pgBackRestStage) archiver(t *testing.T) {
	archive(t, s.Server, 3)
	a := archived(t, s.Server)
	s.w.Archived(a)
	expect(t, s.w.after(t), map[string]float64{"backup_repository_newest_recoverable_timestamp_seconds{main,1}": moment(a.Time)})
}

// damaged completes a backup with a page whose checksum does not fit: it is the
// last, and no good one.
func (s pgBackRestStage) damaged(t *testing.T, first own) {
	s.Server.Exec(t, "CREATE TABLE damaged AS SELECT g FROM generate_series(1, 10000) AS g")
	good := lastBackup(t, s.PgBackRest)
	s.Corrupt(t, "damaged")
	s.Run(t, "backup", "--type=full", "--log-level-stderr=off")
	b := lastBackup(t, s.PgBackRest)
	if !b.Error {
		t.Fatal("pgBackRest finds no fault with a spoilt page")
	}
	expect(t, s.w.after(t), map[string]float64{
		"backup_last_stop_timestamp_seconds{main,1,full}": b.Timestamp.Stop, "backup_last_damaged{main,1,full}": 1, "backup_completed{main,1,full}": 2,
		"backup_repository_last_good_timestamp_seconds{main,1}":          good.Timestamp.Stop,
		"backup_repository_oldest_recoverable_timestamp_seconds{main,1}": first.Timestamp.Stop,
	})
	s.Server.Exec(t, "DROP TABLE damaged")
}

// gap takes a segment out of the archive after all backups, and makes one after.
func (s pgBackRestStage) gap(t *testing.T, first own) {
	archive(t, s.Server, 1)
	lost := archived(t, s.Server).Segment.String()
	archive(t, s.Server, 2)
	files, err := filepath.Glob(s.Repository(1) + "/archive/main/*/*/" + lost + "-*")
	if err != nil || len(files) != 1 {
		t.Fatalf("segment %s is %v: %v", lost, files, err)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	expect(t, s.w.after(t), map[string]float64{
		"backup_wal_gaps{main,1,1}": 1, "backup_wal_missing_segments{main,1,1}": 1,
		"backup_repository_oldest_recoverable_timestamp_seconds{main,1}": spec.Absent(), "backup_repository_recovery_window_seconds{main,1}": spec.Absent(),
	})
	s.Run(t, "backup", "--type=full")
	b := lastBackup(t, s.PgBackRest)
	if b.Error || b.Timestamp.Stop <= first.Timestamp.Stop {
		t.Fatalf("backup after the gap: %+v", b)
	}
	expect(t, s.w.after(t), map[string]float64{
		"backup_wal_gaps{main,1,1}": 1, "backup_repository_last_good_timestamp_seconds{main,1}": b.Timestamp.Stop,
		"backup_repository_oldest_recoverable_timestamp_seconds{main,1}": b.Timestamp.Stop, "backup_repository_newest_recoverable_timestamp_seconds{main,1}": b.Timestamp.Stop,
	})
}

// away takes the repository away and brings it back.
func (s pgBackRestStage) away(t *testing.T) {
	before := s.w.after(t)
	path := s.Repository(1)
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	after := s.w.after(t)
	expect(t, after, map[string]float64{
		"backup_repository_status{main,1,ok}": 0, "backup_repository_status{main,1,missing}": 1,
		"backup_look_success{main}": 0, "backup_look_failures_total{main,repository}": 1, "backup_look_failures_total{main,timeout}": 0,
	})
	for _, name := range []string{
		"backup_last_look_timestamp_seconds{main}", "backup_repository_last_look_timestamp_seconds{main,1}", "backup_repository_last_good_timestamp_seconds{main,1}",
		"backup_repository_oldest_recoverable_timestamp_seconds{main,1}", "backup_completed{main,1,full}", "backup_wal_gaps{main,1,1}",
	} {
		expect(t, after, map[string]float64{name: before[name]})
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	again := s.w.after(t)
	expect(t, again, map[string]float64{"backup_repository_status{main,1,ok}": 1, "backup_look_success{main}": 1, "backup_look_failures_total{main,repository}": 1})
	if again["backup_last_look_timestamp_seconds{main}"] <= before["backup_last_look_timestamp_seconds{main}"] {
		t.Error("the last look does not move again")
	}
	if s.w.log.count("succeeds again") != 1 {
		t.Error("the log does not tell that the repository is back, once")
	}
}
