package explain

import (
	"context"
	"slices"

	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// Table is a table that the plan reads or writes. A nil field is not known.
type Table struct {
	Schema string `json:"schemaname"`
	Name   string `json:"relname"`
	// Bytes are those of the table alone.
	Bytes *float64 `json:"bytes"`
	// Rows are the live ones, as the statistics system counts them.
	Rows *float64 `json:"live_rows"`
	// Analyzed is how long ago the last ANALYZE was, by whomever.
	Analyzed *float64 `json:"seconds_since_analyze"`
	// Modified are the rows changed since.
	Modified *float64 `json:"rows_modified_since_analyze"`
	// Statistics tells whether the planner has any on its columns.
	Statistics *bool `json:"statistics"`
	// Kind is pg_class.relkind.
	Kind string `json:"relkind"`

	rows     float64 // what the planner takes it to have, negative where that was never counted
	security bool    // policies add to the conditions, and may be others for the user
}

// Only a table that our role may read in full shows its statistics.
const tablesSQL = `
SELECT n.nspname::text                                                                       AS schemaname
     , c.relname::text                                                                       AS relname
     , c.relkind::text                                                                       AS relkind
     , c.reltuples::double precision                                                         AS reltuples
     , CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_relation_size(c.oid) END::double precision AS bytes
     , c.relrowsecurity::int::double precision                                               AS security
     , s.n_live_tup::double precision                                                        AS live
     , s.n_mod_since_analyze::double precision                                               AS modified
     , pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - greatest(s.last_analyze, s.last_autoanalyze)) AS analyzed
     , EXISTS (SELECT FROM pg_catalog.pg_stats AS p WHERE p.schemaname = n.nspname AND p.tablename = c.relname)::int::double precision AS statistics
     , (pg_catalog.has_table_privilege(c.oid, 'SELECT') AND NOT c.relrowsecurity)::int::double precision AS seen
  FROM pg_catalog.generate_series(1, pg_catalog.array_length($1::text[], 1), 2) AS g (i)
  JOIN pg_catalog.pg_namespace AS n ON n.nspname = ($1::text[])[g.i]
  JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = ($1::text[])[g.i + 1]
  LEFT JOIN pg_catalog.pg_stat_all_tables AS s ON s.relid = c.oid
 ORDER BY g.i`

// maxTables bounds what is looked up for a plan over thousands of partitions.
const maxTables = 500

// tablesOf looks up the tables of a plan, in its order.
func tablesOf(ctx context.Context, session *postgres.Session, plan *Plan) ([]Table, error) {
	var names []string
	for _, t := range plan.tables() {
		if len(names) < 2*maxTables {
			names = append(names, t.schema, t.name)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	var tables []Table
	err := ask(ctx, session, "tables", tablesSQL, names, func(r rows) {
		for i := range r.Len() {
			t := Table{
				Schema: r.Text(i, "schemaname"), Name: r.Text(i, "relname"), Kind: r.Text(i, "relkind"),
				Bytes: r.known(i, "bytes"), Rows: r.known(i, "live"), Modified: r.known(i, "modified"), Analyzed: r.known(i, "analyzed"),
				rows: r.Value(i, "reltuples"), security: r.Value(i, "security") == 1,
			}
			if there := r.Value(i, "statistics") == 1; there || r.Value(i, "seen") == 1 {
				t.Statistics = &there
			}
			tables = append(tables, t)
		}
	})
	return tables, err
}

// known is a value, or nil where it is NULL.
func (r rows) known(row int, name string) *float64 {
	v := r.Value(row, name)
	if spec.IsAbsent(v) {
		return nil
	}
	return &v
}

// of returns the facts of a table; nil if they are not known.
func of(tables []Table, t table) *Table {
	i := slices.IndexFunc(tables, func(f Table) bool { return f.Schema == t.schema && f.Name == t.name })
	if i < 0 {
		return nil
	}
	return &tables[i]
}

func (t *Table) String() string { return table{t.Schema, t.Name}.String() }

// large reports whether a table has more than this many bytes.
func (t *Table) large(bytes int64) bool {
	return t != nil && t.Bytes != nil && *t.Bytes > float64(bytes)
}

// unanalyzed reports whether the planner has nothing to go by: before 14 a table that
// was never counted has 0 rows, since 14 it has -1.
func (t *Table) unanalyzed() bool {
	held := t.Bytes != nil && *t.Bytes > 0
	return (t.Kind == "r" || t.Kind == "m") && held && t.Analyzed == nil && (t.rows <= 0 || t.Statistics != nil && !*t.Statistics)
}

// Statistics are stale from here on: more than this part of the rows has been changed,
// and more than a few.
const (
	staleShare = 0.2
	staleRows  = 1000
)

func (t *Table) stale() bool {
	if t.Modified == nil || t.Rows == nil || t.Analyzed == nil {
		return false
	}
	return *t.Modified >= staleRows && *t.Modified > staleShare**t.Rows
}
