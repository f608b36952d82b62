// Package readiness judges a server by the four factors of production-ready PostgreSQL:
// provisioning and security, high availability and disaster recovery, performance and
// scalability, observability and maintenance.
//
// A check is a value, like a collector. It judges what collectors have read, as samples
// of the page that Prometheus gets, and what Patroni says, and nothing else: so the report of a terminal, the
// page and the metrics cannot disagree, judging costs the server nothing, and a check
// can be tried without a server. What a collector cannot see is unknown, with what would
// be needed to know it, and never a guess.
package readiness

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/pgvigil/pgvigil/internal/patroni"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// Factor is what a check is about.
type Factor string

// The four factors, in their order.
const (
	Security      Factor = "security"
	Availability  Factor = "availability"
	Performance   Factor = "performance"
	Observability Factor = "observability"
)

// Factors are all of them, in the order of a report.
func Factors() []Factor { return []Factor{Security, Availability, Performance, Observability} }

// Title is the factor's name for people.
func (f Factor) Title() string {
	return map[Factor]string{
		Security:      "Provisioning and security",
		Availability:  "High availability and disaster recovery",
		Performance:   "Performance and scalability",
		Observability: "Observability and maintenance",
	}[f]
}

// Verdict is what a check comes to.
type Verdict string

// The verdicts, from good to bad; unknown is neither.
const (
	Pass    Verdict = "pass"
	Unknown Verdict = "unknown"
	Warn    Verdict = "warn"
	Fail    Verdict = "fail"
)

// Verdicts are all of them, in the order of a sum.
func Verdicts() []Verdict { return []Verdict{Pass, Warn, Fail, Unknown} }

// Check asks one question of a server.
type Check struct {
	// Name is what configuration and metrics call it, lower case with underscores.
	Name string
	// Factor is what it is about.
	Factor Factor
	// Question is what it asks, so that yes is good.
	Question string
	// Why says why it matters, in a sentence or two.
	Why string
	// Remedy is what to do: a statement or settings, as they can be pasted, or a sentence.
	Remedy string
	// Source is where the facts come from: views and settings of PostgreSQL, or other
	// tools.
	Source string
	// On is the role of servers that it makes sense on.
	On spec.Role
	// Since is the first major that it makes sense on; 0 is the oldest supported.
	Since spec.Version
	// From names the collectors whose results it cannot do without.
	From []string
	// Judge answers the question.
	Judge func(*Facts, Limits) Finding
}

// Finding is an answer, and what it rests on.
type Finding struct {
	Verdict Verdict
	// Says is what was found, in a sentence without a full stop.
	Says string
}

func pass(format string, args ...any) Finding { return Finding{Pass, fmt.Sprintf(format, args...)} }
func warn(format string, args ...any) Finding { return Finding{Warn, fmt.Sprintf(format, args...)} }
func fail(format string, args ...any) Finding { return Finding{Fail, fmt.Sprintf(format, args...)} }
func unknown(format string, args ...any) Finding {
	return Finding{Unknown, fmt.Sprintf(format, args...)}
}

// Limit is a threshold that may be configured.
type Limit struct {
	// Name is its key in the configuration.
	Name string
	// Default is what it is unless configured.
	Default float64
	// About says what it bounds, with its unit.
	About string
}

// Limits are thresholds by name, all of them.
type Limits map[string]float64

// Acceptance is a decision of people to live with what a check finds.
type Acceptance struct {
	// Check is its name.
	Check string
	// Reason is why.
	Reason string
	// Until is the last day on which it holds.
	Until time.Time
}

// Options are what may be configured.
type Options struct {
	// Limits replace defaults, by name.
	Limits map[string]float64
	// Accept lists what is accepted.
	Accept []Acceptance
	// Remote is a regular expression for the application_name or address of standbys
	// elsewhere; nil where nobody has said.
	Remote matcher
	// Networks are those that sessions may come from; none where nobody has said.
	Networks []netip.Prefix
	// Patroni is what Patroni said of the server's cluster; nil where nobody has said where
	// to ask it.
	Patroni *patroni.Answer
}

type matcher interface{ MatchString(string) bool }
