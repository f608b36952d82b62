package scrape

import "github.com/pgvigil/pgvigil/internal/spec"

// account is what a label set counted while it was shown, and how much of that a
// page has shown: a series that comes back must not begin below where it ended,
// and what no page has shown belongs to the remainder when the label set gives way.
type account struct {
	counters []float64 // now, by metric; nil is 0 of all it has
	metrics  uint64    // a bit for each metric it has, while it is folded
	base     []float64 // as a page showed them, before the results below
	told     [2]told   // the last two results, newest first
}

// told is what one result has of a label set.
type told struct {
	result   *result
	counters []float64
}

// tell notes that a result has the counters as they are now.
func (a *account) tell(r *result) {
	a.base = a.shownBefore(1)
	a.told = [2]told{{r, append([]float64(nil), a.counters...)}, a.told[0]}
}

// shownBefore returns the counters as a page has last shown them, of the results
// from the i-th on; nil is never. What no page has shown of these, none will.
func (a *account) shownBefore(i int) []float64 {
	for _, t := range a.told[i:] {
		if t.result != nil && t.result.withdraw() {
			return t.counters
		}
	}
	return a.base
}

// wasShown reports whether a page had shown the label set when it was folded.
func (a *account) wasShown() bool { return a.base != nil }

// has notes that a folded label set has a counter.
func (a *account) has(i int) { a.metrics |= 1 << i }

// open readies the account of a label set that comes to be shown, of n metrics.
func (a *account) open(n int) {
	if a.counters == nil {
		a.counters = absent(n)
	}
	for i := range a.counters {
		if a.metrics&(1<<i) != 0 {
			a.counters[i] = plus(a.counters[i], 0)
		}
	}
}

// settle returns what the counters have grown by since a page last showed them,
// and takes it off them.
func (a *account) settle() []float64 {
	base, grown := a.shownBefore(0), a.counters
	for i, v := range grown {
		if spec.IsAbsent(v) {
			continue
		}
		a.has(i)
		if base != nil {
			grown[i] = minus(v, base[i])
		}
	}
	a.counters, a.base, a.told = append([]float64(nil), base...), base, [2]told{}
	return grown
}
