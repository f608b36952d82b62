package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/doctor"
	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// patientRuns is runs for commands that read all there is to read.
func patientRuns(t *testing.T, env map[string]string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out, log syncBuffer
	err = run(ctx, nil, commands(), args, outside{func(name string) string { return env[name] }, &out, &log})
	return out.String(), log.String(), err
}

// examined is the report on a server.
func examined(t *testing.T, dsn string, args ...string) doctor.Report {
	t.Helper()
	stdout, stderr, err := patientRuns(t, map[string]string{"DATA_SOURCE_NAME": dsn}, append([]string{"doctor", "--format=json"}, args...)...)
	var r doctor.Report
	if err != nil || stderr != "" {
		t.Fatalf("%v %q", err, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	return r
}

// TestDoctor looks at a healthy server and at all parts of its report.
func TestDoctor(t *testing.T) {
	t.Parallel()
	for _, major := range []int{13, 18} {
		srv := pgtest.New(t, major, pgtest.Options{})
		srv.Exec(t, "CREATE DATABASE shop", "CREATE EXTENSION pg_stat_statements")
		for i := range 30 {
			srv.ExecIn(t, "shop", fmt.Sprintf("CREATE TABLE t%d (id int PRIMARY KEY)", i))
		}
		dsn := srv.DSN(pgtest.Monitor, "postgres")
		r := examined(t, dsn, "--series.max=100")
		if !r.Up || r.Identity.Version != srv.Version || r.Identity.Role != "primary" || r.Identity.Timeline != 1 || r.Role.Name != pgtest.Monitor || r.Role.Superuser {
			t.Errorf("%d: %+v %+v", major, r.Identity, r.Role)
		}
		if c := r.Connection; c.Dialled != fmt.Sprintf("%s:%d", srv.Host(), srv.Port()) || len(c.Steps) < 4 || c.RoundTrip <= 0 || c.Pooler == nil || *c.Pooler || c.Reason != "" {
			t.Errorf("%d: %+v", major, c)
		}
		for _, c := range r.Collectors {
			switch {
			case c.State == "failing" || c.State == "waiting" || c.State == "expired":
				t.Errorf("%d: %+v", major, c)
			case c.State == "ok" && (c.Server <= 0 || c.ServerAnHour <= 0 || c.Every > 0 != (c.Declared > 0)):
				t.Errorf("%d: it cost nothing: %+v", major, c)
			}
		}
		if r.Cost.ServerAnHour <= 0 || r.Cost.Share != r.Cost.ServerAnHour/3600 || r.Cost.Interval != 15 || r.Series.Total < 500 {
			t.Errorf("%d: %+v, %d series", major, r.Cost, r.Series.Total)
		}
		// The page itself is the measure of the budget: with that flag, this is what it has.
		i := slices.IndexFunc(r.Budget.Changes, func(c doctor.Change) bool { return c.Collector == "stat_user_tables" })
		if i < 0 || r.Budget.Changes[i].After > 200 || r.Budget.Changes[i].FoldedAfter < 20 || r.Budget.Changes[i].After >= r.Budget.Changes[i].Before {
			t.Fatalf("%d: %+v", major, r.Budget)
		}
		if i := slices.IndexFunc(r.Budget.Changes, func(c doctor.Change) bool { return c.LeftOut != "" && c.After == 0 }); i < 0 || r.Budget.After >= r.Budget.Before || r.Budget.Before != r.Series.Total {
			t.Errorf("%d: %+v", major, r.Budget)
		}
		only := examined(t, dsn, "--no-collector.stat_user_tables", "--collector.stat_activity_application")
		for _, c := range only.Collectors {
			if want := c.Flag == "stat_user_tables"; want != (c.State == "off") && c.Flag != "query_text" && c.Flag != "statio_user_indexes" {
				t.Errorf("%d: %s is %s", major, c.Name, c.State)
			}
		}

		stdout, stderr, err := patientRuns(t, map[string]string{"DATA_SOURCE_NAME": dsn}, "doctor", "--scrape-interval=30s")
		if err != nil || stderr != "" || !strings.Contains(stdout, "with a scrape every 30s") || !strings.HasPrefix(stdout, r.Connection.Dialled+", ") {
			t.Errorf("%d: %v %q\n%s", major, err, stderr, stdout)
		}
		if open := srv.Query(t, "postgres", "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgvigil'"); open != "0" {
			t.Errorf("%d: %s sessions are left", major, open)
		}
		if log := srv.Log(); strings.Contains(log, "ERROR") {
			t.Errorf("%d: there is an error in the server's log:\n%s", major, log)
		}
	}
}

// TestDoctorGrants: what each collector is skipped for want of is named, for a role of an
// odd name, and executing what is named, and nothing else, cures all.
func TestDoctorGrants(t *testing.T) {
	t.Parallel()
	var all []string // also those that are off by default
	for _, c := range collector.All() {
		if c.Of == "" && !c.Default {
			all = append(all, "--collector."+c.Name)
		}
	}
	for _, major := range pgtest.Majors() {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			srv := pgtest.New(t, major, pgtest.Options{})
			denyAll(t, srv)
			srv.Exec(t, `CREATE SCHEMA "odd ""schema"`, `CREATE EXTENSION pg_stat_statements SCHEMA "odd ""schema"`, "CREATE DATABASE shop", "CREATE DATABASE closed",
				"REVOKE CONNECT ON DATABASE closed FROM PUBLIC", "CREATE TABLE t (id int PRIMARY KEY)")
			srv.ExecIn(t, "shop", "CREATE EXTENSION pgstattuple")
			for role, has := range map[string]string{`Odd "role"`: "", "monitor": " IN ROLE pg_monitor"} {
				srv.Exec(t, "CREATE ROLE "+quoted(role)+" LOGIN"+has)
				dsn := srv.DSN(role, "postgres")
				cured := map[string]bool{}
				// A cure may show what else is wanting: a schema may be used, and what is
				// in it is denied.
				for round := 0; ; round++ {
					r := examined(t, dsn, all...)
					for _, c := range r.Collectors {
						if c.State == "skipped" && c.Why == "privilege" {
							grantFor(t, r, c.Name)
							cured[c.Name] = true
						} else if c.State == "failing" || c.State == "waiting" || c.State == "expired" {
							t.Errorf("%s: %+v", role, c)
						}
					}
					if len(r.Grants) == 0 {
						works(t, r, cured)
						break
					}
					if round == 2 {
						t.Fatalf("%s: these are not enough: %+v", role, r.Grants)
					}
					for _, g := range r.Grants {
						if !strings.HasSuffix(g.Statement, " TO "+quotedIfOdd(role)) {
							t.Errorf("%s: %s", role, g.Statement)
						}
						databases := g.Databases
						if len(databases) == 0 {
							databases = []string{"shop"} // whichever
						}
						for _, database := range databases {
							srv.ExecIn(t, database, g.Statement)
						}
					}
				}
				if len(cured) < 5 {
					t.Errorf("%s is denied no more than %v", role, cured)
				}
			}
		})
	}
}

