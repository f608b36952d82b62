// Package doctor answers three questions about a server that is watched: why is a
// metric missing, what may the exporter not see, and what does it cost?
//
// A report is made of what an engine knows anyway, and, where somebody waits for it,
// of a connect that is followed step by step. Making it changes nothing on the server.
package doctor

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// Findings are what a report is made of.
type Findings struct {
	// Server is what the report calls the server.
	Server string
	// Engine is what its engine knows.
	Engine scrape.Report
	// Beside are the collectors of poolers and backups on the same page.
	Beside []scrape.CollectorReport
	// Off are the collectors that are switched off.
	Off []spec.Collector
	// Diagnosis is a connect that was followed; nil where none was made.
	Diagnosis *postgres.Diagnosis
	// Interval is the time between two scrapes, which the cost is reckoned by.
	Interval time.Duration
	// Trial is a scrape with another budget; nil where none was made.
	Trial *Trial
}

// Trial is what a scrape gave with another budget.
type Trial struct {
	// MaxSeries is that of --series.max; negative is without bound.
	MaxSeries int
	// Collectors are those to which the budget may matter.
	Collectors []scrape.CollectorReport
}

// Report is what there is to say about a server. Times are in seconds.
type Report struct {
	Server     string      `json:"server"`
	At         time.Time   `json:"at"`
	Up         bool        `json:"up"`
	Problems   []Problem   `json:"problems"`
	Grants     []Grant     `json:"grants"`
	Hidden     []Hidden    `json:"hidden"`
	Connection Connection  `json:"connection"`
	Identity   *Identity   `json:"identity,omitempty"` // nil where nobody has ever answered
	Role       *Role       `json:"role,omitempty"`     // the same
	Databases  []Database  `json:"databases"`
	Collectors []Collector `json:"collectors"`
	Cost       Cost        `json:"cost"`
	Series     Series      `json:"series"`
	Budget     *Budget     `json:"budget,omitempty"`
}

// Problem is something to be looked at.
type Problem struct {
	// What it is, in a sentence.
	What string `json:"what"`
	// Do is what can be done, in a sentence.
	Do string `json:"do,omitempty"`
}

// Grant is a statement that lets collectors run which are skipped for want of it.
type Grant struct {
	// Statement names the role of the session.
	Statement string `json:"statement"`
	// Databases are those to execute it in; none where any will do.
	Databases []string `json:"databases,omitempty"`
	// Collectors are those that it cures.
	Collectors []string `json:"collectors"`
}

// Hidden is what PostgreSQL hides from the role, which costs no collector.
type Hidden struct {
	What  string  `json:"what"`
	Count float64 `json:"count"`
	Cure  string  `json:"cure"`
}

// Connection is the way to the server.
type Connection struct {
	// Address is host and port as configured, or a socket.
	Address string `json:"address"`
	// Dialled is the address that this came to.
	Dialled string `json:"dialled,omitempty"`
	// Attempts counts what was dialled.
	Attempts int `json:"attempts,omitempty"`
	// Steps are those that were done, and the one that failed, which is the last.
	Steps []Step `json:"steps,omitempty"`
	// Reason is why there is no session, Fault the same for people, and Advice what to do.
	Reason string `json:"reason,omitempty"`
	Fault  string `json:"error,omitempty"`
	Advice string `json:"advice,omitempty"`
	// TLS is what the handshake agreed on; nil is none.
	TLS *TLS `json:"tls,omitempty"`
	// Pooler says that one is between; nil where that is not known.
	Pooler *bool `json:"pooler,omitempty"`
	// Backend is the address by which the server itself was reached.
	Backend string `json:"backend,omitempty"`
	// RoundTrip is the least time that a statement took; 0 where it is not known.
	RoundTrip float64 `json:"round_trip_seconds,omitempty"`
	// Clock is by how much the server's clock is ahead, give or take Doubt.
	Clock float64 `json:"clock_offset_seconds,omitempty"`
	Doubt float64 `json:"clock_offset_doubt_seconds,omitempty"`
}

// Step is a part of the way.
type Step struct {
	Name   string  `json:"name"`
	Took   float64 `json:"seconds"`
	Failed bool    `json:"failed,omitempty"`
}

// TLS is what a handshake agreed on.
type TLS struct {
	Version  string    `json:"version"`
	Cipher   string    `json:"cipher"`
	NotAfter time.Time `json:"certificate_not_after,omitzero"`
}

// Identity is which server answers.
type Identity struct {
	Version  string    `json:"version"`
	Role     string    `json:"role"`
	System   string    `json:"system_identifier,omitempty"`
	Timeline int       `json:"timeline,omitempty"`
	Started  time.Time `json:"started"`
	Database string    `json:"database"`
}

