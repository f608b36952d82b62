package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// TestExplain is the command on a server, given by the environment and by a file.
func TestExplain(t *testing.T) {
	t.Parallel()
	for _, major := range []int{13, 18} {
		srv := servers.On(t, major)
		database := srv.Database(t)
		srv.ExecIn(t, database, "CREATE EXTENSION pg_stat_statements", "CREATE TABLE t (id int PRIMARY KEY)", "GRANT SELECT ON t TO "+pgtest.Monitor)
		conn := srv.Conn(t, pgtest.Superuser, database)
		// Among as many as these there are negative queryids.
		for i := range 20 {
			if _, err := conn.Exec(t.Context(), "SELECT id"+strings.Repeat(", id", i)+" FROM t WHERE id = 3", pgx.QueryExecModeSimpleProtocol); err != nil {
				t.Fatal(err)
			}
		}
		file := serversFile(t, fmt.Sprintf("targets: [{name: a, host: %s, port: %d, user: %s, dbname: %s, sslmode: disable}, {name: b, host: h}]", srv.Host(), srv.Port(), pgtest.Monitor, database))
		env := map[string]string{"DATA_SOURCE_NAME": srv.DSN(pgtest.Monitor, database), "DATA_SOURCE_PASS": "S3cret"}
		for _, order := range []string{"ASC", "DESC"} {
			id := srv.Query(t, database, "SELECT queryid::text FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = current_database() AND query LIKE 'SELECT id% FROM t %' ORDER BY queryid "+order)
			for _, args := range [][]string{
				{"explain", id, "--database=" + database},
				{"explain", "--database", database, "--user=postgres", "--large-table=1GB", "--search-path=public", "--type=1=bigint", "--", id},
				{"explain", "--config.file=" + file, "--target=a", id, "--database=" + database},
			} {
				stdout, stderr, err := runs(t, env, args...)
				if err != nil || stderr != "" || !strings.Contains(stdout, " using t_pkey on public.t") || !strings.Contains(stdout, "Statement "+id+" ") {
					t.Errorf("%d %q: %v %q %s", major, args, err, stderr, stdout)
				}
			}
			stdout, _, err := runs(t, env, "explain", "--format=json", id, "--database="+database)
			if err != nil || !json.Valid([]byte(stdout)) || strings.Contains(stdout, "S3cret") {
				t.Errorf("%v: %s", err, stdout)
			}
		}
		super := map[string]string{"DATA_SOURCE_NAME": srv.DSN(pgtest.Superuser, database)}
		id := srv.Query(t, database, "SELECT queryid::text FROM pg_stat_statements WHERE query LIKE 'SELECT id FROM t %' AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())")
		if _, _, err := runs(t, super, "explain", id, "--database="+database); err == nil || !strings.Contains(err.Error(), "--allow-superuser") {
			t.Errorf("a superuser: %v", err)
		}
		if _, _, err := runs(t, super, "explain", id, "--database="+database, "--allow-superuser"); err != nil {
			t.Errorf("a superuser that is allowed: %v", err)
		}
	}
}

func TestExplainErrors(t *testing.T) {
	const help = "; see pgvigil explain --help"
	down := map[string]string{"DATA_SOURCE_NAME": "postgresql://u:S3cret@127.0.0.1:1/postgres?sslmode=disable"}
	file := serversFile(t, "targets: [{name: pool, kind: pgbouncer, host: h}]")
	for _, tt := range []struct {
		env   map[string]string
		args  []string
		want  string
		usage bool
	}{
		{down, nil, "the queryid is missing" + help, true},
		{down, []string{"1", "2"}, "there is an argument too many", true},
		{down, []string{"--format=xml", "1"}, `--format: "xml" is none of text, json` + help, true},
		{down, []string{"--large-table=8", "1"}, `--large-table: "8" is not a size: write a number and a unit, such as 100MB` + help, true},
		{down, []string{"--large-table=-8MB", "1"}, `--large-table: "-8MB" is not a size`, true},
		{down, []string{"--type=integer", "1"}, `--type: "integer" is not the type of a parameter: write it like 2=integer` + help, true},
		{down, []string{"--type=0=integer", "1"}, `--type: "0=integer" is not the type of a parameter`, true},
		{down, []string{"postgresql://u:S3cret@h/d"}, "this is no queryid", false},
		{down, []string{"1"}, "connect", false},
		{nil, []string{"1"}, "no server is named", false},
		{nil, []string{"1", "--config.file=" + file, "--target=pool"}, "the target is a PgBouncer: name a server", false},
	} {
		_, _, err := runs(t, tt.env, append([]string{"explain"}, tt.args...)...)
		var usage *usageError
		if err == nil || !strings.Contains(err.Error(), tt.want) || errors.As(err, &usage) != tt.usage {
			t.Errorf("%q: %v, want %s", tt.args, err, tt.want)
		} else if strings.Contains(err.Error(), "S3cret") {
			t.Errorf("%q: a secret shows: %v", tt.args, err)
		}
	}
}
