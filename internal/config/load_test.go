package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pgvigil/pgvigil/internal/patroni"
)

// secret is the password of all files in testdata. No error may hold it.
const secret = "S3cret!"

func testFlags() []string { return []string{"locks", "wal"} }

func TestLoad(t *testing.T) {
	file, err := Load("testdata/good.yml", testFlags())
	if err != nil {
		t.Fatal(err)
	}
	want := []Target{
		{
			Name: "standby",
			Conn: Conn{
				String:       "dbname='postgres' host='10.0.0.2' port='5433' sslmode='verify-full' sslrootcert='system' user='pgvigil'",
				PasswordFile: "testdata/secret",
			},
			Collectors: Collectors{Enable: []string{"wal"}, Disable: []string{"locks"}},
			Databases:  Databases{Include: []string{"app_.*"}, Exclude: []string{"app_old"}},
			Sessions:   Sessions{Max: 5, MaxAge: 30 * time.Minute},
			Patroni:    patroni.Config{URL: "http://10.0.0.2:8008"},
		},
		{Name: "plain", Conn: Conn{String: "postgresql://pgvigil:S3cret!@10.0.0.3/postgres"}},
		{Name: "rotated", Conn: Conn{
			String: "postgresql://10.0.0.4/postgres?sslmode=disable&user=o%27brien", File: "testdata/one.dsn",
			amend: amendment{User: "o'brien"},
		}},
		{Name: "token", Conn: Conn{
			String:          `dbname='it\'s' host='/run/postgresql'`,
			PasswordCommand: []string{"sh", "-c", "echo S3cret!"},
		}},
	}
	if diff := cmp.Diff(want, file.Targets, cmp.AllowUnexported(Conn{}), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	for i, want := range []string{"10.0.0.2:5433", "10.0.0.3:5432", "10.0.0.4:5432", "/run/postgresql:5432"} {
		if got := file.Targets[i].Conn.Address(); got != want {
			t.Errorf("address %d: got %q, want %q", i, got, want)
		}
	}
}

func TestLoadPoolers(t *testing.T) {
	t.Setenv("PGSERVICEFILE", "testdata/services")
	file, err := Load("testdata/pooler.yml", testFlags())
	if err != nil {
		t.Fatal(err)
	}
	want := []Target{
		{Name: "orders", Conn: Conn{String: "dbname='postgres' host='10.0.0.2'"}},
		{
			Name: "pooler", Kind: PgBouncer, Page: "orders",
			Conn: Conn{Database: "pgbouncer", String: "dbname='pgbouncer' host='10.0.0.2' port='6432' user='stats'"},
		},
		{
			Name: "other", Kind: PgBouncer, Page: MainPage,
			Conn: Conn{Database: "pgbouncer", String: "postgresql://stats@10.0.0.3:6432"},
		},
		{Name: "third", Kind: PgBouncer, Conn: Conn{Database: "pgbouncer", String: "service='pool'"}},
	}
	if diff := cmp.Diff(want, file.Targets, cmp.AllowUnexported(Conn{}), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	for _, shown := range []struct {
		target int
		on     string
		want   bool
	}{{1, "orders", true}, {1, "", false}, {2, "", true}, {2, "orders", false}, {3, "", false}, {0, "", false}} {
		if got := file.Targets[shown.target].ShownOn(shown.on); got != shown.want {
			t.Errorf("target %d on the page of %q: %v", shown.target, shown.on, got)
		}
	}
}

const targetKeys = "collectors, databases, dbname, dsn, dsn_file, host, kind, name, page, passfile, password, password_command, password_file, patroni, patroni_ca, port, service, sessions, sslcert, sslkey, sslmode, sslrootcert, user"

func TestLoadErrors(t *testing.T) {
	// The errors by file, each without the path at its beginning.
	tests := map[string][]string{
		"anchor":           {"4: not YAML: did not find expected alphabetic or numeric character; put values with special characters between single quotes"},
		"bad_duration":     {"4: max_age is not a duration: write a number and a unit, such as 30s, 15m, 1h or 1d"},
		"collector":        {`5: enable: unknown collector "wall": see pgvigil --help for the names`},
		"collector_both":   {`4: collector "wal" is enabled and disabled: remove one`},
		"command":          {`4: password_command: the program cannot be run: exec: "testdata/no-such-program": stat testdata/no-such-program: no such file or directory`},
		"command_empty":    {"4: password_command is empty: write [program, argument]"},
		"documents":        {"2: a second document begins: only one is read, remove the line ---"},
		"dsn":              {`3: target "a": the connection string cannot be read: write postgresql://user@host:port/database?sslmode=require, or host=… user=… dbname=…; quote or percent-encode special characters`},
		"dsn_and_host":     {"4: dsn and host are both given: put host into the connection string, or use separate keys only"},
		"dsn_file_several": {`3: target "a": there are several connection strings: name each server as a target in the file of --config.file and ask /probe?target= for it`},
		"dsn_slash":        {`3: target "a": the connection string has an @ or # where none belongs: write %40, %2F, %3F and %23 for the characters @ / ? # of a password, or give the password by itself`},
		"duplicate_key":    {`4: key "host" for the second time in a target: remove one`},
		"duplicate_name":   {`4: a target "a" stands in line 2 already: give each its own name`},
		"empty_value":      {"3: host is empty: give a value or remove the key"},
		"few_sessions":     {"5: max is not a number of at least 2: one session lasts, and slow collectors need another"},
		"name":             {"2: name: use letters, digits, dots, dashes, underscores and colons, at most 63"},
		"no_name":          {"2: a target has no name: give the name that /probe?target= asks for"},
		"no_server":        {"2: a target has no server: give host, service, dsn or dsn_file"},
		"not_a_list":       {"2: targets is not a list: write [a, b], or a line beginning with a dash for each"},
		"not_a_mapping": {
			"1: a target is not written as key: value; it has the keys " + targetKeys,
			"1: a target is not written as key: value; it has the keys " + targetKeys,
		},
		"not_a_value":   {"4: password is not one value: put a value with special characters between single quotes"},
		"password_file": {"4: password_file: open testdata/no/such/file: no such file or directory: the user pgvigil runs as must be able to read it"},
		"passwords":     {"5: password and password_file are both given: remove one"},
		"patroni": {
			"4: patroni has a user or password: remove them, since what is asked needs none",
			"7: patroni is not a URL of a host: write it like http://10.0.0.1:8008",
			"10: patroni is not a URL of a host: write it like http://10.0.0.1:8008",
			"13: patroni is more than a host and port: write it like http://10.0.0.1:8008",
			"16: patroni is more than a host and port: write it like http://10.0.0.1:8008",
			"20: patroni_ca: read the certificates to trust: open testdata/no.crt: no such file or directory",
			"24: patroni_ca: read the certificates to trust: testdata/good.yml has none in PEM",
		},
		"pattern": {"5: exclude: error parsing regexp: missing closing ): `bad(`"},
		"pooler_keys": {
			"5: collectors is for servers: remove it. A pooler is read over one session, by the collectors that the flags switch on",
			"6: databases is for servers: remove it. A pooler is read over one session, by the collectors that the flags switch on",
			"7: sessions is for servers: remove it. A pooler is read over one session, by the collectors that the flags switch on",
			"8: patroni is for servers: remove it. A pooler is read over one session, by the collectors that the flags switch on",
			"10: kind is neither postgresql nor pgbouncer",
			"14: page is for poolers: remove it, or give kind: pgbouncer",
		},
		"pooler_page": {
			`5: page "b" is no server: give the name of a target that is one, or /metrics`,
			`9: page "a" is no server: give the name of a target that is one, or /metrics`,
		},
		"pooler_twice": {
			`5: the pooler of line 4 is on page "d" already: leave page out here, and ask for this one by its own name`,
			`7: the pooler of line 6 is on page "/metrics" already: leave page out here, and ask for this one by its own name`,
		},
		"several": {
			`4: unknown key "colour" in a target: it has the keys ` + targetKeys,
			"6: max is not a number of at least 2: one session lasts, and slow collectors need another",
			"6: max_age is not a duration: write a number and a unit, such as 30s, 15m, 1h or 1d",
		},
		"sslmode":     {`3: target "a": the connection string cannot be read: sslmode must be disable, allow, prefer, require, verify-ca or verify-full`},
		"syntax":      {"4: not YAML: found unexpected end of stream; put values with special characters between single quotes"},
		"unknown_key": {`3: unknown key "hots" in a target: it has the keys ` + targetKeys},
		"unknown_top": {`1: unknown key "servers" in the file: it has the keys backups, readiness, targets`},
	}
	files, err := filepath.Glob("testdata/*.yml")
	if err != nil || len(files) != len(tests)+2 { // and good.yml and pooler.yml; those of backups have a directory
		t.Fatalf("%d files for %d tests: %v", len(files), len(tests), err)
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			path := "testdata/" + name + ".yml"
			file, err := Load(path, testFlags())
			if err == nil {
				t.Fatalf("no error, but %v", file)
			}
			var text []string
			for _, line := range want {
				text = append(text, path+":"+line)
			}
			if diff := cmp.Diff(strings.Join(text, "\n"), err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := Load("testdata/none.yml", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestErrorsHideSecrets puts a password where people put it by mistake.
func TestErrorsHideSecrets(t *testing.T) {
	for _, text := range []string{
		"targets:\n  - name: a\n    host: h\n    password:" + secret + "\n    user: u\n",
		"targets: [{name: a, host: h, password:" + secret + "}]",
		"targets: [{name: a, host: h, password: [" + secret + "]}]",
		"targets: [{name: a, host: h, " + secret + ": password}]",
		"targets: [{name: a, host: h, password: *" + secret + "}]",
		"targets: [{name: a, host: h, password: *S3cret}]",
		"targets: [{name: a, host: h, password: &" + secret + "}]",
		"targets: [{name: a, host: h, password: !" + secret + "}]",
		"targets: [{name: a, host: h, password: %" + secret + "}]",
		"targets: [{name: a, host: h, password: \"\\" + secret + "\"}]",
		"targets: [{name: a, host: h, password: x, port: " + secret + "}]",
		"targets: [{name: a, dsn: 'mysql://u:" + secret + "@h/x'}]",
		"targets: [{name: a, dsn: '" + secret + "'}]",
		"targets: [{name: a, dsn: 'postgresql://u:" + secret + "'}]",
		"targets: [{name: a, dsn: 'postgresql://u:1@" + secret + "@h/x'}]",
		"targets: [{name: a, dsn: 'postgresql://u:1#" + secret + "@h/x'}]",
		"targets: [{name: a, dsn: 'postgresql://u:1?" + secret + "@h/x'}]",
		"targets: [{name: a, dsn: 'postgresql://u:%zz" + secret + "@h/x'}]",
		"targets: [{name: a, dsn: 'user=u password=a " + secret + " host=h'}]",
		"targets: [{name: " + secret + ", host: h}]",
		"targets: [{name: a, host: h, collectors: {enable: [" + secret + "]}}]",
		"targets: [{name: a, host: h, sessions: {max_age: " + secret + "}}]",
		"targets: [{name: a, host: h, kind: " + secret + "}]",
		"targets: [{name: a, host: h, kind: pgbouncer, page: " + secret + "}]",
	} {
		_, err := parse("test.yml", []byte(text), testFlags())
		if err != nil && strings.Contains(err.Error(), "S3cret") {
			t.Errorf("%s\n\t%v", text, err)
		}
	}
}

func TestWarnsOfWorldReadablePasswords(t *testing.T) {
	for _, text := range []string{
		"targets: [{name: a, host: h, password: x}]",
		"targets: [{name: a, dsn: 'postgresql://u:x@h/d'}]",
		"targets: [{name: a, dsn: 'host=h password=x'}]",
	} {
		path := filepath.Join(t.TempDir(), "pgvigil.yml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for mode, want := range map[os.FileMode]int{0o644: 1, 0o640: 0} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			file, err := Load(path, nil)
			if err != nil || len(file.Warnings) != want {
				t.Errorf("%s, mode %o: got %q, %v; want %d warnings", text, mode, file.Warnings, err, want)
			}
		}
	}
}

func TestDatabases(t *testing.T) {
	watch, err := Databases{Include: []string{"app", "app_.*"}, Exclude: []string{".*_old"}}.Watch()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"app": true, "app_1": true, "app_old": false, "myapp": false, "other": false} {
		if watch(name) != want {
			t.Errorf("%s: got %v, want %v", name, !want, want)
		}
	}
	if _, err := (Databases{Include: []string{"a)(b"}}).Watch(); err == nil {
		t.Error("a)(b is taken for a regular expression")
	}
}

func TestEqual(t *testing.T) {
	load := func(text string) Target {
		t.Helper()
		file, err := parse("test.yml", []byte(text), testFlags())
		if err != nil {
			t.Fatal(err)
		}
		return file.Targets[0]
	}
	a := load("targets: [{name: a, host: h, password: x}]")
	if !a.Equal(load("# a comment\ntargets:\n  - password: x\n    host: h\n    name: a\n")) {
		t.Error("the order of keys makes a difference")
	}
	for _, text := range []string{
		"targets: [{name: a, host: h, password: y}]",
		"targets: [{name: a, host: h, password: x, databases: {exclude: [b]}}]",
		"targets: [{name: a, host: h, password: x, sessions: {max: 4}}]",
	} {
		if a.Equal(load(text)) {
			t.Errorf("no difference: %s", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yml")
	if err != nil {
		f.Fatal(err)
	}
	more, err := filepath.Glob("testdata/backups/*.yml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range append(files, more...) {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := parse("fuzz.yml", data, testFlags())
		if err != nil {
			if !strings.HasPrefix(err.Error(), "fuzz.yml:") {
				t.Errorf("an error without a place: %v", err)
			}
			return
		}
		for _, target := range file.Targets {
			if err := target.Conn.Validate(); err != nil {
				t.Errorf("target %q is accepted: %v", target.Name, err)
			}
			if _, err := target.Databases.Watch(); err != nil {
				t.Errorf("target %q is accepted: %v", target.Name, err)
			}
		}
	})
}

// TestDocumented holds the guide to the keys there are.
func TestDocumented(t *testing.T) {
	guide, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for key := range strings.SplitSeq(targetKeys+", "+backupKeys, ", ") {
		if !strings.Contains(string(guide), "`"+key+"`") {
			t.Errorf("key %s is not in docs/configuration.md", key)
		}
	}
}
