package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// Facts are what a session looks up once, when it opens.
type Facts struct {
	// Version is the server's version as it names itself ("16.4 (Debian …)").
	Version string
	// Major is its major version.
	Major spec.Version
	// SystemIdentifier tells clusters apart; a restored clone shares it. Looked up
	// by the lasting session only, and empty where pg_control_system() is denied.
	SystemIdentifier string
	// Database is the database of the session.
	Database string
	// User is the session's role.
	User string
	// Superuser says that no privilege is ever denied to it.
	Superuser bool
	// Extensions are those installed in this database.
	Extensions map[string]Extension
	// Functions, Relations, Roles and Settings answer the Probe.
	Functions map[string]Access
	Relations map[string]Access
	Roles     map[string]Access
	Settings  map[string]string
}

// Extension is an installed extension.
type Extension struct {
	Version spec.Version
	Schema  string
	Usable  bool // the role has USAGE on the schema
}

// Access says whether an object may be used by the session's role.
type Access uint8

// The zero Access is of an object that was not probed or could not be.
const (
	Unknown Access = iota
	Missing        // the server has no such object
	Denied
	Allowed
)

// Probe lists what a session looks up when it opens, besides what it always does.
type Probe struct {
	Functions []string
	Relations []string
	Roles     []string
	Settings  []string
}

// State is what may change while a session lasts, looked up at each scrape.
type State struct {
	// Role is the server's side of replication now.
	Role spec.Role
	// StartTime is when the postmaster started.
	StartTime time.Time
	// Archived is the archiver's last success, where that was looked up.
	Archived Archived
	// Databases are those that allow connections, no templates, by name.
	Databases []Database
}

// Archived is a success of a server's archiver, as in pg_stat_archiver.
type Archived struct {
	// System is the server's system identifier; empty where that is denied.
	System string
	// WAL is the file's name; empty where nothing was archived yet.
	WAL string
	// Time is when that was.
	Time time.Time
}

// Database is a database of the server.
type Database struct {
	Name string
	// Connect says whether the session's role has the CONNECT privilege.
	Connect bool
}

const versionSQL = `
SELECT pg_catalog.current_setting('server_version')                         AS version
     , pg_catalog.current_setting('server_version_num')::double precision   AS version_num
     , pg_catalog.current_database()::text                                  AS datname
     , current_user::text                                                   AS usename
     , (pg_catalog.current_setting('is_superuser') = 'on')::int::double precision AS superuser`

// identifierSQL is sent only where the function may be called: managed servers
// deny it, and each try would be a line in their log.
const identifierSQL = `
SELECT system_identifier::text AS system_identifier
  FROM pg_catalog.pg_control_system()`

const extensionsSQL = `
SELECT e.extname::text    AS extname
     , e.extversion::text AS extversion
     , n.nspname::text    AS nspname
     , pg_catalog.has_schema_privilege(n.oid, 'USAGE')::int::double precision AS usable
  FROM pg_catalog.pg_extension e
  JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace`

// The probes take one newline-separated text: names of functions hold commas and
// parentheses, which an array's text form would have to quote.
const functionsSQL = `
SELECT f AS name
     , CASE WHEN pg_catalog.to_regprocedure(f) IS NULL THEN 1
            WHEN pg_catalog.has_function_privilege(pg_catalog.to_regprocedure(f), 'EXECUTE') THEN 3
            ELSE 2 END::double precision AS access
  FROM pg_catalog.unnest(pg_catalog.string_to_array($1::text, E'\n')) f
 WHERE f <> ''`

const relationsSQL = `
SELECT r AS name
     , CASE WHEN pg_catalog.to_regclass(r) IS NULL THEN 1
            WHEN pg_catalog.has_table_privilege(pg_catalog.to_regclass(r), 'SELECT') THEN 3
            ELSE 2 END::double precision AS access
  FROM pg_catalog.unnest(pg_catalog.string_to_array($1::text, E'\n')) r
 WHERE r <> ''`

const rolesSQL = `
SELECT r AS name
     , CASE WHEN pg_catalog.to_regrole(r) IS NULL THEN 1
            WHEN pg_catalog.pg_has_role(pg_catalog.to_regrole(r), 'USAGE') THEN 3
            ELSE 2 END::double precision AS access
  FROM pg_catalog.unnest(pg_catalog.string_to_array($1::text, E'\n')) r
 WHERE r <> ''`

