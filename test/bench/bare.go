package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// bare is one pgx session that reads given texts with nothing around them: the
// least that reading them can cost.
type bare struct {
	conn  *pgx.Conn
	pid   int
	names []string
	bytes int // read, so that no reading is for nothing
}

// newBare connects as the exporter does, with its settings, and prepares the
// texts.
func newBare(ctx context.Context, dsn string, texts []string) (*bare, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("connect bare: %w", err)
	}
	for name, value := range map[string]string{
		"application_name": "bare", "search_path": "pg_catalog", "jit": "off", "max_parallel_workers_per_gather": "0",
		"default_transaction_read_only": "on", "statement_timeout": "30s", "lock_timeout": "100ms",
	} {
		config.RuntimeParams[name] = value
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect bare: %w", err)
	}
	b := &bare{conn: conn, pid: int(conn.PgConn().PID())}
	for i, text := range texts {
		name := fmt.Sprintf("bare_%d", i)
		if _, err := conn.Prepare(ctx, name, text); err != nil {
			return nil, errors.Join(fmt.Errorf("prepare bare: %w", err), conn.Close(ctx))
		}
		b.names = append(b.names, name)
	}
	return b, nil
}

func (b *bare) close(ctx context.Context) error { return b.conn.Close(ctx) }

// read runs the statements one after the other.
func (b *bare) read(ctx context.Context) error {
	for _, name := range b.names {
		rows, err := b.conn.Query(ctx, name)
		if err != nil {
			return fmt.Errorf("read bare: %w", err)
		}
		if err := b.drain(rows); err != nil {
			return err
		}
	}
	return nil
}

// readBatch runs the statements in one pipeline and one transaction.
func (b *bare) readBatch(ctx context.Context) (err error) {
	var batch pgx.Batch
	for _, name := range b.names {
		batch.Queue(name)
	}
	results := b.conn.SendBatch(ctx, &batch)
	defer func() { err = errors.Join(err, results.Close()) }()
	for range b.names {
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
