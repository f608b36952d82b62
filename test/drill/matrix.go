package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// matrix is what came of all drills of a run.
type matrix struct {
	results []result
	took    time.Duration
}

func (m matrix) good() bool {
	return !slices.ContainsFunc(m.results, func(r result) bool { return !r.good() })
}

// sum counts.
func (m matrix) sum() string {
	var faults, detected, calms, pages int
	for _, r := range m.results {
		pages += len(r.pages)
		if len(r.expect) == 0 {
			calms++
			continue
		}
		faults++
		if len(r.lacks) == 0 && r.err == nil {
			detected++
		}
	}
	return fmt.Sprintf("drills: %d of %d faults detected by both, %d calm, %d false pages, in %.0f minutes", detected, faults, calms, pages, m.took.Minutes())
}

// markdown is the matrix as documentation.
func (m matrix) markdown() string {
	var text strings.Builder
	text.WriteString("<!-- Written by make drill. -->\n\n# Drills\n\n" + intro + "\n\n" + strings.ToUpper(m.sum()[:1]) + m.sum()[1:] + ".\n")
	text.WriteString("\n## Faults\n\n| Drill | What is done | Expected | Prometheus | Ruler | Other alerts |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, r := range m.results {
		for i, e := range r.expect {
			first := []string{"", "", ""}
			if i == 0 {
				first = []string{r.name, r.does, strings.Join(r.tells(), ", ")}
			}
			fmt.Fprintf(&text, "| %s | %s | %s | %s | %s | %s |\n", first[0], first[1], e, r.after(byPrometheus, e), r.after(byThanos, e), first[2])
		}
	}
	text.WriteString("\n## Calm\n\nNothing of this may page.\n\n| Drill | What is done | Alerts |\n| --- | --- | --- |\n")
	for _, r := range m.results {
		if len(r.expect) == 0 {
			fmt.Fprintf(&text, "| %s | %s | %s |\n", r.name, r.does, strings.Join(r.tells(), ", "))
		}
	}
	text.WriteString("\n## Without a drill\n\nUnit tests of these alerts stand in for a fault on a server.\n\n| Alert | Why |\n| --- | --- |\n")
	for _, u := range undrilled() {
		fmt.Fprintf(&text, "| %s | %s |\n", u.alert, u.why)
	}
	return text.String()
}

const intro = "What comes to a person when something breaks. Real servers were broken, one fault after the other, and the webhooks of an Alertmanager decided. A pair of Prometheus servers\n" +
	"evaluated `alerts/prometheus/`, a Thanos Ruler over both `alerts/thanos/`. Durations were a thirtieth of the shipped ones, and some thresholds smaller: test/drill/mixin.libsonnet.\n" +
	"The seconds from the fault to the notice are of that scale; times thirty they are about what to expect."

// tells are the alerts beside the expected, false pages first.
func (res result) tells() (list []string) {
	for _, page := range res.pages {
		list = append(list, "**false page** "+page)
	}
	list = append(list, res.others...)
	if res.err != nil {
		list = append(list, "**error** "+strings.ReplaceAll(res.err.Error(), "\n", " "))
	}
	return list
}

// after is when an expected alert came by one of the ways.
func (res result) after(w way, e expected) string {
	after, ok := res.seen[w][e.String()]
	if !ok {
		return "**missing**"
	}
	return fmt.Sprintf("%.0f s", after.Seconds())
}

// An alert without a drill, and why it has none.
type exempt struct{ alert, why string }

// undrilled are the alerts that no drill expects.
func undrilled() []exempt {
	const patroni = "There is no Patroni in the scene; its unit tests have series as Patroni's own page has them."
	return append(shopUndrilled(), []exempt{
		{"PostgresExporterSeriesLimit", "A limit is reached by thousands of databases or extensions."},
		{"PostgresBackupNeverSucceeded", "It waits for a day from the first sight of a repository, which is 48 minutes in the time of drills."},
		{"PostgresBackupCheckFailing", "Barman alone tells of checks, and the scene has pgBackRest."},
		{"PatroniDown", patroni},
		{"PatroniClusterUnlocked", patroni},
		{"PatroniFailsafe", patroni},
		{"PatroniDcsStale", patroni},
		{"PatroniPaused", patroni},
		{"PatroniPendingRestart", patroni},
		{"PatroniReplicaNotFailoverReady", patroni},
	}...)
}