const settingsSQL = `
SELECT s                                       AS name
     , pg_catalog.current_setting(s, true)     AS setting
  FROM pg_catalog.unnest(pg_catalog.string_to_array($1::text, E'\n')) s
 WHERE s <> ''`

// stateSQL reads no table: it answers whatever is locked, and when the lock table
// is full.
const stateSQL = `
SELECT pg_catalog.pg_is_in_recovery()::int::double precision                        AS in_recovery
     , extract(epoch FROM pg_catalog.pg_postmaster_start_time())::double precision  AS start_time`

const archivedSQL = `
SELECT a.last_archived_wal::text                                    AS last_archived_wal
     , extract(epoch FROM a.last_archived_time)::double precision   AS last_archived_time
  FROM pg_catalog.pg_stat_get_archiver() AS a`

// datconnlimit -2 marks a database left half-dropped (PostgreSQL 16, back-patched).
const databasesSQL = `
SELECT d.datname::text                                                              AS datname
     , pg_catalog.has_database_privilege(d.oid, 'CONNECT')::int::double precision   AS connect
  FROM pg_catalog.pg_database d
 WHERE d.datallowconn AND NOT d.datistemplate AND d.datconnlimit <> -2
 ORDER BY d.datname`

// lookUp makes the optional settings and fills Facts, in one pipeline.
func (s *Session) lookUp(ctx context.Context, probe Probe) error {
	requests := []struct{ name, sql, param string }{
		{"settings of the session", optional, ""},
		{"version", versionSQL, ""},
		{"extensions", extensionsSQL, ""},
		{"functions", functionsSQL, strings.Join(append(slices.Clone(probe.Functions), controlSystem), "\n")},
		{"relations", relationsSQL, strings.Join(probe.Relations, "\n")},
		{"roles", rolesSQL, strings.Join(probe.Roles, "\n")},
		{"settings", settingsSQL, strings.Join(probe.Settings, "\n")},
	}
	p := s.conn.StartPipeline(ctx)
	for _, r := range requests {
		var params [][]byte
		if strings.Contains(r.sql, "$1") {
			params = [][]byte{[]byte(r.param)}
		}
		p.SendQueryParams(marked(r.name, r.sql), params, nil, nil, binaryFormat)
		p.SendPipelineSync()
	}
	_ = p.Flush()
	answers := map[string]*spec.Rows{}
	var failed error
	for _, r := range requests {
		rows, err := oneOff(p)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("look up %s: %w", r.name, err))
		}
		answers[r.name] = rows
	}
	s.count(len(requests), 0)
	if err := errors.Join(failed, closePipeline(p, s.conn)); err != nil {
		return err
	}
	s.Facts = readFacts(answers)
	return nil
}

// controlSystem tells the system identifier.
const controlSystem = "pg_catalog.pg_control_system()"

// identify looks up the system identifier, if that is allowed.
func (s *Session) identify(ctx context.Context) error {
	if s.Facts.Functions[controlSystem] != Allowed {
		return nil
	}
	var failed error
	lost := s.Run(ctx, []Query{{Name: "identifier", SQL: identifierSQL, Timeout: setupTimeout}}, func(_ int, r Result) {
		if failed = r.Err; failed == nil && r.Rows.Len() == 1 {
			s.Facts.SystemIdentifier = r.Rows.Text(0, "system_identifier")
		}
	})
	if err := errors.Join(failed, lost); err != nil {
		return fmt.Errorf("look up the system identifier: %w", err)
	}
	return nil
}

func closePipeline(p *pgconn.Pipeline, conn *pgconn.PgConn) error {
	if err := p.Close(); err != nil && conn.IsClosed() {
		return err
	}
	return nil
}

// oneOff reads the rows of one SendQueryParams and its sync.
func oneOff(p *pgconn.Pipeline) (*spec.Rows, error) {
	res, err := p.GetResults()
	var rows *spec.Rows
	if reader, ok := res.(*pgconn.ResultReader); ok && err == nil {
		st := newStatement(&pgconn.StatementDescription{Fields: reader.FieldDescriptions()}, nil, nil)
		if err = st.err; err == nil {
			rows, err = st.read(reader)
		}
		if _, closeErr := reader.Close(); err == nil {
			err = closeErr
		}
	}
	if _, syncErr := p.GetResults(); syncErr != nil && err == nil {
		err = syncErr
	}
	return rows, err
}

