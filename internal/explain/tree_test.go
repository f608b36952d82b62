package explain

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// TestTree holds our text of a plan against the server's own.
func TestTree(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		l := newLab(t, srv,
			`CREATE TABLE "order" (id int PRIMARY KEY, a int, b text, ts timestamptz)`,
			`INSERT INTO "order" SELECT g, g % 10, 'x' || g, now() FROM generate_series(1, 20000) AS g`,
			`CREATE INDEX order_a ON "order" (a)`,
			`CREATE TABLE other (id int PRIMARY KEY, a int, "Odd name" text)`,
			`INSERT INTO other SELECT g, g, 'y' FROM generate_series(1, 5000) AS g`,
			`CREATE TABLE parts (k int, v text) PARTITION BY RANGE (k)`,
			`CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100)`,
			`CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (100) TO (200)`,
			`CREATE VIEW seen AS SELECT a, count(*) AS n FROM "order" GROUP BY a`,
			`ANALYZE`)
		for _, sql := range []string{
			`SELECT 1`,
			`SELECT * FROM "order" AS o WHERE id = 5`,
			`SELECT "Odd name" FROM other WHERE "Odd name" LIKE 'z%' ORDER BY 1 DESC LIMIT 3`,
			`SELECT id FROM "order" ORDER BY id DESC LIMIT 10`,
			`SELECT count(*) FROM "order" WHERE a = 3 OR id < 100`,
			`SELECT * FROM "order" JOIN other USING (id)`,
			`SELECT * FROM "order" o LEFT JOIN other x ON x.id = o.a AND x.a > 5 WHERE o.b IS NOT NULL`,
			`SELECT * FROM other x WHERE NOT EXISTS (SELECT FROM "order" o WHERE o.id = x.a)`,
			`SELECT * FROM other x WHERE x.a IN (SELECT a FROM "order")`,
			`SELECT x.*, (SELECT max(o.id) FROM "order" o WHERE o.a = x.a) FROM other x WHERE x.id < (SELECT avg(a) FROM other)`,
			`WITH w AS MATERIALIZED (SELECT a, sum(id) AS s FROM "order" GROUP BY a) SELECT * FROM w w1 JOIN w w2 ON w1.a = w2.a + 1`,
			`WITH RECURSIVE r(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r`,
			`SELECT a, b, count(*) FROM "order" GROUP BY GROUPING SETS ((a, b), (a), ())`,
			`SELECT a, b, count(*) FROM "order" GROUP BY CUBE (a, b)`,
			`SELECT DISTINCT a FROM other ORDER BY a`,
			`SELECT a FROM "order" UNION SELECT a FROM other`,
			`SELECT a FROM "order" EXCEPT SELECT a FROM other`,
			`SELECT a FROM other INTERSECT ALL SELECT a FROM "order"`,
			`SELECT a, rank() OVER (PARTITION BY a ORDER BY id) FROM "order"`,
			`SELECT * FROM parts WHERE k > 5`,
			`SELECT * FROM parts WHERE k = 150`,
			`SELECT * FROM parts ORDER BY k`,
			`SELECT * FROM generate_series(1, 10) AS g`,
			`SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v (x, y) WHERE x > 1`,
			`SELECT * FROM seen WHERE n > 5`,
			`SELECT * FROM "order" TABLESAMPLE bernoulli (10) REPEATABLE (3)`,
			`SELECT * FROM "order" WHERE ctid = '(0,1)'`,
			`SELECT * FROM other FOR UPDATE`,
			`SELECT unnest(ARRAY[1, 2]) FROM other`,
			`SELECT * FROM "order" WHERE false`,
			`SELECT * FROM other o1, LATERAL (SELECT * FROM "order" WHERE a = o1.a LIMIT 1) AS l`,
			`SELECT * FROM (SELECT id, a FROM "order" ORDER BY a LIMIT 50) AS s WHERE s.id > 2`,
			`SELECT * FROM xmltable('/a' PASSING '<a/>' COLUMNS x text) AS x`,
			`INSERT INTO other VALUES (1, 2, 'z')`,
			`INSERT INTO other SELECT id, a, b FROM "order" ON CONFLICT (id) DO UPDATE SET a = excluded.a WHERE other.a <> 3`,
			`INSERT INTO other VALUES (1, 2, 'z') ON CONFLICT DO NOTHING RETURNING *`,
			`UPDATE "order" AS o SET a = 5 FROM other WHERE other.id = o.id`,
			`UPDATE parts SET v = 'q' WHERE k > 5`,
			`DELETE FROM parts USING other WHERE other.id = parts.k RETURNING parts.*`,
			`WITH d AS (DELETE FROM other WHERE id < 10 RETURNING *) SELECT * FROM d`,
			`TABLE other`,
			`VALUES (1), (2)`,
		} {
			l.compare(t, sql)
		}
		if srv.Major >= 15 {
			l.compare(t, `MERGE INTO other USING "order" o ON o.id = other.id WHEN MATCHED THEN UPDATE SET a = o.a WHEN NOT MATCHED THEN DO NOTHING`)
		}
		for setting, sql := range map[string]string{
			"enable_hashjoin": `SELECT * FROM "order" JOIN other USING (id)`,
			"enable_hashagg":  `SELECT a, b, count(*) FROM "order" GROUP BY CUBE (a, b)`,
			"enable_seqscan":  `SELECT * FROM "order" WHERE a = 3 AND b LIKE 'x1%'`,
			"enable_sort":     `SELECT a, b FROM "order" ORDER BY a, b`,
		} {
			l.run(t, "SET "+setting+" = off")
			l.compare(t, sql)
			l.run(t, "RESET "+setting)
		}
		l.run(t, "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0")
		l.compare(t, `SELECT a, count(*) FROM "order" GROUP BY a ORDER BY a`)
		l.compare(t, `SELECT * FROM "order" o JOIN other x ON x.id = o.id WHERE o.a = (SELECT max(a) FROM other)`)
	})
}

// compare compares the text of a plan with the server's own. Each is the
// application's.
func (l *lab) compare(t *testing.T, sql string) {
	t.Helper()
	var raw []byte
	if err := l.app.QueryRow(t.Context(), "EXPLAIN (VERBOSE, FORMAT JSON) "+sql).Scan(&raw); err != nil {
		t.Fatalf("%v: %s", err, sql)
	}
	plan, err := readPlan(raw)
	if err != nil {
		t.Fatalf("%v: %s", err, sql)
	}
	var got strings.Builder
	plan.tree(&got)
	rows, err := l.app.Query(t.Context(), "EXPLAIN (VERBOSE) "+sql)
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		if text := strings.TrimSpace(line); !strings.HasPrefix(text, "Output:") && !strings.HasPrefix(text, "Query Identifier:") {
			want.WriteString(line + "\n")
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), got.String()); diff != "" {
		t.Errorf("%s:\n%s\n%s", sql, diff, raw)
	}
}
