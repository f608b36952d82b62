package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

// Reason is why a query or a connect failed, from a fixed set fit for a label.
type Reason string

// Why a query failed.
const (
	ReasonTimeout     Reason = "timeout"      // the statement's, or the scrape's deadline
	ReasonLockTimeout Reason = "lock_timeout" // an object was locked for longer than lock_timeout
	ReasonPermission  Reason = "permission"
	ReasonUndefined   Reason = "undefined"  // the server lacks a table, column or function, or cannot read the text
	ReasonConnection  Reason = "connection" // the session was lost or could not be had
	ReasonMismatch    Reason = "mismatch"   // the columns are not the declared ones
	ReasonDuplicate   Reason = "duplicate"  // two rows with one label set
	ReasonLimit       Reason = "limit"      // more series than the collector may give
	ReasonConflict    Reason = "conflict"   // cancelled by recovery on a standby
	ReasonOther       Reason = "other"
)

// Why a connect failed.
const (
	ConnectRefused     Reason = "refused"
	ConnectTimeout     Reason = "timeout"
	ConnectAuth        Reason = "auth"
	ConnectTLS         Reason = "tls"
	ConnectTooMany     Reason = "too_many_connections"
	ConnectStartingUp  Reason = "starting_up"
	ConnectDNS         Reason = "dns"
	ConnectOther       Reason = "other"
	connectRefusedText        = "server refused TLS connection"
)

// ConnectReasons returns every reason a connect may fail for.
func ConnectReasons() []Reason {
	return []Reason{
		ConnectRefused, ConnectTimeout, ConnectAuth, ConnectTLS,
		ConnectTooMany, ConnectStartingUp, ConnectDNS, ConnectOther,
	}
}

// Reasoner is an error that knows its own reason.
type Reasoner interface {
	error
	Reason() Reason
}

// QueryReason returns why a query failed.
func QueryReason(err error) Reason {
	var own Reasoner
	if errors.As(err, &own) {
		return own.Reason()
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return stateReason(pg)
	}
	if isTimeout(err) {
		return ReasonTimeout
	}
	return ReasonConnection
}

// stateReason maps a SQLSTATE (PostgreSQL 18, appendix A).
func stateReason(pg *pgconn.PgError) Reason {
	if isStale(pg) {
		return ReasonOther // it passes: the next run prepares the text anew
	}
	switch pg.Code {
	case "57014": // query_canceled: statement_timeout, or our own cancel at the deadline
		return ReasonTimeout
	case "55P03": // lock_not_available: lock_timeout
		return ReasonLockTimeout
	case "42501":
		return ReasonPermission
	case "3F000", "0A000":
		return ReasonUndefined
	case "40001", "40P01":
		return ReasonConflict
	case "53300":
		return ReasonConnection
	case "42P05": // a name that another client of a pooler has taken: the next run has another
		return ReasonOther
	}
	switch pg.Code[:min(2, len(pg.Code))] {
	case "08", "57":
		return ReasonConnection
	case "42": // what is undefined, and what a text cannot mean once a line of it is gone
		return ReasonUndefined
	}
	return ReasonOther
}

// isStale reports whether a prepared statement is gone, because a pooler discarded
// it, or its columns have other types than when it was prepared, because an
// extension was updated. The second has the SQLSTATE of whatever is not supported.
func isStale(pg *pgconn.PgError) bool {
	return pg.Code == "26000" || pg.Code == "0A000" && pg.Routine == "RevalidateCachedQuery"
}

// ConnectReason returns why a connect failed.
func ConnectReason(err error) Reason {
	var own Reasoner
	if errors.As(err, &own) && slices.Contains(ConnectReasons(), own.Reason()) {
		return own.Reason()
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch {
		case strings.HasPrefix(pg.Code, "28"):
			return ConnectAuth
		case pg.Code == "53300" || pg.Code == "53400":
			return ConnectTooMany
		case pg.Code == "57P03" || pg.Code == "57P01" || pg.Code == "57P02":
			return ConnectStartingUp
		}
		return ConnectOther
	}
	// A file that is missing is not a socket that is.
	var secret *SecretError
	if errors.As(err, &secret) && !isTimeout(err) {
		return ConnectAuth
	}
	var dns *net.DNSError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var verify *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	switch {
	case errors.As(err, &dns):
		return ConnectDNS
	case errors.As(err, &record), errors.As(err, &alert), errors.As(err, &verify),
		errors.As(err, &authority), errors.As(err, &host),
		// pgconn makes this error with errors.New.
		strings.Contains(err.Error(), connectRefusedText):
		return ConnectTLS
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		return ConnectRefused
	case isTimeout(err):
		return ConnectTimeout
	}
	return ConnectOther
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.Is(err, os.ErrDeadlineExceeded) || pgconn.Timeout(err) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

// SecretError says that a user or password could not be had.
type SecretError struct{ cause error }

// Error tells the cause; a Secret never puts what it read into its errors.
func (e *SecretError) Error() string { return e.cause.Error() }

// Unwrap returns the cause.
func (e *SecretError) Unwrap() error { return e.cause }
