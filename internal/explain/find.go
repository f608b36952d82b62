package explain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// Entry is what pg_stat_statements has counted of a statement, in one database for
// one user; within functions and outside together. Times are in seconds.
type Entry struct {
	QueryID  string `json:"queryid"`
	Database string `json:"datname"`
	User     string `json:"usename"`
	// Within says that it ran only within functions.
	Within bool    `json:"within_functions"`
	Calls  float64 `json:"calls"`
	Rows   float64 `json:"rows"`
	Total  float64 `json:"total_seconds"`
	Min    float64 `json:"min_seconds"`
	Max    float64 `json:"max_seconds"`
	Mean   float64 `json:"mean_seconds"`
	// Share is of the time of all statements of the server.
	Share         float64 `json:"share_of_all_seconds"`
	SharedHit     float64 `json:"shared_blks_hit"`
	SharedRead    float64 `json:"shared_blks_read"`
	SharedDirtied float64 `json:"shared_blks_dirtied"`
	TempRead      float64 `json:"temp_blks_read"`
	TempWritten   float64 `json:"temp_blks_written"`

	query           string
	known           bool // the server has the text
	bytes           float64
	block           float64 // bytes of a block
	database, owner string  // oids
}

// maxText is the most bytes of a text that are read; a statement of an application
// that makes longer ones is none to look at a plan of.
const maxText = 1 << 20

const extension = "pg_stat_statements"

// entriesSQL reads the file of all texts, as pg_stat_statements does for any.
const entriesSQL = `
SELECT s.dbid::bigint::text                                                     AS dbid
     , s.userid::bigint::text                                                   AS userid
     , coalesce(d.datname, '')::text                                            AS datname
     , coalesce(r.rolname, '')::text                                            AS usename
     , s.toplevel::int::double precision                                        AS toplevel  -- since 1.9
     , 1::double precision                                                      AS toplevel  -- until 1.9
     , (s.query IS NOT NULL)::int::double precision                             AS known
     , coalesce(pg_catalog.octet_length(s.query), 0)::double precision          AS bytes
     , CASE WHEN pg_catalog.octet_length(s.query) <= 1048576 THEN s.query ELSE '' END AS query
     , s.calls::double precision                                                AS calls
     , s.rows::double precision                                                 AS rows
     , s.total_exec_time / 1000                                                 AS total  -- since 1.8
     , s.min_exec_time / 1000                                                   AS least  -- since 1.8
     , s.max_exec_time / 1000                                                   AS most  -- since 1.8
     , s.total_time / 1000                                                      AS total  -- until 1.8
     , s.min_time / 1000                                                        AS least  -- until 1.8
     , s.max_time / 1000                                                        AS most  -- until 1.8
     , (SELECT pg_catalog.sum(a.total_exec_time) FROM @extschema@.pg_stat_statements(false) AS a) / 1000 AS total_of_all  -- since 1.8
     , (SELECT pg_catalog.sum(a.total_time) FROM @extschema@.pg_stat_statements(false) AS a) / 1000 AS total_of_all  -- until 1.8
     , s.shared_blks_hit::double precision                                      AS shared_blks_hit
     , s.shared_blks_read::double precision                                     AS shared_blks_read
     , s.shared_blks_dirtied::double precision                                  AS shared_blks_dirtied
     , s.temp_blks_read::double precision                                       AS temp_blks_read
     , s.temp_blks_written::double precision                                    AS temp_blks_written
     , pg_catalog.current_setting('block_size')::double precision               AS block_size
  FROM @extschema@.pg_stat_statements(true) AS s
  LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
  LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.userid
 WHERE s.queryid = ($1::text[])[1]::bigint`

const hiddenSQL = `
SELECT pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')::int::double precision AS sees
     , CURRENT_USER::text                                                         AS role
     , coalesce((SELECT pg_catalog.count(*) FROM @extschema@.pg_stat_statements(false) AS s WHERE s.queryid IS NULL), 0)::double precision AS hidden`

