// Package spec is the vocabulary a collector is written in: types, Validate and
// Render. It knows neither a driver nor Prometheus.
//
// # Why it is as it is
//
// A collector is a value, because a value can be checked without a server and a
// function cannot. Everything that the exporter does with a collector (its flag,
// its line in METRICS.md, its recorded pages, its SQL dump, the check of alerts
// and dashboards) is derived from this one declaration.
//
// One collector is one result set with one label set and one rhythm. Where a
// subject has several ("wal" has a position that costs nothing and a directory
// listing that needs a grant) it is several collectors in one file that share a
// flag and a prefix through Of. So a denied directory listing is a skip of
// "wal_directory" and never costs the position.
//
// The column alias is the metric's name, with the prefix pg_<collector>_. An
// alias that itself begins with pg_ is the whole name; that is how names which
// people's dashboards already stand on (pg_replication_is_replica) are kept.
//
// Columns are of two kinds only: text (a label) and double precision (a value).
// The SQL casts; so the engine scans two flat arrays and never converts.
//
// A line of SQL may end in a mark, -- since N or -- until N, and is left out of
// servers older than N, or as old as N and newer. N without a dot is a PostgreSQL
// major; N with a dot is a version of the extension in Needs.Extension, which may
// lag behind the server after pg_upgrade. @extschema@ stands for the schema the
// extension lives in, as in PostgreSQL's own extension scripts.
//
// Needs are facts that can be looked up once in a session and named to a person.
// An unmet need is a skip with a reason; it is never a failure.
//
// Fold is for collectors with as many rows as a database has objects. The rows
// that count most are shown, sticky over hours, and the rest of each database is
// added up in one row whose labels read "other". Counters are added up from the
// positive deltas of each underlying row (Fold.Key), so no series steps back when
// a relation is dropped, a partition leaves its root, or a row moves between
// shown and folded. A counter that few rows move is NULL until it does, so that
// it costs no series before.
//
// A collector that needs an extension belongs to the server, like the extension's
// data, and runs in a database that has it, whichever that is.
//
// Emit is the way out where a column is not a sample: a name column that picks
// the metric (settings), or state kept between two runs (the proof of a standby's
// lag, the rate of transaction ids). The factory is called once a target, so
// state never lives in a package variable. If more than one collector in five
// needs it, the form is wrong.
//
// A new field here needs three collectors that want it; until then it is Emit.
//
// A collector whose Source is not PostgreSQL has no SQL to be rendered and no
// versions. Its rows come by name: what a pooler's release lacks costs one metric,
// what it has more is counted. Metric.From says of which columns a metric of a
// pooler is made, older names included, so that what a release has renamed is data
// and not code.
//
// # How a Fold adds up
//
// What a row grows by counts once: for its label set while that is shown, for the
// rest while it is folded. So a label set that comes to be shown begins where a
// page last showed it, or at 0, and not at what the server has counted; only what
// is shown from its first sight on has the server's own number. At any time all
// series there have been, each at its last value, add up to what the server has
// counted, and none has ever fallen. A rest that took over what a series had
// counted would jump, and rate() would show a load that never was.
//
// # What asks for what another has chosen
//
// The texts of statements and the measuring of bloat are costly, and wanted only
// of what is shown. Such a collector Follows the one that shows it, and gets the
// keys as a parameter. Tables and relations are never named by building SQL.
package spec

import (
	"slices"
	"time"
)

// Prefix begins the name of every metric read from a server.
const Prefix = "pg_"

// Collector reports one aspect of a server, or of what stands beside it: what it
// is, when it runs, what it costs, reads and emits, in that order.
type Collector struct {
	// Name is the collector's name in pgvigil's own metrics, lower case with underscores.
	Name string
	// Of names the collector whose flag and metric prefix this one shares; empty
	// means its own.
	Of string
	// About is one sentence for --help and METRICS.md.
	About string
	// Default says whether the collector runs unless switched on or off by flag.
	// It is read from the collector that owns the flag.
	Default bool
	// Source is where the rows come from; zero is PostgreSQL.
	Source Source
	// Scope says whether the collector runs once a server or once a database.
	Scope Scope
	// Needs are the conditions without which the collector is skipped.
	Needs Needs
	// Cost is what the collector may take; the engine enforces it.
	Cost Cost
	// Queries hold the SQL; exactly one fits each supported version. A pooler's
	// one is a SHOW command.
	Queries []Query
	// Answer is what is known of a pooler's answer; only for those.
	Answer *Answer
	// Labels are the text columns that become labels, in the order they are
	// shown. Collectors per database get datname in front of them by the engine.
	Labels []string
	// Metrics are the value columns that become samples.
	Metrics []Metric
	// Fold bounds a collector that has a row for each object of a database.
	Fold *Fold
	// Follow asks only for what another collector's Fold shows.
	Follow *Follow
	// Emit makes, once for each target, what turns rows into samples where a
	// column is not itself a sample. Nil for most collectors.
	Emit func() Emitter
}

