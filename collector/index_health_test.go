package collector_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/scrape"
)

// indexHealthScene makes an index twice.
func indexHealthScene(t *testing.T, primary *pgtest.Server) {
	t.Helper()
	primary.Exec(t, "CREATE TABLE shelves (id int PRIMARY KEY, room int REFERENCES shelves)",
		"CREATE INDEX shelves_1 ON shelves (room)", "CREATE INDEX shelves_2 ON shelves (room)")
}

// indexesOf lists the indexes of a kind that a page names.
func (s snapshot) indexesOf(database, kind string) []string {
	named := s.named("pg_index_health_index_bytes", "indexrelname", "datname", database, "kind", kind)
	return slices.Sorted(maps.Keys(named))
}

// checkKind compares the indexes of a kind, all of which are named, and that
// their number and size are what the whole database has.
func checkKind(t *testing.T, page snapshot, database, kind string, want ...string) {
	t.Helper()
	if got := page.indexesOf(database, kind); !slices.Equal(got, want) {
		t.Errorf("%s are %q, want %q", kind, got, want)
	}
	labels := []string{"datname", database, "kind", kind}
	if got := page.value(t, "pg_index_health_indexes", labels...); got != float64(len(want)) {
		t.Errorf("%v are %s, want %d", got, kind, len(want))
	}
	if all, sum := page.value(t, "pg_index_health_bytes", labels...), page.sum("pg_index_health_index_bytes", labels...); all != sum {
		t.Errorf("%s have %v bytes in all, and one by one %v", kind, all, sum)
	}
}

// TestIndexHealthDuplicate has twins, and pairs that differ in one thing each.
func TestIndexHealthDuplicate(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		srv.ExecIn(t, db,
			"CREATE TABLE twin (a int, c text)",
			"CREATE INDEX twin_1 ON twin (a)", "CREATE INDEX twin_2 ON twin (a) WITH (fillfactor = 50)",
			"CREATE INDEX lower_1 ON twin (lower(c)) WHERE a > 5", "CREATE INDEX  lower_2  ON  twin  ((lower(c)))  WHERE  (a > 5)",
			"CREATE INDEX lower_3 ON twin (lower(c)) WHERE a > 6", "CREATE INDEX upper_1 ON twin (upper(c)) WHERE a > 5",
			// The older goes, for the younger is unique.
			"CREATE TABLE strong (a int, b int PRIMARY KEY DEFERRABLE)", "CREATE INDEX strong_1 ON strong (a)", "CREATE UNIQUE INDEX strong_2 ON strong (a)",
			"CREATE UNIQUE INDEX strong_3 ON strong (a)", "CREATE UNIQUE INDEX strong_4 ON strong (b)",
			"CREATE TABLE differ (a int, c text, v tsvector)",
			"CREATE INDEX ON differ (c)", "CREATE INDEX ON differ (c text_pattern_ops)", `CREATE INDEX ON differ (c COLLATE "POSIX")`,
			"CREATE INDEX ON differ (c DESC)", "CREATE INDEX ON differ (c NULLS FIRST)", "CREATE INDEX ON differ USING hash (c)",
			"CREATE INDEX ON differ (c) WHERE c <> ''", "CREATE INDEX ON differ (a) INCLUDE (c)", "CREATE INDEX ON differ USING brin (a)",
			"CREATE INDEX ON differ USING gist (v)", "CREATE INDEX ON differ USING gist (v tsvector_ops (siglen = 100))",
			"CREATE TABLE parts (a int) PARTITION BY RANGE (a)", "CREATE TABLE part_1 PARTITION OF parts DEFAULT",
			"CREATE INDEX parts_1 ON parts (a)", "CREATE INDEX parts_2 ON parts (a)",
		)
		if srv.Major >= 15 {
			srv.ExecIn(t, db, "CREATE TABLE nulls (a int)", "CREATE UNIQUE INDEX ON nulls (a)", "CREATE UNIQUE INDEX ON nulls (a) NULLS NOT DISTINCT")
		}
		session(t, srv, pgtest.Superuser, db, "BEGIN", "LOCK TABLE twin, strong, parts IN ACCESS EXCLUSIVE MODE")
		page := scrapePage(t, watch(t, srv, pgtest.Monitor, "index_health"))
		checkKind(t, page, db, "duplicate", "lower_2", "parts_2", "strong_1", "strong_3", "twin_2")
		checkKind(t, page, db, "redundant")
		checkKind(t, page, db, "invalid")
		page.value(t, "pg_index_health_index_bytes", "datname", db, "schemaname", "public", "relname", "parts", "indexrelname", "parts_2", "kind", "duplicate")
	})
}

