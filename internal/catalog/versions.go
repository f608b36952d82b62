package catalog

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// Versions says on which majors the collector has the metric: "13+", "13 to 17",
// "16", or since which version of its extension: "pg_stat_statements 1.10+". Where Emit makes the metric out of other columns, those are the majors
// the collector has a query for.
func (p part) Versions(m spec.Metric) (string, error) {
	if since, err := p.extensionSince(m); since != 0 || err != nil {
		return fmt.Sprintf("%s %s+", p.Needs.Extension, since), err
	}
	var with, run []spec.Version
	for _, major := range spec.Majors() {
		for _, env := range environments(p.Collector, major) {
			query, ok := p.Query(env)
			if !ok {
				continue
			}
			run = append(run, major)
			text, err := spec.Render(query.SQL, env)
			if err != nil {
				return "", fmt.Errorf("%s: %w", p.Name, err)
			}
			if slices.Contains(spec.Aliases(text), m.Name) {
				with = append(with, major)
			}
		}
	}
	if len(with) == 0 {
		with = run
	}
	if len(with) == 0 {
		return "", fmt.Errorf("%s: metric %q exists on no version", p.Name, m.Name)
	}
	return ranges(slices.Compact(with)), nil
}

// extensionSince returns the first version of the extension that has the metric; 0
// where all have it.
func (p part) extensionSince(m spec.Metric) (spec.Version, error) {
	if p.Needs.Extension == "" {
		return 0, nil
	}
	lacking := false
	for _, env := range environments(p.Collector, spec.NewestMajor) {
		query, ok := p.Query(env)
		if !ok {
			continue
		}
		text, err := spec.Render(query.SQL, env)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", p.Name, err)
		}
		switch {
		case !slices.Contains(spec.Aliases(text), m.Name):
			lacking = true
		case lacking:
			return env.Extension, nil
		default:
			return 0, nil
		}
	}
	return 0, nil
}

// marked finds the versions of an extension that line marks name.
var marked = regexp.MustCompile(`(?:since|until) ([0-9]+\.[0-9]+)`)

// environments returns the servers of one major that the collector can meet: one
// for each version of its extension that the texts tell apart. Majors among those
// count as an extension older than all of them.
func environments(c spec.Collector, major spec.Version) []spec.Env {
	versions := []spec.Version{0}
	if c.Needs.Extension != "" {
		for _, q := range c.Queries {
			versions = append(versions, q.Since, q.Until)
			for _, m := range marked.FindAllStringSubmatch(q.SQL, -1) {
				if v, err := spec.ParseVersion(m[1]); err == nil {
					versions = append(versions, v)
				}
			}
		}
		slices.Sort(versions)
	}
	var envs []spec.Env
	for _, v := range slices.Compact(versions) {
		envs = append(envs, spec.Env{Major: major, Extension: v, Schema: "public"})
	}
	return envs
}

// ranges writes ascending majors as ranges.
func ranges(majors []spec.Version) string {
	var out []string
	for len(majors) > 0 {
		n := 1
		for n < len(majors) && majors[n] == majors[n-1]+1 {
			n++
		}
		first, last := majors[0], majors[n-1]
		switch {
		case last == spec.NewestMajor:
			out = append(out, first.String()+"+")
		case first == last:
			out = append(out, first.String())
		default:
			out = append(out, first.String()+" to "+last.String())
		}
		majors = majors[n:]
	}
	return strings.Join(out, ", ")
}
