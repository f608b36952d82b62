package scrape

import (
	"strings"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// joinGauge makes one gauge of two.
func joinGauge(m spec.Metric, a, b float64) float64 {
	if m.Merge == spec.Max || isTimestamp(m.Name) {
		return larger(a, b)
	}
	return plus(a, b)
}

func clearValues(values []float64) {
	for i := range values {
		values[i] = spec.Absent()
	}
}

// delta is what a counter grew by: since its first sight, all of it; since a
// reset, all that came after. One that is absent has counted nothing.
func delta(before, now float64) float64 {
	if spec.IsAbsent(before) || spec.IsAbsent(now) || now < before {
		return now
	}
	return now - before
}

// plus adds, with absent as nothing.
func plus(sum, v float64) float64 {
	switch {
	case spec.IsAbsent(v):
		return sum
	case spec.IsAbsent(sum):
		return v
	}
	return sum + v
}

// minus subtracts, with absent as nothing.
func minus(a, b float64) float64 {
	if spec.IsAbsent(a) || spec.IsAbsent(b) {
		return a
	}
	return a - b
}

// larger returns the larger, with absent as nothing.
func larger(a, b float64) float64 {
	if spec.IsAbsent(a) || b > a {
		return b
	}
	return a
}

func absent(n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = spec.Absent()
	}
	return values
}

func isCounter(name string) bool { return strings.HasSuffix(name, "_total") }

func isTimestamp(name string) bool { return strings.HasSuffix(name, "_timestamp_seconds") }
