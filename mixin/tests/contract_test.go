package tests

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// minWindow is four scrapes a minute apart, and a bit: below it a counter's rate is
// what one late scrape makes of it.
const minWindow = 5 * time.Minute

// withRecorded adds to the catalog what rules record.
func (c catalog) withRecorded(t *testing.T, all []group) catalog {
	t.Helper()
	c = maps.Clone(c)
	var records []rulefmt.Rule
	for _, g := range all {
		for _, r := range g.Rules {
			if r.Record != "" {
				records = append(records, r)
				c[r.Record] = metric{labels: target, majors: majors}
			}
		}
	}
	// Rules rest on one another, in any order and no deeper than they are many.
	for range records {
		for _, r := range records {
			if q, ok := parse(t, r.Record, r.Expr); ok {
				on := slices.DeleteFunc(slices.Clone(majors), func(major int) bool { return !c.alive(q.expr, major) })
				c[r.Record] = metric{labels: c.labels(q.expr), majors: on}
			}
		}
	}
	return c
}

// TestMetrics holds that every series that rules and boards name is one that the
// exporter documents, with labels that it has, read as its type wants.
func TestMetrics(t *testing.T) {
	files := render(t, "{}")
	all := groups(t, files)
	known := readCatalog(t).withRecorded(t, all)
	for _, g := range all {
		for _, r := range g.Rules {
			if q, ok := parse(t, label(r), r.Expr); ok {
				known.check(t, q)
				explicit(t, q)
				held(t, q)
			}
		}
	}
	for _, b := range boards(t, files) {
		for _, q := range b.queries(t) {
			known.check(t, q)
		}
	}
}

// position is the one counter that may fall without a reset, which only its values show.
const position = "pg_wal_position_bytes_total"

func (c catalog) check(t *testing.T, q query) {
	t.Helper()
	each(q.expr, func(s *parser.VectorSelector, parents []parser.Node) {
		name := nameOf(s)
		m, ok := c.find(name)
		if !ok {
			t.Errorf("%s: METRICS.md has no %q", q.where, name)
			return
		}
		for _, matcher := range s.LabelMatchers {
			if missing := lacking([]string{matcher.Name}, append(c.labels(s), "__name__")); missing != "" {
				t.Errorf("%s: %s has no label %s", q.where, name, missing)
			}
		}
		function, window := over(parents)
		counts := slices.Contains([]string{"rate", "increase", "resets"}, function)
		switch {
		case name == position && slices.Contains([]string{"max_over_time", "last_over_time"}, function):
		case m.counter && !counts:
			t.Errorf("%s: %s is a counter, which only rate, increase and resets may read", q.where, name)
		case !m.counter && (counts || function == "irate"):
			t.Errorf("%s: %s is a gauge, which has no %s", q.where, name, function)
		case m.counter && s.OriginalOffset != 0 && !counts:
			t.Errorf("%s: the offset of %s is not that of a rate", q.where, name)
		}
		if (counts || function == "changes") && window.Range < minWindow {
			t.Errorf("%s: %s(%s) looks at %v, which is too short", q.where, function, name, window.Range)
		}
	})
	each(q.expr, func(call *parser.Call, _ []parser.Node) {
		if slices.Contains([]string{"irate", "idelta"}, call.Func.Name) {
			t.Errorf("%s: %s sees two samples only", q.where, call.Func.Name)
		}
	})
	each(q.expr, func(a *parser.AggregateExpr, _ []parser.Node) {
		if a.Without {
			t.Errorf("%s: %s without lets labels through that nobody thought of; write by", q.where, a.Op)
		}
		if missing := lacking(a.Grouping, c.known(a.Expr)); missing != "" {
			t.Errorf("%s: %s by labels that are not there: %s", q.where, a.Op, missing)
		}
	})
	each(q.expr, func(b *parser.BinaryExpr, _ []parser.Node) {
		m := b.VectorMatching
		if m == nil || b.LHS.Type() != parser.ValueTypeVector || b.RHS.Type() != parser.ValueTypeVector {
			return
		}
		if left, right := c.labels(b.LHS), c.labels(b.RHS); !m.On && b.Op != parser.LOR && lacking(left, right)+lacking(right, left) != "" {
			t.Errorf("%s: %s has other labels on its left than on its right; write on", q.where, b.Op)
		}
		// Labels that neither side has would match everything with everything.
		if missing := lacking(m.MatchingLabels, slices.Concat(c.known(b.LHS), c.known(b.RHS))); missing != "" {
			t.Errorf("%s: %s on labels that are not there: %s", q.where, b.Op, missing)
		}
	})
}

