package spec

import (
	"fmt"
	"strconv"
	"strings"
)

// Version is a PostgreSQL major (14), or an extension's version (Ext(1, 11)).
// Versions of one kind compare as integers.
type Version int

// extension is what an extension's major counts for, above any PostgreSQL major.
const extension = 1000

// The majors that pgvigil supports, oldest and newest. A newer server is
// treated as the newest known: what it lacks is left out line by line.
const (
	OldestMajor Version = 13
	NewestMajor Version = 18
)

// Majors returns the supported majors, oldest first.
func Majors() []Version {
	var majors []Version
	for v := OldestMajor; v <= NewestMajor; v++ {
		majors = append(majors, v)
	}
	return majors
}

// Ext returns the version of an extension.
func Ext(major, minor int) Version { return Version(major*extension + minor) }

// IsExtension reports whether v is an extension's version, not a major.
func (v Version) IsExtension() bool { return v >= extension }

// String returns the version as a mark writes it.
func (v Version) String() string {
	if v.IsExtension() {
		return fmt.Sprintf("%d.%d", v/extension, v%extension)
	}
	return strconv.Itoa(int(v))
}

// ParseVersion reads a major ("14") or an extension's version ("1.11"; a third
// part, as in "3.4.1", does not count).
func ParseVersion(s string) (Version, error) {
	major, rest, dotted := strings.Cut(s, ".")
	a, err := strconv.Atoi(major)
	if err != nil || a < 0 || a >= extension {
		return 0, fmt.Errorf("version %q is neither a major such as 14 nor an extension's such as 1.11", s)
	}
	if !dotted {
		return Version(a), nil
	}
	minor, _, _ := strings.Cut(rest, ".")
	b, err := strconv.Atoi(minor)
	if err != nil || b < 0 || b >= extension {
		return 0, fmt.Errorf("version %q is neither a major such as 14 nor an extension's such as 1.11", s)
	}
	return Ext(a, b), nil
}

// Env is what a text is rendered for.
type Env struct {
	// Major is the server's major.
	Major Version
	// Extension is the version of the collector's extension, if it needs one.
	Extension Version
	// Schema is where that extension lives.
	Schema string
}

// fits reports whether a text or line for [since, until) is meant for e.
func (e Env) fits(since, until Version) bool {
	of := func(v Version) Version {
		if v.IsExtension() {
			return e.Extension
		}
		return e.Major
	}
	return (since == 0 || of(since) >= since) && (until == 0 || of(until) < until)
}

// Query returns the collector's query for e, and whether there is one.
func (c Collector) Query(e Env) (Query, bool) {
	for _, q := range c.Queries {
		if e.fits(q.Since, q.Until) {
			return q, true
		}
	}
	return Query{}, false
}
