package scrape

// account is what a label set counted while it was shown, and how much of that a
// page has shown: a series that comes back must not begin below where it ended,
// and what no page has shown belongs to the remainder when the label set gives way.
type account struct {
	counters []float64 // now, by metric
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

// settle returns what the counters have grown by since a page last showed them,
// and takes it off them.
func (a *account) settle() []float64 {
	base := a.shownBefore(0)
	grown := make([]float64, len(a.counters))
	for i, v := range a.counters {
		grown[i] = v
		if base != nil {
			grown[i] = minus(v, base[i])
		}
		a.counters[i] = minus(v, grown[i])
	}
	a.base, a.told = base, [2]told{}
	return grown
}