// explicit holds that a rule says what it matches on. A board need not where both
// sides have the same labels.
func explicit(t *testing.T, q query) {
	t.Helper()
	each(q.expr, func(b *parser.BinaryExpr, _ []parser.Node) {
		vectors := b.LHS.Type() == parser.ValueTypeVector && b.RHS.Type() == parser.ValueTypeVector
		if vectors && b.Op != parser.LOR && !b.VectorMatching.On {
			t.Errorf("%s: %s matches by whatever labels there are; write on", q.where, b.Op)
		}
	})
}

// held holds that a rule reads no series as it is at that moment: one scrape that
// failed leaves nothing there, and an alert would begin to wait anew. What rules have
// recorded of such series is there.
func held(t *testing.T, q query) {
	t.Helper()
	each(q.expr, func(s *parser.VectorSelector, parents []parser.Node) {
		ranged := slices.ContainsFunc(parents, func(p parser.Node) bool {
			switch p.(type) {
			case *parser.MatrixSelector, *parser.SubqueryExpr:
				return true
			}
			return false
		})
		if name := nameOf(s); !ranged && !strings.Contains(name, ":") {
			t.Errorf("%s: %s is gone when a scrape fails; write last_over_time(%s[3m])", q.where, name, name)
		}
	})
}

// declared is what an alert's declaration says beside its rule.
type declared struct{ Scope, Dashboard string }

func declarations(t *testing.T) map[string]declared {
	t.Helper()
	all := map[string]declared{}
	evaluate(t, `
		local m = (import 'mixin.libsonnet') + std.extVar('config');
		{
			[name]: { Scope: std.get(m.alertDeclarations[name], 'scope', 'instance'), Dashboard: m.alertDeclarations[name].dashboard }
			for name in std.objectFields(m.alertDeclarations)
		}`, "{}", &all)
	return all
}

// scopes are the labels that alerts of a scope must have.
var scopes = map[string][]string{
	"instance": {"cluster", "job", "pg_cluster", "instance"},
	"pooler":   {"cluster", "job", "pg_cluster", "instance"},
	"cluster":  {"cluster", "pg_cluster"},
	"job":      {"cluster", "job"},
}

// detail are labels of what a server has many of: an alert for each would bury who
// gets them. Boards name them.
var detail = []string{
	"pid", "query", "queryid", "schemaname", "relname", "indexrelname", "application_name", "client_addr",
}

// replicas are labels by which Prometheus servers of a pair differ, which rules may
// not know.
var replicas = []string{"replica", "prometheus", "prometheus_replica", "thanos_ruler_replica", "receive_replica", "monitor"}

// constant are alerts that do not compare, since they fire always.
var constant = []string{"PostgresDeadMansSwitch"}

// TestRules holds rules to what boards need not: they keep labels, name no replica
// and, but for those that fire always, compare.
func TestRules(t *testing.T) {
	all := groups(t, render(t, "{}"))
	known := readCatalog(t).withRecorded(t, all)
	scope := declarations(t)
	for _, g := range all {
		for _, r := range g.Rules {
			q, ok := parse(t, label(r), r.Expr)
			if !ok {
				continue
			}
			checkForm(t, q)
			have := known.labels(q.expr)
			if r.Record != "" {
				checkRecord(t, r, have)
				continue
			}
			if slices.Contains(constant, r.Alert) {
				continue
			}
			if !compares(q.expr) {
				t.Errorf("%s fires whatever the value is", q.where)
			}
			if missing := lacking(scopes[scope[r.Alert].Scope], have); missing != "" {
				t.Errorf("%s is of scope %s and loses labels: %s", q.where, scope[r.Alert].Scope, missing)
			}
			for _, name := range have {
				if slices.Contains(detail, name) {
					t.Errorf("%s is an alert for each %s: count them, and let a board name them", q.where, name)
				}
			}
		}
	}
}