// TestIndexHealthRedundant has indexes that begin as another does.
func TestIndexHealthRedundant(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		srv.ExecIn(t, db,
			"CREATE TABLE lead (a int, b int, c int, d text, e int)",
			"CREATE INDEX lead_ab ON lead (a, b)", "CREATE INDEX lead_a ON lead (a)", "CREATE INDEX lead_a_desc ON lead (a DESC)",
			"CREATE INDEX lead_b ON lead (b)", "CREATE INDEX lead_b_more ON lead (b) INCLUDE (a)",
			"CREATE UNIQUE INDEX lead_c ON lead (c)", "CREATE INDEX lead_ca ON lead (c, a)",
			"CREATE INDEX lead_d ON lead (d text_pattern_ops)", "CREATE INDEX lead_da ON lead (d, a)",
			"CREATE INDEX lead_part ON lead (e) WHERE a > 0", "CREATE INDEX lead_ea ON lead (e, a)",
			"CREATE INDEX lead_hash ON lead USING hash (a)",
			// A column whose number begins with that of another.
			"CREATE TABLE wide ("+columns(12)+")", "CREATE INDEX wide_1 ON wide (c1)", "CREATE INDEX wide_12 ON wide (c12, c2)",
			"CREATE TABLE parts (a int, b int) PARTITION BY RANGE (a)", "CREATE TABLE part_1 PARTITION OF parts DEFAULT",
			"CREATE INDEX parts_ab ON parts (a, b)", "CREATE INDEX part_1_a ON part_1 (a)",
		)
		page := scrapePage(t, watch(t, srv, pgtest.Monitor, "index_health"))
		checkKind(t, page, db, "redundant", "lead_a", "lead_b", "part_1_a")
		checkKind(t, page, db, "duplicate")
	})
}

func columns(n int) string {
	text := "c1 int"
	for i := 2; i <= n; i++ {
		text += fmt.Sprintf(", c%d int", i)
	}
	return text
}

// TestIndexHealthInvalid has an index whose creation failed, one that a partition
// lacks, and one that is being built.
func TestIndexHealthInvalid(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		srv.ExecIn(t, db, "CREATE TABLE stock (a int)", "CREATE TABLE twins (a int)", "INSERT INTO twins VALUES (1), (1)",
			"CREATE TABLE parts (a int) PARTITION BY RANGE (a)", "CREATE TABLE part_1 PARTITION OF parts DEFAULT",
			"CREATE INDEX lacking ON ONLY parts (a)")
		conn := session(t, srv, pgtest.Superuser, db)
		if _, err := conn.Exec(t.Context(), "CREATE UNIQUE INDEX CONCURRENTLY failed ON twins (a)"); err == nil {
			t.Fatal("a unique index has two equal rows")
		}
		session(t, srv, pgtest.Superuser, db, "BEGIN", "INSERT INTO stock VALUES (2)")
		linger(t, conn, "CREATE INDEX CONCURRENTLY building ON stock (a)")
		const seen = "SELECT count(*)::text FROM pg_index x JOIN pg_stat_progress_create_index p ON p.index_relid = x.indexrelid WHERE NOT indisvalid"
		for began := time.Now(); srv.Query(t, db, seen) != "1"; time.Sleep(10 * time.Millisecond) {
			if time.Since(began) > bound {
				t.Fatal("the index was never being built")
			}
		}
		page := scrapePage(t, watch(t, srv, pgtest.Monitor, "index_health"))
		checkKind(t, page, db, "invalid", "failed", "lacking")
		checkKind(t, page, db, "duplicate")
		for _, name := range []string{"failed", "building"} {
			page.absent(t, "pg_index_health_index_bytes", "datname", db, "indexrelname", name, "kind", "unused")
		}
	})
}

