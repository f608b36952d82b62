package doctor_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgvigil/pgvigil/internal/doctor"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
)

var at = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// declared is a collector of a test.
func declared(name string, every time.Duration) spec.Collector {
	return spec.Collector{Name: name, Cost: spec.Cost{Timeout: time.Second, Every: every}}
}

// sick has a collector in each state that there is.
func sick() doctor.Findings {
	good := scrape.RunReport{
		Outcome: scrape.Works, Last: at.Add(-2 * time.Second), Rows: 1200, Series: 2400, Server: 10 * time.Millisecond, Here: 500 * time.Microsecond,
		Fault: "quick: ERROR: deadlock detected (SQLSTATE 40P01)", Failed: at.Add(-time.Hour),
	}
	slow := scrape.RunReport{Database: "shop", Outcome: scrape.Works, Last: at.Add(-time.Minute), Rows: 5, Series: 50, Folded: 7, Server: time.Second, Here: time.Millisecond}
	bad := scrape.RunReport{
		Database: "Shop 2", Outcome: scrape.Fails, Reason: postgres.ReasonTimeout, Fault: "slow: ERROR: canceling statement due to statement timeout (SQLSTATE 57014)",
		Failed: at, Server: time.Second,
	}
	skipped := func(skip scrape.Skip, cure, database string) []scrape.RunReport {
		return []scrape.RunReport{{Outcome: scrape.Skipped, Skip: skip, Cure: cure, CureIn: database}}
	}
	perDatabase := declared("slow", time.Minute)
	perDatabase.Scope = spec.PerDatabase
	return doctor.Findings{
		Server: "orders", Interval: 15 * time.Second, Off: []spec.Collector{declared("idle", 0)},
		Engine: scrape.Report{
			At: at, Address: "db.example.org:5432", Tried: true, Up: true,
			Facts: postgres.Facts{
				Version: "18.4", Major: 18, User: "watch", Database: "postgres", SystemIdentifier: "7",
				Roles: map[string]postgres.Access{"pg_read_all_stats": postgres.Denied, "pg_stat_scan_tables": postgres.Allowed},
			},
			State:     postgres.State{Role: spec.Primary, StartTime: at.Add(-time.Hour)},
			Stats:     postgres.Stats{Open: 2, Limit: 3},
			Databases: []scrape.DatabaseReport{{Name: "closed", Watched: true}, {Name: "scratch", Connect: true}, {Name: "shop", Watched: true, Connect: true, Extensions: map[string]postgres.Extension{"pgstattuple": {}}}},
			Collectors: []scrape.CollectorReport{
				{Collector: declared("quick", 0), MaxSeries: 5000, Runs: []scrape.RunReport{good}},
				{Collector: perDatabase, Rhythm: 100 * time.Second, MaxSeries: math.MaxInt, Runs: []scrape.RunReport{slow, bad}},
				{Collector: declared("hba", time.Hour), Runs: skipped(scrape.SkipPrivilege, "GRANT EXECUTE ON FUNCTION f() TO watch", "postgres")},
				{Collector: declared("stats", 0), Runs: skipped(scrape.SkipPrivilege, "GRANT pg_monitor TO watch", "postgres")},
				{Collector: declared("texts", 0), Runs: skipped(scrape.SkipPrivilege, "GRANT pg_monitor TO watch", "shop")},
				{Collector: declared("standby", 0), Runs: skipped(scrape.SkipRole, "", "")},
				{Collector: declared("measured", time.Hour), Runs: skipped(scrape.SkipExtension, "CREATE EXTENSION pgstattuple", "postgres")},
				{Collector: declared("late", time.Hour), Rhythm: time.Hour, Runs: []scrape.RunReport{{Outcome: scrape.Waits}}},
			},
		},
		Diagnosis: &postgres.Diagnosis{
			Address: "192.0.2.7:5432", Attempts: 2, Steps: []postgres.Timed{{Step: postgres.StepDNS, Took: 1200 * time.Microsecond}, {Step: postgres.StepConnect, Took: 12 * time.Millisecond}},
			Server: "10.0.0.7:5432", RoundTrip: 12 * time.Millisecond, Clock: -3 * time.Second, Doubt: 6 * time.Millisecond, Roles: []string{"pg_stat_scan_tables", "pg_write_all_data"},
		},
		Trial: &doctor.Trial{MaxSeries: 100, Collectors: []scrape.CollectorReport{
			{Collector: declared("quick", 0), Runs: []scrape.RunReport{{Outcome: scrape.Fails, Reason: postgres.ReasonLimit, Fault: "quick: the result has 2400 series and may have 100"}}},
			{Collector: perDatabase, Runs: []scrape.RunReport{{Outcome: scrape.Works, Series: 20, Folded: 10}}},
		}},
	}
}

