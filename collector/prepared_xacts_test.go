package collector_test

import (
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// preparedScene leaves a prepared transaction.
func preparedScene(t *testing.T, srv *pgtest.Server) {
	t.Helper()
	srv.Exec(t, "BEGIN; SELECT txid_current(); PREPARE TRANSACTION 'scene'")
}

// TestPreparedXacts prepares transactions and ends them.
func TestPreparedXacts(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		e := watch(t, srv, pgtest.Monitor, "prepared_xacts")
		page := scrapePage(t, e)
		page.succeeded(t, "prepared_xacts")
		page.absent(t, "pg_prepared_xacts_transactions", "datname", db)
		page.absent(t, "pg_prepared_xacts_max_age_seconds", "datname", db)

		began := time.Now()
		srv.ExecIn(t, db, "BEGIN; SELECT txid_current(); PREPARE TRANSACTION '"+db+"_1'")
		prepared := time.Now()
		page = eventually(t, e, "pg_prepared_xacts_transactions", has("pg_prepared_xacts_transactions", 1, "datname", db))
		page.age(t, began, "pg_prepared_xacts_max_age_seconds", "datname", db)

		srv.ExecIn(t, db, "BEGIN; SELECT txid_current(); PREPARE TRANSACTION '"+db+"_2'")
		least := time.Since(prepared).Seconds()
		page = scrapePage(t, e)
		if got := page.value(t, "pg_prepared_xacts_transactions", "datname", db); got != 2 {
			t.Errorf("%v transactions are prepared, want 2", got)
		}
		if got := page.age(t, began, "pg_prepared_xacts_max_age_seconds", "datname", db); got < least {
			t.Errorf("the older is %v s old, and was prepared more than %v s ago", got, least)
		}

		srv.ExecIn(t, db, "ROLLBACK PREPARED '"+db+"_1'", "COMMIT PREPARED '"+db+"_2'")
		scrapePage(t, e).absent(t, "pg_prepared_xacts_transactions", "datname", db)
	})
}

// TestPreparedXactsRestart has a prepared transaction outlive the server, and one
// server that allows none.
func TestPreparedXactsRestart(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{})
		began := time.Now()
		preparedScene(t, srv)
		prepared := time.Now()
		if err := srv.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		least := time.Since(prepared).Seconds()
		page := scrapePage(t, watch(t, srv, pgtest.Monitor, "prepared_xacts"))
		if got := page.age(t, began, "pg_prepared_xacts_max_age_seconds", "datname", "postgres"); got < least {
			t.Errorf("after the restart it is %v s old, and was prepared more than %v s ago", got, least)
		}

		none := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{"max_prepared_transactions": "0"}})
		page = scrapePage(t, watch(t, none, pgtest.Monitor, "prepared_xacts"))
		page.value(t, "pgvigil_collector_skipped", "collector", "prepared_xacts", "reason", "setting")
	})
}