// Flag is the name after --collector. that switches the collector.
func (c Collector) Flag() string {
	if c.Of != "" {
		return c.Of
	}
	return c.Name
}

// Paced are the collectors with their rhythms times a factor, at least a second. Those
// that run with each scrape go on doing so.
func Paced(collectors []Collector, factor float64) []Collector {
	scale := func(d time.Duration) time.Duration {
		if d == 0 {
			return 0
		}
		return max(time.Duration(float64(d)*factor), time.Second)
	}
	paced := slices.Clone(collectors)
	for i := range paced {
		c := &paced[i]
		c.Cost.Every = scale(c.Cost.Every)
		if c.Follow != nil {
			follow := *c.Follow
			follow.For = scale(follow.For)
			c.Follow = &follow
		}
	}
	return paced
}

// Scope says how often a collector runs within a server.
type Scope uint8

const (
	// PerServer collectors run once, on the maintenance database or, where they
	// need an extension, in a database that has it.
	PerServer Scope = iota
	// PerDatabase collectors run once in each watched database.
	PerDatabase
)

// String returns the scope as METRICS.md writes it.
func (s Scope) String() string {
	if s == PerDatabase {
		return "database"
	}
	return "server"
}

// Role is a server's side of replication.
type Role uint8

const (
	// AnyRole is a server on either side.
	AnyRole Role = iota
	// Primary is a server that is not in recovery.
	Primary
	// Standby is a server in recovery, streaming or not.
	Standby
)

// String returns the role in PostgreSQL's words.
func (r Role) String() string {
	switch r {
	case Primary:
		return "primary"
	case Standby:
		return "standby"
	default:
		return "any"
	}
}

// Needs are conditions a server must meet for a collector to run there. The
// zero value needs nothing. A minimum version is not a need: it follows from
// the collector's queries.
type Needs struct {
	// Role is the side of replication the collector makes sense on.
	Role Role
	// Extension must be installed in the database the collector runs in.
	Extension string
	// Execute lists functions the role must be allowed to execute, written as
	// regprocedure reads them: pg_catalog.pg_ls_waldir().
	Execute []string
	// Select lists relations the role must be allowed to read.
	Select []string
	// Member is a role whose rights the role must have: pg_read_all_stats. It is
	// for what PostgreSQL hides row by row, where no privilege tells beforehand.
	Member string
	// Setting must be neither off, none, 0 nor empty.
	Setting string
	// Grant is the statement that cures a missing privilege, shown to people.
	Grant string
}

// Cost is what a collector may take. The engine enforces each field.
type Cost struct {
	// Timeout is the statement_timeout the query runs under.
	Timeout time.Duration
	// Every is the rhythm of the collector; 0 is with each scrape.
	Every time.Duration
	// MaxSeries bounds the samples of one run; more is a failure, reason limit.
	MaxSeries int
	// Locks says which locks beyond AccessShareLock on catalogues are taken.
	Locks string
}

// Query is one SQL text and the versions it is written for.
type Query struct {
	// Since is the first version the text fits; 0 is the oldest supported.
	Since Version
	// Until is the first version the text no longer fits; 0 is none.
	Until Version
	// SQL is the text, with line marks.
	SQL string
}

// Type is a metric's type in the exposition format.
type Type uint8

const (
	// Gauge is a value that goes up and down.
	Gauge Type = iota + 1
	// Counter is a value that only grows until it is reset.
	Counter
)

// String returns the type as the exposition format writes it.
func (t Type) String() string {
	if t == Counter {
		return "counter"
	}
	return "gauge"
}