const sickText = `orders, 2026-11-23T10:00:00Z: PostgreSQL 18.4, primary; 1 ok; 1 failing; 1 waiting; 5 skipped, 3 of them for want of a grant; 1 off

What stands out
  - slow fails in database "Shop 2" (timeout): ERROR: canceling statement due to statement timeout (SQLSTATE 57014).
    It has 1s on the server, which is busy, or has much to be read. --no-collector.slow switches it off.
  - The server's clock is off by 3.0 s: ages and lags that are reckoned by two clocks are as wrong.
    Have both machines keep time by NTP.
  - The role watch has rights that no metric needs: pg_write_all_data.
    REVOKE what it need not have.

Grants that would show more
  GRANT pg_monitor TO watch;
    for stats, texts
  GRANT EXECUTE ON FUNCTION f() TO watch;  -- in postgres
    for hba
  GRANT CONNECT ON DATABASE closed TO watch;
    for slow

Connection
  address               db.example.org:5432
  dialled               192.0.2.7:5432
  attempts              2, the last of which is told here
  dns                   1.2 ms
  connect               12 ms
  encryption            none
  pooler                none seen
  server's own address  10.0.0.7:5432
  round trip            12 ms
  server's clock        3.0 s behind ours, give or take 6.0 ms
  sessions              2 open of at most 3

Server
  version            18.4
  role               primary
  system identifier  7
  started            2026-11-23T09:00:00Z
  database           postgres

Role
  name   watch
  has    pg_stat_scan_tables, pg_write_all_data
  lacks  pg_read_all_stats

Databases
  closed   not read: the role may not connect
  scratch  not read: excluded by configuration
  shop     pgstattuple 0

Collectors, by what is wrong and what they cost
  collector  state    every         age  series  budget       rows   server  here    server an hour  why
  slow       failing  1m40s for 1m  1m   50      -            5      2.0 s   1.0 ms  72.0 s          timeout
  hba        skipped                                                                                 privilege: GRANT EXECUTE ON FUNCTION f() TO watch
  measured   skipped                                                                                 extension: CREATE EXTENSION pgstattuple
  stats      skipped                                                                                 privilege: GRANT pg_monitor TO watch
  texts      skipped                                                                                 privilege: GRANT pg_monitor TO watch
  late       waiting
  quick      ok       scrape        2s   2 400   5 000, 48 %  1 200  10 ms   500 µs  2.4 s
  standby    skipped                                                                                 role
  idle       off                                                                                     --collector.idle

Last errors of what does not fail now
  quick  2026-11-23T09:00:00Z: ERROR: deadlock detected (SQLSTATE 40P01)

Cost
  on the server  74.4 s an hour, 2.07 % of a core at most, with a scrape every 15s
  rows here      156 ms an hour

Series, without pgvigil's own
  all  0

With --series.max=100
  all    20 series instead of 2 450
  quick  none instead of 2 400: the result has 2400 series and may have 100
  slow   20 instead of 50, with 10 label sets in other instead of 7
`

