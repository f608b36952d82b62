package explain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/postgres"
)

// TestPlans executes statements as applications do, with constants and with
// parameters, and asks for their plans.
func TestPlans(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		l := newLab(t, srv,
			`CREATE TABLE t (id int PRIMARY KEY, a int, b text, ts timestamptz, tags text[], n numeric, ok boolean, u uuid, j jsonb)`,
			`INSERT INTO t SELECT g, g % 10, 'x' || g, now(), '{a}', g, true, NULL, '{}' FROM generate_series(1, 2000) AS g`,
			`CREATE INDEX t_ts ON t (ts)`,
			`CREATE DOMAIN positive AS int NOT NULL CHECK (VALUE > 0)`,
			`CREATE TABLE d (x positive)`,
			`GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO `+pgtest.Monitor,
			`CREATE TABLE parts (k int, v text) PARTITION BY RANGE (k)`,
			`CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100)`,
			`CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (100) TO (200)`,
			`ANALYZE`)
		for _, tt := range []struct {
			name, sql string
			args      []any
			like      string   // of the entry's text
			types     string   // of the parameters
			want      []string // parts of the plan
			notes     string   // part of the notes
		}{
			{name: "int", sql: "SELECT b FROM t WHERE id = 5", like: "SELECT b FROM t WHERE id = %", types: "$1 integer", want: []string{"Index Scan using t_pkey on public.t", "Index Cond: (t.id = $1)"}},
			{name: "parameters of the protocol", sql: "SELECT a, b FROM t WHERE id = $1 AND b = $2", args: []any{5, "x5"}, like: "SELECT a, b FROM t WHERE id = $1%", types: "$1 integer, $2 text", want: []string{"Filter: (t.b = $2)"}},
			{name: "timestamptz", sql: "SELECT id FROM t WHERE ts BETWEEN '2020-01-01' AND '2020-01-02'::timestamptz", like: "SELECT id FROM t WHERE ts BETWEEN%", types: "$1 timestamp with time zone, $2 timestamp with time zone", want: []string{"t_ts"}},
			{name: "interval", sql: "SELECT id FROM t WHERE ts > now() - interval '1 day' AND ts < now() + interval '3' hour - INTERVAL(0) '1 s'", like: "%INTERVAL(0)%", types: "$1 interval, $2 interval, $3 interval", want: []string{"t_ts"}},
			{name: "typed literals", sql: "SELECT id FROM t WHERE ts > timestamp with time zone '2020-01-01' AND n > numeric '3' AND ts::date > date '2020-01-01' AND n < double precision '7'", like: "%double precision%", types: "$1 timestamp with time zone, $2 numeric, $3 date, $4 double precision", want: []string{"t_ts"}},
			{name: "in list", sql: "SELECT id FROM t WHERE id IN (1, 2, 3)", like: "SELECT id FROM t WHERE id IN%", want: []string{"Index"}, notes: map[bool]string{true: "one element of a list"}[srv.Major >= 18]},
			{name: "array", sql: "SELECT id FROM t WHERE tags && ARRAY['a', 'b'] AND tags @> '{c}'", like: "%@>%", types: "", want: []string{"Filter: "}},
			{name: "array of the protocol", sql: "SELECT n FROM t WHERE id = ANY ($1)", args: []any{[]int{1, 2}}, like: "SELECT n FROM t WHERE id = ANY%", types: "$1 integer[]", want: []string{"Index Cond: (t.id = ANY ($1))"}},
			{name: "array of numbers", sql: "SELECT u FROM t WHERE id = ANY (ARRAY[1, 2])", like: "SELECT u FROM t WHERE id = ANY%", want: []string{"Index Cond: (t.id = ANY (ARRAY[$1"}, notes: "integer is taken"},
			{name: "limit", sql: "SELECT ok FROM t ORDER BY id LIMIT 3 OFFSET 5", like: "%OFFSET%", types: "$1 bigint, $2 bigint", want: []string{"Limit", "Index Scan using t_pkey"}},
			{name: "uuid, jsonb and boolean", sql: "SELECT id FROM t WHERE u = '00000000-0000-0000-0000-000000000000' AND j @> '{}' AND j ->> 'x' = 'y' AND ok = true", like: "%->>%", types: "$1 uuid, $2 jsonb, $3 text, $4 text, $5 boolean", want: []string{"Filter"}},
			{name: "sum of cases", sql: "SELECT sum(CASE WHEN b = 'x1' THEN 1 ELSE 0 END) FROM t", like: "SELECT sum(CASE%", types: "$1 text, $2 integer, $3 integer", want: []string{"Aggregate"}, notes: "The type of $2, $3 cannot be inferred; integer is taken."},
			{name: "far from where it counts", sql: "WITH w AS (SELECT 1 AS one, 'x' AS b) SELECT t.id FROM w JOIN t ON t.id = w.one WHERE t.b <> w.b", like: "WITH w AS (SELECT%", want: []string{"t_pkey"}, notes: "integer is taken"},
			{name: "date and number", sql: "SELECT date '2020-01-01' + 5, id FROM t WHERE id = 5 + 1", like: "SELECT date %", types: "$1 date, $2 integer, $3 integer, $4 integer", want: []string{"Index Cond: (t.id = ($3 + $4))"}, notes: "integer is taken"},
			{name: "rows of values", sql: "SELECT t.b FROM (VALUES (1, 'a'), (2, 'b')) AS v (x, y) JOIN t ON t.id = v.x AND t.b <> v.y", like: "%(VALUES %", types: "$1 integer, $2 text, $3 integer, $4 text", want: []string{"Values Scan"}, notes: "integer is taken"},
			{name: "union", sql: "SELECT 1 AS one, 'x' AS b UNION SELECT id, b FROM t", like: "% UNION SELECT id%", types: "$1 integer, $2 text", want: []string{"Append"}},
			{name: "arithmetic", sql: "SELECT round(a * 100.0 / 7, 2), b || 'x', n * 3 FROM t WHERE (id, a) IN ((1, 2), (3, 4))", like: "SELECT round%", want: []string{"Filter"}},
			{name: "series", sql: "SELECT * FROM generate_series(1, 100, 5) AS g", like: "SELECT * FROM generate_series(%", types: "$1 integer, $2 integer, $3 integer", want: []string{"Function Scan on pg_catalog.generate_series g"}},
			{name: "extract", sql: "SELECT max(extract(year FROM ts)) FROM t", like: "%extract%", want: []string{"Aggregate"}, notes: "epoch is taken"},
			{name: "group by", sql: "SELECT date_trunc('day', ts) AS day, a + 1, count(*) FROM t WHERE a > 1 GROUP BY date_trunc('day', ts), a + 1 ORDER BY 1", like: "%date_trunc%", types: "$3 integer", want: []string{"date_trunc('day'::text, t.ts)", "(t.a + 1)"}, notes: "put back"},
			{name: "any type", sql: "SELECT 'x' IS NULL, id FROM t", like: "SELECT $1 IS NULL%", types: "$1 text", want: []string{"Seq Scan on public.t"}, notes: "Nothing tells the type of $1"},
			{name: "partitions", sql: "SELECT v FROM parts WHERE k = 5", like: "SELECT v FROM parts%", types: "$1 integer", want: []string{"parts_1", "parts_2"}, notes: map[bool]string{true: "All partitions are shown"}[srv.Major < 16]},
			{name: "insert", sql: "INSERT INTO t (id, b) VALUES (5000, 'q') ON CONFLICT (id) DO NOTHING", like: "INSERT INTO t (id%", types: "$1 integer, $2 text", want: []string{"Insert on public.t", "Conflict Arbiter Indexes: t_pkey"}},
			{name: "domain", sql: "INSERT INTO d VALUES (3)", like: "INSERT INTO d%", types: "$1 public.positive", want: []string{"Insert on public.d"}},
			{name: "update", sql: "UPDATE t SET b = 'z' WHERE id = 7", like: "UPDATE t%", types: "$1 text, $2 integer", want: []string{"Update on public.t", "Index Cond: (t.id = $2)"}},
			{name: "delete", sql: "WITH gone AS (DELETE FROM t WHERE id = 8 RETURNING id) SELECT * FROM gone", like: "WITH gone%", want: []string{"Delete on public.t"}},
			{name: "for update", sql: "SELECT a FROM t WHERE id = 9 FOR UPDATE", like: "%FOR UPDATE", types: "$1 integer", want: []string{"LockRows"}},
			{name: "parentheses", sql: "((SELECT id FROM t WHERE id = 1) UNION ALL (SELECT a FROM t WHERE a = 3)) LIMIT 1", like: "((SELECT%", want: []string{"Append"}},
			{name: "values", sql: "VALUES (1, 'a'), (2, 'b')", like: "VALUES (%", want: []string{"Values Scan"}},
			{name: "table", sql: "TABLE t", like: "TABLE t", want: []string{"Seq Scan on public.t"}},
			{name: "comments", sql: "/* a; b */ SELECT 'a;b', $$c;d$$, id, -- e;\n  \"id\" FROM t /* f; */ WHERE id = 3;", like: "%f; */%", want: []string{"t_pkey"}},
		} {
			if tt.args == nil {
				l.run(t, tt.sql, pgx.QueryExecModeSimpleProtocol)
			} else {
				l.run(t, tt.sql, tt.args...)
			}
			r, err := Explain(t.Context(), l.us, l.entry(t, tt.like), Options{})
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
				continue
			}
			tree := treeOf(r)
			for _, part := range tt.want {
				if !strings.Contains(tree, part) {
					t.Errorf("%s: %s is not in\n%s", tt.name, part, tree)
				}
			}
			var types []string
			for _, p := range r.Parameters {
				types = append(types, fmt.Sprintf("$%d %s", p.Number, p.Type))
			}
			if got := strings.Join(types, ", "); tt.types != "" && got != tt.types {
				t.Errorf("%s: types are %s, want %s", tt.name, got, tt.types)
			}
			if notes := strings.Join(r.Notes, " "); !strings.Contains(notes, tt.notes) || tt.notes == "" && notes != "" && tt.types != "" && len(r.Notes) > 1 {
				t.Errorf("%s: notes are %q, want %q", tt.name, notes, tt.notes)
			}
			if r.Entry.Calls != 1 || r.Entry.Database != l.database || r.Entry.User != pgtest.Superuser || r.Entry.Within {
				t.Errorf("%s: the entry is %+v", tt.name, r.Entry)
			}
		}
		if srv.Major >= 15 {
			l.run(t, "MERGE INTO t USING parts ON parts.k = t.id AND t.a > 3 WHEN MATCHED THEN UPDATE SET b = 'm'", pgx.QueryExecModeSimpleProtocol)
			if tree := treeOf(l.explain(t, "MERGE%")); !strings.Contains(tree, "Merge on public.t") {
				t.Errorf("MERGE has the plan\n%s", tree)
			}
		}
	})
}

