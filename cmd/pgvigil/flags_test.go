package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgvigil/pgvigil/collector"
)

func TestHelp(t *testing.T) {
	stdout, stderr, err := runs(t, nil, "--help")
	if err != nil || stderr != "" {
		t.Fatalf("%v, %q", err, stderr)
	}
	for line := range strings.Lines(stdout) {
		if n := len(strings.TrimRight(line, " \n")); n > 80 {
			t.Errorf("%d characters: %s", n, line)
		}
	}
	for _, c := range collector.All() {
		if !strings.Contains(stdout, "\n  --collector."+c.Flag()+" ") {
			t.Errorf("--collector.%s is missing", c.Flag())
		}
		if limit := "--collector." + c.Flag() + ".limit="; strings.Contains(stdout, limit) != (c.Fold != nil) && c.Of == "" {
			t.Errorf("%s is there: %v", limit, c.Fold == nil)
		}
	}
}

func TestVersion(t *testing.T) {
	stdout, stderr, err := runs(t, nil, "--version")
	if err != nil || stderr != "" || !strings.HasPrefix(stdout, "pgvigil, version ") {
		t.Errorf("%q, %q, %v", stdout, stderr, err)
	}
}

func TestUsageErrors(t *testing.T) {
	const help = "; see pgvigil --help"
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--nonsense"}, "unknown long flag '--nonsense'"},
		{[]string{"--collector.nonsense"}, "unknown long flag '--collector.nonsense'"},
		{[]string{"stray"}, "an argument is no flag, and the first is no command: a connection string goes into DATA_SOURCE_NAME, where no list of processes shows it"},
		{[]string{"--sessions.max=1"}, `--sessions.max: "1" is not a number of at least 2: one session lasts, and slow collectors need another`},
		{[]string{"--sessions.max-age=old"}, `--sessions.max-age: "old" is not a duration: write a number and a unit, such as 30s, 15m or 1h`},
		{[]string{"--connect.timeout=0s"}, `--connect.timeout: "0s" is not a duration: write a number and a unit, such as 30s, 15m or 1h`},
		{[]string{"--scrape.timeout-offset=-1s"}, `--scrape.timeout-offset: "-1s" is not a duration: write a number and a unit, such as 30s, 15m or 1h`},
		{[]string{"--databases.include=good", "--databases.include=bad("}, "--databases.include: error parsing regexp: missing closing ): `bad(`"},
		{[]string{"--rhythm.scale=0"}, `--rhythm.scale: "0" is not a factor: write a number from 0.001 to 1000, such as 2 for half as often`},
		{[]string{"--governor.share=2"}, `--governor.share: "2" is not a part of one core: write a number above 0 and up to 1, such as 0.01 for one percent`},
		{[]string{"--series.max=-1"}, `--series.max: "-1" is not a number of series: write one from 1 to 100000000, or 0 to lift all budgets`},
		{[]string{"--series.max=1e9"}, `--series.max: "1e9" is not a number of series: write one from 1 to 100000000, or 0 to lift all budgets`},
		{[]string{"--collector.stat_statements.limit=many"}, `--collector.stat_statements.limit: "many" is not a number of at least 0: 0 shows all`},
		{[]string{"--collector.stat_user_tables.limit=-1"}, `--collector.stat_user_tables.limit: "-1" is not a number of at least 0: 0 shows all`},
		{[]string{"--web.telemetry-path=metrics"}, `--web.telemetry-path: "metrics" is not a path: write it like /metrics`},
		{[]string{"--web.telemetry-path=/probe"}, `--web.telemetry-path: "/probe" is taken: choose a path other than /probe, /explain, /readiness, /collectors and those below /-/`},
		{[]string{"--log.level=loud"}, `--log.level: "loud" is none of debug, info, warn, error`},
		{[]string{"--log.format=xml"}, `--log.format: "xml" is none of logfmt, json`},
	} {
		_, _, err := runs(t, nil, tt.args...)
		var usage *usageError
		if !errors.As(err, &usage) || err.Error() != tt.want+help {
			t.Errorf("%q:\ngot  %v\nwant %s", tt.args, err, tt.want+help)
		}
	}
}

func TestFlagVariables(t *testing.T) {
	t.Setenv("PGVIGIL_COLLECTOR_STAT_WAL", "false")
	t.Setenv("PGVIGIL_COLLECTOR_STAT_USER_TABLES_LIMIT", "7")
	t.Setenv("PGVIGIL_DATABASES_EXCLUDE", "a\nb")
	t.Setenv("PGVIGIL_SESSIONS_MAX", "4")
	t.Setenv("PGVIGIL_VERSION", "1.2.3") // as images set it: no flag's
	f, err := parseFlags([]string{"--sessions.max=5", "--collector.stat_activity_application"}, collector.All(), nil, os.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	if f.answered || f.watch.Enabled["stat_wal"] || !f.watch.Enabled["stat_archiver"] || !f.watch.Enabled["stat_activity_application"] {
		t.Errorf("collectors: got %v", f.watch.Enabled)
	}
	if f.watch.Limits["stat_user_tables"] != 7 || len(f.watch.Limits) != 1 {
		t.Errorf("limits: got %v", f.watch.Limits)
	}
	if strings.Join(f.watch.Databases.Exclude, " ") != "a b" || f.watch.Sessions.Max != 5 {
		t.Errorf("got %+v", f.watch)
	}
	t.Setenv("PGVIGIL_COLLECTOR_WAL", "maybe")
	if _, _, err := runs(t, nil); err == nil || !strings.HasPrefix(err.Error(), `--collector.wal: "maybe" is neither true nor false`) {
		t.Errorf("a bad variable: %v", err)
	}
}

func TestConfigCheck(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good.yml", "targets: [{name: a, host: h}]")
	bad := write("bad.yml", "targets: [{name: a, hots: h}]")
	env := map[string]string{"DATA_SOURCE_NAME": "host=h"}
	if stdout, _, err := runs(t, env, "--config.check", "--config.file="+good); err != nil || stdout != "the configuration is good, servers: 2\n" {
		t.Errorf("%q, %v", stdout, err)
	}
	for _, args := range [][]string{
		{"--config.check", "--config.file=" + bad},
		{"--config.file=" + bad}, // and so at start
		{"--config.check", "--web.config.file=" + bad},
		{"--config.check", "--config.file=" + dir + "/none"},
	} {
		if _, _, err := runs(t, env, args...); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestSQLDump(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sql")
	if _, _, err := runs(t, nil, "--sql.dump="+dir); err != nil {
		t.Fatal(err)
	}
	if files, err := filepath.Glob(dir + "/18/*.sql"); err != nil || len(files) == 0 {
		t.Errorf("%q, %v", files, err)
	}
}

func TestJSONLog(t *testing.T) {
	// No address is as wrong as this one; the line before says that it starts.
	_, stderr, err := runs(t, nil, "--log.format=json", "--web.listen-address=nowhere")
	if err == nil || !strings.Contains(stderr, `"msg":"starting pgvigil"`) || !strings.Contains(stderr, `"level":"info"`) {
		t.Errorf("%q, %v", stderr, err)
	}
}
