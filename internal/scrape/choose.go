package scrape

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// How sticky the shown set of a fold is. A series that comes and goes costs
// Prometheus more than one that stays, and a dashboard loses it.
const (
	tenure        = 2 * time.Hour   // a shown label set stays at least this long
	clearly       = 2.0             // a newcomer must weigh this many times as much
	settling      = 5 * time.Minute // until then the choice is free: not all databases have been seen
	choiceEvery   = time.Minute     // how often the shown set is chosen anew
	changesWindow = 24 * time.Hour  // within which at most limit label sets are replaced
)

// choose decides which label sets are shown. It runs once a database and rhythm,
// over the groups of all databases, and so sorts no more than it must.
func (f *fold) choose(now time.Time) {
	all := f.weigh()
	if len(all) <= f.limit || now.Sub(f.born) < settling {
		f.chooseFreely(all, now)
		return
	}
	inPlace := 0
	for _, g := range all {
		if g.place == shown {
			inPlace++
		}
	}
	if free := f.limit - inPlace; free > 0 {
		for _, g := range heaviest(all, free, func(g located) bool { return g.place != shown }) {
			f.move(g, shown, now)
		}
	}
	if now.Sub(f.chosen) >= choiceEvery {
		f.chosen = now
		f.replace(all, now)
	}
	for _, g := range all {
		if g.place == undecided {
			f.move(g, folded, now)
		}
	}
}

// located is a group and the database it is of.
type located struct {
	*group
	db *foldDatabase
}

// compare puts the heavier first, and equals in an order that stays.
func (a located) compare(b located) int {
	if c := cmp.Compare(b.weight, a.weight); c != 0 {
		return c
	}
	return cmp.Compare(a.name, b.name)
}

// weigh returns all groups that are there or shown. A group weighs as much as its
// largest share of any rank: it is big, or it is busy.
func (f *fold) weigh() []located {
	var all []located
	sums := make([]float64, len(f.c.Fold.Rank))
	for _, db := range f.databases {
		for _, g := range db.order {
			if g.reserved || g.run != db.run && g.place != shown {
				continue
			}
			all = append(all, located{g, db})
			for i, w := range g.weights {
				sums[i] += w
			}
		}
	}
	for _, g := range all {
		g.weight = 0
		for i, w := range g.weights {
			if sums[i] > 0 {
				g.weight = max(g.weight, w/sums[i])
			}
		}
	}
	return all
}

// heaviest returns the n heaviest of those wanted, heaviest first. It keeps them in
// a heap with the lightest on top, which most of the others never enter.
func heaviest(all []located, n int, wanted func(located) bool) []located {
	top := make(lightest, 0, n)
	for _, g := range all {
		switch {
		case !wanted(g):
		case len(top) < n:
			heap.Push(&top, g)
		case g.compare(top[0]) < 0:
			top[0] = g
			heap.Fix(&top, 0)
		}
	}
	slices.SortFunc(top, located.compare)
	return top
}

// lightest is a heap of groups with the lightest on top.
type lightest []located

func (h lightest) Len() int           { return len(h) }
func (h lightest) Less(i, j int) bool { return h[i].compare(h[j]) > 0 }
func (h lightest) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *lightest) Push(g any)        { *h = append(*h, g.(located)) }
func (h *lightest) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// chooseFreely shows the heaviest.
func (f *fold) chooseFreely(all []located, now time.Time) {
	top := heaviest(all, f.limit, func(located) bool { return true })
	in := make(map[*group]bool, len(top))
	for _, g := range top {
		in[g.group] = true
	}
	for _, g := range all {
		if !in[g.group] {
			f.move(g, folded, now)
		}
	}
	for _, g := range top {
		f.move(g, shown, now)
	}
}

// replace lets a folded group that is clearly heavier take the place of a shown
// one that has been there long enough.
func (f *fold) replace(all []located, now time.Time) {
	slices.SortFunc(all, located.compare)
	f.changes = slices.DeleteFunc(f.changes, func(t time.Time) bool { return now.Sub(t) >= changesWindow })
	weakest := len(all) - 1
	for _, g := range all {
		if g.place == shown {
			continue
		}
		for weakest >= 0 && (all[weakest].place != shown || now.Sub(all[weakest].since) < tenure) {
			weakest--
		}
		if weakest < 0 || g.weight <= clearly*all[weakest].weight || len(f.changes) >= f.limit {
			return
		}
		f.move(all[weakest], folded, now)
		f.move(g, shown, now)
		f.changes = append(f.changes, now)
	}
}

// move puts a group in its place. What it counted and no page has shown goes to
// the remainder with it.
func (f *fold) move(g located, to place, now time.Time) {
	if g.place == to {
		return
	}
	if to == folded {
		g.settle()
		for i, v := range g.gauges {
			f.addGauge(g.rest, i, v)
		}
		g.gauges, g.rest.used = nil, true
	} else if g.gauges == nil {
		// Those of this run are part of the remainder.
		g.gauges = absent(len(f.c.Metrics))
		g.open(len(f.c.Metrics))
	}
	g.db.moved = true
	g.place, g.since = to, now
}
