package readiness

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pgvigil/pgvigil/internal/page"
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

	families map[string]page.Family
	samples  map[string][]Sample // of the families that were asked for
	grants   map[string]string   // what would let a collector run, by its name
}

// Sample is one series of the page.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// Read takes the facts out of a page. Collectors are asked for the grants that they
// want.
func Read(now time.Time, families []page.Family, collectors []spec.Collector) *Facts {
	f := &Facts{Now: now, families: map[string]page.Family{}, samples: map[string][]Sample{}, grants: map[string]string{}}
	for _, family := range families {
		f.families[family.Name] = family
	}
	for _, c := range collectors {
		f.grants[c.Name] = c.Needs.Grant
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
func (f *Facts) Max(metric string, labels ...string) (most float64, ok bool) {
	for _, s := range f.All(metric, labels...) {
		if !ok || s.Value > most {
			most = s.Value
		}
		ok = true
	}
	return most, ok
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

// Age is the time since a timestamp, the latest of several.
func (f *Facts) Age(metric string, labels ...string) (time.Duration, bool) {
	at, ok := f.Max(metric, labels...)
	if !ok {
		return 0, false
	}
	return f.Now.Sub(time.Unix(int64(at), 0)), true
}

// outside counts the sessions from other networks than those allowed, and names these.
// A session's own is known to its /24 or /64, so an allowed one that is smaller counts
// as that.
func (f *Facts) outside() (sessions float64, networks []string) {
	for _, s := range f.All("pg_exposure_network_sessions") {
		from, err := netip.ParsePrefix(s.Labels["network"])
		if err != nil || from.Addr().IsLoopback() {
			continue
		}
		if !slices.ContainsFunc(f.Networks, func(allowed netip.Prefix) bool { return allowed.Overlaps(from) }) {
			sessions += s.Value
			networks = append(networks, from.String())
		}
	}
	return sessions, networks
}

// lacks says why the results of a collector are not there, "" if they are.
func (f *Facts) lacks(collector string) string {
	for _, s := range f.of("pgvigil_collector_skipped") {
		if s.Labels["collector"] != collector || s.Value != 1 {
			continue
		}
		switch reason := s.Labels["reason"]; {
		case reason == "privilege" && f.grants[collector] != "":
			return "the exporter's role may not see it: " + f.grants[collector]
		case reason == "privilege":
			return "the exporter's role may not see it: GRANT pg_monitor TO the role"
		default:
			return "the collector " + collector + " is skipped here: " + reason
		}
	}
	all := f.All("pgvigil_collector_success", "collector", collector)
	switch {
	case len(all) == 0:
		return "the collector " + collector + " has not run: it may be switched off"
	case !slices.ContainsFunc(all, func(s Sample) bool { return s.Value == 1 }):
		return "the collector " + collector + " fails: pgvigil doctor says why"
	}
	return ""
}
