package collector_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// checkGrants takes what each collector is skipped for want of, with nothing and
// with pg_monitor, and gives it to a role of the collector's own by the statement
// that it names: with that alone the collector works in the next session. It changes
// the servers' privileges, so it comes last.
func checkGrants(t *testing.T, primary, standby *pgtest.Server) {
	t.Helper()
	denyAll(t, primary)
	follow(t, primary, standby)
	roles := 0
	for _, has := range []struct{ user, grant string }{{pgtest.Nobody, ""}, {pgtest.Monitor, " IN ROLE pg_monitor"}} {
		for _, srv := range []*pgtest.Server{primary, standby} {
			e := watch(t, srv, has.user)
			page := scrapePage(t, e)
			e.Close()
			for _, c := range serverCollectors() {
				if !skippedForPrivilege(page, c) || srv == standby && c.Needs.Role == spec.AnyRole {
					continue // or it was cured on the primary
				}
				roles++
				role := fmt.Sprintf("cured%d", roles)
				primary.Exec(t, "CREATE ROLE "+role+" LOGIN"+has.grant)
				cure(t, primary, c, role)
				works(t, primary, srv, c, role)
			}
		}
	}
	if roles == 0 {
		t.Error("a role without grants is denied nothing")
	}
}

// denyAll takes from everybody what some collector needs and PostgreSQL gives to
// all: servers that others run may deny that.
func denyAll(t *testing.T, primary *pgtest.Server) {
	t.Helper()
	for _, c := range serverCollectors() {
		for _, f := range c.Needs.Execute {
			if primary.Query(t, "postgres", "SELECT to_regprocedure('"+f+"')") != "" {
				primary.Exec(t, "REVOKE EXECUTE ON FUNCTION "+f+" FROM PUBLIC")
			}
		}
		for _, r := range c.Needs.Select {
			if primary.Query(t, "postgres", "SELECT to_regclass('"+r+"')") != "" {
				primary.Exec(t, "REVOKE SELECT ON "+r+" FROM PUBLIC")
			}
		}
	}
}

// follow waits until a standby has replayed what its primary has written.
func follow(t *testing.T, primary, standby *pgtest.Server) {
	t.Helper()
	end := primary.Query(t, "postgres", "SELECT pg_current_wal_insert_lsn()")
	for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(20 * time.Millisecond) {
		if standby.Query(t, "postgres", "SELECT pg_last_wal_replay_lsn() >= '"+end+"'") == "t" {
			return
		}
	}
	t.Fatalf("the standby never replayed %s", end)
}

func skippedForPrivilege(page snapshot, c spec.Collector) bool {
	return len(page.values("pgvigil_collector_skipped", "collector", c.Name, "reason", string(scrape.SkipPrivilege))) > 0
}

// cure grants a role what the collector asks for, in each database it runs in.
func cure(t *testing.T, primary *pgtest.Server, c spec.Collector, role string) {
	t.Helper()
	grant := regexp.MustCompile(`\bpgvigil\b`).ReplaceAllString(c.Needs.Grant, role)
	if !strings.Contains(grant, role) {
		t.Errorf("%s: %q grants nothing to pgvigil", c.Name, c.Needs.Grant)
		return
	}
	databases := []string{"postgres"}
	if c.Scope == spec.PerDatabase {
		databases = strings.Split(primary.Query(t, "postgres",
			"SELECT string_agg(datname, ',') FROM pg_database WHERE datallowconn AND NOT datistemplate"), ",")
	}
	for _, db := range databases {
		primary.ExecIn(t, db, grant)
	}
}

// works demands that the collector succeeds as a role, once the server has it.
func works(t *testing.T, primary, srv *pgtest.Server, c spec.Collector, role string) {
	t.Helper()
	if srv != primary {
		follow(t, primary, srv)
	}
	flags := []string{c.Flag()}
	if c.Follow != nil {
		flags = append(flags, c.Follow.Of)
	}
	e := watch(t, srv, role, flags...)
	page := scrapePage(t, e)
	e.Close()
	success := page.values("pgvigil_collector_success", "collector", c.Name)
	if skippedForPrivilege(page, c) || len(success) == 0 || slices.Contains(success, 0) {
		t.Errorf("%s is not cured by %q: success %v, skipped %v:\n%s",
			c.Name, c.Needs.Grant, success, page.values("pgvigil_collector_skipped", "collector", c.Name), page.text("pgvigil_collector_skipped"))
	}
}
