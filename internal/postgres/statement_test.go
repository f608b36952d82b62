package postgres_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/postgres"
)

// TestPlan plans with parameters and settings, of which nothing is left behind.
func TestPlan(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		database := srv.Database(t)
		srv.ExecIn(t, database, "CREATE SCHEMA app", "CREATE TABLE app.t (id int PRIMARY KEY, b text)", "CREATE TABLE t (k int) PARTITION BY RANGE (k)",
			"CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10)",
			"CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (20)")
		s := open(t, postgres.Config{ConnString: srv.DSN(pgtest.Superuser, database)})
		session := lend(t, s)
		defer s.Release(t.Context(), session)
		st := postgres.Statement{
			SQL: "SELECT b FROM t WHERE id = $1 AND b = $2 AND ($3 IS NULL OR id > 5)", Types: []uint32{0, 0, 25}, Timeout: time.Second,
			Settings: []postgres.Setting{{Name: "search_path", Value: "public"}, {Name: "search_path", Value: `app, "odd, schema"`}, {Name: "work_mem", Value: "123MB"}},
		}
		types, err := session.Parse(t.Context(), st)
		if err != nil || fmt.Sprint(types) != "[23 25 25]" {
			t.Fatalf("%v, %v", types, err)
		}
		raw, err := session.Plan(t.Context(), st)
		if err != nil {
			t.Fatal(err)
		}
		var plan []struct {
			Plan     map[string]any
			Settings map[string]string
		}
		if err := json.Unmarshal(raw, &plan); err != nil || len(plan) != 1 || plan[0].Plan["Schema"] != "app" || plan[0].Settings["work_mem"] != "123MB" {
			t.Errorf("%v in %s", err, raw)
		}
		if !strings.Contains(string(raw), "b = $2)") {
			t.Errorf("the plan is not generic: %s", raw)
		}
		// Since 16 a partition is not taken out of the plan for a parameter that is NULL.
		raw, err = session.Plan(t.Context(), postgres.Statement{
			SQL: "SELECT 1 FROM public.t WHERE k = $1", Timeout: time.Second, Settings: []postgres.Setting{{Name: "enable_seqscan", Value: "on"}},
		})
		if err != nil || strings.Contains(string(raw), `"Relation Name": "t1"`) != (srv.Major >= 16) {
			t.Errorf("%v: %s", err, raw)
		}
		if err := session.Run(t.Context(), []postgres.Query{{Name: "after", Timeout: time.Second, SQL: `
SELECT (SELECT count(*) FROM pg_prepared_statements WHERE name NOT LIKE 'pgvigil\__')::double precision AS left_over
     , current_setting('search_path') || current_setting('work_mem') || current_setting('transaction_read_only') AS settings`}}, func(_ int, r postgres.Result) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			if left, settings := r.Rows.Value(0, "left_over"), r.Rows.Text(0, "settings"); left != 0 || settings != "pg_catalog32MBon" {
				t.Errorf("%v statements are left, settings are %s", left, settings)
			}
		}); err != nil {
			t.Fatal(err)
		}
	})
}

// TestPlanExecutesNothing gives what must not be executed, with a superuser's rights.
func TestPlanExecutesNothing(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		database := srv.Database(t)
		srv.ExecIn(t, database, "CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
		s := open(t, postgres.Config{ConnString: srv.DSN(pgtest.Superuser, database)})
		session := lend(t, s)
		defer s.Release(t.Context(), session)
		for sql, state := range map[string]string{
			"DELETE FROM t":          "",
			"INSERT INTO t SELECT 5": "",
			"WITH d AS (DELETE FROM t RETURNING *) SELECT pg_terminate_backend(pg_backend_pid()) FROM d": "",
			"SELECT 1; DROP TABLE t":                  "42601",
			"SELECT 1; COMMIT; DROP TABLE t":          "42601",
			"SELECT 1) ; DROP TABLE t; --":            "42601",
			"DROP TABLE t":                            "none",
			"COMMIT":                                  "none",
			"SET default_transaction_read_only = off": "none",
			"CREATE TABLE made AS SELECT 1":           "",
			"COPY t TO PROGRAM 'touch made'":          "none",
			"DO $$BEGIN DELETE FROM t; END$$":         "none",
			"":                                        "none",
			"SELECT":                                  "",
			"SELECT nothing":                          "42703",
			"SELECT $2":                               "42P18",
		} {
			_, err := session.Plan(t.Context(), postgres.Statement{SQL: sql, Timeout: time.Second, Settings: []postgres.Setting{{Name: "search_path", Value: "public"}}})
			fault, told := postgres.FaultOf(err)
			switch {
			case state == "" && err == nil, state == "none" && !told, told && fault.State == state:
			default:
				t.Errorf("%q: %v", sql, err)
			}
			if state == "42703" && fault.Position != 8 {
				t.Errorf("%q: the fault is at %d", sql, fault.Position)
			}
		}
		if got := srv.Query(t, database, "SELECT count(*) || coalesce(to_regclass('made')::text, '') FROM t"); got != "1" {
			t.Errorf("the table has %s rows", got)
		}
		if session.Broken() {
			t.Error("the session is gone")
		}
	})
}
