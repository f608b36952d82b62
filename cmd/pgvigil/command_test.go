package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-kit/log/level"
)

// whichServer is a command that prints the server it is about.
func whichServer() []command {
	return []command{{"which", "Print the server.", func(_ context.Context, out outside, args []string) error {
		line := newCommandLine("which", "Prints the server.", out)
		exclaim := line.Flag("exclaim", "Print it loudly.").Bool()
		word := line.Arg("word", "A word before it.").String()
		if done, err := line.parse(args); done || err != nil {
			return err
		}
		t, err := line.server.find()
		if err != nil {
			return err
		}
		level.Debug(line.log.logger(out.stderr)).Log("msg", "found")
		text := *word + t.Conn.Address()
		if *exclaim {
			text += "!"
		}
		_, err = fmt.Fprintln(out.stdout, text, t.Name, line.server.connectTimeout)
		return err
	}}}
}

// serversFile writes a configuration file.
func serversFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pgvigil.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCommandServer(t *testing.T) {
	env := map[string]string{"DATA_SOURCE_NAME": "host=main"}
	two := serversFile(t, "targets: [{name: a, host: ha}, {name: b, host: hb}]")
	one := serversFile(t, "targets: [{name: a, host: ha}, {name: pool, kind: pgbouncer, host: hb}]")
	none := serversFile(t, "targets: []")
	for _, tt := range []struct {
		name string
		env  map[string]string
		args []string
		want string // printed, or within the error
	}{
		{"environment", env, nil, "main:5432  5s\n"},
		{"environment before file", env, []string{"--config.file=" + two}, "main:5432  5s\n"},
		{"named", env, []string{"--config.file=" + two, "--target=b"}, "hb:5432 b 5s\n"},
		{"only server of the file", nil, []string{"--config.file=" + one}, "ha:5432 a 5s\n"},
		{"pooler", nil, []string{"--config.file=" + one, "--target=pool"}, "hb:5432 pool 5s\n"},
		{"what the environment says wrong is not asked", map[string]string{"DATA_SOURCE_USER": "u"}, []string{"--config.file=" + two, "--target", "a"}, "ha:5432 a 5s\n"},
		{"own flags", env, []string{"--exclaim", "--connect.timeout=2s", "hello "}, "hello main:5432!  2s\n"},
		{"nothing", nil, nil, "no server is named: set DATA_SOURCE_NAME"},
		{"wrong environment", map[string]string{"DATA_SOURCE_USER": "u"}, nil, "is set without a server"},
		{"no file", env, []string{"--target=a"}, "--target is a name in the file of --config.file, which is not given"},
		{"several", nil, []string{"--config.file=" + two}, "say by --target which one of " + two + ": a, b"},
		{"unknown", env, []string{"--config.file=" + two, "--target=S3cret"}, "--target is none of " + two + ", which has a, b"},
		{"empty file", nil, []string{"--config.file=" + none}, none + " names no server"},
		{"missing file", nil, []string{"--config.file=" + none + ".gone"}, none + ".gone"},
	} {
		stdout, _, err := runsWith(t, whichServer(), tt.env, append([]string{"which"}, tt.args...)...)
		switch {
		case strings.HasSuffix(tt.want, "\n"):
			if err != nil || stdout != tt.want {
				t.Errorf("%s: %q, %v, want %q", tt.name, stdout, err, tt.want)
			}
		case err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "S3cret"):
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}

func TestCommandUsage(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"which", "--nonsense"}, "unknown long flag '--nonsense'; see pgvigil which --help"},
		{[]string{"which", "--log.level=loud"}, `--log.level: "loud" is none of debug, info, warn, error; see pgvigil which --help`},
		{[]string{"which", "word", "host=h password=S3cret"}, "there is an argument too many: a connection string goes into DATA_SOURCE_NAME, where no list of processes shows it; see pgvigil which --help"},
		{[]string{"--log.level=debug", "which"}, "an argument is no flag, and the first is no command: a connection string goes into DATA_SOURCE_NAME, where no list of processes shows it; see pgvigil --help"},
	} {
		_, _, err := runsWith(t, whichServer(), nil, tt.args...)
		var usage *usageError
		if !errors.As(err, &usage) || err.Error() != tt.want {
			t.Errorf("%q:\ngot  %v\nwant %s", tt.args, err, tt.want)
		}
	}
}

func TestCommandHelp(t *testing.T) {
	stdout, stderr, err := runsWith(t, whichServer(), nil, "which", "--help")
	if err != nil || stderr != "" || !strings.HasPrefix(stdout, "usage: pgvigil which [flags] WORD\n\nPrints the server.\n\n") {
		t.Errorf("%q, %q, %v", stdout, stderr, err)
	}
	for _, flag := range []string{"--config.file=FILE", "--target=NAME", "--connect.timeout=5s", "--log.level=info", "--log.format=logfmt", "--exclaim", "-h, --help"} {
		if strings.Count(stdout, "\n  "+flag+" ") != 1 {
			t.Errorf("%s is not there:\n%s", flag, stdout)
		}
	}
	stdout, _, err = runsWith(t, whichServer(), nil, "--help")
	if err != nil || !strings.Contains(stdout, "\nCommands:\n  which  Print the server.\n") || !strings.Contains(stdout, "pgvigil COMMAND [flags]") {
		t.Errorf("%q, %v", stdout, err)
	}
}

func TestCommandVariables(t *testing.T) {
	t.Setenv("PGVIGIL_CONFIG_FILE", serversFile(t, "targets: [{name: a, host: ha}]"))
	t.Setenv("PGVIGIL_CONNECT_TIMEOUT", "3s")
	t.Setenv("PGVIGIL_LOG_LEVEL", "debug")
	t.Setenv("PGVIGIL_LOG_FORMAT", "json")
	stdout, stderr, err := runsWith(t, whichServer(), nil, "which")
	if err != nil || stdout != "ha:5432 a 3s\n" || !strings.Contains(stderr, `"level":"debug","msg":"found"`) {
		t.Errorf("%q, %q, %v", stdout, stderr, err)
	}
}
