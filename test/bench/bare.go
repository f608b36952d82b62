package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// bare is one pgx session that reads given texts with nothing around them: the
// least that reading them can cost.
type bare struct {
	conn  *pgx.Conn
	pid   int
	calls []call
	names map[string]string // of the prepared statements, by text
	bytes int               // read, so that no reading is for nothing
}

// newBare connects as the exporter does, with its settings, and prepares the
// statements.
func (st *stage) newBare(ctx context.Context, database string, calls []call) (*bare, error) {
	config, err := pgx.ParseConfig(st.server.DSN(pgtest.Monitor, database))
	if err != nil {
		return nil, fmt.Errorf("connect bare: %w", err)
	}
	for name, value := range map[string]string{
		"application_name": bareName, "search_path": "pg_catalog", "jit": "off", "max_parallel_workers_per_gather": "0",
		"default_transaction_read_only": "on", "statement_timeout": "30s", "lock_timeout": "100ms",
	} {
		config.RuntimeParams[name] = value
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect bare: %w", err)
	}
	b := &bare{conn: conn, pid: int(conn.PgConn().PID()), calls: calls, names: map[string]string{}}
	for _, c := range calls {
		if err := b.prepare(ctx, c.text); err != nil {
			return nil, errors.Join(err, conn.Close(ctx))
		}
	}
	return b, nil
}

func (b *bare) close(ctx context.Context) error { return b.conn.Close(ctx) }

// prepare prepares a text unless it has been.
func (b *bare) prepare(ctx context.Context, text string) error {
	if b.names[text] != "" {
		return nil
	}
	name := fmt.Sprintf("bare_%d", len(b.names))
	if _, err := b.conn.Prepare(ctx, name, text); err != nil {
		return fmt.Errorf("prepare bare: %w", err)
	}
	b.names[text] = name
	return nil
}

// read runs the statements one after the other.
func (b *bare) read(ctx context.Context) error {
	for _, c := range b.calls {
		if err := b.readOne(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

func (b *bare) readOne(ctx context.Context, c call) error {
	rows, err := b.conn.Query(ctx, b.names[c.text], c.params...)
	if err != nil {
		return fmt.Errorf("read bare: %w", err)
	}
	return b.drain(rows)
}

// cost is the server's CPU time for a statement, which is prepared first if need
// be.
func (b *bare) cost(ctx context.Context, c call) (time.Duration, error) {
	before, err := cpuTime(b.pid)
	if err != nil {
		return 0, err
	}
	if err := errors.Join(b.prepare(ctx, c.text), b.readOne(ctx, c)); err != nil {
		return 0, err
	}
	time.Sleep(settle)
	after, err := cpuTime(b.pid)
	return after - before, err
}

// readBatch runs the statements in one pipeline and one transaction.
func (b *bare) readBatch(ctx context.Context) (err error) {
	var batch pgx.Batch
	for _, c := range b.calls {
		batch.Queue(b.names[c.text], c.params...)
	}
	results := b.conn.SendBatch(ctx, &batch)
	defer func() { err = errors.Join(err, results.Close()) }()
	for range b.calls {
		rows, err := results.Query()
		if err != nil {
			return fmt.Errorf("read bare in a batch: %w", err)
		}
		if err := b.drain(rows); err != nil {
			return err
		}
	}
	return nil
}

func (b *bare) drain(rows pgx.Rows) error {
	defer rows.Close()
	for rows.Next() {
		for _, cell := range rows.RawValues() {
			b.bytes += len(cell)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read bare: %w", err)
	}
	return nil
}

// marker is how the exporter's texts tell which collector they are of.
var marker = regexp.MustCompile(`^/\* pgvigil (\S+) \*/`)

// collectorOf is the collector that a text is of; "" is none.
func collectorOf(text string) string {
	if m := marker.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}
