package readiness

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pgvigil/pgvigil/internal/patroni"
)

// TestFailoverManager judges what Patroni says, and without it who is connected.
func TestFailoverManager(t *testing.T) {
	role := func(standby float64) fake { return fake{{"pg_replication_is_replica", nil, standby}} }
	connected := func(sessions float64) fake {
		return append(role(0), ran("exposure", ""), sample{"pg_exposure_failover_manager_sessions", nil, sessions})
	}
	leader := patroni.Member{Name: "pg1", Leader: true, Runs: true, Lag: -1}
	good := patroni.Member{Name: "pg2", Runs: true}
	late := patroni.Member{Name: "pg2", Runs: true, Lag: 11 << 20}
	down := patroni.Member{Name: "pg2", Lag: -1}
	never := patroni.Member{Name: "pg2", Runs: true, NoFailover: true}
	unclear := patroni.Member{Name: "pg2", Runs: true, Lag: -1}
	says := func(members ...patroni.Member) *patroni.Answer {
		return &patroni.Answer{At: someDay, Cluster: patroni.Cluster{Role: patroni.Primary, Members: members}}
	}
	paused, standby, passing := says(leader, good), says(leader, good), says(leader, good)
	paused.Cluster.Paused, standby.Cluster.Role, passing.Cluster.Role = true, patroni.Standby, ""
	for _, tt := range []struct {
		about string
		page  fake
		said  *patroni.Answer
		want  Verdict
		says  string
	}{
		{"nobody has said where Patroni is, and a session is its", connected(1), nil, Pass, "is connected"},
		{"nobody has said where Patroni is, and no session is its", connected(0), nil, Warn, "no session is of Patroni"},
		{"nobody has said where Patroni is, and sessions are not seen", role(0), nil, Unknown, "exposure is switched off"},
		{"a cluster as it should be", role(0), says(leader, good, down), Pass, `"pg1" leads by Patroni, and 1 of 2 other members could be promoted`},
		{"not asked", connected(1), &patroni.Answer{}, Unknown, "has not been asked yet"},
		{"no answer", connected(1), &patroni.Answer{At: someDay, Err: errors.New("refused")}, Fail, "does not answer as it should: refused"},
		{"no leader", role(0), says(good), Fail, "no leader"},
		{"paused", role(0), paused, Warn, "paused"},
		{"paused, without a leader", role(0), func() *patroni.Answer { a := says(good); a.Cluster.Paused = true; return a }(), Fail, "no leader"},
		{"alone", role(0), says(leader), Warn, "of 0 others none that may be is running"},
		{"the replica is down", role(0), says(leader, down), Warn, "of 1 others none"},
		{"the replica is not to lead", role(0), says(leader, never), Warn, "of 1 others none"},
		{"the replica is late", role(0), says(leader, late), Warn, "of 1 each has more than 10 MiB"},
		{"one of the replicas is late", role(0), says(leader, late, good), Pass, "1 of 2 other"},
		{"the lag is not known", role(0), says(leader, late, unclear), Unknown, "does not know the lag"},
		{"another server answers", role(0), standby, Unknown, "a standby by Patroni, and this server is not"},
		{"its role changes", role(0), passing, Unknown, "neither primary nor standby"},
		{"the server's role is not known", fake{}, says(leader, good), Unknown, "its role is not known"},
		{"a long name", role(0), says(patroni.Member{Name: strings.Repeat("a\n", 99), Leader: true}, good), Pass, `"a\na\n`},
	} {
		r := result(t, tt.page.facts(t, someDay), Options{Patroni: tt.said, Limits: map[string]float64{"lag_mib": 10}}, "failover_manager")
		if r.Verdict != tt.want || !strings.Contains(r.Says, tt.says) || len(r.Says) > 250 || strings.Contains(r.Says, "\n") {
			t.Errorf("%s: %s: %s", tt.about, r.Verdict, r.Says)
		}
	}
	report := Judge("server", role(1).facts(t, someDay), Options{Patroni: standby})
	if slices.ContainsFunc(report.Results, func(r Result) bool { return r.Name == "failover_manager" }) {
		t.Error("a standby is judged by who would promote it")
	}
}
