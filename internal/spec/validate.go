package spec

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	validName   = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	validMetric = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

// Validate checks one declaration without a server and returns everything that
// is wrong with it, joined.
func Validate(c Collector) error {
	v := validator{c: c}
	v.about()
	v.metrics()
	if c.Source != PostgreSQL {
		v.outside()
		return errors.Join(v.errs...)
	}
	v.cost()
	v.plainMetrics()
	v.queries()
	v.fold()
	v.follow()
	return errors.Join(v.errs...)
}

// ValidateAll checks the declarations and that names are unique across them.
func ValidateAll(all []Collector) error {
	var errs []error
	names := map[string]bool{}
	type declared struct {
		by     Collector
		metric Metric
	}
	metrics := map[string]declared{}
	for _, c := range all {
		if err := Validate(c); err != nil {
			errs = append(errs, err)
		}
		if names[c.Name] {
			errs = append(errs, fmt.Errorf("collector %q is declared twice", c.Name))
		}
		names[c.Name] = true
		for _, m := range c.Metrics {
			full := c.FullName(m.Name)
			other, ok := metrics[full]
			// Two sources of one fact may share a metric, and a label tells them apart.
			same := other.by.Flag() == c.Flag() && other.metric == m && slices.Equal(other.by.Labels, c.Labels)
			if ok && m.Name != Any && !same {
				errs = append(errs, fmt.Errorf("metric %q is declared by %s and by %s", full, other.by.Name, c.Name))
			}
			metrics[full] = declared{c, m}
		}
	}
	for _, c := range all {
		owner := slices.IndexFunc(all, func(other Collector) bool { return other.Name == c.Flag() })
		switch {
		case owner < 0:
			errs = append(errs, fmt.Errorf("%s: Of names no collector: %q", c.Name, c.Of))
		case all[owner].Source != c.Source:
			errs = append(errs, fmt.Errorf("%s: Of names a collector of %s", c.Name, all[owner].Source))
		}
		if c.Follow != nil {
			errs = append(errs, followed(c, all))
		}
	}
	return errors.Join(errs...)
}

// followed checks that a collector follows one that can be followed.
func followed(c Collector, all []Collector) error {
	i := slices.IndexFunc(all, func(other Collector) bool { return other.Name == c.Follow.Of })
	switch {
	case i < 0:
		return fmt.Errorf("%s: Follow.Of names no collector: %q", c.Name, c.Follow.Of)
	case all[i].Fold == nil || all[i].Scope != c.Scope:
		return fmt.Errorf("%s: %s has no Fold, or another Scope", c.Name, c.Follow.Of)
	case all[i].Fold.Key != c.Follow.Column && !slices.Contains(all[i].Labels, c.Follow.Column):
		return fmt.Errorf("%s: %q is neither Key nor label of %s", c.Name, c.Follow.Column, c.Follow.Of)
	}
	return nil
}

type validator struct {
	c    Collector
	errs []error
}

func (v *validator) failf(format string, args ...any) {
	v.errs = append(v.errs, fmt.Errorf("%s: "+format, append([]any{v.c.Name}, args...)...))
}

func (v *validator) about() {
	if !validName.MatchString(v.c.Name) {
		v.failf("Name is not lower case with underscores")
	}
	if !strings.HasSuffix(v.c.About, ".") {
		v.failf("About is not a sentence with a full stop")
	}
	n := v.c.Needs
	if (len(n.Execute) > 0 || len(n.Select) > 0 || n.Member != "") && n.Grant == "" {
		v.failf("Needs name a privilege and no Grant that cures it")
	}
}

func (v *validator) cost() {
	cost := v.c.Cost
	if cost.Timeout <= 0 {
		v.failf("Cost.Timeout is not set")
	}
	if cost.MaxSeries <= 0 {
		v.failf("Cost.MaxSeries is not set")
	}
	if cost.Locks == "" {
		v.failf(`Cost.Locks is not set; write "none" if there are none`)
	}
	if v.c.Scope == PerServer && v.c.Needs.Extension != "" && cost.Every == 0 {
		v.failf("Cost.Every is 0, but a collector that needs an extension cannot run with the scrape: it may live in another database")
	}
	if v.c.Scope == PerDatabase && cost.Every == 0 {
		v.failf("Cost.Every is 0, but a collector per database cannot run with the scrape")
	}
}

