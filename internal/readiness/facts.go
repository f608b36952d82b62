package readiness

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pgvigil/pgvigil/internal/page"
	"github.com/pgvigil/pgvigil/internal/patroni"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// Facts are the samples of a page, for judging.
type Facts struct {
	// Now is when the page was made.
	Now time.Time
	// Role is the server's side of replication; AnyRole where it is not known.
	Role spec.Role
	// Major is the server's; 0 where it is not known.
	Major spec.Version
	// Remote tells standbys elsewhere; nil where nobody has said.
	Remote matcher
	// Networks are those that sessions may come from; none where nobody has said.
	Networks []netip.Prefix
	// Patroni is what Patroni said; nil where nobody has said where to ask it.
	Patroni *patroni.Answer

	families   map[string]page.Family
	samples    map[string][]Sample       // of the families that were asked for
	collectors map[string]spec.Collector // by name
}

// Sample is one series of the page.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// Read takes the facts out of a page. Collectors are those that it is made by.
func Read(now time.Time, families []page.Family, collectors []spec.Collector) *Facts {
	f := &Facts{Now: now, families: map[string]page.Family{}, samples: map[string][]Sample{}, collectors: map[string]spec.Collector{}}
	for _, family := range families {
		f.families[family.Name] = family
	}
	for _, c := range collectors {
		f.collectors[c.Name] = c
	}
	if standby, ok := f.Value("pg_replication_is_replica"); ok {
		f.Role = spec.Primary
		if standby == 1 {
			f.Role = spec.Standby
		}
	}
	if num, ok := f.Value("pg_settings_server_version_num"); ok {
		f.Major = spec.Version(int(num) / 10000)
	}
	return f
}

// of are the samples of a metric. A family is read when it is asked for, since most of
// a large page is not.
func (f *Facts) of(metric string) []Sample {
	all, ok := f.samples[metric]
	if !ok {
		f.families[metric].Each(func(labels map[string]string, v float64) { all = append(all, Sample{labels, v}) })
		f.samples[metric] = all
	}
	return all
}

// By are the values of a metric by the values of these labels, joined by a dot.
func (f *Facts) By(metric string, labels ...string) map[string]float64 {
	values := map[string]float64{}
	for _, s := range f.of(metric) {
		values[s.key(labels)] += s.Value
	}
	return values
}

// key is the values of these labels, joined by a dot.
func (s Sample) key(labels []string) string {
	parts := make([]string, len(labels))
	for i, name := range labels {
		parts[i] = s.Labels[name]
	}
	return strings.Join(parts, ".")
}

// All are the samples of a metric whose labels are these: pairs of a name and a value,
// or of a name with != at its end and a value that it may not be.
func (f *Facts) All(metric string, labels ...string) []Sample {
	return slices.DeleteFunc(slices.Clone(f.of(metric)), func(s Sample) bool {
		for i := 0; i+1 < len(labels); i += 2 {
			name, not := strings.CutSuffix(labels[i], "!=")
			if (s.Labels[name] == labels[i+1]) == not {
				return true
			}
		}
		return false
	})
}

// Value is the only sample of a metric with these labels, or the first of several.
func (f *Facts) Value(metric string, labels ...string) (float64, bool) {
	all := f.All(metric, labels...)
	if len(all) == 0 {
		return 0, false
	}
	return all[0].Value, true
}

// Sum adds the samples up; none is 0 and false.
func (f *Facts) Sum(metric string, labels ...string) (sum float64, ok bool) {
	for _, s := range f.All(metric, labels...) {
		sum += s.Value
		ok = true
	}
	return sum, ok
}

// Max is the largest of the samples.
func (f *Facts) Max(metric string, labels ...string) (float64, bool) {
	return most(f.All(metric, labels...))
}

// Min is the smallest of the samples.
func (f *Facts) Min(metric string, labels ...string) (least float64, ok bool) {
	for _, s := range f.All(metric, labels...) {
		if !ok || s.Value < least {
			least = s.Value
		}
		ok = true
	}
	return least, ok
}

// Word is the value of a setting that is a word.
func (f *Facts) Word(setting string) (string, bool) {
	all := f.All("pg_settings_info", "name", setting)
	if len(all) == 0 {
		return "", false
	}
	return all[0].Labels["setting"], true
}

// Backups are the samples of a metric of backups whose tool could be asked when it was
// last looked at; failing names the tools of the others.
func (f *Facts) Backups(metric string) (good []Sample, failing []string) {
	looks := f.By("pg_backup_look_success", "tool", "stanza")
	for _, s := range f.All(metric) {
		if at := s.key([]string{"tool", "stanza"}); looks[at] == 1 {
			good = append(good, s)
		} else if !slices.Contains(failing, s.Labels["tool"]) {
			failing = append(failing, s.Labels["tool"])
		}
	}
	return good, failing
}

// most is the largest value of samples; none is 0 and false.
func most(samples []Sample) (v float64, ok bool) {
	for _, s := range samples {
		if !ok || s.Value > v {
			v = s.Value
		}
		ok = true
	}
	return v, ok
}

// since is the time that has passed since a Unix time.
func (f *Facts) since(at float64) time.Duration { return f.Now.Sub(time.Unix(int64(at), 0)) }

// origins are where sessions come from, by what readiness.networks says of that.
type origins struct {
	inside, outside, unclear float64
	strange                  []string // networks that are outside
	split                    []string // networks of which a part only is inside
}

