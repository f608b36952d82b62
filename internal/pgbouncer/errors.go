package pgbouncer

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pgvigil/pgvigil/internal/postgres"
)

// errNoKeys says that an answer that should have a row for each key has not.
var errNoKeys = errors.New("the answer has no column for keys or for values")

// NoConsoleError says that something answers and is no admin console.
type NoConsoleError struct {
	Database string
	cause    error
}

// Error tells what to do.
func (e *NoConsoleError) Error() string {
	return fmt.Sprintf("database %q is not PgBouncer's admin console: give dbname %s, or leave it out: %v", e.Database, Database, e.cause)
}

// Unwrap returns what was answered.
func (e *NoConsoleError) Unwrap() error { return e.cause }

// Reason is other: whoever answers is up and not what was looked for.
func (e *NoConsoleError) Reason() postgres.Reason { return postgres.ConnectOther }

// refused gives a reason to what PgBouncer refuses at login. It has one SQLSTATE for
// all of that, protocol_violation, so what it says is all there is (1.18; releases
// after it that have more are read by their SQLSTATE). max_client_conn does not hold
// for the console.
func refused(err error) error {
	text := err.Error()
	if !strings.Contains(text, "SQLSTATE 08P01") {
		return err
	}
	for _, known := range []struct {
		part   string
		reason postgres.Reason
		cure   string
	}{
		{"not allowed", postgres.ConnectAuth, "add the user to stats_users in pgbouncer.ini"},
		{"authentication failed", postgres.ConnectAuth, ""},
		{"no such user", postgres.ConnectAuth, "add the user to the file of auth_file"},
		{"shutting down", postgres.ConnectStartingUp, ""},
	} {
		if strings.Contains(text, known.part) {
			return &RefusedError{cause: err, reason: known.reason, cure: known.cure}
		}
	}
	return err
}

// RefusedError says that the pooler did not let us in.
type RefusedError struct {
	cause  error
	reason postgres.Reason
	cure   string
}

// Error tells what was answered and what to do.
func (e *RefusedError) Error() string {
	if e.cure == "" {
		return e.cause.Error()
	}
	return fmt.Sprintf("%v: %s", e.cause, e.cure)
}

// Unwrap returns what was answered.
func (e *RefusedError) Unwrap() error { return e.cause }

// Reason is why.
func (e *RefusedError) Reason() postgres.Reason { return e.reason }
