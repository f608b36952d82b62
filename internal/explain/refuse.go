package explain

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/pgvigil/pgvigil/internal/postgres"
)

// Reason is why a statement is not explained, from a fixed set.
type Reason string

// Why a statement is not explained.
const (
	ReasonRequest   Reason = "request"   // what was asked for is no queryid, or the like
	ReasonUnknown   Reason = "unknown"   // pg_stat_statements has no such entry, or is not there
	ReasonAmbiguous Reason = "ambiguous" // several entries have the queryid
	ReasonText      Reason = "text"      // the text is hidden, lost, or cannot be parsed
	ReasonUtility   Reason = "utility"   // there is no plan
	ReasonPrivilege Reason = "privilege" // the role may not, or may too much
	ReasonMissing   Reason = "missing"   // what the statement names is not there
	ReasonBusy      Reason = "busy"      // locks, limits, time
	ReasonServer    Reason = "server"    // the server cannot be asked
)

// Refusal says why a statement is not explained, and what can be done about it.
type Refusal struct {
	Reason Reason
	// Why is one clause.
	Why string
	// Advice is a sentence or more, or empty.
	Advice string

	cause error
}

// Error tells both.
func (r *Refusal) Error() string {
	if r.Advice == "" {
		return r.Why
	}
	return r.Why + ". " + strings.TrimSuffix(r.Advice, ".")
}

// Unwrap returns the error the server told, if one did.
func (r *Refusal) Unwrap() error { return r.cause }

func refuse(reason Reason, why, advice string) error {
	return &Refusal{Reason: reason, Why: why, Advice: advice}
}

// unexpected says what came between that is not about the statement.
func unexpected(err error) error {
	r := &Refusal{Reason: ReasonServer, Why: err.Error(), cause: err}
	switch postgres.QueryReason(err) {
	case postgres.ReasonTimeout, postgres.ReasonLockTimeout, postgres.ReasonConflict:
		r.Reason, r.Advice = ReasonBusy, "Try again."
	case postgres.ReasonPermission:
		r.Reason = ReasonPrivilege
	}
	return r
}

// refusal says why the server cannot parse or plan the statement.
func (p *planning) refusal(ctx context.Context, err error, fault postgres.Fault) error {
	r := &Refusal{Reason: ReasonText, Why: "the server cannot plan it: " + fault.Message + p.near(fault), Advice: fault.Hint, cause: err}
	switch fault.State {
	case "57014":
		r.Reason, r.Why, r.Advice = ReasonBusy, fmt.Sprintf("planning takes longer than %v", planTimeout), "A function that is evaluated with it may be slow."
	case "55P03":
		r.Reason, r.Advice = ReasonBusy, "A table of it is locked. Try again."
	case "42501":
		return p.denied(ctx, r, fault)
	case "42P01", "3F000":
		r.Reason = ReasonMissing
		r.Advice = fmt.Sprintf("It has been dropped or renamed since, was a temporary table of its session, or is found by another search_path than %s: pgvigil explain --search-path sets one.", p.searchPath())
	case "42703", "42704":
		r.Reason = ReasonMissing
		r.Advice = fmt.Sprintf("The table may have been changed since, or be another by the search_path of the statement, here %s: pgvigil explain --search-path sets one.", p.searchPath())
		if p.entry.Within {
			r.Advice = "The statement ran within a function: variables of PL/pgSQL stand in the text under their names. Explain it by hand, with values for them."
		}
	case "42883", "42725", "42804", "42846", "42P08", "42P18":
		r.Advice = fmt.Sprintf("A constant that is now a parameter may have had a type that is not inferred: pgvigil explain --type 1=integer sets that of $1. Or the function is found by another search_path than %s: pgvigil explain --search-path sets one.", p.searchPath())
	case "42601":
		r.Advice = "A constant may stand for part of the syntax there, where no parameter can. Explain the statement by hand, with a value."
	case "42803", "42P10":
		r.Advice = "Expressions that were the same have different parameters now. Explain the statement by hand, with values."
	case "25006":
		r.Reason, r.Why, r.Advice = ReasonPrivilege, "a function that planning evaluates wants to write: "+fault.Message, "It was not allowed to."
	}
	return r
}

// around is how much of the text is shown.
const around = 3

