package scrape

import (
	"bytes"
	"cmp"
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

// choose decides which label sets are shown.
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
	for _, g := range all {
		// all is heaviest first, so a free place goes to the heaviest.
		if g.place != shown && inPlace < f.limit {
			f.move(g, shown, now)
			inPlace++
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

// weigh returns all groups that are there or shown, heaviest first. A group weighs
// as much as its largest share of any rank: it is big, or it is busy.
func (f *fold) weigh() []located {
	var all []located
	sums := make([]float64, len(f.c.Fold.Rank))
	for _, db := range f.databases {
		for _, g := range db.groups {
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
	slices.SortFunc(all, func(a, b located) int {
		if c := cmp.Compare(b.weight, a.weight); c != 0 {
			return c
		}
		return slices.CompareFunc(a.labels, b.labels, bytes.Compare)
	})
	return all
}

// chooseFreely shows the heaviest.
func (f *fold) chooseFreely(all []located, now time.Time) {
	for i, g := range all {
		if i < f.limit {
			f.move(g, shown, now)
		} else {
			f.move(g, folded, now)
		}
	}
}

// replace lets a folded group that is clearly heavier take the place of a shown
// one that has been there long enough.
func (f *fold) replace(all []located, now time.Time) {
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
		for i, d := range g.settle() {
			g.rest.counters[i] = plus(g.rest.counters[i], d)
		}
		g.rest.used = true
	}
	g.db.moved = true
	g.place, g.since = to, now
}
