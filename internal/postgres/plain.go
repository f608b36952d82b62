package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
)

// Plain is a connection on which nothing is set up and only the simple protocol is
// spoken: for what is not a server, such as PgBouncer's admin console. It is for
// one user at a time.
type Plain struct {
	conn     *pgconn.PgConn
	database string
}

// maxAnswer bounds one answer: a pooler of ten thousand pools gives 2 MB.
const maxAnswer = 32 << 20

// Table is an answer in the text form of the protocol; a nil cell is NULL.
type Table struct {
	Columns []string
	Rows    [][][]byte
}

// DialPlain opens a connection, reading all secrets anew.
func (c Config) DialPlain(ctx context.Context) (*Plain, error) {
	timeout := c.ConnectTimeout
	if timeout == 0 {
		timeout = DefaultConnectTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// A console knows no cancel requests: at the deadline the connection is given up.
	conn, err := c.dial(ctx, "", func(config *pgconn.Config) {
		config.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
			return &pgconn.DeadlineContextWatcherHandler{Conn: conn.Conn()}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &Plain{conn: conn.PgConn, database: conn.database}, nil
}

// Database is the database the connection is to.
func (p *Plain) Database() string { return p.database }

// Ask sends one command and returns its answer. An error that the other side tells
// leaves the connection whole.
func (p *Plain) Ask(ctx context.Context, command string) (Table, error) {
	var t Table
	results := p.conn.Exec(ctx, command)
	size := 0
	for results.NextResult() {
		reader := results.ResultReader()
		t = Table{}
		for _, f := range reader.FieldDescriptions() {
			t.Columns = append(t.Columns, f.Name)
		}
		for reader.NextRow() {
			row, n := cloneRow(reader.Values())
			if size += n; size > maxAnswer {
				// Reading on would be as bad as keeping it.
				err := p.conn.Conn().Close()
				return Table{}, errors.Join(fmt.Errorf("%s: the answer has more than %d bytes", command, maxAnswer), err, results.Close())
			}
			if len(row) != len(t.Columns) {
				return Table{}, errors.Join(fmt.Errorf("%s: a row has %d cells for %d columns", command, len(row), len(t.Columns)), results.Close())
			}
			t.Rows = append(t.Rows, row)
		}
	}
	if err := results.Close(); err != nil {
		return Table{}, fmt.Errorf("%s: %w", command, err)
	}
	return t, nil
}

// cloneRow copies cells, which the connection overwrites, and tells their size.
func cloneRow(cells [][]byte) ([][]byte, int) {
	size := 0
	for _, c := range cells {
		size += len(c)
	}
	text := make([]byte, 0, size)
	row := make([][]byte, len(cells))
	for i, c := range cells {
		if c == nil {
			continue
		}
		at := len(text)
		text = append(text, c...)
		row[i] = text[at:len(text):len(text)]
	}
	return row, size + len(cells)
}

// Broken reports whether the connection is gone.
func (p *Plain) Broken() bool { return p.conn.IsClosed() }

// Close says goodbye, within closeGrace, also when ctx has ended.
func (p *Plain) Close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeGrace)
	defer cancel()
	// The connection is over whatever the answer; nobody could act on the error.
	_ = p.conn.Close(ctx)
	select {
	case <-p.conn.CleanupDone():
	case <-ctx.Done():
	}
}