// TestPrepared: what EXECUTE runs is kept under the text of PREPARE, types included.
func TestPrepared(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		l := newLab(t, srv, "CREATE TABLE t (id bigint PRIMARY KEY, n numeric(10, 2))")
		for _, sql := range []string{
			"PREPARE q (smallint, numeric(10, 2), unknown) AS SELECT n FROM t WHERE id = $1 AND n > $2 AND n < 7 AND id::text = $3",
			"EXECUTE q (1, 2, 'x')", "EXECUTE q (1, 2, 'y')",
		} {
			l.run(t, sql, pgx.QueryExecModeSimpleProtocol)
		}
		r := l.explain(t, "PREPARE q%")
		if got := fmt.Sprint(r.Parameters); got != "[{1 smallint} {2 numeric} {3 text} {4 numeric}]" || r.Entry.Calls != 2 {
			t.Errorf("parameters are %s, calls %v", got, r.Entry.Calls)
		}
		if !strings.HasPrefix(r.Query, "SELECT n FROM") {
			t.Errorf("the statement is %s", r.Query)
		}
	})
}

// TestWhich chooses among entries of one queryid, and finds the extension elsewhere.
func TestWhich(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		user := fmt.Sprintf("web_%s", strings.ToLower(strings.ReplaceAll(t.Name()[strings.LastIndex(t.Name(), "/")+1:], "-", "_")))
		l := newLab(t, srv, "CREATE TABLE t (id int)", "CREATE ROLE "+user+" LOGIN", "GRANT SELECT ON t TO "+user)
		t.Cleanup(func() {
			if _, err := l.app.Exec(context.WithoutCancel(t.Context()), "DROP OWNED BY "+user+"; DROP ROLE "+user); err != nil {
				t.Error(err)
			}
		})
		l.run(t, "SELECT id FROM t")
		id := l.id(t, "SELECT id FROM t")
		web := srv.Conn(t, user, l.database)
		for range 3 {
			if _, err := web.Exec(t.Context(), "SELECT id FROM t"); err != nil {
				t.Fatal(err)
			}
		}
		if err := web.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		both := fmt.Sprintf("database %q user %q (3 calls), database %q user %q (1 calls)", l.database, user, l.database, pgtest.Superuser)
		if r := l.refused(t, Request{QueryID: id, Database: l.database}); r.Reason != ReasonAmbiguous || !strings.Contains(r.Advice, both) {
			t.Errorf("%+v", r)
		}
		if r := l.explained(t, Request{QueryID: id, User: user, Database: l.database}); r.Entry.Calls != 3 {
			t.Errorf("the entry is %+v", r.Entry)
		}
		if r := l.refused(t, Request{QueryID: id, User: "nobody", Database: l.database}); r.Reason != ReasonUnknown || !strings.Contains(r.Advice, both) {
			t.Errorf("%+v", r)
		}
		if r := l.refused(t, Request{QueryID: id, Database: "postgres"}); r.Reason != ReasonUnknown {
			t.Errorf("%+v", r)
		}
		// From a database that has the extension not, in which nothing is watched but this one.
		elsewhere := &lab{srv: srv, database: srv.Database(t)}
		watch := func(database string) bool { return database == l.database || database == elsewhere.database }
		r, err := Explain(t.Context(), elsewhere.as(t, pgtest.Monitor), Request{QueryID: id, User: user, Database: l.database}, Options{Watch: watch})
		if err != nil || r.Entry.Calls != 3 {
			t.Errorf("from elsewhere: %+v, %v", r, err)
		}
		_, err = Explain(t.Context(), elsewhere.as(t, pgtest.Monitor), Request{QueryID: id}, Options{Watch: func(string) bool { return false }})
		if r := refusal(t, err); r.Reason != ReasonUnknown || !strings.Contains(r.Error(), "CREATE EXTENSION") {
			t.Errorf("%+v", r)
		}
	})
}

