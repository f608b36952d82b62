package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// stage is a server with the subjects on it.
type stage struct {
	server *pgtest.Server
	conn   *pgx.Conn
}

// open starts a server on which nothing happens but what the subjects say.
func open(ctx context.Context, bin pgtest.Binaries, major int) (*stage, error) {
	srv, err := pgtest.Start(ctx, bin, major, pgtest.Options{Settings: map[string]string{
		"autovacuum": "off", "archive_mode": "off", "shared_buffers": "256MB", "wal_level": "minimal", "max_wal_senders": "0",
	}})
	if err != nil {
		return nil, err
	}
	s := &stage{server: srv}
	if s.conn, err = pgx.Connect(ctx, srv.DSN(pgtest.Superuser, "postgres")); err != nil {
		return nil, errors.Join(err, srv.Stop())
	}
	return s, nil
}

func (s *stage) close(ctx context.Context) error {
	return errors.Join(s.conn.Close(ctx), s.server.Stop())
}

// exec runs a statement in a session of its own: at its end its numbers are sent
// to the statistics, before those of the next.
func (s *stage) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, s.server.DSN(pgtest.Superuser, "postgres"))
	if err != nil {
		return err
	}
	if _, err = conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		err = fmt.Errorf("%w: %s", err, sql)
	}
	return errors.Join(err, conn.Close(ctx))
}

// figure is what is known of a subject: ratios of waste, NULL where unknown.
type figure struct {
	subject
	size                          float64
	estimate, measured, rewritten *float64
}

// measure builds the subjects and looks at each in three ways.
func (s *stage) measure(ctx context.Context) ([]figure, error) {
	if err := s.build(ctx); err != nil {
		return nil, err
	}
	estimates, err := s.estimates(ctx)
	if err != nil {
		return nil, err
	}
	var figures []figure
	for _, sub := range subjects() {
		f := figure{subject: sub, estimate: estimates[sub.name]}
		measure, rewrite := measureTable, "VACUUM FULL "
		if sub.index {
			measure, rewrite = measureIndex, "REINDEX INDEX "
		}
		if err := s.conn.QueryRow(ctx, measure, sub.name).Scan(&f.size, &f.measured); err != nil {
			return nil, fmt.Errorf("measure %s: %w", sub.name, err)
		}
		if err := s.exec(ctx, rewrite+sub.name); err != nil {
			return nil, err
		}
		if err := s.conn.QueryRow(ctx, "SELECT greatest(0, 1 - pg_relation_size($1::text::regclass) / $2::double precision)", sub.name, f.size).Scan(&f.rewritten); err != nil {
			return nil, fmt.Errorf("look at %s rewritten: %w", sub.name, err)
		}
		figures = append(figures, f)
	}
	return figures, nil
}

func (s *stage) build(ctx context.Context) error {
	if err := s.exec(ctx, "CREATE EXTENSION pgstattuple"); err != nil {
		return err
	}
	for _, sub := range subjects() {
		for _, sql := range sub.build {
			if err := s.exec(ctx, sql); err != nil {
				return err
			}
		}
		if sub.blind || strings.HasPrefix(sub.build[len(sub.build)-1], "ANALYZE ") {
			continue // it has what it needs
		}
		table := sub.name
		if sub.index {
			table = "t" + sub.name
		}
		if err := s.exec(ctx, "VACUUM ANALYZE "+table); err != nil {
			return err
		}
	}
	return s.settle(ctx)
}

