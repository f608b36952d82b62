package postgres

import (
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// Query is one SQL text to run in a session: any number of columns, each of
// type text or double precision.
type Query struct {
	// Name stands in the marker comment before the text, so that a DBA who sees
	// the statement knows which collector sent it.
	Name string
	// SQL is the text. It is prepared once a session.
	SQL string
	// Timeout is the statement_timeout it runs under.
	Timeout time.Duration
	// Param is the value of $1, of type text[]; nil where the text has no $1.
	Param []string
}

// params returns the parameter in the text form of an array.
func (q Query) params() [][]byte {
	if q.Param == nil {
		return nil
	}
	return [][]byte{textArray(q.Param)}
}

// textArray returns the text form of a text[].
func textArray(values []string) []byte {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	var b strings.Builder
	b.WriteByte('{')
	for i, v := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + escape.Replace(v) + `"`)
	}
	b.WriteByte('}')
	return []byte(b.String())
}

// Result is what became of a query.
type Result struct {
	// Rows are valid only until the session runs anything else.
	Rows *spec.Rows
	// Dropped lists the columns whose lines were left out of the text, because
	// this server lacks what they read.
	Dropped []string
	// Elapsed is the time from the end of the result before it to its own end:
	// within a pipeline, the server's time for it and the network's for its rows.
	Elapsed time.Duration
	// Err is why there are no rows.
	Err error
}

func marked(name, sql string) string { return "/* pgvigil " + name + " */\n" + sql }

// without leaves out the line that err complains of, if err says that a column,
// function or relation does not exist and the line can go.
func without(name, sql string, err error) (rest, column string, ok bool) {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Position == 0 {
		return "", "", false
	}
	switch pg.Code {
	case "42703", "42883", "42P01":
	default:
		return "", "", false
	}
	before := utf8.RuneCountInString(marked(name, ""))
	return spec.DropLine(sql, int(pg.Position)-before)
}
