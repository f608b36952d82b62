package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
)

// cancelGrace is how long a cancelled query has to answer before its session is closed.
const cancelGrace = 500 * time.Millisecond

// closeGrace is how long a goodbye may take.
const closeGrace = 500 * time.Millisecond

// lockTimeout is how long any query waits for a lock before it gives up: what
// stands behind us in the lock's queue waits for us too.
const lockTimeout = 100 * time.Millisecond

// Settings are made after connecting, because poolers refuse start-up parameters
// they do not know. The mandatory ones must hold; an optional one may be unknown
// to an older server or a fork, and is then left out without an error in the
// server's log. idle_session_timeout (14) would end the lasting session. With the
// 4 MB of work_mem that is the default, a full pg_stat_statements would go through
// a temporary file at each look. A SQL_ASCII database holds bytes of any encoding and refuses to call them UTF8.
var (
	mandatory = fmt.Sprintf(`SET default_transaction_read_only = on;
SET statement_timeout = %d;
SET lock_timeout = %d;
SET idle_in_transaction_session_timeout = '10s';
SET search_path = pg_catalog`, setupTimeout.Milliseconds(), lockTimeout.Milliseconds())
	optional = `
SELECT pg_catalog.set_config(v.name, v.setting, false) AS setting
  FROM (VALUES ('jit', 'off')
             , ('max_parallel_workers_per_gather', '0')
             , ('work_mem', CASE WHEN pg_catalog.pg_size_bytes(pg_catalog.current_setting('work_mem')) < 33554432
                                 THEN '32MB' ELSE pg_catalog.current_setting('work_mem') END)
             , ('idle_session_timeout', '0')
             , ('client_encoding', CASE pg_catalog.current_setting('server_encoding')
                                   WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END)) AS v (name, setting)
 WHERE pg_catalog.current_setting(v.name, true) IS NOT NULL`
)

// setupTimeout is the statement_timeout of the queries that open a session.
const setupTimeout = 2 * time.Second

// connect opens a session and looks up its facts. Without a database it is the
// lasting one, on the database the connection string names. follow, if not nil, may
// hang itself into the connect.
func (s *Server) connect(ctx context.Context, database string, follow func(*pgconn.Config)) (*Session, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.ConnectTimeout)
	defer cancel()
	conn, err := s.config.dial(ctx, database, func(config *pgconn.Config) {
		config.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
			return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: cancelGrace}
		}
		if follow != nil {
			follow(config)
		}
	})
	if err != nil {
		return nil, err
	}
	session := &Session{
		conn: conn.PgConn, database: conn.database, opened: time.Now(),
		timeout: setupTimeout, texts: map[text]*statement{}, count: s.count,
	}
	err = session.setUp(ctx, s.config.Probe)
	if err == nil && database == "" {
		err = session.identify(ctx)
	}
	if err != nil {
		session.close(ctx)
		return nil, fmt.Errorf("set up the session: %w", err)
	}
	return session, nil
}

// dialled is a bare connection.
type dialled struct {
	*pgconn.PgConn
	database string
}

// dial opens a bare connection, with every secret read anew. A database that is not
// empty takes the place of the connection string's own. adjust has the last word on
// the configuration.
func (c Config) dial(ctx context.Context, database string, adjust func(*pgconn.Config)) (dialled, error) {
	var err error
	if c.ConnString, err = secret(ctx, c.Source, c.ConnString); err != nil {
		return dialled{}, fmt.Errorf("get the connection string: %w", &SecretError{err})
	}
	config, err := c.parse(database)
	if err != nil {
		return dialled{}, err
	}
	if config.User, err = secret(ctx, c.User, config.User); err != nil {
		return dialled{}, fmt.Errorf("get the user: %w", &SecretError{err})
	}
	if config.Password, err = secret(ctx, c.Password, config.Password); err != nil {
		return dialled{}, fmt.Errorf("get the password: %w", &SecretError{err})
	}
	config.RuntimeParams["application_name"] = ApplicationName
	adjust(config)
	conn, err := pgconn.ConnectConfig(ctx, config)
	return dialled{conn, config.Database}, err
}

// ApplicationName is what pg_stat_activity shows of pgvigil's sessions, and how
// the collectors leave them out.
const ApplicationName = "pgvigil"

func secret(ctx context.Context, get Secret, otherwise string) (string, error) {
	if get == nil {
		return otherwise, nil
	}
	return get(ctx)
}

// setUp makes the session's settings and looks up its facts, in two round trips.
func (s *Session) setUp(ctx context.Context, probe Probe) error {
	if _, err := s.conn.Exec(ctx, mandatory).ReadAll(); err != nil {
		return fmt.Errorf("make the session read-only and bounded: %w", err)
	}
	return s.lookUp(ctx, probe)
}