// origins sorts the sessions. Where one comes from is known to its /24 or /64.
func (f *Facts) origins() (o origins) {
	for _, s := range f.All("pg_exposure_network_sessions") {
		from, err := netip.ParsePrefix(s.Labels["network"])
		overlaps := func(allowed netip.Prefix) bool { return allowed.Overlaps(from) }
		switch {
		case err != nil: // the rest, which has no name
			o.unclear += s.Value
		case slices.ContainsFunc(f.Networks, func(allowed netip.Prefix) bool { return overlaps(allowed) && allowed.Bits() <= from.Bits() }):
			o.inside += s.Value
		case slices.ContainsFunc(f.Networks, overlaps):
			o.unclear += s.Value
			o.split = append(o.split, from.String())
		default:
			o.outside += s.Value
			o.strange = append(o.strange, from.String())
		}
	}
	return o
}

// sight is how much of a collector's results is on the page.
type sight struct {
	seen            bool     // in one database at least, or of the server
	failing, denied []string // databases, "" for a collector of the server
	skipped         string   // why it does not run, where it does not
}

// sight looks at what became of a collector's last runs.
func (f *Facts) sight(collector string) (s sight) {
	for _, sample := range f.All("pgvigil_collector_success", "collector", collector) {
		if sample.Value == 1 {
			s.seen = true
			continue
		}
		s.failing = append(s.failing, sample.Labels["datname"])
	}
	for _, sample := range f.All("pgvigil_collector_skipped", "collector", collector) {
		s.skipped = sample.Labels["reason"]
		if s.skipped == "privilege" {
			s.denied = append(s.denied, sample.Labels["datname"])
		}
	}
	return s
}

// lacks says why the results of a collector are not there, "" if some are.
func (f *Facts) lacks(collector string) string {
	switch s := f.sight(collector); {
	case s.seen:
		return ""
	case len(s.denied) > 0:
		return "the exporter's role may not see it: " + f.grant(collector)
	case s.skipped != "":
		return "the collector " + collector + " is skipped here: " + s.skipped
	case len(s.failing) > 0:
		return "the collector " + collector + " has no result: it fails, or has yet to run: pgvigil doctor says which, and why"
	}
	return "the collector " + collector + " is switched off"
}

// grant is what lets the exporter's role see what a collector looks at.
func (f *Facts) grant(collector string) string {
	if grant := f.collectors[collector].Needs.Grant; grant != "" {
		return grant
	}
	return monitorGrant
}

// monitorGrant is what nearly all of it wants.
const monitorGrant = "GRANT pg_monitor TO pgvigil"

// readGrant shows what PostgreSQL hides from pg_monitor.
const readGrant = "GRANT pg_read_all_data TO pgvigil (14 and newer; on 13 SELECT on tables and sequences)"

// partly says where the results of a collector are missing, "" if nowhere. What is
// good where somebody has looked may be bad where nobody has.
func (f *Facts) partly(collector string) string {
	s := f.sight(collector)
	switch {
	case len(s.failing) > 0:
		return "the collector " + collector + " fails in database " + some(s.failing)
	case len(s.denied) > 0:
		return "the exporter's role may not see database " + some(s.denied) + ": " + f.grant(collector)
	}
	if f.collectors[collector].Scope != spec.PerDatabase {
		return ""
	}
	if closed := f.closed(); len(closed) > 0 {
		return "the exporter's role may not enter database " + some(closed) + ": GRANT CONNECT ON DATABASE"
	}
	return ""
}

// closed are the databases that do not let the exporter's role in.
func (f *Facts) closed() (names []string) {
	for _, s := range f.All("pgvigil_database_skipped", "reason", "permission") {
		names = append(names, s.Labels["datname"])
	}
	return names
}

// rate bounds how much a counter of databases grows in a second, by label datname.
// Since when PostgreSQL counts is known after a reset only; without one, since the
// server's start or before. The time is taken to be no less than least.
func (f *Facts) rate(metric string, least time.Duration) (low, high float64, ok bool) {
	start, known := f.Value("pg_postmaster_start_time_seconds")
	if !known {
		return 0, 0, false
	}
	now := float64(f.Now.Unix())
	resets := f.By("pg_stat_database_stats_reset_timestamp_seconds", "datname")
	for _, s := range f.All(metric) {
		ok = true
		since, reset := resets[s.Labels["datname"]]
		if !reset {
			since = start
		}
		perSecond := s.Value / max(now-since, least.Seconds())
		high += perSecond
		if reset {
			low += perSecond
		}
	}
	return low, high, ok
}

// unjudged names the relations of which nobody knows what they waste, and that are so
// large, with their indexes, that it might matter. A size that is not known is large.
func (f *Facts) unjudged(least float64) (names []string) {
	table := []string{"datname", "schemaname", "relname"}
	size := f.By("pg_stat_user_tables_table_size_bytes", table...)
	indexes := f.By("pg_stat_user_tables_index_size_bytes", table...)
	for _, metric := range []string{
		"pg_bloat_table_hidden", "pg_bloat_table_locked", "pg_bloat_table_stale", "pg_bloat_table_without_statistics",
		"pg_bloat_index_hidden", "pg_bloat_index_locked", "pg_bloat_index_stale", "pg_bloat_index_without_statistics",
	} {
		for _, s := range f.All(metric) {
			at := s.key(table)
			bytes, known := size[at]
			if strings.HasPrefix(metric, "pg_bloat_index_") {
				bytes = indexes[at]
			}
			if (!known || bytes > least) && s.Value > 0 && !slices.Contains(names, at) {
				names = append(names, at)
			}
		}
	}
	return names
}