// settle waits for the statistics to know of no change since the last ANALYZE but
// where there is meant to be one. A change may be reported after the ANALYZE that
// has seen it; then there is another.
func (s *stage) settle(ctx context.Context) error {
	const unsettled = `
SELECT coalesce(min(relname) FILTER (WHERE relname NOT IN ('t_stale', 't_never')), ''), count(*)
  FROM pg_stat_user_tables
 WHERE CASE WHEN relname IN ('t_stale', 't_never') THEN n_mod_since_analyze < 50000 ELSE last_analyze IS NULL OR n_mod_since_analyze > 0 END`
	for began := time.Now(); ; {
		var table string
		var count int
		if err := s.conn.QueryRow(ctx, unsettled).Scan(&table, &count); err != nil || count == 0 {
			return err
		}
		if time.Since(began) > 20*time.Second {
			return fmt.Errorf("the statistics of %d tables never came, among them %q", count, table)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
		if table != "" {
			if err := s.exec(ctx, "ANALYZE "+table); err != nil {
				return err
			}
		}
	}
}

// estimates runs the collectors' own text and returns ratios by relation.
func (s *stage) estimates(ctx context.Context) (map[string]*float64, error) {
	ratios := map[string]*float64{}
	for _, c := range []spec.Collector{collector.Bloat, collector.BloatIndexes} {
		env := spec.Env{Major: spec.Version(s.server.Major)}
		query, ok := c.Query(env)
		if !ok {
			return nil, fmt.Errorf("%s has no query for this version", c.Name)
		}
		sql, err := spec.Render(query.SQL, env)
		if err != nil {
			return nil, err
		}
		rows, err := s.conn.Query(ctx, sql)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowToMap)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		for _, row := range found {
			name, kind := row["relname"], "table"
			if row["indexrelname"] != nil {
				name, kind = row["indexrelname"], "index"
			}
			if wasted, ok := row[kind+"_wasted_bytes"].(float64); ok {
				ratio := wasted / row[kind+"_size_bytes"].(float64)
				ratios[name.(string)] = &ratio
			}
		}
	}
	return ratios, nil
}

// measureTable counts what pgstattuple counts. A row takes its bytes, 4 to point to
// it, and what alignment adds, which is known where all rows are alike; and never
// more than the pages have used for each, dead or alive. Of large rows only whole ones fit a page.
const measureTable = `
SELECT m.table_len::double precision
     , greatest(0, 1 - ceil(m.tuple_count / m.fit) * m.block / m.table_len)
  FROM (SELECT p.table_len, p.tuple_count, b.block
             , CASE WHEN f.fit < 8 THEN greatest(1, floor(f.fit)) ELSE f.fit END AS fit
          FROM pgstattuple($1::text::regclass) AS p
         CROSS JOIN (SELECT current_setting('block_size')::double precision AS block) AS b
         CROSS JOIN LATERAL (
               SELECT least(CASE WHEN p.tuple_len % p.tuple_count = 0 THEN 8 * ceil(p.tuple_len / p.tuple_count / 8.0) + 4
                                 ELSE p.tuple_len / p.tuple_count::double precision + 7.5 END
                          , (p.table_len - p.free_space - 24 * p.table_len / b.block) / (p.tuple_count + p.dead_tuple_count)) AS bytes) AS w
         CROSS JOIN LATERAL (
               SELECT (b.block - 24 - floor(b.block * (100 - coalesce((
                          SELECT o.option_value::double precision FROM pg_class AS c, pg_options_to_table(c.reloptions) AS o
                           WHERE c.oid = $1::text::regclass AND o.option_name = 'fillfactor'), 100)) / 100)) / w.bytes AS fit) AS f) AS m`

// measureIndex brings the leaf pages from the density that pgstatindex finds to
// the fillfactor, and all that is above them with them.
const measureIndex = `
SELECT m.index_size::double precision
     , (1 - m.block / m.index_size)
       * (1 - least(1, m.leaf_pages::double precision / greatest(1, m.leaf_pages + m.empty_pages + m.deleted_pages) * m.avg_leaf_density / m.fillfactor))
  FROM (SELECT p.index_size, p.leaf_pages, p.empty_pages, p.deleted_pages, p.avg_leaf_density
             , current_setting('block_size')::double precision AS block
             , coalesce((SELECT o.option_value::double precision FROM pg_class AS c, pg_options_to_table(c.reloptions) AS o
                          WHERE c.oid = $1::text::regclass AND o.option_name = 'fillfactor'), 90) AS fillfactor
          FROM pgstatindex($1::text::regclass) AS p) AS m`