// Metric is one value column of a collector.
type Metric struct {
	// Name is the column's alias; see FullName. Any is a family of metrics
	// whose names Emit makes.
	Name string
	// Type is Gauge or Counter.
	Type Type
	// From is what a metric of a pooler is made of: columns that are added up, each
	// with a factor and its older names, as in maxwait + maxwait_us * 1e-6 or
	// reserve_pool_size | reserve_pool. Empty is the column of the metric's name.
	From string
	// Help is one sentence with a full stop.
	Help string
	// Merge says what becomes of a gauge where a Fold makes one row of several.
	Merge Merge
}

// Merge is a rule for gauges.
type Merge uint8

const (
	// Sum adds, which is right for counts and bytes. Timestamps are never added:
	// of several the latest counts, and of what is folded none.
	Sum Merge = iota
	// Max takes the largest, which is right for ages and ratios.
	Max
)

// Any as a metric's name declares a pattern: Emit makes the names, each with
// the collector's prefix.
const Any = "*"

// FullName is the name on the page of the collector's metric that has this alias.
// Names of a pooler's metrics begin with the collector's name, and an alias that
// begins with pgbouncer_ is the whole name.
func (c Collector) FullName(alias string) string {
	whole, prefix := Prefix, Prefix+c.Flag()+"_"
	switch c.Source {
	case PgBouncer:
		whole, prefix = c.Source.first()+"_", c.Name+"_"
	case Backup:
		prefix = Prefix + c.Name + "_"
	}
	if len(alias) > len(whole) && alias[:len(whole)] == whole {
		return alias
	}
	return prefix + alias
}

// Fold keeps the rows that count most and adds up the rest.
type Fold struct {
	// Key is a text column that identifies an underlying row between runs. Rows
	// with equal labels and different keys (the partitions of a root) are added.
	Key string
	// Within lists labels that the Key is unique within; none where it is unique
	// by itself. A row whose labels among these change is another.
	Within []string
	// Rank lists value columns; a row's weight is its largest share of any of
	// them. A column that ends in _total ranks by its recent growth.
	Rank []string
	// Limit is the default number of label sets shown, over all databases.
	Limit int
	// Keep lists labels that the rest keeps: it is added up for each of their
	// values. Collectors per database keep datname anyway.
	Keep []string
	// Began lists value columns that tell when a row's counters began anew: one
	// that ends in _total when it falls, any other when it changes. Without, each
	// counter begins anew by itself when it falls.
	Began []string
	// Evicts says that the server forgets rows and may take them up again. What
	// was shown of them stays until something heavier takes its place.
	Evicts bool
}

// Follow makes a collector's query take one parameter, $1 of type text[]: the
// values that a column of another collector's Fold has in the rows it shows in
// the same database, heaviest first. A value is asked for once in a while only;
// its rows are kept meanwhile, and dropped when it is no longer shown. Nothing is
// sent while there is nothing to ask.
type Follow struct {
	// Of names the collector that has the Fold.
	Of string
	// Column is a text column of both: a label or the Key of that Fold.
	Column string
	// For is how long an answer holds; 0 is as long as the value is shown.
	For time.Duration
}

// Run is what an Emitter may know of the run it is called in.
type Run struct {
	// Now is the exporter's clock when the rows came.
	Now time.Time
	// Database is the database the rows come from.
	Database string
	// Role is the server's role during the run.
	Role Role
	// TLS is what the handshake of the run's session agreed on; nil where the
	// session is not encrypted.
	TLS *TLS
}

// TLS is what a session's own handshake told: of the server, or of the pooler or
// proxy that ends the encryption in its stead.
type TLS struct {
	// Version is the protocol as PostgreSQL writes it: TLSv1.3.
	Version string
	// Cipher is the cipher suite by its name in IANA's registry.
	Cipher string
	// NotAfter is when the certificate that the server showed ends to be valid.
	NotAfter time.Time
}

// Emitter turns the rows of one run into samples. One Emitter serves one target
// and is never called by two goroutines at once.
type Emitter interface {
	Emit(run Run, in *Rows, out *Sink) error
}

// EmitFunc is an Emitter without state of its own.
type EmitFunc func(run Run, in *Rows, out *Sink) error

// Emit calls f.
func (f EmitFunc) Emit(run Run, in *Rows, out *Sink) error { return f(run, in, out) }

// Series describes a metric that no collector gives: pgvigil's own.
type Series struct {
	// Name is the whole name.
	Name string
	// Type is Gauge or Counter.
	Type Type
	// Labels are in the order they are shown.
	Labels []string
	// Help is one sentence with a full stop.
	Help string
}