func TestText(t *testing.T) {
	var b bytes.Buffer
	if err := doctor.Examine(sick()).Text(&b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sickText, b.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestJSON(t *testing.T) {
	want := doctor.Examine(sick())
	var b bytes.Buffer
	if err := want.JSON(&b); err != nil {
		t.Fatal(err)
	}
	var got doctor.Report
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what was written is not what is read, -want +got\n%s", diff)
	}
	if got.Budget.After != 20 || got.Collectors[0].Runs[1].Database != "Shop 2" || *got.Connection.Pooler {
		t.Errorf("%s", &b)
	}
}

// TestNoSession: what is known where nothing answers, and what to do.
func TestNoSession(t *testing.T) {
	for _, tt := range []struct {
		failed postgres.Step
		reason postgres.Reason
		fault  string
		do     string
	}{
		{postgres.StepConnect, postgres.ConnectRefused, "connection refused", "start the server"},
		{postgres.StepConnect, postgres.ConnectTimeout, "i/o timeout", "firewall"},
		{postgres.StepStartUp, postgres.ConnectTimeout, "i/o timeout", "does not answer"},
		{postgres.StepSetUp, postgres.ConnectTimeout, "i/o timeout", "let us in"},
		{postgres.StepSecrets, postgres.ConnectAuth, "read secret file", "file or command"},
		{postgres.StepStartUp, postgres.ConnectAuth, "password authentication failed", "Correct the user or the password"},
		{postgres.StepStartUp, postgres.ConnectAuth, "no pg_hba.conf entry for host", "add one"},
		{postgres.StepStartUp, postgres.ConnectAuth, `role "x" does not exist`, "CREATE ROLE"},
		{postgres.StepTLS, postgres.ConnectTLS, "server refused TLS connection", "switch ssl on"},
		{postgres.StepTLS, postgres.ConnectTLS, "x509: certificate signed by unknown authority", "sslrootcert"},
		{postgres.StepStartUp, postgres.ConnectTooMany, "too many clients", "max_connections"},
		{postgres.StepStartUp, postgres.ConnectStartingUp, "the database system is starting up", "wait"},
		{postgres.StepDNS, postgres.ConnectDNS, "no such host", "resolver"},
		{postgres.StepStartUp, postgres.ConnectOther, `database "x" does not exist (SQLSTATE 3D000)`, "Name a database"},
		{postgres.StepStartUp, postgres.ConnectOther, `permission denied for database "x" (SQLSTATE 42501)`, "GRANT CONNECT"},
		{postgres.StepStartUp, postgres.ConnectOther, "?", "log"},
	} {
		f := doctor.Findings{
			Server: "orders", Interval: time.Second, Engine: scrape.Report{At: at, Address: "h:5432"},
			Diagnosis: &postgres.Diagnosis{Failed: tt.failed, Reason: tt.reason, Err: tt.fault},
		}
		r := doctor.Examine(f)
		if r.Up || len(r.Problems) != 1 || !strings.Contains(r.Problems[0].What, tt.fault) || !strings.Contains(r.Problems[0].Do, tt.do) || r.Connection.Advice != r.Problems[0].Do {
			t.Errorf("%s, %s: %+v", tt.failed, tt.reason, r.Problems)
		}
		var b bytes.Buffer
		if err := r.Text(&b); err != nil || !strings.Contains(b.String(), fmt.Sprintf("  %-8s  failed\n", tt.failed)) || !strings.Contains(b.String(), "orders, 2026-11-23T10:00:00Z: no session\n") {
			t.Errorf("%s, %s: %v\n%s", tt.failed, tt.reason, err, &b)
		}
	}
}

// TestRemedies: whatever a collector fails for, something is said.
func TestRemedies(t *testing.T) {
	for _, reason := range []postgres.Reason{
		postgres.ReasonTimeout, postgres.ReasonLockTimeout, postgres.ReasonPermission, postgres.ReasonUndefined, postgres.ReasonConnection,
		postgres.ReasonMismatch, postgres.ReasonDuplicate, postgres.ReasonLimit, postgres.ReasonConflict, postgres.ReasonOther,
	} {
		f := sick()
		f.Engine.Collectors = []scrape.CollectorReport{{Collector: declared("c", 0), Runs: []scrape.RunReport{{Outcome: scrape.Fails, Reason: reason, Fault: "why"}}}}
		i := slices.IndexFunc(doctor.Examine(f).Problems, func(p doctor.Problem) bool {
			return strings.HasPrefix(p.What, "c fails ("+string(reason)+"): why.") && p.Do != ""
		})
		if i != 0 {
			t.Errorf("%s: %+v", reason, doctor.Examine(f).Problems)
		}
	}
}

// TestManyDatabases: a failure in each of a thousand databases is one line.
func TestManyDatabases(t *testing.T) {
	f := sick()
	f.Engine.Collectors = f.Engine.Collectors[1:2]
	f.Engine.Databases = nil
	run := f.Engine.Collectors[0].Runs[1]
	f.Engine.Collectors[0].Runs = nil
	for i := range 1000 {
		run.Database = fmt.Sprintf("db%d", i)
		f.Engine.Collectors[0].Runs = append(f.Engine.Collectors[0].Runs, run)
		f.Engine.Databases = append(f.Engine.Databases, scrape.DatabaseReport{Name: run.Database, Watched: true, Connect: true})
	}
	r := doctor.Examine(f)
	if want := "slow fails in 1000 of 1000 databases, as in db0 (timeout): "; !strings.HasPrefix(r.Problems[0].What, want) {
		t.Errorf("%+v", r.Problems[0])
	}
	var b bytes.Buffer
	if err := r.Text(&b); err != nil || strings.Count(b.String(), "\n") > 120 {
		t.Errorf("%v, %d lines", err, strings.Count(b.String(), "\n"))
	}
}

func TestTimes(t *testing.T) {
	for _, tt := range [][2]string{
		{doctor.Seconds(0), "0"}, {doctor.Seconds(0.000123), "123 µs"}, {doctor.Seconds(0.0012), "1.2 ms"}, {doctor.Seconds(0.9996), "1000 ms"}, {doctor.Seconds(5), "5.0 s"}, {doctor.Seconds(3600), "1h"},
		{doctor.Duration(0.25), "0.2s"}, {doctor.Duration(15), "15s"}, {doctor.Duration(300), "5m"}, {doctor.Duration(5400), "1h30m"}, {doctor.Duration(7200), "2h"}, {doctor.Duration(605), "10m5s"},
	} {
		if tt[0] != tt[1] {
			t.Errorf("%s, want %s", tt[0], tt[1])
		}
	}
}
