package explain

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// TestRemarks makes each state, and the same statement without it.
func TestRemarks(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		l := newLab(t, srv,
			`CREATE TABLE large (id int, a int, pad text) WITH (autovacuum_enabled = off)`,
			`INSERT INTO large SELECT g, g % 10, repeat('x', 1000) FROM generate_series(1, 10000) AS g`,
			`CREATE TABLE small (id int, a int) WITH (autovacuum_enabled = off)`,
			`INSERT INTO small SELECT g, g FROM generate_series(1, 200) AS g`,
			`ANALYZE`,
			`CREATE TABLE never (id int) WITH (autovacuum_enabled = off)`,
			`INSERT INTO never SELECT generate_series(1, 100)`,
			`CREATE TABLE stale (id int) WITH (autovacuum_enabled = off)`,
			`INSERT INTO stale SELECT generate_series(1, 10000)`,
			`ANALYZE stale`,
			`UPDATE stale SET id = id + 1 WHERE id < 5000`,
			`CREATE TABLE secured (id int)`, `ALTER TABLE secured ENABLE ROW LEVEL SECURITY`, `CREATE POLICY p ON secured USING (true)`, `INSERT INTO secured VALUES (1)`, `ANALYZE secured`,
			`CREATE TABLE twice (a int, b int) WITH (autovacuum_enabled = off)`,
			`INSERT INTO twice SELECT g % 100, g % 100 FROM generate_series(1, 20000) AS g`, `ANALYZE twice`)
		// Statistics of what was done arrive some time after.
		for _, table := range []string{"stale", "never"} {
			l.await(t, "SELECT n_mod_since_analyze > 0 FROM pg_stat_all_tables WHERE relid = '"+table+"'::regclass")
		}
		l.await(t, "SELECT count(*) = 5 FROM pg_stat_all_tables WHERE last_analyze IS NOT NULL AND relname IN ('large', 'small', 'stale', 'twice', 'secured')")
		for _, tt := range []struct {
			sql, like string
			about     About // "" is none
			want      string
		}{
			{"SELECT id FROM small WHERE a = 5", "SELECT id FROM small%", "", ""},
			{"SELECT id FROM large WHERE id = 5", "SELECT id FROM large WHERE id%", AboutSeqScan, "all of public.large (11 MB), and the filter is to let less than a tenth of the rows pass"},
			{"SELECT pad FROM large WHERE id > 0", "SELECT pad FROM large%", AboutSeqScan, "most of the rows are wanted"},
			{"SELECT count(*) FROM small s LEFT JOIN large l ON s.a > l.id + 5 AND s.a <> l.a", "SELECT count(*) FROM small s%", AboutLoop, "once for each of about 200 rows"},
			{"SELECT id FROM never WHERE id > 5", "SELECT id FROM never%", AboutUnanalyzed, "no statistics on public.never"},
			{"SELECT id FROM stale WHERE id > 5", "SELECT id FROM stale%", AboutStale, "public.stale ("},
			{"SELECT id FROM secured", "SELECT id FROM secured%", AboutSecurity, "row security on public.secured"},
			{"SELECT * FROM twice WHERE a BETWEEN 5 AND 90 AND b BETWEEN 5 AND 90 AND a = b + 0", "SELECT * FROM twice%", AboutEstimate, "far less work than there is"},
			{"SELECT a FROM twice WHERE a > 1000", "SELECT a FROM twice WHERE a > %", AboutEstimate, "far more work than there is"},
			{"SELECT a FROM twice WHERE a > 1000 LIMIT 20000", "SELECT a FROM twice%LIMIT%", "", ""},
			{"SELECT id, pad FROM large ORDER BY pad", "SELECT id, pad FROM large ORDER BY pad", AboutMemory, "a sort of about"},
			{"SELECT pad, id FROM large ORDER BY pad", "SELECT pad, id FROM large ORDER BY pad", AboutTemporary, "to temporary files on average"},
			{"SELECT a, pad FROM large ORDER BY id LIMIT 10", "SELECT a, pad FROM large ORDER BY id LIMIT%", "", ""},
			{"SELECT pad, count(*) FROM large GROUP BY pad, id", "SELECT pad, count(*)%", AboutMemory, " of about "},
		} {
			l.run(t, tt.sql, pgx.QueryExecModeSimpleProtocol)
			r := l.explain(t, tt.like)
			found := ""
			for _, remark := range r.Remarks {
				if remark.About == tt.about {
					found = remark.What
				}
				if remark.Do == "" || !strings.HasSuffix(remark.What, ".") || !strings.HasSuffix(remark.Do, ".") {
					t.Errorf("%+v is not in sentences", remark)
				}
			}
			if tt.about == "" && slices.ContainsFunc(r.Remarks, func(r Remark) bool { return r.About != AboutSeqScan }) || !strings.Contains(found, tt.want) {
				t.Errorf("%s: remarks are %q, want %s: %s\n%s", tt.sql, r.Remarks, tt.about, tt.want, treeOf(r))
			}
			if text := textOf(t, r); !strings.Contains(text, r.Entry.QueryID) || strings.Contains(text, "Nothing stands out") != (len(r.Remarks) == 0) {
				t.Error(text)
			}
		}
		// What is large is for who asks to say.
		r, err := Explain(t.Context(), l.us, l.entry(t, "SELECT id FROM large WHERE id%"), Options{LargeTable: 100 << 20})
		if err != nil || len(r.Remarks) != 0 {
			t.Errorf("%v, %v", r, err)
		}
		// A statement that writes has no rows of its own in its plan.
		srv.ExecIn(t, l.database, "GRANT ALL ON twice TO "+pgtest.Monitor)
		l.run(t, "DELETE FROM twice WHERE a > 1000", pgx.QueryExecModeSimpleProtocol)
		if got := abouts(l.explain(t, "DELETE FROM twice%")); len(got) != 1 || got[0] != AboutEstimate {
			t.Errorf("remarks are about %s", got)
		}
	})
}

// TestMemory reads amounts of memory as settings write them.
func TestMemory(t *testing.T) {
	for text, want := range map[string]float64{"4096": 4 << 20, "4MB": 4 << 20, "64kB": 64 << 10, "1GB": 1 << 30, "2TB": 2 << 40, " 4 MB ": 4 << 20, "1000B": 1000, "": 0, "x": 0} {
		if got := memoryOf(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// TestNumbers are written for people.
func TestNumbers(t *testing.T) {
	for _, tt := range [][2]string{
		{count(0), "0"}, {count(999), "999"}, {count(1000), "1 000"}, {count(1234567), "1 234 567"}, {count(0.04), "0.04"}, {count(2.5), "2.5"}, {count(1234.5), "1 234"},
		{size(100), "100 bytes"}, {size(8 << 20), "8192 kB"}, {size(11 << 20), "11 MB"}, {size(1 << 60), "1048576 TB"},
		{seconds(0.000123), "0.123 ms"}, {seconds(0.25), "250 ms"}, {seconds(5), "5.0 s"}, {seconds(4000), "1h6m40s"},
		{ago(5), "now"}, {ago(600), "10 minutes ago"}, {ago(86400), "24 hours ago"}, {ago(864000), "10 days ago"},
	} {
		if tt[0] != tt[1] {
			t.Errorf("%s, want %s", tt[0], tt[1])
		}
	}
}
