package collector_test

import (
	"strconv"
	"testing"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/scrape"
)

// TestLargeObjects has a database with large objects, before and after a vacuum
// has counted them, and while their catalogue is locked; and one without any.
func TestLargeObjects(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		full, empty := srv.Database(t), srv.Database(t)
		const make = "SELECT lo_from_bytea(0, decode(repeat(md5(g::text), 200), 'hex')) FROM generate_series(1, 1000) g"
		srv.ExecIn(t, full, make)
		const objects, size = "pg_large_objects_objects", "pg_large_objects_size_bytes"
		open := func() *scrape.Engine { return watch(t, srv, pgtest.Nobody, "large_objects") }
		page := scrapePage(t, open())
		page.absent(t, objects, "datname", full)
		for metric, want := range map[string]float64{objects: 0, size: 0} {
			v := page.value(t, metric, "datname", empty)
			if metric == size {
				v -= 8192 // the root of the index
			}
			if v != want {
				t.Errorf("without large objects there is %s of %v", metric, v)
			}
		}

		srv.ExecIn(t, full, "VACUUM pg_largeobject_metadata")
		page = scrapePage(t, open())
		if v := page.value(t, objects, "datname", full); v != 1000 {
			t.Errorf("there are %v large objects, want 1000", v)
		}
		// They are compressed, chunk by chunk.
		bytes := srv.Query(t, full, "SELECT pg_total_relation_size('pg_largeobject')")
		if v := page.value(t, size, "datname", full); v < 1_000_000 || strconv.FormatFloat(v, 'f', -1, 64) != bytes {
			t.Errorf("the large objects take %v bytes, want %s", v, bytes)
		}
		srv.ExecIn(t, full, make)
		if v := scrapePage(t, open()).value(t, objects, "datname", full); v < 1500 || v > 2500 {
			t.Errorf("of twice as many large objects %v are estimated", v)
		}

		session(t, srv, pgtest.Superuser, full, "BEGIN", "LOCK TABLE pg_largeobject IN ACCESS EXCLUSIVE MODE")
		page = scrapePage(t, open())
		if v := page.value(t, "pgvigil_collector_success", "collector", "large_objects", "datname", full); v != 1 {
			t.Errorf("with the catalogue locked: success %v", v)
		}
		page.absent(t, objects, "datname", full)
		page.absent(t, size, "datname", full)
		page.value(t, size, "datname", empty)
	})
}
