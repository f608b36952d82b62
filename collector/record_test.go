package collector_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"

	"github.com/pgvigil/pgvigil/internal/page"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// A recorded page is testdata/<collector>/<major>.txt: the SQL sent, the rows
// received, the text exposed. Rows were read from a live server, never written
// by hand; TestRecorded replays them through the engine's own code.
const (
	sqlHeading  = "== SQL"
	rowsHeading = "== Rows"
	pageHeading = "== Page"
)

// recordedRun is the moment every recorded page is bound at.
func recordedRun(role spec.Role) spec.Run {
	return spec.Run{
		Now: time.Unix(1700000000, 0), Database: "postgres", Role: role,
		TLS: &spec.TLS{Version: "TLSv1.3", Cipher: "TLS_AES_128_GCM_SHA256", NotAfter: time.Unix(1730000000, 0)},
	}
}

// roleOf is the side of replication a collector's page is recorded on.
func roleOf(c spec.Collector) spec.Role {
	if c.Needs.Role == spec.Standby {
		return spec.Standby
	}
	return spec.Primary
}

// shipped is the version of an extension that a major's CREATE EXTENSION makes.
func shipped(extension string, major spec.Version) spec.Version {
	switch extension {
	case "pg_stat_statements":
		return map[spec.Version]spec.Version{
			13: spec.Ext(1, 8), 14: spec.Ext(1, 9), 15: spec.Ext(1, 10), 16: spec.Ext(1, 10), 17: spec.Ext(1, 11), 18: spec.Ext(1, 12),
		}[major]
	case "pgstattuple":
		return spec.Ext(1, 5)
	default:
		return 0
	}
}

// environment is what a collector's text is rendered for on a major as it is shipped.
func environment(c spec.Collector, major spec.Version) spec.Env {
	return spec.Env{Major: major, Extension: shipped(c.Needs.Extension, major), Schema: "public"}
}

// fullFacts are facts that meet every need but the version.
func fullFacts(major spec.Version, c spec.Collector) postgres.Facts {
	f := postgres.Facts{Major: major, Extensions: map[string]postgres.Extension{}, Settings: map[string]string{}}
	if name := c.Needs.Extension; name != "" {
		f.Extensions[name] = postgres.Extension{Version: shipped(name, major), Schema: "public", Usable: true}
	}
	if c.Needs.Setting != "" {
		f.Settings[c.Needs.Setting] = "on"
	}
	return f
}

// TestRecorded replays every recorded page, and demands one for each collector
// and each major it claims.
func TestRecorded(t *testing.T) {
	for _, c := range serverCollectors() {
		for _, major := range spec.Majors() {
			if _, ok := c.Query(environment(c, major)); !ok {
				continue
			}
			t.Run(c.Name+"/"+major.String(), func(t *testing.T) { replay(t, c, major) })
		}
	}
}

func recording(c spec.Collector, major spec.Version) string {
	return filepath.Join("testdata", c.Name, major.String()+".txt")
}

// readRecording reads a recorded page's three parts.
func readRecording(c spec.Collector, major spec.Version) (sql string, rows *spec.Rows, page string, err error) {
	file, err := os.ReadFile(recording(c, major))
	if err != nil {
		return "", nil, "", fmt.Errorf("%w; record it with: make record", err)
	}
	parts := strings.Split("\n"+string(file), "\n== ")
	if len(parts) != 4 {
		return "", nil, "", fmt.Errorf("%s has %d parts, wanted SQL, Rows and Page", recording(c, major), len(parts)-1)
	}
	rows, err = parseRows(strings.TrimPrefix(parts[2], "Rows\n"))
	return strings.TrimPrefix(parts[1], "SQL\n"), rows, strings.TrimPrefix(parts[3], "Page\n"), err
}

func replay(t *testing.T, c spec.Collector, major spec.Version) {
	recorded, rows, page, err := readRecording(c, major)
	if err != nil {
		t.Fatal(err)
	}
	facts := fullFacts(major, c)
	trial := scrape.NewTrial(c)
	sql, skip, err := trial.SQL(facts, roleOf(c))
	if err != nil || skip != "" {
		t.Fatalf("no SQL: skip %q, %v", skip, err)
	}
	if diff := cmp.Diff(recorded, sql); diff != "" {
		t.Errorf("SQL differs from the recorded (-recorded +now):\n%s", diff)
	}
	if diff := cmp.Diff(page, exposed(t, trial, recordedRun(roleOf(c)), facts, rows)); diff != "" {
		t.Errorf("page differs from the recorded (-recorded +now):\n%s", diff)
	}
}

func exposed(t *testing.T, trial *scrape.Trial, run spec.Run, facts postgres.Facts, rows *spec.Rows) string {
	t.Helper()
	fams, err := trial.Page(run, facts, rows, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := page.Write(&b, expfmt.NewFormat(expfmt.TypeTextPlain), fams, nil); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestRecord records pages anew, with -update, on a primary and its standby that
// have something to show for everything: the rows where the SQL has changed, else
// only what the engine makes of the rows that are there.
func TestRecord(t *testing.T) {
	if !*update {
		t.Skip("records only with -update")
	}
	for _, major := range pgtest.Majors() {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			primary, standby := scene(t, major)
			for _, c := range serverCollectors() {
				srv := primary
				if roleOf(c) == spec.Standby {
					srv = standby
				}
				if !record(t, c, spec.Version(major), srv, pgtest.Monitor) && !record(t, c, spec.Version(major), srv, pgtest.Superuser) {
					t.Fatalf("%s: skipped on the scene, even as superuser", c.Name)
				}
			}
		})
	}
}

