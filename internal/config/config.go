// Package config reads which servers to watch: from the file of --config.file,
// and from the variables DATA_SOURCE_* that people have set for other exporters.
//
// Its results are plain data, so that a reload can tell which targets are the
// same as before. Its errors name the file, the line, the fault and the cure, and
// never hold a value that might be a secret.
package config

import (
	"fmt"
	"reflect"
	"regexp"
	"time"

	"github.com/pgvigil/pgvigil/internal/backup"
	"github.com/pgvigil/pgvigil/internal/patroni"
	"github.com/pgvigil/pgvigil/internal/postgres"
)

// File is what a configuration file says.
type File struct {
	// Targets are in the order of the file.
	Targets []Target
	// Backups are in the order of the file.
	Backups []Backup
	// Readiness is what servers are judged by.
	Readiness Readiness
	// Warnings are for the log: what works, and should not stay so.
	Warnings []string
}

// Target is one server or pooler and in what it differs from the flags.
type Target struct {
	// Name is what /probe?target= asks for. The server of /metrics has none.
	Name string
	// Kind is what the target is; zero is a server.
	Kind Kind
	// Page is where a pooler is shown besides its own page: the name of a server, or
	// MainPage; empty is nowhere.
	Page string
	// Conn is the way in.
	Conn Conn
	// Collectors are switched on or off beside the flags.
	Collectors Collectors
	// Databases are those that collectors per database run in; zero is as the
	// flags say.
	Databases Databases
	// Sessions are bounds; zero fields are as the flags say.
	Sessions Sessions
	// Patroni is where the member of a cluster that runs the server is asked; without a
	// URL it is not.
	Patroni patroni.Config
}

// Kind is what a target is.
type Kind uint8

const (
	// PostgreSQL is a server.
	PostgreSQL Kind = iota
	// PgBouncer is a pooler, of which the admin console is read.
	PgBouncer
)

// String returns the kind as people write it.
func (k Kind) String() string {
	if k == PgBouncer {
		return "PgBouncer"
	}
	return "PostgreSQL"
}

// MainPage is how the file names the page of the server given by the environment,
// wherever --web.telemetry-path has put that.
const MainPage = "/metrics"

// ShownOn reports whether the target is a pooler that is shown on the page of the
// server of that name; the server of /metrics has none.
func (t Target) ShownOn(name string) bool {
	return t.Page != "" && (t.Page == name || t.Page == MainPage && name == "")
}

// Equal reports whether two targets are written alike: same server, same way in,
// same differences. A file that they name may have changed meanwhile; what is in
// it is read again at each connect anyhow.
func (t Target) Equal(other Target) bool { return reflect.DeepEqual(t, other) }

// Backup is one source of facts about backups.
type Backup struct {
	// Config is how it is read.
	Config backup.Config
	// Page is the name of the target on whose page it is shown; empty is /metrics.
	Page string
}

// Equal reports whether two sources are written alike.
func (b Backup) Equal(other Backup) bool { return reflect.DeepEqual(b, other) }

// Collectors are differences from the flags, by the names the flags have.
type Collectors struct {
	Enable  []string
	Disable []string
}

// Sessions bound the sessions on one server.
type Sessions struct {
	// Max is the most sessions ever open at once.
	Max int
	// MaxAge is the age at which a session is replaced by a new one.
	MaxAge time.Duration
}

// Databases choose databases by regular expressions that must match the whole
// name, as in Prometheus: excluding app does not exclude myapp.
type Databases struct {
	// Include lists what is watched; empty is all.
	Include []string
	// Exclude lists what is not, even if included.
	Exclude []string
}

// IsZero reports whether d says nothing.
func (d Databases) IsZero() bool { return len(d.Include) == 0 && len(d.Exclude) == 0 }

// Watch returns the choice as a function of the database's name.
func (d Databases) Watch() (func(database string) bool, error) {
	include, err := compile(d.Include)
	if err != nil {
		return nil, fmt.Errorf("include: %w", err)
	}
	exclude, err := compile(d.Exclude)
	if err != nil {
		return nil, fmt.Errorf("exclude: %w", err)
	}
	return func(database string) bool {
		return (len(include) == 0 || anyMatch(include, database)) && !anyMatch(exclude, database)
	}, nil
}

func compile(patterns []string) ([]*regexp.Regexp, error) {
	var out []*regexp.Regexp
	for _, p := range patterns {
		// Alone first: what is wrong should be said of the text as it was written,
		// and "a)(b" is no expression although it is one between our parentheses.
		if _, err := regexp.Compile(p); err != nil {
			return nil, err
		}
		re, err := regexp.Compile("^(?:" + p + ")$")
		if err != nil {
			return nil, err
		}
		out = append(out, re)
	}
	return out, nil
}

func anyMatch(patterns []*regexp.Regexp, s string) bool {
	for _, re := range patterns {
		if re.MatchString(s) {
			return true
		}
	}
	return false
}

// Conn is the way in to a server.
type Conn struct {
	// Database is used where the connection string names none.
	Database string
	// String is the connection string; where File is set, what that held when
	// it was first read.
	String Hidden
	// File is read again at each connect for the connection string.
	File string
	// UserFile is read again at each connect for the user.
	UserFile string
	// Password wins over the connection string's. At most one of it and the next
	// two is set.
	Password Hidden
	// PasswordFile is read again at each connect.
	PasswordFile string
	// PasswordCommand is run at each connect; its first line is the password.
	PasswordCommand []string

	amend amendment // of what File holds
}

// Hidden is a text that may be a secret: printing it prints stars.
type Hidden string

// String hides the text.
func (Hidden) String() string { return "****" }

// GoString hides the text from %#v.
func (Hidden) GoString() string { return "****" }

// Config returns the way in as internal/postgres knows it. What is not about the
// way in is left to the caller.
func (c Conn) Config() postgres.Config {
	config := postgres.Config{ConnString: string(c.String), Database: c.Database}
	if c.File != "" {
		config.Source = source(c.File, c.amend)
	}
	if c.UserFile != "" {
		config.User = postgres.File(c.UserFile)
	}
	switch {
	case c.Password != "":
		config.Password = postgres.Text(string(c.Password))
	case c.PasswordFile != "":
		config.Password = postgres.File(c.PasswordFile)
	case len(c.PasswordCommand) > 0:
		config.Password = postgres.Command(c.PasswordCommand)
	}
	return config
}

// Validate checks what can be checked without a connect.
func (c Conn) Validate() error { return c.Config().CheckWay() }

// Address is host:port of the server, or the directory of its socket.
func (c Conn) Address() string { return c.Config().Address() }
