package readiness

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// Checks are all checks, by factor.
func Checks() []Check {
	return slices.Concat(security(), availability(), performance(), observability())
}

// DefaultLimits are the thresholds that may be configured.
func DefaultLimits() []Limit {
	return []Limit{
		{"archive_minutes", 60, "Minutes for which a WAL file may wait to be archived."},
		{"backup_age_hours", 26, "Age of the last good backup from which it is old; twice as much fails."},
		{"bloat_mib", 5120, "Waste of a table or index, above 60 % of it, that matters."},
		{"cache_blocks", 100_000, "Blocks that must have been read for the share of hits to be judged."},
		{"cache_ratio", 0.9, "Least part of blocks that is to be found in shared buffers."},
		{"certificate_days", 21, "Days before the certificate's end from which it is soon."},
		{"checkpoints", 10, "Checkpoints that must have been for their cause to be judged."},
		{"connections_ratio", 0.8, "Most part of the connections that may be taken."},
		{"connections_ratio_fail", 0.95, "Part of the connections that fails."},
		{"idle_sessions", 100, "Sessions from which, half of them idle, a pooler is missed."},
		{"lag_mib", 256, "WAL that a standby may have yet to store."},
		{"lag_seconds", 30, "Seconds that a standby may be behind."},
		{"large_table_mib", 100, "Size from which a table is large."},
		{"logins_per_second", 5, "Logins from which a pooler is missed."},
		{"minor_days", 120, "Days after its release for which the newest minor version that pgvigil knows is taken to be the newest."},
		{"prepared_hours", 1, "Hours for which a transaction may be prepared and not ended."},
		{"recovery_days", 14, "Days to any moment of which one can go back."},
		{"recovery_days_least", 2, "Days below which that fails."},
		{"restore_days", 35, "Days since the last restore that was tested."},
		{"seq_scans", 100, "Sequential scans of a large table that are often."},
		{"sequence_ratio", 0.8, "Part of a sequence's numbers from which few are left."},
		{"sequence_ratio_fail", 0.95, "Part of a sequence's numbers that fails."},
		{"small_data_mib", 1024, "Data for which the default of shared_buffers does."},
		{"standbys", 1, "Standbys that are wanted."},
		{"stat_statements_ratio", 0.95, "Part of the entries of pg_stat_statements that may be taken."},
		{"superusers", 1, "Superusers that may log in."},
		{"support_days", 180, "Days before the end of fixes from which it is soon."},
		{"temp_mib_a_day", 10_240, "MiB of temporary files a day that are many."},
		{"unused_index_days", 7, "Days for which scans must have been counted to say that an index is unused."},
		{"unused_index_mib", 100, "Size of all unused indexes together that matters."},
		{"work_mem_ratio", 0.5, "Part of effective_cache_size that work_mem times max_connections may be."},
		{"xid_ratio", 0.4, "Part of the way to wraparound from which it is long."},
		{"xid_ratio_fail", 0.6, "Part of the way to wraparound that fails."},
		{"xmin_hours", 24, "Hours for which a transaction may hold back vacuum."},
		{"xmin_transactions", 50_000_000, "Transactions for which a slot or standby may hold back vacuum."},
	}
}

// Report is what became of all checks of one server.
type Report struct {
	// Server is what the report calls it.
	Server string `json:"server"`
	// At is when it was looked at.
	At time.Time `json:"at"`
	// Results are in the order of Checks, without those that make no sense on the
	// server's role or major.
	Results []Result `json:"checks"`
}

// Result is a check and its finding.
type Result struct {
	Name     string  `json:"name"`
	Factor   Factor  `json:"factor"`
	Question string  `json:"question"`
	Verdict  Verdict `json:"verdict"`
	// Says is what was found, or what would be needed to know it.
	Says   string `json:"says"`
	Why    string `json:"why"`
	Remedy string `json:"remedy"`
	Source string `json:"source"`
	// Accepted is why somebody has decided to live with a warn or fail, which then
	// counts as pass; "" if nobody has.
	Accepted string `json:"accepted,omitempty"`
	// Until is the last day of that.
	Until string `json:"accepted_until,omitempty"`
}