// TestSearchPath: the statement's own is that of its user in its database.
func TestSearchPath(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		l := newLab(t, srv, `CREATE SCHEMA app`, `CREATE SCHEMA "Odd schema"`, `CREATE TABLE app.hits (id int)`, `CREATE TABLE "Odd schema".hits (id int)`,
			`GRANT USAGE ON SCHEMA app, "Odd schema" TO `+pgtest.Monitor, `GRANT SELECT ON ALL TABLES IN SCHEMA app, "Odd schema" TO `+pgtest.Monitor)
		l.run(t, "SET search_path = app")
		l.run(t, "SELECT id FROM hits WHERE id > 3", pgx.QueryExecModeSimpleProtocol)
		id := l.id(t, "%hits WHERE%")
		if r := l.refused(t, Request{QueryID: id, Database: l.database}); r.Reason != ReasonMissing || !strings.Contains(r.Advice, "than postgres, public: pgvigil explain --search-path") {
			t.Errorf("%+v", r)
		}
		if r := l.explained(t, Request{QueryID: id, Database: l.database, SearchPath: `nowhere, "Odd schema"`}); !strings.Contains(treeOf(r), `on "Odd schema".hits`) {
			t.Error(treeOf(r))
		}
		srv.Exec(t, `ALTER DATABASE `+l.database+` SET search_path = "Odd schema"`)
		if r := l.explained(t, Request{QueryID: id, Database: l.database}); !strings.Contains(treeOf(r), `on "Odd schema".hits`) {
			t.Error(treeOf(r))
		}
		srv.Exec(t, `ALTER ROLE postgres IN DATABASE `+l.database+` SET search_path = "$user", app`,
			`ALTER ROLE postgres IN DATABASE `+l.database+` SET work_mem = '77MB'`,
			`ALTER ROLE postgres IN DATABASE `+l.database+` SET enable_seqscan = off`,
			`ALTER ROLE postgres IN DATABASE `+l.database+` SET log_min_duration_statement = 0`)
		r := l.explained(t, Request{QueryID: id, Database: l.database})
		if !strings.Contains(treeOf(r), "on app.hits") || r.SearchPath != "postgres, app" {
			t.Errorf("%s\n%s", r.SearchPath, treeOf(r))
		}
		if r.Settings["work_mem"] != "77MB" || r.Settings["enable_seqscan"] != "off" || len(r.Settings["jit"]+r.Settings["plan_cache_mode"]) > 0 {
			t.Errorf("settings are %v", r.Settings)
		}
		for _, wrong := range []string{`public; DROP TABLE app.hits`, `"`, `a,,b`} {
			if r := l.refused(t, Request{QueryID: id, Database: l.database, SearchPath: wrong}); r.Reason != ReasonRequest {
				t.Errorf("%q: %+v", wrong, r)
			}
		}
		if got := srv.Query(t, l.database, "SELECT count(*) FROM app.hits"); got != "0" {
			t.Errorf("the table has %q rows", got)
		}
	})
}

