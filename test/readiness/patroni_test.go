package readiness

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/readiness"
)

// TestPatroni judges the leader of a real cluster by what its Patroni says.
func TestPatroni(t *testing.T) {
	p := pgtest.NewPatroni(t, 2)
	leader, standby := p.Members[0], p.Members[1]
	file := filepath.Join(t.TempDir(), "pgvigil.yml")
	text := fmt.Sprintf(`targets:
  - {name: leader, dsn: '%s', patroni: '%s'}
  - {name: mistaken, dsn: '%s', patroni: '%s'}
  - {name: alone, dsn: '%s'}
`, leader.DSN(pgtest.Superuser, "postgres"), leader.URL, leader.DSN(pgtest.Superuser, "postgres"), standby.URL, leader.DSN(pgtest.Superuser, "postgres"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// become waits for what a cluster takes some loops, or a lease, to tell of itself.
	become := func(target string, want readiness.Verdict, says string) {
		t.Helper()
		for began := time.Now(); ; time.Sleep(500 * time.Millisecond) {
			r := judge(t, file, target)["failover_manager"]
			if r.Verdict == want && strings.Contains(r.Says, says) {
				t.Logf("%s: %s: %s", target, r.Verdict, r.Says)
				return
			}
			if time.Since(began) > 90*time.Second {
				t.Fatalf("%s is %s: %s; want %s: %s", target, r.Verdict, r.Says, want, says)
			}
		}
	}
	become("leader", readiness.Pass, `"member1" leads by Patroni, and 1 of 1 other members could be promoted`)
	become("mistaken", readiness.Unknown, "the member that answered is a standby by Patroni, and this server is not")
	become("alone", readiness.Pass, "a failover manager is connected")
	p.Control(t, "pause", "--wait")
	become("leader", readiness.Warn, "paused")
	p.Control(t, "resume", "--wait")
	become("leader", readiness.Pass, "1 of 1")
	standby.Stop(t)
	become("leader", readiness.Warn, "no member could be promoted")
	leader.Kill(t)
	become("leader", readiness.Fail, "does not answer as it should: ask for /patroni: ")
}
