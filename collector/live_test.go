package collector_test

import (
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// scene starts a primary and its standby that have something to show for every
// collector: slots, a table with dead rows and partitions, limits, archiving.
func scene(t *testing.T, major int) (primary, standby *pgtest.Server) {
	t.Helper()
	primary = pgtest.New(t, major, pgtest.Options{TLS: true, Settings: map[string]string{
		"cluster_name": "scene", "synchronous_standby_names": "FIRST 1 (standby1)", "synchronous_commit": "local",
	}})
	standby = pgtest.New(t, major, pgtest.Options{StandbyOf: primary})
	primary.Exec(t,
		"CREATE TABLE accounts (id int PRIMARY KEY, balance int)",
		"INSERT INTO accounts SELECT g, 0 FROM generate_series(1, 1000) g",
		"DELETE FROM accounts WHERE id % 4 = 0",
		"SELECT count(*) FROM accounts WHERE id = 7",
		"VACUUM ANALYZE accounts",
		"CREATE TABLE events (at date, what text) PARTITION BY RANGE (at)",
		"CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
		"CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')",
		"INSERT INTO events SELECT '2026-01-15'::date + g, 'x' FROM generate_series(1, 30) g",
		"SELECT pg_create_physical_replication_slot('idle', true)",
		"SELECT pg_create_logical_replication_slot('decoding', 'test_decoding')",
		"ALTER ROLE pgvigil CONNECTION LIMIT 20",
		"CREATE DATABASE limited CONNECTION LIMIT 7",
		"SELECT pg_switch_wal()",
		"CHECKPOINT",
	)
	return primary, standby
}

// TestLive scrapes a primary and its standby of each major with every collector:
// each runs or is skipped for a reason it declares, and what is on the page is
// what is declared, by name, type, help and labels.
func TestLive(t *testing.T) {
	for _, major := range pgtest.Majors() {
		t.Run(spec.Version(major).String(), func(t *testing.T) {
			t.Parallel()
			primary, standby := scene(t, major)
			seen := map[string]bool{}
			for role, srv := range map[spec.Role]*pgtest.Server{spec.Primary: primary, spec.Standby: standby} {
				page := scrapePage(t, watch(t, srv, pgtest.Monitor))
				for name := range page {
					seen[name] = true
				}
				checkOutcome(t, page, role, spec.Version(major))
				checkDeclared(t, page)
			}
			checkMissing(t, seen, spec.Version(major))
		})
	}
}

// checkOutcome demands success of every collector whose role and version fit,
// and a skip of the others.
func checkOutcome(t *testing.T, page snapshot, role spec.Role, major spec.Version) {
	t.Helper()
	if page.value(t, "pg_up") != 1 {
		t.Fatal("pg_up is not 1")
	}
	for _, c := range collector.All() {
		_, exists := c.Query(spec.Env{Major: major})
		fits := exists && (c.Needs.Role == spec.AnyRole || c.Needs.Role == role)
		skipped := page.values("pgvigil_collector_skipped", "collector", c.Name)
		success := page.values("pgvigil_collector_success", "collector", c.Name)
		switch {
		case fits && (len(skipped) > 0 || len(success) == 0 || slices.Contains(success, 0)):
			t.Errorf("%s on a %s: success %v, skipped %v", c.Name, role, success, skipped)
		case !fits && (len(skipped) == 0 || len(success) > 0):
			t.Errorf("%s on a %s of %s should be skipped: success %v, skipped %v", c.Name, role, major, success, skipped)
		}
	}
}

// checkDeclared compares what is on the page with what is declared.
func checkDeclared(t *testing.T, page snapshot) {
	t.Helper()
	declared := map[string]spec.Metric{}
	labels := map[string][]string{}
	var patterns []string
	for _, c := range collector.All() {
		for _, m := range c.Metrics {
			if m.Name == spec.Any {
				patterns = append(patterns, spec.Prefix+c.Flag()+"_")
				continue
			}
			name := c.FullName(m.Name)
			declared[name] = m
			labels[name] = c.Labels
			if c.Scope == spec.PerDatabase {
				labels[name] = append([]string{"datname"}, c.Labels...)
			}
		}
	}
	for name, f := range page {
		if !strings.HasPrefix(name, spec.Prefix) || name == "pg_up" {
			continue
		}
		m, ok := declared[name]
		if !ok {
			if !slices.ContainsFunc(patterns, func(p string) bool { return strings.HasPrefix(name, p) }) {
				t.Errorf("%s is on the page and not declared", name)
			}
			continue
		}
		if got := strings.ToLower(f.GetType().String()); got != m.Type.String() || f.GetHelp() != m.Help {
			t.Errorf("%s is a %s, %q; declared as %s, %q", name, got, f.GetHelp(), m.Type, m.Help)
		}
		want := slices.Sorted(slices.Values(labels[name]))
		if got := labelNames(f.GetMetric()[0]); !slices.Equal(got, want) {
			t.Errorf("%s has the labels %v; declared are %v", name, got, want)
		}
	}
}

func labelNames(m *dto.Metric) []string {
	var names []string
	for _, l := range m.GetLabel() {
		names = append(names, l.GetName())
	}
	slices.Sort(names)
	return names
}

// checkMissing demands every metric that this major has and a scene can show;
// rare names those it cannot, with the reason.
func checkMissing(t *testing.T, seen map[string]bool, major spec.Version) {
	t.Helper()
	for _, c := range collector.All() {
		q, ok := c.Query(spec.Env{Major: major})
		if !ok {
			continue
		}
		text, err := spec.Render(q.SQL, spec.Env{Major: major})
		if err != nil {
			t.Fatal(err)
		}
		aliases := spec.Aliases(text)
		for _, m := range c.Metrics {
			name := c.FullName(m.Name)
			here := c.Emit != nil || slices.Contains(aliases, m.Name)
			if m.Name == spec.Any || !here || seen[name] || rare()[name] != "" {
				continue
			}
			t.Errorf("%s: nobody shows %s on PostgreSQL %s", c.Name, name, major)
		}
	}
	for name, why := range rare() {
		if seen[name] {
			t.Logf("%s is called rare (%s) and was seen", name, why)
		}
	}
}

// rare names the metrics that no ordinary scene shows, and why.
func rare() map[string]string {
	return map[string]string{}
}