// Judge judges the facts by all checks.
func Judge(server string, f *Facts, opt Options) Report {
	f.Remote, f.Networks, f.Patroni = opt.Remote, opt.Networks, opt.Patroni
	limits := Limits{}
	for _, l := range DefaultLimits() {
		limits[l.Name] = l.Default
	}
	for name, v := range opt.Limits {
		limits[name] = v
	}
	r := Report{Server: server, At: f.Now}
	for _, c := range Checks() {
		if c.On != spec.AnyRole && f.Role != spec.AnyRole && c.On != f.Role || f.Major != 0 && f.Major < c.Since {
			continue
		}
		res := c.judge(f, limits)
		if a, ok := accepted(c.Name, f.Now, opt.Accept); ok && (res.Verdict == Warn || res.Verdict == Fail) {
			res.Accepted, res.Until = a.Reason, a.Until.Format(time.DateOnly)
		}
		r.Results = append(r.Results, res)
	}
	return r
}

func (c Check) judge(f *Facts, limits Limits) Result {
	res := Result{Name: c.Name, Factor: c.Factor, Question: c.Question, Why: c.Why, Remedy: c.Remedy, Source: c.Source}
	finding := Finding{}
	for _, collector := range c.From {
		if why := f.lacks(collector); why != "" {
			finding = unknown("%s", why)
			break
		}
	}
	if finding.Verdict == "" {
		finding = c.Judge(f, limits)
	}
	if finding.Verdict == Pass {
		for _, collector := range c.From {
			if why := f.partly(collector); why != "" {
				finding = unknown("%s; as far as it sees: %s", why, finding.Says)
				break
			}
		}
	}
	res.Verdict, res.Says = finding.Verdict, finding.Says
	return res
}

// accepted finds what is accepted of a check and has not ended.
func accepted(check string, now time.Time, list []Acceptance) (Acceptance, bool) {
	for _, a := range list {
		if a.Check == check && now.Before(a.Until.AddDate(0, 0, 1)) {
			return a, true
		}
	}
	return Acceptance{}, false
}

// Counts is the verdict that a result counts as: what is accepted passes.
func (r Result) Counts() Verdict {
	if r.Accepted != "" {
		return Pass
	}
	return r.Verdict
}

// Bad reports whether there is something to be done about it.
func (r Result) Bad() bool { return r.Accepted == "" && (r.Verdict == Warn || r.Verdict == Fail) }

// Found is what was found, as a sentence.
func (r Result) Found() string { return capital(r.Says) + "." }

// Count counts the results of a factor, of all where it is "", that count as a verdict.
func (r Report) Count(factor Factor, verdict Verdict) int {
	n := 0
	for _, res := range r.Results {
		if (factor == "" || res.Factor == factor) && res.Counts() == verdict {
			n++
		}
	}
	return n
}

// Worst is the worst verdict of all; unknown is no worse than pass.
func (r Report) Worst() Verdict {
	switch {
	case r.Count("", Fail) > 0:
		return Fail
	case r.Count("", Warn) > 0:
		return Warn
	}
	return Pass
}

// Of are the results of a factor, the worst first.
func (r Report) Of(factor Factor) []Result {
	order := []Verdict{Fail, Warn, Unknown, Pass}
	list := slices.DeleteFunc(slices.Clone(r.Results), func(res Result) bool { return res.Factor != factor })
	slices.SortStableFunc(list, func(a, b Result) int {
		return slices.Index(order, a.Counts()) - slices.Index(order, b.Counts())
	})
	return list
}

// Sum is the counts in a line.
func (r Report) Sum(factor Factor) string {
	var parts []string
	for _, v := range Verdicts() {
		if n := r.Count(factor, v); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, v))
		}
	}
	if len(parts) == 0 {
		return "no checks"
	}
	return strings.Join(parts, ", ")
}