// near shows the text at the fault.
func (p *planning) near(fault postgres.Fault) string {
	at := p.draft.find(fault.Position)
	if at < 0 {
		return ""
	}
	first, last := max(at-around, 0), min(at+around, len(p.draft.tokens)-1)
	return fmt.Sprintf(", at %q", p.draft.sql[p.draft.tokens[first].start:p.draft.tokens[last].end])
}

// rightSQL lists what relations of a name there are that the role lacks a right on.
const deniedSQL = `
SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)                        AS relation
     , CURRENT_USER::text                                                                                   AS role
     , pg_catalog.has_table_privilege(c.oid, 'SELECT')::int::double precision                               AS reads
     , CASE WHEN u.verb = '' THEN 0 ELSE pg_catalog.has_table_privilege(c.oid, u.verb)::int END::double precision AS writes
     , (c.relkind IN ('v', 'm'))::int::double precision                                                     AS view
  FROM (SELECT ($1::text[])[1] AS name, ($1::text[])[2] AS verb) AS u
  JOIN pg_catalog.pg_class AS c ON c.relname = u.name AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE NOT pg_catalog.has_table_privilege(c.oid, 'SELECT')
    OR u.verb <> '' AND NOT pg_catalog.has_table_privilege(c.oid, u.verb)
 ORDER BY 1
 LIMIT 5`

var deniedOf = regexp.MustCompile(`^permission denied for ([a-z ]+?) (\S+)$`)

// denied says which GRANT is missing. The server names neither the schema nor the
// right, and in other languages than English nothing that could be found again.
func (p *planning) denied(ctx context.Context, r *Refusal, fault postgres.Fault) error {
	r.Reason = ReasonPrivilege
	r.Why = "the role of pgvigil may not plan it: " + fault.Message
	r.Advice = "Planning takes the rights that executing would take: GRANT SELECT on the tables, or since 14 pg_read_all_data, to the role of pgvigil."
	m := deniedOf.FindStringSubmatch(fault.Message)
	if m == nil {
		return r
	}
	var role string
	var grants []string
	switch what, name := m[1], m[2]; what {
	case "schema":
		r.Advice = fmt.Sprintf("GRANT USAGE ON SCHEMA %s, and SELECT on its tables, or since 14 pg_read_all_data, to the role of pgvigil.", postgres.QuoteIdent(name))
	case "function", "procedure", "aggregate":
		r.Advice = fmt.Sprintf("GRANT EXECUTE ON FUNCTION %s to the role of pgvigil, if it may be evaluated by it.", postgres.QuoteIdent(name))
	case "table", "view", "materialized view", "foreign table":
		verb := p.writes(name)
		if err := ask(ctx, p.session, "privileges", deniedSQL, []string{name, verb}, func(rows rows) {
			for i := range rows.Len() {
				role = rows.Text(i, "role")
				var rights []string
				if rows.Value(i, "reads") == 0 {
					rights = append(rights, "SELECT")
				}
				if verb != "" && rows.Value(i, "writes") == 0 {
					rights = append(rights, verb)
				}
				grants = append(grants, fmt.Sprintf("GRANT %s ON %s TO %s", strings.Join(rights, ", "), rows.Text(i, "relation"), postgres.QuoteIdent(role)))
			}
		}); err != nil || len(grants) == 0 {
			return r
		}
		r.Advice = strings.Join(grants, "; or ") + "."
		if verb == "" {
			r.Advice += " Since 14, pg_read_all_data is that for all tables."
		} else {
			r.Advice += " To plan a statement that writes takes the right to write, though nothing is written: think twice, or explain it by hand as its own user."
		}
	}
	return r
}

// writes returns the right to write that the statement needs on a table; empty is none.
func (p *planning) writes(table string) string {
	l := p.draft.lexed
	for i := range l.tokens {
		right, at := "", i+1
		switch {
		case l.is(i, "INSERT") && l.is(i+1, "INTO"):
			right, at = "INSERT", i+2
		case l.is(i, "DELETE") && l.is(i+1, "FROM"):
			right, at = "DELETE", i+2
		case l.is(i, "MERGE") && l.is(i+1, "INTO"):
			right, at = "UPDATE", i+2
		case l.is(i, "UPDATE"):
			right = "UPDATE"
		default:
			continue
		}
		if l.is(at, "ONLY") {
			at++
		}
		for l.is(at+1, ".") {
			at += 2
		}
		// FOR UPDATE need not name the tables it locks.
		if strings.EqualFold(strings.Trim(l.at(at), `"`), table) || right == "UPDATE" && l.is(i-1, "FOR") {
			return right
		}
	}
	return ""
}
