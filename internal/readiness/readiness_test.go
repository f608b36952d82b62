package readiness

import (
	"bytes"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/page"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// written are the texts of this package's own files.
func written(t *testing.T) string {
	t.Helper()
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// TestDeclarations checks the checks without a server: each is whole, comes from
// collectors that there are, and goes by limits that there are.
func TestDeclarations(t *testing.T) {
	collectors := map[string]spec.Collector{}
	for _, c := range collector.All() {
		collectors[c.Name] = c
	}
	seen := map[string]bool{}
	for _, c := range Checks() {
		switch {
		case !regexp.MustCompile(`^[a-z][a-z0-9_]*$`).MatchString(c.Name) || seen[c.Name]:
			t.Errorf("the name %q is not lower case with underscores, or not the only one", c.Name)
		case !slices.Contains(Factors(), c.Factor) || c.Factor.Title() == "":
			t.Errorf("%s is of no factor", c.Name)
		case !strings.HasSuffix(c.Question, "?") || !strings.HasSuffix(c.Why, ".") || c.Remedy == "" || c.Source == "" || c.Judge == nil:
			t.Errorf("%s is not whole: %+v", c.Name, c)
		}
		seen[c.Name] = true
		for _, from := range c.From {
			of, ok := collectors[from]
			if !ok {
				t.Errorf("%s comes from %s, which is no collector", c.Name, from)
			}
			if of.Needs.Role != spec.AnyRole && of.Needs.Role != c.On {
				t.Errorf("%s comes from %s, which runs on another side of replication", c.Name, from)
			}
		}
	}
	text := written(t)
	for _, l := range DefaultLimits() {
		if !strings.Contains(text, `l["`+l.Name+`"]`) || l.Default <= 0 || !strings.HasSuffix(l.About, ".") {
			t.Errorf("limit %s is used nowhere, or not whole", l.Name)
		}
	}
	for _, used := range regexp.MustCompile(`\bl\["(\w+)"\]`).FindAllStringSubmatch(text, -1) {
		if !slices.ContainsFunc(DefaultLimits(), func(l Limit) bool { return l.Name == used[1] }) {
			t.Errorf("%s is no limit", used[1])
		}
	}
}

// TestVocabulary holds that the metrics that judges ask for are there: those of
// collectors, of settings that PostgreSQL has, and of the exporter itself.
func TestVocabulary(t *testing.T) {
	document, err := os.ReadFile("../../METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, m := range regexp.MustCompile("`((?:pg|pgvigil|pgbouncer)_[a-z0-9_]+)`").FindAllSubmatch(document, -1) {
		known[string(m[1])] = true
	}
	recorded, err := os.ReadFile("../../collector/testdata/settings/18.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^(pg_settings_[a-z0-9_]+) `).FindAllSubmatch(recorded, -1) {
		known[string(m[1])] = true
	}
	// auto_explain's is there where that is loaded.
	known["pg_settings_auto_explain_log_min_duration_seconds"] = true
	code := regexp.MustCompile(`Source: "[^"]*"`).ReplaceAllString(written(t), "")
	for _, m := range regexp.MustCompile(`"((?:pg|pgvigil|pgbouncer)_[a-z0-9]+_[a-z0-9_]+)"`).FindAllStringSubmatch(code, -1) {
		beginning := strings.HasSuffix(m[1], "_") // of names that are put together
		if !known[m[1]] && !(beginning && slices.ContainsFunc(slices.Collect(maps.Keys(known)), func(name string) bool { return strings.HasPrefix(name, m[1]) })) {
			t.Errorf("no page has %s", m[1])
		}
	}
}

// fake is a page of these samples: metric, then labels in pairs, then the value.
type fake []sample

type sample struct {
	metric string
	labels []string
	v      float64
}

func (f fake) facts(t *testing.T, now time.Time) *Facts {
	t.Helper()
	var families []page.Family
	for _, s := range f {
		var names []string
		var values [][]byte
		for i := 0; i+1 < len(s.labels); i += 2 {
			names, values = append(names, s.labels[i]), append(values, []byte(s.labels[i+1]))
		}
		labels, err := page.NewLabels(names...)
		if err == nil {
			err = labels.Append(values...)
		}
		if err != nil {
			t.Fatal(err)
		}
		column := page.Column{Labels: labels, Values: []float64{s.v}}
		i := slices.IndexFunc(families, func(f page.Family) bool { return f.Name == s.metric })
		if i < 0 {
			families = append(families, page.Family{Name: s.metric, Type: spec.Gauge})
			i = len(families) - 1
		}
		families[i].Columns = append(families[i].Columns, column)
	}
	return Read(now, families, collector.All())
}

// ran says that a collector has succeeded in a database, "" for the server.
func ran(name, datname string) sample {
	return sample{"pgvigil_collector_success", []string{"collector", name, "datname", datname}, 1}
}

// result judges and returns what became of one check.
func result(t *testing.T, f *Facts, opt Options, check string) Result {
	t.Helper()
	report := Judge("server", f, opt)
	i := slices.IndexFunc(report.Results, func(r Result) bool { return r.Name == check })
	if i < 0 {
		t.Fatalf("%s is not judged", check)
	}
	return report.Results[i]
}

var someDay = time.Date(2026, time.July, 1, 12, 0, 0, 0, time.UTC)

// TestNothingIsGuessed judges a page without anything, and pages on which collectors
// fail, are denied or see a part.
func TestNothingIsGuessed(t *testing.T) {
	for _, r := range Judge("server", fake{}.facts(t, someDay), Options{}).Results {
		if r.Verdict != Unknown || r.Says == "" {
			t.Errorf("of nothing, %s is %s: %s", r.Name, r.Verdict, r.Says)
		}
	}
	good := fake{ran("exposure_database", "a"), {"pg_exposure_public_create", []string{"datname", "a"}, 0}}
	bad := append(slices.Clone(good), ran("exposure_database", "b"), sample{"pg_exposure_public_create", []string{"datname", "b"}, 1})
	failing := sample{"pgvigil_collector_success", []string{"collector", "exposure_database", "datname", "c"}, 0}
	denied := sample{"pgvigil_collector_skipped", []string{"collector", "exposure_database", "datname", "c", "reason", "privilege"}, 1}
	closed := sample{"pgvigil_database_skipped", []string{"datname", "c", "reason", "permission"}, 1}
	excluded := sample{"pgvigil_database_skipped", []string{"datname", "c", "reason", "excluded"}, 1}
	for _, tt := range []struct {
		name string
		page fake
		want Verdict
		says string
	}{
		{"all seen", good, Pass, "in no database"},
		{"bad", bad, Fail, "in 1 databases"},
		{"fails somewhere", append(slices.Clone(good), failing), Unknown, "fails in database c"},
		{"denied somewhere", append(slices.Clone(good), denied), Unknown, "GRANT pg_monitor TO pgvigil"},
		{"may not enter", append(slices.Clone(good), closed), Unknown, "may not enter database c"},
		{"not to be watched", append(slices.Clone(good), excluded), Pass, "in no database"},
		{"bad where it was seen", append(slices.Clone(bad), failing), Fail, "in 1 databases"},
		{"denied", fake{denied}, Unknown, "GRANT pg_monitor TO pgvigil"},
		{"fails", fake{failing}, Unknown, "it fails"},
		{"off", fake{}, Unknown, "switched off"},
	} {
		r := result(t, tt.page.facts(t, someDay), Options{}, "public_schema")
		if r.Verdict != tt.want || !strings.Contains(r.Says, tt.says) {
			t.Errorf("%s: %s: %s", tt.name, r.Verdict, r.Says)
		}
	}
}

// TestVerdicts is about rules that no server shows in a moment.
func TestVerdicts(t *testing.T) {
	start := sample{"pg_postmaster_start_time_seconds", nil, float64(someDay.AddDate(0, 0, -10).Unix())}
	version := func(num float64) fake {
		return fake{ran("settings", ""), {"pg_settings_server_version_num", nil, num}}
	}
	certificate := func(days int) fake {
		return fake{ran("tls", ""), {"pg_tls_certificate_not_after_timestamp_seconds", nil, float64(someDay.AddDate(0, 0, days).Unix())}}
	}
	temp := func(bytes float64, more ...sample) fake {
		return append(fake{ran("stat_database", ""), ran("server", ""), start, {"pg_stat_database_temp_bytes_total", []string{"datname", "a"}, bytes}}, more...)
	}
	reset := sample{"pg_stat_database_stats_reset_timestamp_seconds", []string{"datname", "a"}, float64(someDay.AddDate(-1, 0, 0).Unix())}
	from := func(network string) fake {
		return fake{ran("exposure_network", ""), ran("connections_tls", ""), {"pg_exposure_network_sessions", []string{"network", network}, 1}}
	}
	hba := func(errors float64) fake {
		return fake{ran("hba_weak", ""), {"pg_hba_trust_remote_rules", nil, 0}, {"pg_hba_trust_local_rules", nil, 0}, {"pg_hba_errors", nil, errors}}
	}
	backup := func(looked float64) fake {
		at := []string{"tool", "nightly", "stanza", "shop"}
		return fake{{"pg_backup_look_success", at, looked}, {"pg_backup_repository_last_good_timestamp_seconds", at, float64(someDay.Unix() - 3600)}}
	}
	logged := func(on float64, more ...sample) fake {
		return append(fake{ran("exposure", ""), ran("settings_info", ""), {"pg_exposure_log_connections", nil, on}}, more...)
	}
	archiver := func(failing, configured float64, waited time.Duration) fake {
		ready := sample{"pg_stat_archiver_oldest_ready_timestamp_seconds", nil, float64(someDay.Add(-waited).Unix())}
		last := sample{"pg_stat_archiver_last_archived_timestamp_seconds", nil, float64(someDay.Unix() - 7200)}
		return fake{ran("stat_archiver", ""), ran("stat_archiver_backlog", ""), {"pg_stat_archiver_failing", nil, failing}, {"pg_stat_archiver_configured", nil, configured}, ready, last}
	}
	unindexed := func(since time.Duration) fake {
		counted := sample{"pg_index_health_stats_reset_timestamp_seconds", []string{"datname", "a"}, float64(someDay.Add(-since).Unix())}
		at := []string{"datname", "a", "relname", "", "kind", "unused"}
		return fake{ran("index_health", "a"), ran("index_health_keys", "a"), {"pg_index_health_indexes", at, 3}, {"pg_index_health_bytes", at, 1 << 30}, counted}
	}
	const tib = 1 << 40
	for _, tt := range []struct {
		check, about string
		page         fake
		want         Verdict
	}{
		{"minor", "older than the newest", version(180003), Warn},
		{"minor", "the newest", version(180004), Pass},
		{"minor", "newer than known", version(180005), Pass},
		{"minor", "the last of all", version(130023), Pass},
		{"minor", "of a major nobody knows", version(190000), Unknown},
		{"major", "in its time", version(180004), Pass},
		{"major", "near its end", version(140023), Warn},
		{"major", "after its end", version(130023), Fail},
		{"tls_certificate", "long valid", certificate(22), Pass},
		{"tls_certificate", "soon not", certificate(20), Warn},
		{"tls_certificate", "not any more", certificate(-1), Fail},
		{"temp_files", "little even since the start", temp(tib / 100), Pass},
		{"temp_files", "much, and nobody knows since when", temp(tib), Unknown},
		{"temp_files", "much since a known reset", temp(4*tib, reset), Warn},
		{"temp_files", "little since a known reset", temp(tib, reset), Pass},
		{"networks", "allowed", from("10.1.2.0/24"), Pass},
		{"networks", "strange", from("192.0.2.0/24"), Fail},
		{"networks", "allowed in part", from("10.9.9.0/24"), Unknown},
		{"networks", "one of many", from("other"), Unknown},
		{"hba_trust", "a file that can be read", hba(0), Pass},
		{"hba_trust", "a file with an error", hba(1), Unknown},
		{"backup_present", "seen", backup(1), Pass},
		{"backup_present", "seen long ago", backup(0), Unknown},
		{"backup_fresh", "seen long ago", backup(0), Unknown},
		{"archiving_works", "as it should", archiver(0, 1, time.Minute), Pass},
		{"archiving_works", "with a command that hangs", archiver(0, 1, 2*time.Hour), Fail},
		{"archiving_works", "with one that fails", archiver(1, 1, 0), Fail},
		{"archiving_works", "without one", archiver(0, 0, 2*time.Hour), Unknown},
		{"unused_indexes", "for a year", unindexed(365 * day), Warn},
		{"unused_indexes", "since yesterday", unindexed(day), Unknown},
		{"connections_logged", "by PostgreSQL", logged(1), Pass},
		{"connections_logged", "by pgaudit", logged(0, sample{"pg_settings_info", []string{"name", "pgaudit.log", "setting", "ddl"}, 1}), Pass},
		{"connections_logged", "by pgaudit that logs nothing", logged(0, sample{"pg_settings_info", []string{"name", "pgaudit.log", "setting", "none"}, 1}), Warn},
	} {
		r := result(t, tt.page.facts(t, someDay), Options{Networks: prefixes("10.1.0.0/16", "10.9.9.16/28")}, tt.check)
		if r.Verdict != tt.want {
			t.Errorf("%s, %s: %s, want %s: %s", tt.check, tt.about, r.Verdict, tt.want, r.Says)
		}
	}
	late := someDay.AddDate(0, 0, 200)
	if r := result(t, version(180004).facts(t, late), Options{}, "minor"); r.Verdict != Unknown {
		t.Errorf("the newest of long ago is %s: %s", r.Verdict, r.Says)
	}
}

// TestAcceptance lives with a finding until the end of the last day.
func TestAcceptance(t *testing.T) {
	off := fake{ran("tls", ""), {"pg_tls_enabled", nil, 0}}
	until := time.Date(2026, time.July, 1, 0, 0, 0, 0, time.UTC)
	opt := Options{Accept: []Acceptance{{Check: "tls_on", Reason: "a tunnel has it", Until: until}}}
	for now, want := range map[time.Time]Verdict{until.Add(24*time.Hour - time.Second): Pass, until.Add(24 * time.Hour): Fail} {
		r := result(t, off.facts(t, now), opt, "tls_on")
		if r.Verdict != Fail || r.Counts() != want || r.Bad() != (want == Fail) || (r.Until == "2026-07-01") != (want == Pass) {
			t.Errorf("at %s: %+v", now, r)
		}
	}
	// What passes or is not known is not accepted: nobody has found anything.
	on := fake{ran("tls", ""), {"pg_tls_enabled", nil, 1}}
	if r := result(t, on.facts(t, until), opt, "tls_on"); r.Accepted != "" {
		t.Errorf("what passes is accepted: %+v", r)
	}
	if r := result(t, fake{}.facts(t, until), opt, "tls_on"); r.Counts() != Unknown {
		t.Errorf("what is not known is accepted: %+v", r)
	}
}

// TestSums counts, and finds the worst.
func TestSums(t *testing.T) {
	r := Report{Results: []Result{
		{Factor: Security, Name: "a", Verdict: Pass}, {Factor: Security, Name: "b", Verdict: Unknown},
		{Factor: Security, Name: "c", Verdict: Fail, Accepted: "so be it"}, {Factor: Performance, Name: "d", Verdict: Warn},
	}}
	if r.Worst() != Warn || r.Sum("") != "2 pass, 1 warn, 1 unknown" || r.Sum(Security) != "2 pass, 1 unknown" || r.Sum(Availability) != "no checks" {
		t.Errorf("%s: %s; %s; %s", r.Worst(), r.Sum(""), r.Sum(Security), r.Sum(Availability))
	}
	var order []string
	for _, res := range r.Of(Security) {
		order = append(order, res.Name)
	}
	if !slices.Equal(order, []string{"b", "a", "c"}) {
		t.Errorf("the order is %q", order)
	}
	if (Report{Results: []Result{{Verdict: Unknown}}}).Worst() != Pass {
		t.Error("not to know is worse than pass")
	}
}

// TestForms writes what servers and people call things, and colours.
func TestForms(t *testing.T) {
	r := Report{Server: "a|b", At: someDay, Results: []Result{
		{Name: "x", Factor: Security, Question: "Is it?", Verdict: Fail, Says: "no_one | <knows>", Why: "So.", Remedy: "SELECT `1`"},
		{Name: "y", Factor: Security, Question: "Is that?", Verdict: Warn, Says: "no", Accepted: "we\nknow", Until: "2026-07-02"},
	}}
	var text, colour, markdown bytes.Buffer
	for _, err := range []error{r.Text(&text, false), r.Text(&colour, true), r.Markdown(&markdown)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(text.String(), "\x1b") || !strings.Contains(colour.String(), "\x1b[31mFAIL    \x1b[0mIs it?") || !strings.Contains(colour.String(), "\x1b[32mOK'D    \x1b[0mIs that?") {
		t.Errorf("%q\n%q", text.String(), colour.String())
	}
	for _, line := range []string{
		`# Readiness of a\|b`, `| fail | Is it? | no\_one \| &lt;knows>. | SELECT '1' |`, `| accepted | Is that? | No. | until 2026-07-02: we know |`,
	} {
		if !strings.Contains(markdown.String(), line+"\n") {
			t.Errorf("no line is %s:\n%s", line, markdown.String())
		}
	}
}

func prefixes(all ...string) (list []netip.Prefix) {
	for _, text := range all {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}
