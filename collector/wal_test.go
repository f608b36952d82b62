package collector_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/scrape"
)

const walPosition = "pg_wal_position_bytes_total"

// position asks a server for a position in the WAL, by an expression.
func position(t *testing.T, srv *pgtest.Server, lsn string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(srv.Query(t, "postgres", "SELECT "+lsn+" - '0/0'"), 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// walBetween fails where the position on a page is not one that the server was at
// just then.
func walBetween(t *testing.T, srv *pgtest.Server, e *scrape.Engine, lsn string) float64 {
	t.Helper()
	before, got, after := position(t, srv, lsn), scrapePage(t, e).value(t, walPosition), position(t, srv, lsn)
	if got < before || got > after {
		t.Errorf("the position is %v, want %v to %v", got, before, after)
	}
	return got
}

func TestWAL(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		e := watch(t, srv, pgtest.Monitor, "wal", "stat_wal")
		first := walBetween(t, srv, e, "pg_current_wal_lsn()")
		wrote := scrapePage(t, e).sum("pg_stat_wal_bytes_total")
		srv.ExecIn(t, db, "CREATE TABLE t AS SELECT repeat('x', 100) FROM generate_series(1, 1000)")
		if grown := walBetween(t, srv, e, "pg_current_wal_lsn()") - first; grown < 100_000 {
			t.Errorf("the position grew by %v for 100 000 bytes", grown)
		}
		page := scrapePage(t, e)
		page.succeeded(t, "wal", "wal_directory")
		segments, size := page.value(t, "pg_wal_segments"), page.value(t, "pg_wal_size_bytes")
		if segments < 1 || size < segments*(16<<20) {
			t.Errorf("%v segments are %v bytes", segments, size)
		}
		if srv.Major < 14 {
			page.value(t, "pgvigil_collector_skipped", "collector", "stat_wal", "reason", "version")
			return
		}
		eventually(t, e, "pg_stat_wal_bytes_total", func(s snapshot) bool {
			return s.value(t, "pg_stat_wal_bytes_total") >= wrote+100_000
		})
	})
}

// TestWALAsNobody: whoever may not read the directory is not asked to fail at it.
func TestWALAsNobody(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		e := watch(t, srv, pgtest.Nobody, "wal", "stat_wal")
		page := scrapePage(t, e)
		page.succeeded(t, "wal")
		page.value(t, walPosition)
		page.value(t, "pgvigil_collector_skipped", "collector", "wal_directory", "reason", "privilege")
		page.absent(t, "pg_wal_size_bytes")
		if strings.Contains(srv.Log(), "permission denied for function pg_ls_waldir") {
			t.Error("the server's log has our attempt to read pg_wal")
		}
	})
}

// walOnStandby is a step of TestStandby.
func walOnStandby(t *testing.T, c cascade) {
	c.primary.Exec(t, "INSERT INTO t VALUES (1)")
	walBetween(t, c.standby, c.onStandby, "greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())")
}
