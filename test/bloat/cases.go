package main

import "slices"

// subject is a table or an index of known bloat.
type subject struct {
	what  string
	name  string // of the table, or of the index
	index bool
	blind bool     // there must be no estimate
	build []string // each in a session of its own, whose numbers then arrive in their order
}

func subjects() []subject { return slices.Concat(tables(), indexes(), blind()) }

// scattered is a number for each g that follows no order, and the same in each run.
const scattered = "(g::bigint * 7919 % 1000003)"

func tables() []subject {
	return []subject{
		{what: "fresh", name: "t_fresh", build: []string{
			"CREATE TABLE t_fresh (id int, at timestamptz, v bigint)",
			"INSERT INTO t_fresh SELECT g, now(), g FROM generate_series(1, 50000) g"}},
		{what: "fresh, columns of mixed alignment", name: "t_aligned", build: []string{
			"CREATE TABLE t_aligned (a int, b bigint, c bool, d timestamptz, e smallint, f double precision, g smallint)",
			"INSERT INTO t_aligned SELECT g, g, true, now(), 1, g, 2 FROM generate_series(1, 60000) g"}},
		{what: "20 % deleted", name: "t_deleted_20", build: []string{
			"CREATE TABLE t_deleted_20 (id int, name text, at timestamptz)",
			"INSERT INTO t_deleted_20 SELECT g, 'customer ' || " + scattered + ", now() FROM generate_series(1, 50000) g",
			"DELETE FROM t_deleted_20 WHERE id % 5 = 0"}},
		{what: "50 % deleted", name: "t_deleted_50", build: []string{
			"CREATE TABLE t_deleted_50 (id int, name text, at timestamptz)",
			"INSERT INTO t_deleted_50 SELECT g, 'customer ' || " + scattered + ", now() FROM generate_series(1, 50000) g",
			"DELETE FROM t_deleted_50 WHERE id % 2 = 0"}},
		{what: "80 % deleted", name: "t_deleted_80", build: []string{
			"CREATE TABLE t_deleted_80 (id int, name text, at timestamptz)",
			"INSERT INTO t_deleted_80 SELECT g, 'customer ' || " + scattered + ", now() FROM generate_series(1, 50000) g",
			"DELETE FROM t_deleted_80 WHERE id % 5 <> 0"}},
		{what: "50 % deleted, never vacuumed", name: "t_dead", build: []string{
			"CREATE TABLE t_dead (id int, mail text)",
			"INSERT INTO t_dead SELECT g, md5(g::text) || '@example.org' FROM generate_series(1, 60000) g",
			"DELETE FROM t_dead WHERE id % 2 = 0",
			"ANALYZE t_dead"}},
		{what: "updated at random", name: "t_updated", build: []string{
			"CREATE TABLE t_updated (id int, balance numeric, note text)",
			"INSERT INTO t_updated SELECT g, g * 1.01, repeat('n', g % 40) FROM generate_series(1, 60000) g",
			"UPDATE t_updated SET balance = balance + 1 WHERE id * 7919::bigint % 1000003 % 3 = 0",
			"UPDATE t_updated SET balance = balance + 1 WHERE id * 104729::bigint % 1000003 % 3 = 0",
			"VACUUM t_updated",
			"UPDATE t_updated SET note = note || 'x' WHERE id * 15485863::bigint % 1000003 % 4 = 0"}},
		{what: "all updated, never vacuumed", name: "t_updated_all", build: []string{
			"CREATE TABLE t_updated_all (id int, n int, code char(8))",
			"INSERT INTO t_updated_all SELECT g, g, 'c' || g % 100 FROM generate_series(1, 60000) g",
			"UPDATE t_updated_all SET n = n + 1",
			"ANALYZE t_updated_all"}},
		{what: "fillfactor 70, fresh", name: "t_fillfactor", build: []string{
			"CREATE TABLE t_fillfactor (id int, name text, at timestamptz) WITH (fillfactor = 70)",
			"INSERT INTO t_fillfactor SELECT g, 'customer ' || " + scattered + ", now() FROM generate_series(1, 50000) g"}},
		{what: "fillfactor 70, 50 % deleted", name: "t_fillfactor_50", build: []string{
			"CREATE TABLE t_fillfactor_50 (id int, name text, at timestamptz) WITH (fillfactor = 70)",
			"INSERT INTO t_fillfactor_50 SELECT g, 'customer ' || " + scattered + ", now() FROM generate_series(1, 50000) g",
			"DELETE FROM t_fillfactor_50 WHERE id % 2 = 0"}},
		{what: "wide rows, fresh", name: "t_wide", build: []string{
			"CREATE TABLE t_wide (id int, body text)",
			"INSERT INTO t_wide SELECT g, (SELECT string_agg(md5(g::text || i), '') FROM generate_series(1, 50) i) FROM generate_series(1, 3000) g"}},
		{what: "rows of 300 to 1900 bytes, 50 % deleted", name: "t_wide_50", build: []string{
			"CREATE TABLE t_wide_50 (id int, body text)",
			"INSERT INTO t_wide_50 SELECT g, (SELECT string_agg(md5(g::text || i), '') FROM generate_series(1, 10 + " + scattered + "::int % 50) i) FROM generate_series(1, 6000) g",
			"DELETE FROM t_wide_50 WHERE id % 2 = 0"}},
		{what: "toasted values, fresh", name: "t_toast", build: []string{
			"CREATE TABLE t_toast (id int, title text, body text)",
			"ALTER TABLE t_toast ALTER body SET STORAGE EXTERNAL",
			"INSERT INTO t_toast SELECT g, 'title ' || g, repeat(md5(g::text), 80) FROM generate_series(1, 8000) g"}},
		{what: "toasted values, 80 % deleted", name: "t_toast_80", build: []string{
			"CREATE TABLE t_toast_80 (id int, title text, body text)",
			"ALTER TABLE t_toast_80 ALTER body SET STORAGE EXTERNAL",
			"INSERT INTO t_toast_80 SELECT g, 'title ' || g, repeat(md5(g::text), 80) FROM generate_series(1, 8000) g",
			"DELETE FROM t_toast_80 WHERE id % 5 <> 0"}},
		{what: "twelve columns, most of them NULL", name: "t_nulls", build: []string{
			"CREATE TABLE t_nulls (id int, a int, b bigint, c text, d timestamptz, e int, f bigint, g text, h date, i int, j bigint, k text)",
			`INSERT INTO t_nulls (id, a, b, c, d, f, g) SELECT g, nullif(g % 5, 0), CASE WHEN g % 7 = 0 THEN g END, CASE WHEN g % 3 = 0 THEN 'c' || g END,
			 CASE WHEN g % 10 = 0 THEN now() END, CASE WHEN g % 11 = 0 THEN g END, CASE WHEN g % 13 = 0 THEN 'g' END FROM generate_series(1, 50000) g`}},
		{what: "most columns NULL, 50 % deleted", name: "t_nulls_50", build: []string{
			"CREATE TABLE t_nulls_50 (id int, a int, b bigint, c text, d timestamptz, e int, f bigint, g text, h date, i int, j bigint, k text)",
			`INSERT INTO t_nulls_50 (id, a, b, c, d, f, g) SELECT g, nullif(g % 5, 0), CASE WHEN g % 7 = 0 THEN g END, CASE WHEN g % 3 = 0 THEN 'c' || g END,
			 CASE WHEN g % 10 = 0 THEN now() END, CASE WHEN g % 11 = 0 THEN g END, CASE WHEN g % 13 = 0 THEN 'g' END FROM generate_series(1, 50000) g`,
			"DELETE FROM t_nulls_50 WHERE id % 2 = 0"}},
		{what: "columns dropped before the rows came", name: "t_dropped", build: []string{
			"CREATE TABLE t_dropped (id int, x1 text, x2 int, v bigint, x3 text, note text)",
			"ALTER TABLE t_dropped DROP x1, DROP x2, DROP x3",
			"INSERT INTO t_dropped SELECT g, g, repeat('n', g % 60) FROM generate_series(1, 60000) g",
			"DELETE FROM t_dropped WHERE id % 4 = 0"}},
		{what: "a column dropped after the rows came", name: "t_dropped_after", build: []string{
			"CREATE TABLE t_dropped_after (id int, v bigint, note text, x int)",
			"INSERT INTO t_dropped_after SELECT g, g, repeat('n', g % 60), g FROM generate_series(1, 60000) g",
			"ALTER TABLE t_dropped_after DROP x"}},
		{what: "jsonb, numeric and an array", name: "t_json", build: []string{
			"CREATE TABLE t_json (id int, doc jsonb, tags text[], price numeric(12, 2), key uuid)",
			`INSERT INTO t_json SELECT g, jsonb_build_object('name', 'item ' || g, 'stock', g % 1000), ARRAY['a', 'tag' || g % 50], g / 7.0, md5(g::text)::uuid
			 FROM generate_series(1, 40000) g`,
			"UPDATE t_json SET doc = doc || '{\"sold\": true}' WHERE id * 7919::bigint % 1000003 % 3 = 0"}},
	}
}

