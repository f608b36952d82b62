package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/readiness"
)

// checks runs pgvigil check whole and returns how it ended. No output may hold the
// password.
func checks(t *testing.T, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, said strings.Builder
	cmd := exec.CommandContext(t.Context(), binary, append([]string{"check"}, args...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &out, &said
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String()+said.String(), "S3cret") {
		t.Errorf("%q shows the password:\n%s\n%s", args, out.String(), said.String())
	}
	return out.String(), said.String(), code
}

// steady keeps a check from having seen enough to judge between one run and the next.
const steady = "  limits: {cache_blocks: 1e12}\n"

// judged is a report of pgvigil check.
func judged(t *testing.T, env []string, args ...string) readiness.Report {
	t.Helper()
	out, said, code := checks(t, env, append(args, "--format=json", "--fail-on=never")...)
	var report readiness.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 {
		t.Fatalf("%q ended with %d: %v\n%s", args, code, err, said)
	}
	return report
}

// TestCheck judges a server, accepts what is found step by step, and looks how the
// program ends.
func TestCheck(t *testing.T) {
	t.Parallel()
	srv := pgtest.New(t, 18, pgtest.Options{}) // which nobody changes between the runs
	env := []string{"DATA_SOURCE_NAME=" + strings.Replace(srv.DSN(pgtest.Monitor, "postgres"), "@", ":S3cret@", 1)}
	report := judged(t, env)
	if report.Count("", readiness.Fail) == 0 || report.Count("", readiness.Warn) == 0 {
		t.Fatalf("a server of the tests fails nothing, or warns of nothing: %s", report.Sum(""))
	}
	// until the last day; what is accepted are checks of these verdicts.
	accept := func(until time.Time, verdicts ...readiness.Verdict) string {
		var b strings.Builder
		b.WriteString("readiness:\n" + steady + "  accept:\n")
		for _, r := range report.Results {
			for _, v := range verdicts {
				if r.Verdict == v {
					fmt.Fprintf(&b, "    - {check: %s, reason: it is a test, until: %s}\n", r.Name, until.Format(time.DateOnly))
				}
			}
		}
		return "--config.file=" + serversFile(t, b.String())
	}
	now := time.Now().UTC()
	today, yesterday := now, now.AddDate(0, 0, -1)
	if now.Add(time.Minute).Day() != now.Day() {
		t.Skip("the day is about to end")
	}
	for _, tt := range []struct {
		args []string
		want int
	}{
		{nil, 3},
		{[]string{"--fail-on=fail"}, 3},
		{[]string{"--fail-on=warn"}, 3},
		{[]string{"--fail-on=never"}, 0},
		{[]string{accept(today, readiness.Fail)}, 0},
		{[]string{accept(today, readiness.Fail), "--fail-on=warn"}, 3},
		{[]string{accept(today, readiness.Fail, readiness.Warn), "--fail-on=warn"}, 0},
		{[]string{accept(yesterday, readiness.Fail)}, 3},
		{[]string{"--fail-on=sometimes"}, 2},
		{[]string{"--nonsense"}, 2},
		{[]string{"host=h password=S3cret"}, 2},
	} {
		out, said, code := checks(t, env, tt.args...)
		if code != tt.want || code != 2 && !strings.Contains(out, "\nProvisioning and security: ") {
			t.Errorf("%q ended with %d, want %d\n%s%s", tt.args, code, tt.want, said, out)
		}
	}
	accepted := judged(t, env, accept(today, readiness.Fail))
	for _, r := range accepted.Results {
		if (r.Accepted != "") != (r.Verdict == readiness.Fail) || r.Accepted != "" && r.Until != today.Format(time.DateOnly) {
			t.Errorf("%s is %s and accepted for %q until %q", r.Name, r.Verdict, r.Accepted, r.Until)
		}
	}
}

// TestCheckDown: a server that does not answer is no report.
func TestCheckDown(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json", "markdown"} {
		out, said, code := checks(t, []string{"DATA_SOURCE_NAME=postgresql://pgvigil:S3cret@127.0.0.1:1/postgres"}, "--format="+format, "--fail-on=never")
		if code != 1 || out != "" || !strings.Contains(said, "pgvigil: the server does not answer: pgvigil doctor says why\n") || !strings.Contains(said, "reason=refused") {
			t.Errorf("%s: ended with %d\n%s%s", format, code, out, said)
		}
	}
	pooler := "--config.file=" + serversFile(t, "targets: [{name: pool, kind: pgbouncer, host: 127.0.0.1, port: 1}]")
	if _, said, code := checks(t, nil, pooler, "--target=pool"); code != 1 || said != "pgvigil: the target is a PgBouncer: name a server\n" {
		t.Errorf("a pooler: ended with %d\n%s", code, said)
	}
}