func quoted(role string) string { return `"` + strings.ReplaceAll(role, `"`, `""`) + `"` }

func quotedIfOdd(role string) string {
	if role == "monitor" {
		return role
	}
	return quoted(role)
}

// denyAll takes from everybody what some collector needs and PostgreSQL gives to all.
func denyAll(t *testing.T, srv *pgtest.Server) {
	t.Helper()
	for _, c := range collector.All() {
		for _, f := range c.Needs.Execute {
			if srv.Query(t, "postgres", "SELECT to_regprocedure('"+f+"')") != "" {
				srv.Exec(t, "REVOKE EXECUTE ON FUNCTION "+f+" FROM PUBLIC")
			}
		}
		for _, r := range c.Needs.Select {
			if srv.Query(t, "postgres", "SELECT to_regclass('"+r+"')") != "" {
				srv.Exec(t, "REVOKE SELECT ON "+r+" FROM PUBLIC")
			}
		}
	}
}

// grantFor demands that a grant is for the collector.
func grantFor(t *testing.T, r doctor.Report, collector string) {
	t.Helper()
	if !slices.ContainsFunc(r.Grants, func(g doctor.Grant) bool { return slices.Contains(g.Collectors, collector) }) {
		t.Errorf("no grant is for %s: %+v", collector, r.Grants)
	}
}