func indexes() []subject {
	return []subject{
		{what: "fresh, built", name: "i_fresh", index: true, build: []string{
			"CREATE TABLE ti_fresh (id int)", "INSERT INTO ti_fresh SELECT generate_series(1, 100000)", "CREATE INDEX i_fresh ON ti_fresh (id)"}},
		{what: "fresh, grown in order", name: "i_grown", index: true, build: []string{
			"CREATE TABLE ti_grown (id int CONSTRAINT i_grown PRIMARY KEY)", "INSERT INTO ti_grown SELECT generate_series(1, 100000)"}},
		{what: "fresh, grown at random", name: "i_random", index: true, build: []string{
			"CREATE TABLE ti_random (id uuid CONSTRAINT i_random PRIMARY KEY)", "INSERT INTO ti_random SELECT md5(g::text)::uuid FROM generate_series(1, 100000) g"}},
		{what: "20 % deleted", name: "i_deleted_20", index: true, build: []string{
			"CREATE TABLE ti_deleted_20 (id int CONSTRAINT i_deleted_20 PRIMARY KEY)", "INSERT INTO ti_deleted_20 SELECT generate_series(1, 100000)",
			"DELETE FROM ti_deleted_20 WHERE id % 5 = 0"}},
		{what: "50 % deleted", name: "i_deleted_50", index: true, build: []string{
			"CREATE TABLE ti_deleted_50 (id bigint CONSTRAINT i_deleted_50 PRIMARY KEY)", "INSERT INTO ti_deleted_50 SELECT generate_series(1, 100000)",
			"DELETE FROM ti_deleted_50 WHERE id % 2 = 0"}},
		{what: "80 % deleted", name: "i_deleted_80", index: true, build: []string{
			"CREATE TABLE ti_deleted_80 (id int, at timestamptz)",
			"INSERT INTO ti_deleted_80 SELECT g, '2026-01-01'::timestamptz + g * interval '1 s' FROM generate_series(1, 100000) g", "CREATE INDEX i_deleted_80 ON ti_deleted_80 (at)",
			"DELETE FROM ti_deleted_80 WHERE id % 5 <> 0"}},
		{what: "the older half deleted", name: "i_deleted_old", index: true, build: []string{
			"CREATE TABLE ti_deleted_old (id int CONSTRAINT i_deleted_old PRIMARY KEY)", "INSERT INTO ti_deleted_old SELECT generate_series(1, 100000)",
			"DELETE FROM ti_deleted_old WHERE id < 50000"}},
		{what: "updated at random", name: "i_updated", index: true, build: []string{
			"CREATE TABLE ti_updated (id int, v int)", "INSERT INTO ti_updated SELECT g, " + scattered + " FROM generate_series(1, 50000) g", "CREATE INDEX i_updated ON ti_updated (v)",
			"UPDATE ti_updated SET v = v + 1000003 WHERE id * 7919::bigint % 1000003 % 3 = 0", "VACUUM ti_updated",
			"UPDATE ti_updated SET v = (v + 77777) % 1000003 WHERE id * 104729::bigint % 1000003 % 3 = 0"}},
		{what: "fillfactor 70, built", name: "i_fillfactor", index: true, build: []string{
			"CREATE TABLE ti_fillfactor (id int)", "INSERT INTO ti_fillfactor SELECT generate_series(1, 100000)", "CREATE INDEX i_fillfactor ON ti_fillfactor (id) WITH (fillfactor = 70)"}},
		{what: "short texts, grown at random", name: "i_text", index: true, build: []string{
			"CREATE TABLE ti_text (name text)", "CREATE INDEX i_text ON ti_text (name)",
			"INSERT INTO ti_text SELECT left(md5(g::text), 6 + g % 20) FROM generate_series(1, 50000) g"}},
		{what: "long texts, 50 % deleted", name: "i_long", index: true, build: []string{
			"CREATE TABLE ti_long (id int, path text)",
			"INSERT INTO ti_long SELECT g, (SELECT string_agg(md5(g::text || i), '/') FROM generate_series(1, 4 + g % 8) i) FROM generate_series(1, 20000) g", "CREATE INDEX i_long ON ti_long (path)",
			"DELETE FROM ti_long WHERE id % 2 = 0"}},
		{what: "deduplicated, 10 values", name: "i_few", index: true, build: []string{
			"CREATE TABLE ti_few (id int, kind int)", "INSERT INTO ti_few SELECT g, " + scattered + " % 10 FROM generate_series(1, 100000) g", "CREATE INDEX i_few ON ti_few (kind)"}},
		{what: "deduplicated, grown, 50 % deleted", name: "i_few_50", index: true, build: []string{
			"CREATE TABLE ti_few_50 (id int, kind int)", "CREATE INDEX i_few_50 ON ti_few_50 (kind)",
			"INSERT INTO ti_few_50 SELECT g, " + scattered + " % 1000 FROM generate_series(1, 100000) g", "DELETE FROM ti_few_50 WHERE id % 2 = 0"}},
		{what: "deduplicated, 5 rows a value", name: "i_some", index: true, build: []string{
			"CREATE TABLE ti_some (customer int)", "INSERT INTO ti_some SELECT " + scattered + " % 20000 FROM generate_series(1, 100000) g", "CREATE INDEX i_some ON ti_some (customer)"}},
		{what: "deduplicated, half of the rows alike", name: "i_skewed", index: true, build: []string{
			"CREATE TABLE ti_skewed (v int)", "INSERT INTO ti_skewed SELECT CASE WHEN g % 2 = 0 THEN 0 ELSE g END FROM generate_series(1, 100000) g", "CREATE INDEX i_skewed ON ti_skewed (v)"}},
		{what: "not deduplicated by choice", name: "i_plain", index: true, build: []string{
			"CREATE TABLE ti_plain (kind int)", "INSERT INTO ti_plain SELECT g % 10 FROM generate_series(1, 100000) g", "CREATE INDEX i_plain ON ti_plain (kind) WITH (deduplicate_items = off)"}},
		{what: "numeric, which is never deduplicated", name: "i_numeric", index: true, build: []string{
			"CREATE TABLE ti_numeric (price numeric)", "INSERT INTO ti_numeric SELECT g % 100 FROM generate_series(1, 100000) g", "CREATE INDEX i_numeric ON ti_numeric (price)"}},
		{what: "partial", name: "i_partial", index: true, build: []string{
			"CREATE TABLE ti_partial (id int, done bool)", "INSERT INTO ti_partial SELECT g, g % 3 <> 0 FROM generate_series(1, 100000) g", "CREATE INDEX i_partial ON ti_partial (id) WHERE NOT done"}},
		{what: "partial, 80 % gone", name: "i_partial_80", index: true, build: []string{
			"CREATE TABLE ti_partial_80 (id int, done bool)", "INSERT INTO ti_partial_80 SELECT g, g % 3 <> 0 FROM generate_series(1, 100000) g", "CREATE INDEX i_partial_80 ON ti_partial_80 (id) WHERE NOT done",
			"UPDATE ti_partial_80 SET done = true WHERE id % 15 <> 0 AND NOT done"}},
		{what: "partial, without the NULLs", name: "i_partial_null", index: true, build: []string{
			"CREATE TABLE ti_partial_null (id int, mail text)", "INSERT INTO ti_partial_null SELECT g, CASE WHEN g % 4 = 0 THEN md5(g::text) || '@example.org' END FROM generate_series(1, 100000) g",
			"CREATE INDEX i_partial_null ON ti_partial_null (mail) WHERE mail IS NOT NULL"}},
		{what: "expression", name: "i_expression", index: true, build: []string{
			"CREATE TABLE ti_expression (mail text)", "INSERT INTO ti_expression SELECT upper(md5(g::text)) || '@example.org' FROM generate_series(1, 60000) g",
			"CREATE INDEX i_expression ON ti_expression (lower(mail))"}},
		{what: "expression, deduplicated, 50 % deleted", name: "i_expression_50", index: true, build: []string{
			"CREATE TABLE ti_expression_50 (id int, at timestamp)", "INSERT INTO ti_expression_50 SELECT g, '2026-01-01'::timestamp + g * interval '1 minute' FROM generate_series(1, 100000) g",
			"CREATE INDEX i_expression_50 ON ti_expression_50 ((at::date))", "DELETE FROM ti_expression_50 WHERE id % 2 = 0"}},
		{what: "two columns, built", name: "i_multi", index: true, build: []string{
			"CREATE TABLE ti_multi (customer int, at timestamptz)", "INSERT INTO ti_multi SELECT " + scattered + " % 5000, '2026-01-01'::timestamptz + g * interval '1 s' FROM generate_series(1, 100000) g",
			"CREATE INDEX i_multi ON ti_multi (customer, at)"}},
		{what: "three columns, 50 % deleted", name: "i_multi_50", index: true, build: []string{
			"CREATE TABLE ti_multi_50 (id int, name text, kind smallint)", "INSERT INTO ti_multi_50 SELECT g, 'customer ' || " + scattered + ", g % 7 FROM generate_series(1, 100000) g",
			"CREATE INDEX i_multi_50 ON ti_multi_50 (kind, name, id)", "DELETE FROM ti_multi_50 WHERE id % 2 = 0"}},
		{what: "two columns of few values, deduplicated", name: "i_multi_few", index: true, build: []string{
			"CREATE TABLE ti_multi_few (a int, b int)", "INSERT INTO ti_multi_few SELECT g % 20, g % 21 FROM generate_series(1, 100000) g", "CREATE INDEX i_multi_few ON ti_multi_few (a, b)"}},
		{what: "INCLUDE", name: "i_include", index: true, build: []string{
			"CREATE TABLE ti_include (id int, name text)", "INSERT INTO ti_include SELECT g, 'customer ' || " + scattered + " FROM generate_series(1, 50000) g",
			"CREATE UNIQUE INDEX i_include ON ti_include (id) INCLUDE (name)"}},
		{what: "many NULLs", name: "i_nulls", index: true, build: []string{
			"CREATE TABLE ti_nulls (id int, parent int)", "INSERT INTO ti_nulls SELECT g, CASE WHEN g % 5 = 0 THEN g END FROM generate_series(1, 100000) g", "CREATE INDEX i_nulls ON ti_nulls (parent)"}},
	}
}