// TestTypes: what is not inferred can be said.
func TestTypes(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		l := newLab(t, srv, "CREATE TYPE mood AS ENUM ('good')", "CREATE FUNCTION pick(mood, int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
			"CREATE FUNCTION pick(json, int) RETURNS int LANGUAGE sql AS 'SELECT 1'")
		l.run(t, "PREPARE q AS SELECT pick($1::mood, 3)", pgx.QueryExecModeSimpleProtocol)
		l.run(t, "CREATE FUNCTION used() RETURNS int LANGUAGE plpgsql AS $$DECLARE n int; BEGIN EXECUTE 'SELECT pick($1, $2)' INTO n USING 'good'::mood, 5; RETURN n; END$$")
		l.run(t, "SET pg_stat_statements.track = 'all'")
		l.run(t, "SELECT used()")
		id := l.id(t, "SELECT pick($1, $2)")
		if r := l.refused(t, Request{QueryID: id, Database: l.database}); r.Reason != ReasonText || !strings.Contains(r.Advice, "--type 1=integer") {
			t.Errorf("%+v", r)
		}
		if r := l.explained(t, Request{QueryID: id, Database: l.database, Types: map[int]string{1: "mood"}}); fmt.Sprint(r.Parameters) != "[{1 public.mood} {2 integer}]" {
			t.Errorf("parameters are %v", r.Parameters)
		}
	})
}