// TestIndexHealthUnused uses some of the indexes. What enforces something is of
// use without a scan, and one partition's scan is a use of the whole.
func TestIndexHealthUnused(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		srv.ExecIn(t, db,
			"CREATE TABLE stock (id int PRIMARY KEY, a int, b int, c int, r int NOT NULL, during int4range, EXCLUDE USING gist (during WITH &&))",
			"CREATE INDEX used ON stock (a)", "CREATE INDEX idle ON stock (b)", "CREATE UNIQUE INDEX ruling ON stock (c)",
			"CREATE UNIQUE INDEX naming ON stock (r)", "ALTER TABLE stock REPLICA IDENTITY USING INDEX naming",
			"INSERT INTO stock SELECT g, g, g, g, g FROM generate_series(1, 1000) g",
			"CREATE TABLE parts (a int, b int) PARTITION BY RANGE (a)",
			"CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (0) TO (100)", "CREATE TABLE part_2 PARTITION OF parts DEFAULT",
			"CREATE INDEX parts_used ON parts (a)", "CREATE INDEX parts_idle ON parts (b)",
			"INSERT INTO parts SELECT g, g FROM generate_series(1, 1000) g",
			"CREATE TABLE empty (a int) PARTITION BY RANGE (a)", "CREATE INDEX ON empty (a)",
			"ANALYZE",
			"SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT * FROM stock WHERE a = 7; SELECT * FROM part_1 WHERE a = 7",
		)
		session(t, srv, pgtest.Superuser, db, "CREATE TEMP TABLE passing (a int)", "CREATE INDEX passing_a ON passing (a)")
		page := anew(t, engines(t, srv, "index_health"), "pg_index_health_index_bytes", func(s snapshot) bool {
			return slices.Equal(s.indexesOf(db, "unused"), []string{"idle", "parts_idle"})
		})
		checkKind(t, page, db, "unused", "idle", "parts_idle")
		parts := page.value(t, "pg_index_health_index_bytes", "datname", db, "relname", "parts", "indexrelname", "parts_idle", "kind", "unused")
		if want := srv.Query(t, db, "SELECT sum(pg_relation_size(oid))::text FROM pg_class WHERE relname ~ '^part_[12]_b_idx'"); want != fmt.Sprint(parts) {
			t.Errorf("the unused index of all partitions has %v bytes, want %s", parts, want)
		}
		page.absent(t, "pg_index_health_stats_reset_timestamp_seconds", "datname", db, "schemaname", "public")

		began := time.Now()
		srv.ExecIn(t, db, "SELECT pg_stat_reset()")
		page = anew(t, engines(t, srv, "index_health"), "pg_index_health_index_bytes", func(s snapshot) bool {
			return slices.Equal(s.indexesOf(db, "unused"), []string{"idle", "parts_idle", "parts_used", "used"})
		})
		checkBetween(t, "reset", page.value(t, "pg_index_health_stats_reset_timestamp_seconds", "datname", db), began, time.Now())
	})
}

// TestIndexHealthMost has more unused indexes than are named, which are the largest.
func TestIndexHealthMost(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		srv.ExecIn(t, db, "CREATE TABLE stock (a int)", "INSERT INTO stock SELECT generate_series(1, 5000)")
		for i := range 7 {
			srv.ExecIn(t, db, fmt.Sprintf("CREATE INDEX i%d ON stock ((a + %d)) WHERE a > %d", i, i, 700*i))
		}
		page := scrapePage(t, watch(t, srv, pgtest.Monitor, "index_health"))
		if got := page.value(t, "pg_index_health_indexes", "datname", db, "kind", "unused"); got != 7 {
			t.Errorf("%v indexes are unused, want 7", got)
		}
		if got, want := page.indexesOf(db, "unused"), []string{"i0", "i1", "i2", "i3", "i4"}; !slices.Equal(got, want) {
			t.Errorf("named are %q, want %q", got, want)
		}
	})
}

// TestIndexHealthStandby has an invalid index, which on a standby may be one that
// the primary builds.
func TestIndexHealthStandby(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		primary := pgtest.New(t, major, pgtest.Options{})
		standby := pgtest.New(t, major, pgtest.Options{StandbyOf: primary})
		primary.Exec(t, "CREATE TABLE parts (a int) PARTITION BY RANGE (a)", "CREATE TABLE part_1 PARTITION OF parts DEFAULT",
			"CREATE INDEX lacking ON ONLY parts (a)", "CREATE TABLE stock (a int)", "CREATE INDEX stock_1 ON stock (a)", "CREATE INDEX stock_2 ON stock (a)")
		checkKind(t, scrapePage(t, watch(t, primary, pgtest.Monitor, "index_health")), "postgres", "invalid", "lacking")
		page := anew(t, func() *scrape.Engine { return watch(t, standby, pgtest.Monitor, "index_health") }, "pg_index_health_index_bytes", func(s snapshot) bool {
			return slices.Equal(s.indexesOf("postgres", "duplicate"), []string{"stock_2"})
		})
		checkKind(t, page, "postgres", "unused", "stock_1", "stock_2")
		page.absent(t, "pg_index_health_indexes", "kind", "invalid")
		page.absent(t, "pg_index_health_index_bytes", "kind", "invalid")
	})
}

