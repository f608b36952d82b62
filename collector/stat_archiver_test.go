package collector_test

import (
	"testing"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// fillSegment completes a WAL segment, which is then to be archived.
func fillSegment(t *testing.T, srv *pgtest.Server) {
	t.Helper()
	srv.Exec(t, "CREATE TABLE segment (); DROP TABLE segment; SELECT pg_switch_wal()")
}

// TestStatArchiver has an archive that refuses, recovers, is nowhere, and is no
// longer wanted.
func TestStatArchiver(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{"archive_command": "test -e archive"}})
		e := watch(t, srv, pgtest.Monitor, "stat_archiver")
		want := func(page snapshot, archiving, configured float64) {
			t.Helper()
			a, c := page.value(t, "pg_stat_archiver_archiving"), page.value(t, "pg_stat_archiver_configured")
			if a != archiving || c != configured {
				t.Errorf("archiving %v, configured %v, want %v and %v", a, c, archiving, configured)
			}
		}

		page := scrapePage(t, e)
		page.succeeded(t, "stat_archiver", "stat_archiver_backlog")
		want(page, 1, 1)
		if got := page.value(t, "pg_stat_archiver_failing"); got != 0 {
			t.Errorf("failing is %v before there was anything to archive", got)
		}
		page.absent(t, "pg_stat_archiver_last_failed_timestamp_seconds")

		fillSegment(t, srv)
		page = eventually(t, e, "pg_stat_archiver_failing", adds("pg_stat_archiver_failing", 1))
		failed := page.value(t, "pg_stat_archiver_last_failed_timestamp_seconds")
		if got := page.value(t, "pg_stat_archiver_failed_total"); got < 1 {
			t.Errorf("failed_total is %v", got)
		}
		backlog := backlogOf(t, srv)
		if got := backlog.value(t, "pg_stat_archiver_ready_files"); got < 1 {
			t.Errorf("ready_files is %v", got)
		}
		oldest := backlog.value(t, "pg_stat_archiver_oldest_ready_timestamp_seconds")
		if oldest > failed+1 { // the file system's clock may be coarse
			t.Errorf("waiting since %v, and archiving failed at %v", oldest, failed)
		}

		// Switching makes the archiver look again, should it have given up for a minute.
		srv.Exec(t, "COPY (SELECT 1) TO PROGRAM 'cat > archive'")
		fillSegment(t, srv)
		page = eventually(t, e, "pg_stat_archiver_failing", func(s snapshot) bool {
			return s.sum("pg_stat_archiver_failing") == 0 && s.sum("pg_stat_archiver_archived_total") >= 2
		})
		if got := page.value(t, "pg_stat_archiver_last_failed_timestamp_seconds"); got < failed {
			t.Errorf("the last failure was at %v, and is now at %v", failed, got)
		}
		page.value(t, "pg_stat_archiver_last_archived_timestamp_seconds")
		backlog = backlogOf(t, srv)
		if got := backlog.value(t, "pg_stat_archiver_ready_files"); got != 0 {
			t.Errorf("ready_files is %v once all is archived", got)
		}
		backlog.absent(t, "pg_stat_archiver_oldest_ready_timestamp_seconds")

		set(t, srv, "archive_command", "''")
		want(eventually(t, e, "pg_stat_archiver_configured", adds("pg_stat_archiver_configured", 0)), 1, 0)
		fillSegment(t, srv)
		if got := backlogOf(t, srv).value(t, "pg_stat_archiver_ready_files"); got < 1 {
			t.Errorf("ready_files is %v with nowhere to archive to", got)
		}
		if major >= 15 {
			set(t, srv, "archive_library", "'basic_archive'")
			eventually(t, e, "pg_stat_archiver_configured", adds("pg_stat_archiver_configured", 1))
		}

		srv.Exec(t, "ALTER SYSTEM SET archive_mode = off")
		if err := srv.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		page = eventually(t, e, "pg_stat_archiver_archiving", adds("pg_stat_archiver_archiving", 0))
		want(page, 0, 0)
		page.absent(t, "pg_stat_archiver_failing")
		backlog = backlogOf(t, srv)
		backlog.value(t, "pgvigil_collector_skipped", "collector", "stat_archiver_backlog", "reason", "setting")
		backlog.absent(t, "pg_stat_archiver_ready_files")
	})
}

// backlogOf has a new engine read what an old one keeps for a minute.
func backlogOf(t *testing.T, srv *pgtest.Server) snapshot {
	t.Helper()
	return scrapePage(t, watch(t, srv, pgtest.Monitor, "stat_archiver"))
}

// archiverOnStandby is a step of TestStandby: its archive_mode is on, and always
// is what would make a standby archive.
func archiverOnStandby(t *testing.T, c cascade) {
	page := scrapePage(t, c.onStandby)
	page.succeeded(t, "stat_archiver", "stat_archiver_backlog")
	if got := page.value(t, "pg_stat_archiver_archiving"); got != 0 {
		t.Errorf("archiving is %v", got)
	}
	if got := page.value(t, "pg_stat_archiver_configured"); got != 1 {
		t.Errorf("configured is %v", got)
	}
	page.absent(t, "pg_stat_archiver_failing")
}