// TestNothingExecuted: functions in a statement are not called, and what planning does
// call cannot write or leave anything behind.
func TestNothingExecuted(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		l := newLab(t, srv, "CREATE TABLE t (id int)", "INSERT INTO t VALUES (1), (2)", "CREATE TABLE calls (at timestamptz)", "CREATE SEQUENCE s",
			"CREATE FUNCTION writes() RETURNS int LANGUAGE sql VOLATILE AS 'INSERT INTO calls VALUES (now()); SELECT 1'",
			"CREATE FUNCTION folded() RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN writes(); END'",
			"CREATE FUNCTION leaves() RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$BEGIN PERFORM pg_advisory_lock(77), set_config('pgvigil.left', 'x', false), set_config('default_transaction_read_only', 'off', false); RETURN 1; END$$",
			"CREATE FUNCTION opens() RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$BEGIN PERFORM set_config('transaction_read_only', 'off', false); RETURN writes(); END$$",
			"GRANT ALL ON ALL TABLES IN SCHEMA public TO "+pgtest.Monitor, "GRANT ALL ON SEQUENCE s TO "+pgtest.Monitor)
		state := func() string {
			return srv.Query(t, l.database, `SELECT md5(string_agg(part, '|')) FROM (
				SELECT 'class' || coalesce(string_agg(c::text, ',' ORDER BY c.oid), '') FROM pg_class c WHERE c.relnamespace <> 'pg_toast'::regnamespace
				UNION ALL SELECT 'proc' || string_agg(p::text, ',' ORDER BY p.oid) FROM pg_proc p
				UNION ALL SELECT 'settings' || coalesce(string_agg(r::text, ',' ORDER BY r::text), '') FROM pg_db_role_setting r
				UNION ALL SELECT 'roles' || string_agg(r::text, ',' ORDER BY r.oid) FROM pg_roles r
				UNION ALL SELECT 't' || (SELECT string_agg(t::text || t.xmin || t.ctid, ',') FROM t)
				UNION ALL SELECT 'calls' || (SELECT count(*) FROM calls)
				UNION ALL SELECT 's' || (SELECT last_value || is_called::text FROM s)) AS parts (part)`)
		}
		for _, sql := range []string{
			"SELECT writes(), nextval('s'), pg_sleep(0), id FROM t", "SELECT leaves()", "DELETE FROM t WHERE id = 99", "INSERT INTO t SELECT 5 WHERE false", "SELECT id, pg_sleep(0.01) FROM t",
		} {
			l.run(t, sql, pgx.QueryExecModeSimpleProtocol)
		}
		l.run(t, "SELECT pg_advisory_unlock_all()")
		srv.ExecIn(t, l.database, "TRUNCATE calls")
		before := state()
		for like, want := range map[string]string{
			"SELECT writes()%": "Seq Scan", "SELECT leaves()": "Result", "DELETE FROM t%": "Delete", "INSERT INTO t SELECT%": "Insert", "SELECT id, pg_sleep%": "Seq Scan",
		} {
			began := time.Now()
			r := l.explain(t, like)
			if tree := treeOf(r); !strings.Contains(tree, want) {
				t.Errorf("%s:\n%s", like, tree)
			}
			if r.Entry.Calls != 1 {
				t.Errorf("%s: %v calls", like, r.Entry.Calls)
			}
			if again := l.explain(t, like); again.Entry.Calls != 1 || time.Since(began) > 20*time.Second {
				t.Errorf("%s: an EXPLAIN counts as a call: %v", like, again.Entry.Calls)
			}
		}
		if after := state(); after != before {
			t.Error("something was changed")
		}
		if locks := srv.Query(t, l.database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"); locks != "0" {
			t.Errorf("%s locks are left", locks)
		}
		// Evaluated at planning, these want to write. The application may.
		for _, sql := range []string{"SELECT folded()", "SELECT opens()"} {
			l.run(t, sql, pgx.QueryExecModeSimpleProtocol)
			before := state()
			r := l.refused(t, l.entry(t, sql))
			if r.Reason != ReasonPrivilege && r.Reason != ReasonText {
				t.Errorf("%s: %+v", sql, r)
			}
			t.Logf("%s: %v", sql, r)
			if after := state(); after != before {
				t.Errorf("%s: something was changed", sql)
			}
		}
	})
}

