package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// QueryText gives the texts of the statements that stat_statements shows, for
// dashboards to join by queryid. A text is asked for once: pg_stat_statements(true)
// reads the file of all texts into memory. It is one line of at most 300
// characters; a queryid has the same text in all databases but for names of
// schemas, of which the first counts. Constants are normalised but for those of
// utility statements (16 does some), so what may be a secret there is cut.
var QueryText = spec.Collector{
	Name: "query_text", About: "Texts of the statements that stat_statements shows.",
	Scope: spec.PerServer,
	Needs: spec.Needs{
		Extension: "pg_stat_statements", Setting: "pg_stat_statements.max",
		Member: "pg_read_all_stats", Grant: "GRANT pg_monitor TO pgvigil",
	},
	Cost: spec.Cost{Timeout: 10 * time.Second, Every: 5 * time.Minute, MaxSeries: 2000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
WITH one AS (
SELECT s.queryid
     , pg_catalog.min(pg_catalog.btrim(pg_catalog.regexp_replace(pg_catalog.left(s.query, 3000), '\s+', ' ', 'g'))) AS line
  FROM @extschema@.pg_stat_statements(true) AS s
 WHERE s.queryid = ANY ($1::text[]::bigint[])
   AND s.query IS NOT NULL
 GROUP BY s.queryid
)
SELECT queryid::text                                                                                  AS queryid
     , pg_catalog.left(CASE WHEN line ~* '^(create|alter) ' THEN
           pg_catalog.regexp_replace(line, '\m(password|connection|options)\M.*', '\1 ***', 'i')
       ELSE line END, 300)                                                                            AS query
     , 1::double precision                                                                            AS pg_stat_statements_query_info
  FROM one`}},
	Labels: []string{"queryid", "query"},
	Metrics: []spec.Metric{
		{Name: "pg_stat_statements_query_info", Type: spec.Gauge, Help: "Text of a query, normalised, on one line and cut at 300 characters; always 1."},
	},
	Follow: &spec.Follow{Of: "stat_statements", Column: "queryid"},
}
