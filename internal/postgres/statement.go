package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Statement is a text that somebody else wrote. It is parsed and planned, and never
// executed: no text is put around it, so that the server itself refuses whatever is
// not exactly one statement.
type Statement struct {
	SQL string
	// Types are the oids of its parameters' types, in order; 0, or none, is for the
	// server to infer.
	Types []uint32
	// Settings are in force while it is parsed and planned; of two for one name the later.
	Settings []Setting
	// Timeout is the statement_timeout of each step.
	Timeout time.Duration
}

// Setting is a setting of the server.
type Setting struct{ Name, Value string }

// parsedName is what a Statement is prepared as.
const parsedName = "pgvigil_explain"

// Parse has the server parse a statement, and returns the types of its parameters.
// Nothing of it lasts.
func (s *Session) Parse(ctx context.Context, st Statement) (types []uint32, err error) {
	err = s.parsed(ctx, st, func(description *pgconn.StatementDescription) error {
		types = description.ParamOIDs
		return nil
	})
	return types, err
}

// Plan returns the plan that a statement has whatever its parameters are, as EXPLAIN
// (FORMAT JSON, VERBOSE, SETTINGS) writes it. The name that EXPLAIN is told is that of
// what Parse would parse, and its values of parameters are all NULL: with
// plan_cache_mode they do not count for the plan, and with GENERIC_PLAN, since 16,
// they take no partition out of it afterwards either.
func (s *Session) Plan(ctx context.Context, st Statement) (plan []byte, err error) {
	st.Settings = append(st.Settings[:len(st.Settings):len(st.Settings)], Setting{"plan_cache_mode", "force_generic_plan"})
	err = s.parsed(ctx, st, func(description *pgconn.StatementDescription) error {
		options, values := "FORMAT JSON, VERBOSE, SETTINGS", ""
		if s.Facts.Major >= 16 {
			options += ", GENERIC_PLAN"
		}
		if n := len(description.ParamOIDs); n > 0 {
			values = "(NULL" + strings.Repeat(", NULL", n-1) + ")"
		}
		text := marked("explain", "EXPLAIN ("+options+") EXECUTE "+parsedName+values)
		result := s.conn.ExecParams(ctx, text, nil, nil, nil, nil).Read()
		if result.Err != nil {
			return fmt.Errorf("plan the statement: %w", result.Err)
		}
		if len(result.Rows) != 1 || len(result.Rows[0]) != 1 {
			return errors.New("plan the statement: it has no plan")
		}
		plan = result.Rows[0][0]
		return nil
	})
	return plan, err
}

// parsed runs a function while the server has parsed a statement, in a transaction
// that is read-only and rolled back.
func (s *Session) parsed(ctx context.Context, st Statement, do func(*pgconn.StatementDescription) error) (err error) {
	began := time.Now()
	defer func() { s.count(1, time.Since(began)) }()
	begin := fmt.Sprintf("BEGIN TRANSACTION READ ONLY; SET LOCAL statement_timeout = %d", st.Timeout.Milliseconds())
	if _, err := s.conn.Exec(ctx, begin).ReadAll(); err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	defer func() {
		if _, end := s.conn.Exec(ctx, "ROLLBACK").ReadAll(); err == nil && end != nil {
			err = fmt.Errorf("roll back: %w", end)
		}
	}()
	if err := s.setLocal(ctx, st.Settings); err != nil {
		return err
	}
	description, err := s.conn.Prepare(ctx, parsedName, st.SQL, st.Types)
	if err != nil {
		return fmt.Errorf("parse the statement: %w", err)
	}
	// Of all that is done here only the prepared statement outlives a transaction.
	defer func() {
		if end := s.conn.Deallocate(ctx, parsedName); err == nil && end != nil {
			err = fmt.Errorf("forget the statement: %w", end)
		}
	}()
	return do(description)
}

const setLocalSQL = `
SELECT pg_catalog.set_config(s.name, s.setting, true)
  FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS s (name, setting)`

// setLocal makes settings for the rest of the transaction.
func (s *Session) setLocal(ctx context.Context, settings []Setting) error {
	if len(settings) == 0 {
		return nil
	}
	var names, values []string
	for _, set := range settings {
		names, values = append(names, set.Name), append(values, set.Value)
	}
	params := [][]byte{textArray(names), textArray(values)}
	if err := s.conn.ExecParams(ctx, marked("explain", setLocalSQL), params, nil, nil, nil).Read().Err; err != nil {
		return fmt.Errorf("make settings: %w", err)
	}
	return nil
}

// Fault is an error as the server told it.
type Fault struct {
	// State is the SQLSTATE.
	State string
	// Message, Detail and Hint are in the server's language.
	Message, Detail, Hint string
	// Position is the character of the statement that it is about, from 1; 0 is none.
	Position int
}

// FaultOf returns what the server told, if that is what the error comes from.
func FaultOf(err error) (Fault, bool) {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return Fault{}, false
	}
	return Fault{State: pg.Code, Message: pg.Message, Detail: pg.Detail, Hint: pg.Hint, Position: int(pg.Position)}, true
}