// TestStandby: statements have plans there, those that write among them.
func TestStandby(t *testing.T) {
	primary := pgtest.New(t, 18, pgtest.Options{})
	standby := pgtest.New(t, 18, pgtest.Options{StandbyOf: primary})
	primary.Exec(t, "CREATE EXTENSION pg_stat_statements", "CREATE TABLE t (id int)", "GRANT ALL ON t TO "+pgtest.Monitor)
	for deadline := time.Now().Add(20 * time.Second); standby.Query(t, "postgres", "SELECT to_regclass('t')::text") == ""; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the table does not arrive")
		}
	}
	l := &lab{srv: standby, database: "postgres", app: standby.Conn(t, pgtest.Superuser, "postgres")}
	l.us = l.as(t, pgtest.Monitor)
	l.run(t, "SELECT id FROM t WHERE id = 5", pgx.QueryExecModeSimpleProtocol)
	if tree := treeOf(l.explain(t, "SELECT id FROM t%")); !strings.Contains(tree, "Seq Scan") {
		t.Error(tree)
	}
	// An entry of a statement that writes is from before, when the standby was the primary.
	session, err := l.us.Borrow(t.Context(), l.database)
	if err != nil {
		t.Fatal(err)
	}
	defer l.us.Return(t.Context(), session, false)
	st, err := examine("UPDATE t SET id = 5")
	if err != nil {
		t.Fatal(err)
	}
	p := &planning{session: session, statement: st}
	p.set("search_path", "public")
	if err := p.declare(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if plan, err := p.plan(t.Context()); err != nil || plan.root.kind() != "ModifyTable" {
		t.Errorf("%+v, %v", plan, err)
	}
}