// TestCheckForms holds the forms of a report against each other.
func TestCheckForms(t *testing.T) {
	t.Parallel()
	srv := pgtest.New(t, 18, pgtest.Options{}) // which nobody changes between the runs
	file := serversFile(t, fmt.Sprintf("targets: [{name: shop, host: %s, port: %d, user: %s, password: S3cret, sslmode: disable}]\n"+
		"readiness:\n"+steady+"  accept: [{check: tls_on, reason: nobody is there, until: 2999-12-31}]", srv.Host(), srv.Port(), pgtest.Monitor))
	report := judged(t, nil, "--config.file="+file)
	text, said, _ := checks(t, nil, "--config.file="+file)
	markdown, _, _ := checks(t, nil, "--config.file="+file, "--format=markdown")
	if report.Server != "shop" || !strings.HasPrefix(text, "shop, ") || !strings.HasPrefix(markdown, "# Readiness of shop\n") {
		t.Errorf("reports begin with\n%.80s\n%.80s", text, markdown)
	}
	if len(report.Results) < 40 || strings.Contains(text, "\x1b") || said != "pgvigil: the report has checks that fail\n" {
		t.Errorf("%d checks, %q", len(report.Results), said)
	}
	for _, r := range report.Results {
		word, cell := strings.ToUpper(string(r.Verdict)), string(r.Verdict)
		if r.Name == "tls_on" {
			word, cell = "OK'D", "accepted"
		}
		if want := fmt.Sprintf("\n  %-8s%s ", word, r.Question); strings.Count(text, want) != 1 {
			t.Errorf("no line of the text begins with%q", want)
		}
		if want := fmt.Sprintf("\n| %s | %s | ", cell, strings.ReplaceAll(r.Question, "_", `\_`)); strings.Count(markdown, want) != 1 {
			t.Errorf("no line of the document begins with%q", want)
		}
	}
}

func TestCheckList(t *testing.T) {
	stdout, _, err := runs(t, nil, "check", "--list")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range readiness.Checks() {
		if !strings.Contains(stdout, " "+c.Name+" ") {
			t.Errorf("%s is not listed", c.Name)
		}
	}
	for _, l := range readiness.DefaultLimits() {
		if !strings.Contains(stdout, fmt.Sprintf("  %s: %g", l.Name, l.Default)) {
			t.Errorf("limit %s is not listed", l.Name)
		}
	}
}

// TestColourful: colours are for people.
func TestColourful(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "report"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	to := func(w io.Writer, noColor string) outside {
		return outside{stdout: w, getenv: func(name string) string { return map[string]string{"NO_COLOR": noColor}[name] }}
	}
	if colourful(to(file, "")) || colourful(to(&strings.Builder{}, "")) {
		t.Error("a file is taken for a terminal")
	}
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err) // only Linux has it
	}
	defer terminal.Close()
	if !colourful(to(terminal, "")) || colourful(to(terminal, "1")) {
		t.Error("a terminal gets no colours, or with NO_COLOR it does")
	}
}