// works demands that the collectors have results, or are skipped for something that no
// grant changes.
func works(t *testing.T, r doctor.Report, cured map[string]bool) {
	t.Helper()
	for _, c := range r.Collectors {
		if cured[c.Name] && c.State != "ok" {
			t.Errorf("%s is not cured: %+v", c.Name, c)
		}
	}
}

// TestCommandsChangeNothing holds what people own of a server, before and after.
func TestCommandsChangeNothing(t *testing.T) {
	t.Parallel()
	for _, major := range []int{13, 18} {
		srv := pgtest.New(t, major, pgtest.Options{})
		srv.Exec(t, "CREATE DATABASE shop", "CREATE EXTENSION pg_stat_statements", "CREATE TABLE t (id int PRIMARY KEY)", "SELECT pg_stat_reset()")
		srv.ExecIn(t, "shop", "SELECT pg_stat_reset()")
		// Until 14 that takes its time.
		eventually(t, "statistics are reset", func() bool {
			return srv.Query(t, "postgres", "SELECT count(stats_reset) FROM pg_stat_database WHERE datname IN ('postgres', 'shop')") == "2"
		})
		env := map[string]string{"DATA_SOURCE_NAME": srv.DSN(pgtest.Superuser, "postgres")} // who might
		before := state(t, srv)
		for _, args := range [][]string{{"doctor", "--series.max=50"}, {"check", "--fail-on=never"}} {
			if _, _, err := patientRuns(t, env, args...); err != nil {
				t.Fatalf("%d %q: %v", major, args, err)
			}
			after := state(t, srv)
			for what, was := range before {
				if after[what] != was || was == "" {
					t.Errorf("%d: %s changed %s from %q to %q", major, args[0], what, was, after[what])
				}
			}
		}
	}
}

// state is what a server is and is set to, by what it is kept in.
func state(t *testing.T, srv *pgtest.Server) map[string]string {
	t.Helper()
	all := map[string]string{}
	digest := func(database, what, from string) {
		all[database+" "+what] = srv.Query(t, database, "SELECT count(*) || ' ' || coalesce(md5(string_agg(r::text, E'\\n' ORDER BY r::text COLLATE \"C\")), '') FROM ("+from+") AS r")
	}
	for _, database := range []string{"postgres", "shop"} {
		for _, catalog := range []string{
			"pg_aggregate", "pg_am", "pg_attrdef", "pg_attribute", "pg_auth_members", "pg_authid", "pg_cast", "pg_collation", "pg_constraint",
			"pg_db_role_setting", "pg_default_acl", "pg_description", "pg_enum", "pg_event_trigger", "pg_extension", "pg_foreign_server", "pg_index",
			"pg_inherits", "pg_init_privs", "pg_language", "pg_largeobject_metadata", "pg_namespace", "pg_opclass", "pg_operator", "pg_policy",
			"pg_proc", "pg_publication", "pg_range", "pg_replication_origin", "pg_rewrite", "pg_seclabel", "pg_sequence", "pg_shdepend",
			"pg_statistic_ext", "pg_subscription", "pg_tablespace", "pg_trigger", "pg_type",
		} {
			digest(database, catalog, "SELECT * FROM pg_catalog."+catalog)
		}
		// Vacuum, which may run at any time, writes the rest of these.
		digest(database, "pg_class", "SELECT oid, relname, relnamespace, relowner, relkind, relacl, reloptions FROM pg_catalog.pg_class WHERE relpersistence <> 't'")
		digest(database, "pg_database", "SELECT oid, datname, datdba, datallowconn, datconnlimit, datacl FROM pg_catalog.pg_database")
		digest(database, "pg_settings", "SELECT name, setting, source, reset_val, pending_restart FROM pg_catalog.pg_settings WHERE name <> 'application_name'")
		digest(database, "reset of pg_stat_database", "SELECT datname, stats_reset FROM pg_catalog.pg_stat_database WHERE datname IN ('postgres', 'shop')")
	}
	digest("postgres", "pg_file_settings", "SELECT * FROM pg_catalog.pg_file_settings")
	digest("postgres", "pg_hba_file_rules", "SELECT * FROM pg_catalog.pg_hba_file_rules")
	digest("postgres", "pg_replication_slots", "SELECT slot_name FROM pg_catalog.pg_replication_slots")
	for _, view := range []string{"pg_stat_bgwriter", "pg_stat_archiver", "pg_stat_slru", "pg_stat_wal", "pg_stat_io", "pg_stat_checkpointer", "pg_stat_statements_info"} {
		if srv.Query(t, "postgres", "SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass('"+view+"') AND attname = 'stats_reset'") == "1" {
			digest("postgres", "reset of "+view, "SELECT stats_reset FROM "+view)
		}
	}
	return all
}

