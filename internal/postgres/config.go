package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Config is the way in to one server.
type Config struct {
	// ConnString is a URL or a keyword=value list as libpq reads it. Service
	// files, pgpass files and TLS files that it names, or that the PG* variables
	// of the environment name, are read again at each connect.
	ConnString string
	// Source, if not nil, gives the connection string anew at each connect, from
	// a file whose secrets are rotated, and wins over ConnString, which is then
	// how the server was known at first.
	Source Secret
	// User, if not nil, gives the user and wins over ConnString.
	User Secret
	// Password, if not nil, gives the password and wins over ConnString.
	Password Secret
	// Database is used where the connection string names none; empty is libpq's
	// default, which is named as the user.
	Database string
	// MaxSessions is the most sessions ever open at once; at least MinSessions.
	MaxSessions int
	// ConnectTimeout bounds one connect, beside the deadline of its caller.
	ConnectTimeout time.Duration
	// MaxAge is the age at which a session is replaced by a new one.
	MaxAge time.Duration
	// Probe lists what a session looks up about privileges and settings when it opens.
	Probe Probe
}

// MinSessions is the least budget: the lasting session and one for the rest.
const MinSessions = 2

// The defaults of the settings that a zero Config leaves open.
const (
	DefaultSessions       = 3
	DefaultConnectTimeout = 5 * time.Second
	DefaultMaxAge         = time.Hour
)

// Secret gives a user or password at the moment of a connect, so that rotated
// files and short-lived tokens work without a restart.
type Secret func(ctx context.Context) (string, error)

// Text returns a Secret that never changes.
func Text(s string) Secret {
	return func(context.Context) (string, error) { return s, nil }
}

// File returns a Secret that is the first line of a file.
func File(path string) Secret {
	return func(context.Context) (string, error) {
		b, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("read secret file: %w", err)
		}
		line, _, _ := strings.Cut(string(b), "\n")
		return strings.TrimSuffix(line, "\r"), nil
	}
}

// maxSecret bounds what a command may print; tokens of clouds are about 1 kB.
const maxSecret = 64 << 10

// Command returns a Secret that is the first line a program prints. It runs
// without a shell, and is killed with its whole process group when ctx ends.
func Command(argv []string) Secret {
	return func(ctx context.Context) (string, error) {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		ownGroup(cmd)
		// A grandchild that keeps the pipe open must not keep us waiting.
		cmd.WaitDelay = time.Second
		var out limitedBuffer
		cmd.Stdout = &out
		if err := cmd.Run(); err != nil {
			// What a failed command printed may be half a token: it is not shown.
			return "", fmt.Errorf("run password command %q: %w", argv[0], err)
		}
		line, _, _ := strings.Cut(out.buffer.String(), "\n")
		return strings.TrimSuffix(line, "\r"), nil
	}
}

// limitedBuffer does not embed the buffer: its ReadFrom would know no limit.
type limitedBuffer struct{ buffer bytes.Buffer }

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.buffer.Len()+len(p) > maxSecret {
		return 0, errors.New("the password command printed more than 64 kB")
	}
	return b.buffer.Write(p)
}

// Validate checks what can be checked without a connect. Its error never holds
// the connection string or a part of it.
func (c Config) Validate() error {
	if err := c.CheckWay(); err != nil {
		return err
	}
	if c.MaxSessions < MinSessions {
		return fmt.Errorf("sessions: %d are too few: one lasts, and slow collectors need another (at least %d)", c.MaxSessions, MinSessions)
	}
	return nil
}

// CheckWay is the part of Validate that is about the way in.
func (c Config) CheckWay() error {
	_, err := c.parse("")
	return err
}

// Address returns host:port of the server, or the directory of its socket.
func (c Config) Address() string {
	parsed, err := c.parse("")
	if err != nil {
		return ""
	}
	if strings.HasPrefix(parsed.Host, "/") {
		return fmt.Sprintf("%s:%d", parsed.Host, parsed.Port)
	}
	return fmt.Sprintf("%s:%d", bracket(parsed.Host), parsed.Port)
}

func bracket(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// parse reads the connection string anew, so that every file it names is read
// anew too. A database that is not empty takes the place of the string's own.
func (c Config) parse(database string) (*pgconn.Config, error) {
	parsed, err := pgconn.ParseConfig(c.ConnString)
	if err != nil {
		return nil, &ConnStringError{cause: err}
	}
	if database != "" {
		parsed.Database = database
	}
	if parsed.Database == "" {
		parsed.Database = c.Database
	}
	return parsed, nil
}

// ConnStringError says that a connection string cannot be read. The text of its
// cause may quote the string, secrets included, so only what is known to be
// harmless is told.
type ConnStringError struct{ cause error }

// Error names the fault without quoting the connection string.
func (e *ConnStringError) Error() string {
	const intro = "the connection string cannot be read"
	text := e.cause.Error()
	for _, known := range []struct{ part, say string }{
		{"sslmode is invalid", "sslmode must be disable, allow, prefer, require, verify-ca or verify-full"},
		{"unable to read CA file", "the file named by sslrootcert cannot be read"},
		{"unable to add CA to cert pool", "the file named by sslrootcert holds no certificate"},
		{"unable to read cert", "the files named by sslcert and sslkey cannot be read"},
		{"unable to load cert", "the files named by sslcert and sslkey cannot be read"},
		{"unable to read sslkey", "the file named by sslkey cannot be read"},
		{"invalid port", "the port must be a number from 1 to 65535"},
		{"invalid connect_timeout", "connect_timeout must be a number of seconds"},
		{"unable to find service", "the service is not in the service file"},
		{"failed to read service", "the service file cannot be read"},
		{"unknown target_session_attrs", "target_session_attrs has an unknown value"},
	} {
		if strings.Contains(text, known.part) {
			return intro + ": " + known.say
		}
	}
	return intro + ": write postgresql://user@host:port/database?sslmode=require, or host=… user=… dbname=…; quote or percent-encode special characters"
}