// find returns the entry of a queryid.
func (e *explainer) find(ctx context.Context) (Entry, error) {
	session, err := e.extended(ctx)
	if err != nil {
		return Entry{}, err
	}
	defer e.server.Return(ctx, session, false)
	ext := session.Facts.Extensions[extension]
	env := spec.Env{Major: session.Facts.Major, Extension: ext.Version, Schema: ext.Schema}
	sql, err := spec.Render(entriesSQL, env)
	if err != nil {
		return Entry{}, err
	}
	var entries []Entry
	err = ask(ctx, session, "the statement", sql, []string{e.req.QueryID}, func(r rows) { entries = readEntries(r, e.req.QueryID) })
	if fault, ok := postgres.FaultOf(err); ok && fault.State == "55000" {
		return Entry{}, refuse(ReasonUnknown, "pg_stat_statements is not loaded", "Add it to shared_preload_libraries, and restart the server.")
	}
	if err != nil {
		return Entry{}, err
	}
	if len(entries) == 0 {
		return Entry{}, e.unknown(ctx, session, env)
	}
	entry, err := e.choose(entries)
	if err != nil {
		return Entry{}, err
	}
	return entry, readable(entry)
}

// extended lends a session on a database that has pg_stat_statements: the server's
// own before others.
func (e *explainer) extended(ctx context.Context) (*postgres.Session, error) {
	session, err := e.borrow(ctx, "")
	if err != nil || session.Facts.Extensions[extension].Usable {
		return session, err
	}
	_, there := session.Facts.Extensions[extension]
	own := session.Facts.Database
	state, err := session.Look(ctx, false)
	e.server.Return(ctx, session, false)
	if err != nil {
		return nil, err
	}
	for _, d := range state.Databases {
		if d.Name == own || !d.Connect || !e.watched(d.Name) {
			continue
		}
		session, err := e.borrow(ctx, d.Name)
		var refusal *Refusal
		if errors.As(err, &refusal) || ctx.Err() != nil {
			return nil, err
		}
		if err != nil {
			continue // the database is going, or closed to us: another may do
		}
		if session.Facts.Extensions[extension].Usable {
			return session, nil
		}
		_, here := session.Facts.Extensions[extension]
		there = there || here
		e.server.Return(ctx, session, false)
	}
	if there {
		return nil, refuse(ReasonPrivilege, "the role may not use the schema of pg_stat_statements", "GRANT USAGE ON SCHEMA … TO the role of pgvigil.")
	}
	return nil, refuse(ReasonUnknown, "no database that pgvigil may look into has the extension pg_stat_statements", "CREATE EXTENSION pg_stat_statements in one of them.")
}

func (e *explainer) watched(database string) bool { return e.opt.Watch == nil || e.opt.Watch(database) }

// readEntries adds up what is of one database and user.
func readEntries(r rows, id string) []Entry {
	var entries []Entry
	for i := range r.Len() {
		one := Entry{
			QueryID: id, Database: r.Text(i, "datname"), User: r.Text(i, "usename"), Within: r.Value(i, "toplevel") == 0,
			Calls: r.number(i, "calls"), Rows: r.number(i, "rows"), Total: r.number(i, "total"), Min: r.number(i, "least"), Max: r.number(i, "most"),
			SharedHit: r.number(i, "shared_blks_hit"), SharedRead: r.number(i, "shared_blks_read"), SharedDirtied: r.number(i, "shared_blks_dirtied"),
			TempRead: r.number(i, "temp_blks_read"), TempWritten: r.number(i, "temp_blks_written"),
			query: r.Text(i, "query"), known: r.Value(i, "known") == 1, bytes: r.Value(i, "bytes"), block: r.Value(i, "block_size"),
			database: r.Text(i, "dbid"), owner: r.Text(i, "userid"),
		}
		at := slices.IndexFunc(entries, func(e Entry) bool { return e.database == one.database && e.owner == one.owner })
		if at < 0 {
			entries = append(entries, one)
			at = len(entries) - 1
		} else {
			entries[at].add(one)
		}
		if entries[at].Calls > 0 {
			entries[at].Mean = entries[at].Total / entries[at].Calls
		}
		if all := r.number(i, "total_of_all"); all > 0 {
			entries[at].Share = entries[at].Total / all
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(b.Calls, a.Calls) })
	return entries
}

