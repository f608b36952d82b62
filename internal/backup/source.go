package backup

import (
	"context"
	"fmt"
	"time"
)

// Config is a source of backup facts, as the configuration file has it.
type Config struct {
	// Kind is how the source is read.
	Kind Kind
	// Stanza is pgBackRest's stanza, Barman's server, and for other kinds what the
	// label says. Tool and stanza together are unique among the sources of a page.
	Stanza string
	// Tool is what writes the file of a source of kind file, for the label; empty is
	// the kind, as for all others.
	Tool string
	// Command is the tool with the arguments that make it find its configuration;
	// those of the question are appended. It runs without a shell. Empty is the
	// tool's own name.
	Command []string
	// Path is what a source of kind file reads.
	Path string
	// Environment are variables for the command beside pgvigil's own.
	Environment Environment
	// Interval is how often the source is looked at; Timeout bounds one look, all
	// its commands together.
	Interval, Timeout time.Duration
	// WALInterval is how often all archived segments are listed to find gaps, for
	// tools whose plain answer does not tell of them; 0 is never.
	WALInterval time.Duration
	// SegmentSize is the server's wal_segment_size in bytes; 0 is the default.
	SegmentSize uint64
}

// Environment are variables as name=value. The values may be secrets: printing
// them prints stars.
type Environment []string

// String hides the variables.
func (Environment) String() string { return "****" }

// GoString hides the variables from %#v.
func (Environment) GoString() string { return "****" }

// Label is the label tool of the source.
func (c Config) Label() string {
	if c.Tool != "" {
		return c.Tool
	}
	return string(c.Kind)
}

// Kind is how a source is read.
type Kind string

// The kinds of sources.
const (
	PgBackRest Kind = "pgbackrest"
	Barman     Kind = "barman"
	WALG       Kind = "wal-g"
	File       Kind = "file"
)

// ask runs a source's command with more arguments. An exit status is not an
// error: Barman's check answers and exits with 1.
type ask func(ctx context.Context, args ...string) (answer, error)

// answer is what a command gave.
type answer struct {
	out    []byte // standard output
	status int    // exit status
}

// Reason is why a look failed, from a fixed set fit for a label.
type Reason string

// Why a look failed.
const (
	ReasonTimeout Reason = "timeout" // not done within the source's timeout
	ReasonStart   Reason = "start"   // the program cannot be run, the file cannot be read
	ReasonExit    Reason = "exit"    // the program ended with an error and no answer
	ReasonSize    Reason = "size"    // more output than anybody should read
	ReasonFormat  Reason = "format"  // an answer that cannot be understood
	// ReasonRepository is an answer that tells of no repository that can be read.
	ReasonRepository Reason = "repository"
)

// LookError says why a look at a source failed.
type LookError struct {
	Reason Reason
	Err    error
}

// Error tells the cause.
func (e *LookError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *LookError) Unwrap() error { return e.Err }

// unclear says that an answer cannot be understood.
func unclear(format string, args ...any) error {
	return &LookError{Reason: ReasonFormat, Err: fmt.Errorf(format, args...)}
}

// exited says that a command ended with an error and no answer.
func exited(command string, status int) error {
	return &LookError{Reason: ReasonExit, Err: fmt.Errorf("%s ended with exit status %d", command, status)}
}