// checkForm holds what is true of rules, whatever they are about.
func checkForm(t *testing.T, q query) {
	t.Helper()
	each(q.expr, func(a *parser.AggregateExpr, _ []parser.Node) {
		switch a.Op {
		case parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.LIMIT_RATIO:
			t.Errorf("%s: %s makes series come and go", q.where, a.Op)
		}
		if len(a.Grouping) == 0 {
			t.Errorf("%s: %s aggregates all labels away", q.where, a.Op)
		}
		named(t, q, a.Grouping)
	})
	each(q.expr, func(b *parser.BinaryExpr, _ []parser.Node) {
		if b.VectorMatching != nil {
			named(t, q, b.VectorMatching.MatchingLabels)
			named(t, q, b.VectorMatching.Include)
		}
	})
	each(q.expr, func(s *parser.VectorSelector, _ []parser.Node) {
		for _, m := range s.LabelMatchers {
			named(t, q, []string{m.Name})
		}
	})
}

func named(t *testing.T, q query, names []string) {
	t.Helper()
	for _, name := range names {
		if slices.Contains(replicas, name) {
			t.Errorf("%s: %s tells servers of a pair apart", q.where, name)
		}
	}
}

// checkRecord holds that a recorded name begins with the level that its labels are
// of, and is keyed by nothing of which a server has many.
func checkRecord(t *testing.T, r rulefmt.Rule, have []string) {
	t.Helper()
	level, _, _ := strings.Cut(r.Record, ":")
	want, ok := map[string][]string{
		"instance":   scopes["instance"],
		"database":   append(slices.Clone(scopes["instance"]), "datname"),
		"pg_cluster": scopes["cluster"],
		"job":        scopes["job"],
	}[level]
	switch {
	case !ok || strings.Count(r.Record, ":") != 2:
		t.Errorf("%s is not called level:metric:operations", r.Record)
	case lacking(want, have) != "" || lacking(have, want) != "":
		t.Errorf("%s has labels %s, and of that level are %s", r.Record, strings.Join(have, ", "), strings.Join(want, ", "))
	}
}

// compares reports whether a query can be without a result while its series are
// there.
func compares(e parser.Expr) bool {
	found := false
	each(e, func(b *parser.BinaryExpr, _ []parser.Node) {
		found = found || b.Op.IsComparisonOperator() && !b.ReturnBool || b.Op == parser.LUNLESS
	})
	each(e, func(call *parser.Call, _ []parser.Node) {
		found = found || strings.HasPrefix(call.Func.Name, "absent")
	})
	return found
}

// TestMajors holds that an alert or a panel that some major of PostgreSQL has no
// series for says so: the runbook of the one, the description of the other.
func TestMajors(t *testing.T) {
	files := render(t, "{}")
	all := groups(t, files)
	known := readCatalog(t).withRecorded(t, all)
	for _, g := range all {
		for _, r := range g.Rules {
			q, ok := parse(t, label(r), r.Expr)
			if !ok || r.Alert == "" {
				continue
			}
			dead := known.dead([]query{q})
			text, _ := os.ReadFile(filepath.Join(top, "docs/runbooks", r.Alert+".md")) // TestRunbooks misses it
			if dead != nil && !explains(string(text), dead) {
				t.Errorf("%s: cannot fire on PostgreSQL %v, and its runbook does not say so: %s", q.where, dead, strings.Join(boundary(dead), " or "))
			}
		}
	}
	for _, b := range boards(t, files) {
		for _, p := range b.all() {
			if queries := p.queries(t, b.UID); len(queries) > 0 {
				said := p.Description + p.FieldConfig.Defaults.NoValue
				if dead := known.dead(queries); dead != nil && !explains(said, dead) {
					t.Errorf("%s: is empty on PostgreSQL %v, and its description does not say so: %s", queries[0].where, dead, strings.Join(boundary(dead), " or "))
				}
			}
		}
	}
}

// dead are the majors on which none of the queries has a result.
func (c catalog) dead(queries []query) (list []int) {
	for _, major := range majors {
		if !slices.ContainsFunc(queries, func(q query) bool { return c.alive(q.expr, major) }) {
			list = append(list, major)
		}
	}
	return list
}

// boundary are the texts that tell of majors without series: the last that has none or
// the first that has some, or where new ones lack them, the other way round.
func boundary(dead []int) []string {
	last, next := dead[len(dead)-1], dead[len(dead)-1]+1
	if dead[0] != majors[0] {
		last, next = dead[0]-1, dead[0]
	}
	return []string{fmt.Sprintf("PostgreSQL %d", last), fmt.Sprintf("PostgreSQL %d", next)}
}

func explains(text string, dead []int) bool {
	return slices.ContainsFunc(boundary(dead), func(b string) bool { return strings.Contains(text, b) })
}