// write writes a recorded page.
func write(t *testing.T, c spec.Collector, major spec.Version, sql string, rows *spec.Rows, page string) {
	t.Helper()
	text := sqlHeading + "\n" + sql + "\n" + rowsHeading + "\n" + formatRows(rows) + pageHeading + "\n" + page
	if err := os.MkdirAll(filepath.Dir(recording(c, major)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(recording(c, major), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// record reports whether the user may read what the collector does.
func record(t *testing.T, c spec.Collector, major spec.Version, srv *pgtest.Server, user string) bool {
	t.Helper()
	server, err := postgres.New(postgres.Config{
		ConnString: srv.DSN(user, "postgres"), Probe: scrape.Probe([]spec.Collector{c}),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close(t.Context())
	session, err := server.Main(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Release(t.Context(), session)
	trial := scrape.NewTrial(c)
	sql, skip, err := trial.SQL(session.Facts, roleOf(c))
	if err != nil {
		t.Fatal(err)
	}
	switch skip {
	case "":
	case scrape.SkipVersion:
		return true
	case scrape.SkipPrivilege:
		return false
	default:
		t.Fatalf("%s: skipped on the scene: %s", c.Name, skip)
	}
	if recorded, rows, _, err := readRecording(c, major); err == nil && recorded == sql {
		write(t, c, major, sql, rows, exposed(t, trial, recordedRun(roleOf(c)), session.Facts, rows))
		return true
	}
	query := postgres.Query{Name: c.Name, SQL: sql, Timeout: c.Cost.Timeout}
	if c.Follow != nil {
		query.Param = shownBy(t, c.Follow, session, roleOf(c))
	}
	if err := session.Run(t.Context(), []postgres.Query{query}, func(_ int, r postgres.Result) {
		if r.Err != nil {
			t.Fatalf("%s: %v", c.Name, r.Err)
		}
		if len(r.Dropped) > 0 {
			t.Fatalf("%s: PostgreSQL %d lacks %v", c.Name, major, r.Dropped)
		}
		write(t, c, major, sql, r.Rows, exposed(t, trial, recordedRun(roleOf(c)), session.Facts, r.Rows))
	}); err != nil {
		t.Fatal(err)
	}
	return true
}

// shownBy returns what the collector that is followed has in the column asked for.
func shownBy(t *testing.T, follow *spec.Follow, session *postgres.Session, role spec.Role) []string {
	t.Helper()
	i := slices.IndexFunc(serverCollectors(), func(c spec.Collector) bool { return c.Name == follow.Of })
	c := serverCollectors()[i]
	sql, skip, err := scrape.NewTrial(c).SQL(session.Facts, role)
	if err != nil || skip != "" {
		t.Fatalf("%s: skip %q, %v", c.Name, skip, err)
	}
	var values []string
	query := postgres.Query{Name: c.Name, SQL: sql, Timeout: c.Cost.Timeout}
	if err := session.Run(t.Context(), []postgres.Query{query}, func(_ int, r postgres.Result) {
		if r.Err != nil {
			t.Fatalf("%s: %v", c.Name, r.Err)
		}
		for row := range r.Rows.Len() {
			values = append(values, r.Rows.Text(row, follow.Column))
		}
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(values)
	return slices.Compact(values)
}

// formatRows writes rows as tab-separated text: a line of name:kind, then a line
// for each row. Text is quoted as in Go; NULL is \N.
func formatRows(rows *spec.Rows) string {
	var b strings.Builder
	for i, c := range rows.Columns() {
		if i > 0 {
			b.WriteByte('\t')
		}
		kind := "float8"
		if c.Kind == spec.Text {
			kind = "text"
		}
		fmt.Fprintf(&b, "%s:%s", c.Name, kind)
	}
	b.WriteByte('\n')
	for row := range rows.Len() {
		for i, c := range rows.Columns() {
			if i > 0 {
				b.WriteByte('\t')
			}
			b.WriteString(formatCell(rows, row, c))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func formatCell(rows *spec.Rows, row int, c spec.Column) string {
	at, _ := rows.Find(c.Name, c.Kind)
	if c.Kind == spec.Text {
		text, ok := rows.TextAt(row, at)
		if !ok {
			return `\N`
		}
		return strconv.Quote(string(text))
	}
	v := rows.ValueAt(row, at)
	if spec.IsAbsent(v) {
		return `\N`
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// parseRows reads what formatRows wrote.
func parseRows(text string) (*spec.Rows, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	var columns []spec.Column
	for _, field := range strings.Split(lines[0], "\t") {
		name, kind, _ := strings.Cut(field, ":")
		c := spec.Column{Name: name, Kind: spec.Value}
		if kind == "text" {
			c.Kind = spec.Text
		}
		columns = append(columns, c)
	}
	rows := spec.NewRows(columns)
	for n, line := range lines[1:] {
		for i, cell := range strings.Split(line, "\t") {
			if err := parseCell(rows, columns[i], cell); err != nil {
				return nil, fmt.Errorf("row %d, column %s: %w", n+1, columns[i].Name, err)
			}
		}
		if err := rows.EndRow(); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func parseCell(rows *spec.Rows, c spec.Column, cell string) error {
	switch {
	case c.Kind == spec.Text && cell == `\N`:
		rows.AppendText(nil)
	case c.Kind == spec.Text:
		text, err := strconv.Unquote(cell)
		if err != nil {
			return err
		}
		rows.AppendText([]byte(text))
	case cell == `\N`:
		rows.AppendValue(spec.Absent())
	default:
		v, err := strconv.ParseFloat(cell, 64)
		if err != nil {
			return err
		}
		rows.AppendValue(v)
	}
	return nil
}