// blind are those of which nothing may be said.
func blind() []subject {
	return []subject{
		{what: "never analyzed", name: "t_never", blind: true, build: []string{
			"CREATE TABLE t_never (id int CONSTRAINT i_never PRIMARY KEY, name text)", "INSERT INTO t_never SELECT g, 'n' || g FROM generate_series(1, 50000) g", "DELETE FROM t_never WHERE id % 2 = 0"}},
		{what: "never analyzed", name: "i_never", index: true, blind: true},
		{what: "changed since it was analyzed", name: "t_stale", blind: true, build: []string{
			"CREATE TABLE t_stale (id int CONSTRAINT i_stale PRIMARY KEY, name text)", "INSERT INTO t_stale SELECT g, 'n' || g FROM generate_series(1, 50000) g", "ANALYZE t_stale",
			"UPDATE t_stale SET name = repeat('n', 500)"}},
		{what: "changed since it was analyzed", name: "i_stale", index: true, blind: true},
		{what: "two columns that go together", name: "i_together", index: true, blind: true, build: []string{
			"CREATE TABLE ti_together (a int, b int)", "INSERT INTO ti_together SELECT g % 2000, g % 2000 FROM generate_series(1, 100000) g", "CREATE INDEX i_together ON ti_together (a, b)",
			"ANALYZE ti_together"}},
	}
}