func (v *validator) metrics() {
	if len(v.c.Metrics) == 0 {
		v.failf("Metrics are empty")
	}
	for _, m := range v.c.Metrics {
		if m.Name == Any {
			if v.c.Emit == nil {
				v.failf("metric %q needs Emit", m.Name)
			}
			continue
		}
		if !validMetric.MatchString(m.Name) {
			v.failf("metric %q is not lower case with underscores", m.Name)
		}
		if m.Type != Gauge && m.Type != Counter {
			v.failf("metric %q has no type", m.Name)
		}
		if total := strings.HasSuffix(m.Name, "_total"); total != (m.Type == Counter) {
			v.failf("metric %q: counters and only counters end in _total", m.Name)
		}
		if !strings.HasSuffix(m.Help, ".") {
			v.failf("metric %q: Help is not a sentence with a full stop", m.Name)
		}
	}
}

// queries proves that each supported version has at most one query, that a
// collector which exists on a major exists on all newer ones, and that every
// metric and label is an alias of the text wherever Emit makes neither.
func (v *validator) queries() {
	extensions := []Version{0}
	if v.c.Needs.Extension != "" {
		extensions = v.extensionVersions()
	}
	seen := map[string]bool{}
	began := false
	for _, major := range Majors() {
		for _, ext := range extensions {
			e := Env{Major: major, Extension: ext, Schema: "public"}
			fitting := slices.DeleteFunc(slices.Clone(v.c.Queries), func(q Query) bool { return !e.fits(q.Since, q.Until) })
			if len(fitting) > 1 {
				v.failf("%d queries fit version %s %s", len(fitting), major, ext)
			}
			if len(fitting) == 0 {
				if began && ext == 0 {
					v.failf("no query fits version %s, though one fits an older", major)
				}
				continue
			}
			began = true
			text, err := Render(fitting[0].SQL, e)
			if err != nil {
				v.failf("%w", err)
				return
			}
			v.text(text, seen)
		}
	}
	if !began {
		v.failf("no query fits any supported version")
	}
	if v.c.Emit != nil {
		return
	}
	for _, m := range v.c.Metrics {
		if !seen[m.Name] {
			v.failf("metric %q is no alias in any version's text", m.Name)
		}
	}
}

// extensionVersions returns every version of the extension the texts mention.
func (v *validator) extensionVersions() []Version {
	versions := []Version{Ext(0, 1)}
	for _, q := range v.c.Queries {
		for _, at := range []Version{q.Since, q.Until} {
			if at.IsExtension() {
				versions = append(versions, at)
			}
		}
		for line := range strings.Lines(q.SQL) {
			if _, since, until, err := splitMark(strings.TrimRight(line, "\n")); err == nil {
				for _, at := range []Version{since, until} {
					if at.IsExtension() {
						versions = append(versions, at)
					}
				}
			}
		}
	}
	slices.Sort(versions)
	return slices.Compact(versions)
}

// text checks one rendered text and notes its aliases in seen.
func (v *validator) text(text string, seen map[string]bool) {
	here := map[string]bool{}
	for _, a := range Aliases(text) {
		here[a], seen[a] = true, true
	}
	if v.c.Emit == nil {
		for _, l := range v.c.Labels {
			if !here[l] {
				v.failf("label %q is no alias of the text", l)
			}
		}
	}
	if f := v.c.Fold; f != nil {
		for _, column := range append([]string{f.Key}, f.Rank...) {
			if !here[column] {
				v.failf("Fold needs column %q, which is no alias of the text", column)
			}
		}
	}
	if strings.Contains(text, "*") && regexp.MustCompile(`(?i)SELECT\s+\*`).MatchString(text) {
		v.failf("SELECT * hides which columns there are")
	}
}

func (v *validator) fold() {
	f := v.c.Fold
	if f == nil {
		return
	}
	if v.c.Emit != nil {
		v.failf("has both Fold and Emit")
	}
	if f.Limit <= 0 || f.Key == "" || len(f.Rank) == 0 || len(v.c.Labels) == 0 {
		v.failf("Fold needs Key, Rank and Limit, and the collector labels")
	}
	if slices.Contains(v.c.Labels, f.Key) {
		v.failf("Fold.Key %q is a label too", f.Key)
	}
	if len(v.c.Metrics) > 64 {
		v.failf("Fold is for at most 64 metrics")
	}
	for _, l := range slices.Concat(f.Keep, f.Within) {
		if !slices.Contains(v.c.Labels, l) {
			v.failf("Fold.Keep or Within has %q, which is no label", l)
		}
	}
}

func (v *validator) follow() {
	f := v.c.Follow
	if f == nil {
		return
	}
	if v.c.Fold != nil || v.c.Emit != nil {
		v.failf("has Follow beside Fold or Emit")
	}
	if f.Of == "" || f.Column == "" || v.c.Cost.Every == 0 {
		v.failf("Follow needs Of and Column, and the collector a rhythm of its own")
	}
	for _, q := range v.c.Queries {
		if !strings.Contains(q.SQL, "$1") {
			v.failf("Follow gives a parameter, and the text has no $1")
		}
	}
}
