package collector_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// TestStatUserFunctions calls functions of one name, of an odd name, and one that
// calls another.
func TestStatUserFunctions(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		odd := pgx.Identifier{oddName, oddName}.Sanitize()
		srv.ExecIn(t, db,
			"CREATE FUNCTION over(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'",
			"CREATE FUNCTION over(text) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 2; END'",
			"CREATE FUNCTION never() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 3; END'",
			"CREATE FUNCTION inner_one() RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.02); END'",
			"CREATE PROCEDURE outer_one() LANGUAGE plpgsql AS 'BEGIN PERFORM inner_one(); PERFORM inner_one(); END'",
			"CREATE SCHEMA "+pgx.Identifier{oddName}.Sanitize(), "CREATE FUNCTION "+odd+"() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 4; END'",
			"SELECT over(1), over('a') FROM generate_series(1, 5)", "CALL outer_one()", "SELECT "+odd+"()",
		)
		open := watchIn(t, srv, 0, []string{db}, collector.StatUserFunctions)
		const calls = "pg_stat_user_functions_calls_total"
		page := anew(t, open, calls, all(
			has(calls, 10, "datname", db, "schemaname", "public", "funcname", "over"), has(calls, 2, "funcname", "inner_one"),
			has(calls, 1, "funcname", "outer_one"), has(calls, 1, "schemaname", oddName, "funcname", oddName)))
		page.absent(t, calls, "funcname", "never")
		const total, self = "pg_stat_user_functions_total_time_seconds_total", "pg_stat_user_functions_self_time_seconds_total"
		inner, outer := page.value(t, self, "funcname", "inner_one"), page.value(t, total, "funcname", "outer_one")
		if inner < 0.04 || inner > 10 || outer < inner {
			t.Errorf("two calls that slept 0.02 s each took %v s, and what called them %v s", inner, outer)
		}
		if v := page.value(t, self, "funcname", "outer_one"); v >= outer-inner+0.001 {
			t.Errorf("outer_one itself took %v of %v s, and what it called %v", v, outer, inner)
		}

		// Those left are added up, and nothing is lost.
		few := watchIn(t, srv, 2, []string{db}, collector.StatUserFunctions)
		page = scrapePage(t, few())
		if v := page.sum(calls); v != 14 {
			t.Errorf("the calls add up to %v, want 14:\n%s", v, page.text(calls))
		}
		if v := page.values(calls, "schemaname", "other", "funcname", "other"); len(v) != 1 || len(page.values(calls)) != 3 {
			t.Errorf("2 functions and the rest are not shown:\n%s", page.text(calls))
		}

		srv.Exec(t, "ALTER DATABASE "+db+" SET track_functions = none")
		page = scrapePage(t, open())
		page.value(t, "pgvigil_collector_skipped", "collector", "stat_user_functions", "reason", "setting")
		page.absent(t, calls)
	})
}