// TestJSON: the answer holds PostgreSQL's own plan.
func TestJSON(t *testing.T) {
	l := newLab(t, servers.On(t, 18), "CREATE TABLE t (id int, b text)", "INSERT INTO t SELECT g, '<' FROM generate_series(1, 10) AS g", "ANALYZE t")
	l.run(t, "SELECT b FROM t WHERE id = 5 AND b <> '>'", pgx.QueryExecModeSimpleProtocol)
	r := l.explain(t, "SELECT b%")
	var b strings.Builder
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Statement struct {
			QueryID string  `json:"queryid"`
			Calls   float64 `json:"calls"`
		} `json:"statement"`
		Query string `json:"query"`
		Plan  []struct {
			Plan map[string]any
		} `json:"plan"`
		Text    []string         `json:"plan_text"`
		Tables  []map[string]any `json:"tables"`
		Notes   []string         `json:"notes"`
		Remarks []Remark         `json:"remarks"`
	}
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatalf("%v in %s", err, b.String())
	}
	if got.Statement.QueryID != r.Entry.QueryID || got.Statement.Calls != 1 || got.Query != "SELECT b FROM t WHERE id = $1 AND b <> $2" ||
		len(got.Plan) != 1 || got.Plan[0].Plan["Node Type"] != "Seq Scan" || len(got.Text) != 2 || got.Notes == nil || got.Remarks == nil {
		t.Errorf("%s", b.String())
	}
	if len(got.Tables) != 1 || got.Tables[0]["relname"] != "t" || got.Tables[0]["bytes"] != 8192.0 || got.Tables[0]["statistics"] != true {
		t.Errorf("tables are %v", got.Tables)
	}
	if text := textOf(t, r); strings.Contains(text, "S3cret") || strings.Contains(b.String(), "S3cret") {
		t.Error("a secret shows")
	}
}

// TestServerDown is what is said of a server that is not there.
func TestServerDown(t *testing.T) {
	s, err := postgres.New(postgres.Config{ConnString: "postgresql://u:S3cret@127.0.0.1:1/postgres?sslmode=disable"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Explain(t.Context(), s, Request{QueryID: "1"}, Options{})
	if r := refusal(t, err); r.Reason != ReasonServer || errors.Unwrap(err) == nil {
		t.Errorf("%+v", r)
	}
}

// abouts lists what the remarks are about.
func abouts(r *Report) []About {
	var list []About
	for _, remark := range r.Remarks {
		list = append(list, remark.About)
	}
	slices.Sort(list)
	return list
}
