package scrape

import "github.com/pgvigil/pgvigil/internal/spec"

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

func newAccount(metrics int) *account { return &account{counters: absent(metrics)} }

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

// open readies the account of a label set that comes to be shown, of n metrics: a
// counter that it has and no page has shown begins at 0.
func (g *group) open(n int) {
	if g.account == nil {
		g.account = newAccount(n)
	}
	for i := range g.account.counters {
		if g.metrics&(1<<i) != 0 {
			g.account.counters[i] = plus(g.account.counters[i], 0)
		}
	}
}

// settle gives to the remainder what the counters have grown by since a page last
// showed them; without such a page, the account is closed.
func (g *group) settle() {
	base := g.account.shownBefore(0)
	for i, v := range g.account.counters {
		if spec.IsAbsent(v) {
			continue
		}
		g.metrics |= 1 << i
		if base != nil {
			v = minus(v, base[i])
		}
		g.rest.counters[i] = plus(g.rest.counters[i], v)
	}
	if base == nil {
		g.account = nil
		return
	}
	g.account = &account{counters: append([]float64(nil), base...), base: base}
}