func readFacts(answers map[string]*spec.Rows) Facts {
	version := answers["version"]
	f := Facts{
		Version:    version.Text(0, "version"),
		Major:      spec.Version(version.Value(0, "version_num") / 10000),
		Database:   version.Text(0, "datname"),
		User:       version.Text(0, "usename"),
		Superuser:  version.Value(0, "superuser") == 1,
		Extensions: map[string]Extension{},
		Functions:  accesses(answers["functions"]),
		Relations:  accesses(answers["relations"]),
		Roles:      accesses(answers["roles"]),
		Settings:   map[string]string{},
	}
	for i, ext := 0, answers["extensions"]; i < ext.Len(); i++ {
		// An extension whose version is not numbers is as good as absent.
		if v, err := spec.ParseVersion(ext.Text(i, "extversion")); err == nil {
			f.Extensions[ext.Text(i, "extname")] = Extension{Version: v, Schema: ext.Text(i, "nspname"), Usable: ext.Value(i, "usable") == 1}
		}
	}
	for i, set := 0, answers["settings"]; i < set.Len(); i++ {
		f.Settings[set.Text(i, "name")] = set.Text(i, "setting")
	}
	return f
}

func accesses(rows *spec.Rows) map[string]Access {
	m := map[string]Access{}
	for i := range rows.Len() {
		m[rows.Text(i, "name")] = Access(rows.Value(i, "access"))
	}
	return m
}

// Look returns the server's state now, in one round trip once it is prepared. An
// error that says why the databases are not known comes beside a state that is
// good but for them; any other error means that the server did not answer. The
// archiver's last success is looked up where it is wanted and can be.
func (s *Session) Look(ctx context.Context, archived bool) (State, error) {
	queries := []Query{
		{Name: "state", SQL: stateSQL, Timeout: setupTimeout},
		{Name: "databases", SQL: databasesSQL, Timeout: setupTimeout},
		{Name: "archived", SQL: archivedSQL, Timeout: setupTimeout},
	}
	if !archived {
		queries = queries[:2]
	}
	var state State
	var failed [3]error
	lost := s.Run(ctx, queries, func(i int, r Result) {
		switch failed[i] = r.Err; {
		case r.Err != nil:
		case i == 0:
			state.readServer(r.Rows)
		case i == 1:
			state.readDatabases(r.Rows)
		default:
			state.readArchived(r.Rows)
			state.Archived.System = s.Facts.SystemIdentifier
		}
	})
	switch {
	case lost != nil || failed[0] != nil:
		return State{}, fmt.Errorf("look up the role: %w", errors.Join(failed[0], lost))
	case failed[1] != nil:
		return state, &DatabasesError{cause: failed[1]}
	}
	return state, nil
}

// DatabasesError says why the databases of a server are not known.
type DatabasesError struct{ cause error }

// Error tells the cause.
func (e *DatabasesError) Error() string { return "look up databases: " + e.cause.Error() }

// Unwrap returns the cause.
func (e *DatabasesError) Unwrap() error { return e.cause }

func (s *State) readServer(rows *spec.Rows) {
	s.Role = spec.Primary
	if rows.Value(0, "in_recovery") == 1 {
		s.Role = spec.Standby
	}
	s.StartTime = timeOf(rows.Value(0, "start_time"))
}

func (s *State) readArchived(rows *spec.Rows) {
	if at := rows.Value(0, "last_archived_time"); !spec.IsAbsent(at) {
		s.Archived = Archived{WAL: rows.Text(0, "last_archived_wal"), Time: timeOf(at)}
	}
}

// timeOf makes a time of Unix seconds.
func timeOf(seconds float64) time.Time {
	sec, frac := math.Modf(seconds)
	return time.Unix(int64(sec), int64(frac*1e9))
}

func (s *State) readDatabases(rows *spec.Rows) {
	for i := range rows.Len() {
		s.Databases = append(s.Databases, Database{Name: rows.Text(i, "datname"), Connect: rows.Value(i, "connect") == 1})
	}
}