// Role is who we are there.
type Role struct {
	Name      string `json:"name"`
	Superuser bool   `json:"superuser"`
	// Has and Lacks are predefined roles.
	Has   []string `json:"has"`
	Lacks []string `json:"lacks"`
}

// Database is a database that allows connections.
type Database struct {
	Name string `json:"name"`
	// Unread is why collectors do not run there; empty where they do.
	Unread string `json:"unread,omitempty"`
	// Extensions are versions by name; nil where nobody has looked.
	Extensions map[string]string `json:"extensions"`
}

// Collector is what became of a collector and what it costs.
type Collector struct {
	Name  string `json:"name"`
	Flag  string `json:"flag"`
	State string `json:"state"`
	// Why is the reason of a skip or failure.
	Why string `json:"why,omitempty"`
	// Cure would change a skip; empty where it is as it should be.
	Cure string `json:"cure,omitempty"`
	// Declared and Every are the rhythm asked for and in force; 0 is with each scrape.
	Declared float64 `json:"declared_every_seconds"`
	Every    float64 `json:"every_seconds"`
	// Budget is the most series of one run; 0 is without bound. Full is how much of it
	// the largest run takes.
	Budget int     `json:"max_series"`
	Full   float64 `json:"max_series_ratio"`
	// Series and Rows are of the last runs together, Folded the label sets within other.
	Series int `json:"series"`
	Rows   int `json:"rows"`
	Folded int `json:"folded"`
	// Server and Here are what the last runs took together, on the server and the wire,
	// and in this process.
	Server float64 `json:"server_seconds"`
	Here   float64 `json:"exporter_seconds"`
	// ServerAnHour and HereAnHour are that by the rhythm in force.
	ServerAnHour float64 `json:"server_seconds_an_hour"`
	HereAnHour   float64 `json:"exporter_seconds_an_hour"`
	Runs         []Run   `json:"runs"`
}

// Run is the last run on one database.
type Run struct {
	Database string  `json:"database,omitempty"`
	State    string  `json:"state"`
	Why      string  `json:"why,omitempty"`
	Cure     string  `json:"cure,omitempty"`
	Series   int     `json:"series"`
	Rows     int     `json:"rows"`
	Missing  int     `json:"columns_missing,omitempty"`
	Age      float64 `json:"age_seconds,omitempty"` // of the last good result; 0 is none
	Server   float64 `json:"server_seconds"`
	Here     float64 `json:"exporter_seconds"`
	// Fault is the last error, Failed when that was; runs may have been good since.
	Fault  string    `json:"last_error,omitempty"`
	Failed time.Time `json:"last_error_at,omitzero"`
}

// Off is the state of a collector that is switched off; others have an Outcome.
const Off = "off"

// Cost is what all collectors take.
type Cost struct {
	// Interval is the time between two scrapes that it is reckoned by.
	Interval float64 `json:"scrape_interval_seconds"`
	// ServerAnHour is time of statements, waits and the wire included, so at most the
	// time of a core; Share is that as part of one.
	ServerAnHour float64 `json:"server_seconds_an_hour"`
	Share        float64 `json:"core_ratio"`
	// HereAnHour is the time that rows take in this process.
	HereAnHour float64 `json:"exporter_seconds_an_hour"`
	// Sessions are open now, SessionsMax may be.
	Sessions    int `json:"sessions"`
	SessionsMax int `json:"sessions_max"`
}

// Series are those of the page, without pgvigil's own.
type Series struct {
	Total int `json:"total"`
	// Families have the largest first.
	Families []Family `json:"families"`
}

// Family is a metric.
type Family struct {
	Name      string `json:"name"`
	Collector string `json:"collector"`
	Series    int    `json:"series"`
}

// Budget is what a scrape looks like with another.
type Budget struct {
	// MaxSeries is the most series of each collector's run; 0 is without bound.
	MaxSeries int `json:"max_series"`
	Before    int `json:"series_before"`
	After     int `json:"series_after"`
	// Changes are the collectors to which it makes a difference.
	Changes []Change `json:"changes"`
}

// Change is what a budget does to a collector.
type Change struct {
	Collector string `json:"collector"`
	Before    int    `json:"series_before"`
	After     int    `json:"series_after"`
	// FoldedBefore and FoldedAfter are label sets within other.
	FoldedBefore int `json:"folded_before"`
	FoldedAfter  int `json:"folded_after"`
	// LeftOut says why it shows nothing.
	LeftOut string `json:"left_out,omitempty"`
}