// add adds what was counted within functions to what was counted outside, or the
// other way round.
func (e *Entry) add(o Entry) {
	e.Within = e.Within && o.Within
	if !e.known && o.known {
		e.known, e.bytes, e.query = true, o.bytes, o.query
	}
	e.Calls, e.Rows, e.Total = e.Calls+o.Calls, e.Rows+o.Rows, e.Total+o.Total
	e.Min, e.Max = min(e.Min, o.Min), max(e.Max, o.Max)
	e.SharedHit, e.SharedRead, e.SharedDirtied = e.SharedHit+o.SharedHit, e.SharedRead+o.SharedRead, e.SharedDirtied+o.SharedDirtied
	e.TempRead, e.TempWritten = e.TempRead+o.TempRead, e.TempWritten+o.TempWritten
}

// unknown says why there is no entry.
func (e *explainer) unknown(ctx context.Context, session *postgres.Session, env spec.Env) error {
	sql, err := spec.Render(hiddenSQL, env)
	if err != nil {
		return err
	}
	const evicted = "It may have been evicted (pg_stat_statements.max), or reset."
	var role string
	var sees, hidden bool
	if err := ask(ctx, session, "what is hidden", sql, nil, func(r rows) {
		role, sees, hidden = r.Text(0, "role"), r.Value(0, "sees") == 1, r.Value(0, "hidden") > 0
	}); err != nil {
		return err
	}
	if !sees && hidden {
		return refuse(ReasonPrivilege, "no entry that the role may see has this queryid, and it may not see those of others",
			fmt.Sprintf("GRANT pg_read_all_stats TO %s; pg_monitor has it. %s", postgres.QuoteIdent(role), evicted))
	}
	return refuse(ReasonUnknown, "pg_stat_statements has no entry of this queryid", evicted)
}

// choose returns the entry that the request means.
func (e *explainer) choose(entries []Entry) (Entry, error) {
	// Entries outlive their database; since 18 they may have the queryid of others.
	left := slices.DeleteFunc(slices.Clone(entries), func(one Entry) bool { return one.Database == "" })
	if len(left) > 0 {
		entries = left
	}
	wanted := slices.DeleteFunc(slices.Clone(entries), func(one Entry) bool {
		return e.req.Database != "" && one.Database != e.req.Database || e.req.User != "" && one.user() != e.req.User
	})
	switch {
	case len(wanted) == 1:
		return wanted[0], nil
	case len(wanted) == 0:
		return Entry{}, refuse(ReasonUnknown, "the statement has no entry in that database for that user", "It has these: "+choices(entries)+".")
	}
	return Entry{}, refuse(ReasonAmbiguous, "several entries have this queryid", "Say by database and user which one: "+choices(wanted)+".")
}

// user is the name of the entry's user, or its oid where that is all there is.
func (e *Entry) user() string { return cmp.Or(e.User, e.owner) }

// maxChoices is how many entries are listed.
const maxChoices = 20

func choices(entries []Entry) string {
	var list []string
	for _, one := range entries[:min(len(entries), maxChoices)] {
		list = append(list, fmt.Sprintf("database %q user %q (%.0f calls)", cmp.Or(one.Database, one.database), one.user(), one.Calls))
	}
	if more := len(entries) - len(list); more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(list, ", ")
}

// readable says why an entry's text cannot be explained, if it cannot.
func readable(e Entry) error {
	switch {
	case e.Database == "":
		return refuse(ReasonMissing, "the database of the statement has been dropped", "")
	case !e.known:
		return refuse(ReasonText, "pg_stat_statements has lost the text", "That happens when its file of texts has grown too large or cannot be read: pg_stat_statements_reset() makes a new one.")
	case e.bytes > maxText:
		return refuse(ReasonText, "the text has "+size(e.bytes), "No more than "+size(maxText)+" are read.")
	case e.query == "<insufficient privilege>":
		return refuse(ReasonPrivilege, "the text is hidden", "GRANT pg_read_all_stats TO the role of pgvigil; pg_monitor has it.")
	}
	return nil
}

// rows are an answer.
type rows struct{ *spec.Rows }

// number is a value that is 0 where it is NULL.
func (r rows) number(row int, name string) float64 {
	if v := r.Value(row, name); !spec.IsAbsent(v) {
		return v
	}
	return 0
}

// size writes bytes for people.
func size(bytes float64) string {
	for _, unit := range []string{"bytes", "kB", "MB", "GB", "TB"} {
		if bytes < 10240 || unit == "TB" {
			return strconv.FormatFloat(bytes, 'f', 0, 64) + " " + unit
		}
		bytes /= 1024
	}
	return ""
}
