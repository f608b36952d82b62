package readiness

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// lastRelease is when the PostgreSQL project ends a major version, by its versioning
// policy: five years after the first release, in November.
var lastRelease = map[spec.Version]time.Time{
	13: time.Date(2025, time.November, 13, 0, 0, 0, 0, time.UTC),
	14: time.Date(2026, time.November, 12, 0, 0, 0, 0, time.UTC),
	15: time.Date(2027, time.November, 11, 0, 0, 0, 0, time.UTC),
	16: time.Date(2028, time.November, 9, 0, 0, 0, 0, time.UTC),
	17: time.Date(2029, time.November, 8, 0, 0, 0, 0, time.UTC),
	18: time.Date(2030, time.November, 14, 0, 0, 0, 0, time.UTC),
}

// release is a minor version.
type release struct {
	minor int
	came  time.Time
	last  bool // of its major
}

// newestMinor are the releases that were known when this was written. New ones come at
// least once in three months, on the second Thursday of February, May, August and
// November.
var newestMinor = map[spec.Version]release{
	13: {minor: 23, came: time.Date(2025, time.November, 13, 0, 0, 0, 0, time.UTC), last: true},
	14: {minor: 23, came: spring2026},
	15: {minor: 18, came: spring2026},
	16: {minor: 14, came: spring2026},
	17: {minor: 10, came: spring2026},
	18: {minor: 4, came: spring2026},
}

// spring2026 is when those of May 2026 came.
var spring2026 = time.Date(2026, time.May, 14, 0, 0, 0, 0, time.UTC)
