package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgvigil/pgvigil/internal/backup"
)

func TestLoadBackups(t *testing.T) {
	file, err := Load("testdata/backups/good.yml", testFlags())
	if err != nil {
		t.Fatal(err)
	}
	sh := []string{"sh"}
	want := []Backup{
		{Config: backup.Config{
			Kind: backup.PgBackRest, Stanza: "main", Command: []string{"sh", "--config=/etc/pgbackrest.conf"},
			Environment: backup.Environment{"PGBACKREST_REPO1_S3_KEY=S3cret!", "COUNT=1"},
			Interval:    10 * time.Minute, Timeout: 2 * time.Minute, WALInterval: 6 * time.Hour, SegmentSize: 64 << 20,
		}},
		{Config: backup.Config{Kind: backup.PgBackRest, Stanza: "main", Command: sh, Interval: 5 * time.Minute, Timeout: time.Minute}, Page: "standby"},
		{Config: backup.Config{Kind: backup.Barman, Stanza: "main", Command: sh, Interval: time.Minute, Timeout: 30 * time.Second, WALInterval: time.Hour}},
		{Config: backup.Config{Kind: backup.WALG, Stanza: "main", Command: sh, Interval: 5 * time.Minute, Timeout: time.Minute}},
		{Config: backup.Config{Kind: backup.File, Stanza: "dumps", Path: "testdata/backups/backups.json", Interval: 5 * time.Minute, Timeout: time.Minute}},
		{Config: backup.Config{Kind: backup.File, Stanza: "dumps", Tool: "restore-test", Path: "testdata/backups/backups.json", Interval: 5 * time.Minute, Timeout: time.Minute}},
	}
	if diff := cmp.Diff(want, file.Backups); diff != "" {
		t.Error(diff)
	}
	if !file.Backups[0].Equal(want[0]) || file.Backups[0].Equal(want[1]) {
		t.Error("Equal does not tell what is the same")
	}
	if text := fmt.Sprintf("%v %+v %#v", file, file.Backups, file.Backups[0]); strings.Contains(text, "S3cret") {
		t.Errorf("printing shows the environment: %s", text)
	}
}

const backupKeys = "command, environment, interval, kind, page, path, server, stanza, timeout, tool, wal_interval, wal_segment_size"

func TestLoadBackupsErrors(t *testing.T) {
	// The errors by file, each without the path at its beginning.
	tests := map[string][]string{
		"command":   {`2: command: the program cannot be run: exec: "testdata/backups/no-such-program": stat testdata/backups/no-such-program: no such file or directory`},
		"duplicate": {`5: barman "main" of the same page stands in line 3 already: remove one, or give another page`},
		"environment": {
			"5: a variable of environment has a name that no environment takes: use letters, digits and underscores",
			"5: a variable of environment is not one value: put a value with special characters between single quotes",
			"5: a variable stands in environment for the second time: remove one",
		},
		"environment_list": {"2: environment is not written as NAME: value"},
		"file_command": {
			"2: command is not for kind file: it reads a file, which path names",
			"2: environment is not for kind file: it runs no command",
			"2: wal_interval is not for kind file: it does not list the archive by itself",
		},
		"kind":         {"2: kind is not one of pgbackrest, barman, wal-g, file"},
		"no_kind":      {"2: a source of backups has no kind: give one of pgbackrest, barman, wal-g, file"},
		"no_page":      {"3: page names no target: give the name of one, or /metrics"},
		"no_path":      {"2: a source of kind file has no path: name the file to read"},
		"no_stanza":    {"2: a source of backups has no stanza: give the tool's own name of what it backs up, or any for the label stanza"},
		"path":         {"2: path is not for kind pgbackrest: it runs a command"},
		"segment_size": {"2: wal_segment_size is none that PostgreSQL has: write what SHOW wal_segment_size says, from 1MB to 1GB"},
		"server": {
			"2: server is for kind barman only: write stanza",
			"3: stanza and server are both given: remove one",
		},
		"stanza":  {"2: stanza: use letters, digits, dots, dashes, underscores and colons, at most 63"},
		"timeout": {"2: timeout is not below the interval, 5m0s: give less, so that a look is over before the next begins"},
		"tool": {
			"2: tool is not for kind wal-g: the kind says it",
			`3: tool "barman" is read by a source of that kind: name what wrote the file`,
		},
		"unknown_key":  {`2: unknown key "intervall" in a source of backups: it has the keys ` + backupKeys},
		"wal_interval": {"2: wal_interval is not a duration: write a number and a unit, such as 30s, 15m, 1h or 1d"},
	}
	files, err := filepath.Glob("testdata/backups/*.yml")
	if err != nil || len(files) != len(tests)+1 { // and good.yml
		t.Fatalf("%d files for %d tests: %v", len(files), len(tests), err)
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			path := "testdata/backups/" + name + ".yml"
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
}

func TestWarnsOfWorldReadableEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pgvigil.yml")
	text := "backups: [{kind: wal-g, stanza: main, command: [sh], environment: {A: b}}]"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]int{0o644: 1, 0o640: 0} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		file, err := Load(path, nil)
		if err != nil || len(file.Warnings) != want {
			t.Errorf("mode %o: got %q, %v; want %d warnings", mode, file.Warnings, err, want)
		}
	}
}