// TestIndexHealthKeys has foreign keys whose index serves and others whose does
// not, and tables with and without a key.
func TestIndexHealthKeys(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		e := func() *scrape.Engine { return watch(t, srv, pgtest.Monitor, "index_health") }
		const foreign = "pg_index_health_foreign_keys_without_index"
		if got := scrapePage(t, e()).value(t, foreign, "datname", db); got != 0 {
			t.Errorf("an empty database has %v foreign keys without an index", got)
		}
		srv.ExecIn(t, db, "CREATE TABLE parent (id int PRIMARY KEY, b int, UNIQUE (id, b))")
		want := 0.0
		for i, c := range []struct {
			index string
			fits  bool
		}{
			{"", false},
			{"CREATE INDEX ON %s (p, x)", true},
			{"CREATE INDEX ON %s (x, p)", false},
			{"CREATE INDEX ON %s USING hash (p)", true},
			{"CREATE INDEX ON %s USING brin (p)", false},
			{"CREATE INDEX ON %s (p) WHERE p IS NOT NULL", true},
			{"CREATE INDEX ON %s (p) WHERE x IS NOT NULL", false},
			{"CREATE INDEX ON %s (p) WHERE p IS NULL", false},
			{"CREATE INDEX ON %s (p) WHERE x > 0", false},
			{"CREATE INDEX ON %s ((p + 0))", false},
		} {
			table := fmt.Sprintf("child_%d", i)
			srv.ExecIn(t, db, "CREATE TABLE "+table+" (x int PRIMARY KEY, p int REFERENCES parent)")
			if c.index != "" {
				srv.ExecIn(t, db, fmt.Sprintf(c.index, table))
			}
			if !c.fits {
				want++
			}
			if got := scrapePage(t, e()).value(t, foreign, "datname", db); got != want {
				t.Errorf("after %q there are %v without, want %v", c.index, got, want)
				want = got
			}
		}
		srv.ExecIn(t, db,
			"CREATE TABLE pair (x int, p int, q int, FOREIGN KEY (p, q) REFERENCES parent (id, b))", "CREATE INDEX ON pair (q, p, x)",
			"CREATE TABLE unpaired (x int, p int, q int, FOREIGN KEY (p, q) REFERENCES parent (id, b))", "CREATE INDEX ON unpaired (p, x, q)",
			"ALTER TABLE unpaired REPLICA IDENTITY FULL",
			"CREATE TABLE parts (p int REFERENCES parent) PARTITION BY RANGE (p)", "ALTER TABLE parts REPLICA IDENTITY NOTHING",
			"CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (0) TO (9)", "CREATE TABLE part_2 PARTITION OF parts DEFAULT",
			"CREATE TABLE nothing (id int PRIMARY KEY)", "ALTER TABLE nothing REPLICA IDENTITY NOTHING",
			"CREATE TABLE named (id int NOT NULL)", "CREATE UNIQUE INDEX named_id ON named (id)", "ALTER TABLE named REPLICA IDENTITY USING INDEX named_id",
		)
		session(t, srv, pgtest.Superuser, db, "CREATE TEMP TABLE passing (a int)", "BEGIN", "LOCK TABLE parent, parts IN ACCESS EXCLUSIVE MODE")
		page := scrapePage(t, e())
		for metric, n := range map[string]float64{
			"foreign_keys_without_index": want + 2, "tables_without_primary_key": 4, "tables_without_replica_identity": 3,
		} {
			if got := page.value(t, "pg_index_health_"+metric, "datname", db); got != n {
				t.Errorf("%s is %v, want %v", metric, got, n)
			}
		}
	})
}

// TestIndexHealthReindex has an index being rebuilt, whose second is not yet valid.
func TestIndexHealthReindex(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		srv.ExecIn(t, db, "CREATE TABLE stock (a int)", "CREATE INDEX stock_a ON stock (a)")
		holder := session(t, srv, pgtest.Superuser, db, "BEGIN", "INSERT INTO stock VALUES (2)")
		conn := session(t, srv, pgtest.Superuser, db)
		done := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), bound)
		t.Cleanup(cancel)
		go func() {
			_, err := conn.Exec(ctx, "REINDEX INDEX CONCURRENTLY stock_a")
			done <- err
		}()
		const seen = "SELECT count(*)::text FROM pg_index WHERE NOT indisvalid"
		for began := time.Now(); srv.Query(t, db, seen) != "1"; time.Sleep(10 * time.Millisecond) {
			if time.Since(began) > bound {
				t.Fatal("the index was never being built")
			}
		}
		page := scrapePage(t, watch(t, srv, pgtest.Monitor, "index_health"))
		checkKind(t, page, db, "invalid")
		checkKind(t, page, db, "unused", "stock_a")
		run(t, holder, "COMMIT")
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