// TestDoctorWithoutServer: a report comes, in time, with what is known and what to do,
// and shows no secret.
func TestDoctorWithoutServer(t *testing.T) {
	t.Parallel()
	const secret = "S3cret"
	srv := pgtest.New(t, 18, pgtest.Options{HBA: "host all all 127.0.0.1/32 scram-sha-256"})
	dsn := strings.Replace(srv.DSN(pgtest.Monitor, "postgres"), "@", ":"+secret+"@", 1)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	trusting := pgtest.New(t, 18, pgtest.Options{})
	frozen := trusting.DSN(pgtest.Monitor, "postgres")
	if err := trusting.Freeze(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := trusting.Thaw(); err != nil {
			t.Error(err)
		}
	})
	for name, tt := range map[string]struct{ dsn, reason, failed, do string }{
		"down":           {"postgresql://u:S3cret@127.0.0.1:1/postgres?sslmode=disable", "refused", "connect", "start the server"},
		"silent":         {fmt.Sprintf("postgresql://u:S3cret@%s/postgres?sslmode=disable", silent.Addr()), "timeout", "start-up", "does not answer"},
		"frozen":         {frozen, "timeout", "start-up", "does not answer"},
		"wrong password": {dsn, "auth", "start-up", "Correct the user or the password"},
		"no database":    {trusted(srv, "nowhere"), "other", "start-up", "Name a database"},
	} {
		for _, format := range []string{"text", "json"} {
			began := time.Now()
			stdout, stderr, err := patientRuns(t, map[string]string{"DATA_SOURCE_NAME": tt.dsn}, "doctor", "--connect.timeout=1s", "--timeout=5s", "--format="+format)
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("%s: the report came after %s", name, took)
			}
			var usage *usageError
			if err == nil || err.Error() != "there is no session on the server: "+tt.reason || errors.As(err, &usage) || stderr != "" {
				t.Errorf("%s: %v %q", name, err, stderr)
			}
			if !strings.Contains(stdout, tt.failed) || !strings.Contains(stdout, tt.reason) || !strings.Contains(stdout, tt.do) || strings.Contains(stdout, secret) {
				t.Errorf("%s: %s", name, stdout)
			}
			if format == "json" && !json.Valid([]byte(stdout)) {
				t.Errorf("%s: no JSON: %s", name, stdout)
			}
		}
	}
}

// trusted is the way of a user who needs no password.
func trusted(srv *pgtest.Server, database string) string { return srv.DSN(pgtest.Superuser, database) }

func TestDoctorErrors(t *testing.T) {
	const help = "; see pgvigil doctor --help"
	down := map[string]string{"DATA_SOURCE_NAME": "postgresql://u:S3cret@127.0.0.1:1/postgres?sslmode=disable"}
	file := serversFile(t, "targets: [{name: pool, kind: pgbouncer, host: h}]")
	for _, tt := range []struct {
		env  map[string]string
		args []string
		want string
	}{
		{down, []string{"--format=xml"}, `--format: "xml" is none of text, json` + help},
		{down, []string{"--series.max=-1"}, `--series.max: "-1" is not a number of series`},
		{down, []string{"--scrape-interval=often"}, `--scrape-interval: "often" is not a duration`},
		{down, []string{"--collector.nonsense"}, "unknown long flag '--collector.nonsense'" + help},
		{down, []string{"postgresql://u:S3cret@h/d"}, "there is an argument too many"},
		{nil, nil, "no server is named"},
		{nil, []string{"--config.file=" + file, "--target=pool"}, "the target is a PgBouncer: name a server"},
	} {
		_, _, err := runs(t, tt.env, append([]string{"doctor"}, tt.args...)...)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "S3cret") {
			t.Errorf("%q: %v, want %s", tt.args, err, tt.want)
		}
	}
}
