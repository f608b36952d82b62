package scrape

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// others makes new results for the databases, other than the one just read, whose
// label sets gave way or came in: so the limit holds for all of them at any time.
func (f *fold) others(just string, made func() uint64) (map[string]*result, error) {
	var results map[string]*result
	for name, db := range f.databases {
		if name == just || !db.moved {
			continue
		}
		r := &result{at: db.last, made: made()}
		if err := f.show(name, db, r); err != nil {
			return nil, err
		}
		if results == nil {
			results = map[string]*result{}
		}
		results[name] = r
	}
	return results, nil
}

// show makes the result of one database from what is kept of it.
func (f *fold) show(database string, db *foldDatabase, r *result) error {
	db.moved, db.result = false, r
	var visible []*group
	for _, g := range db.order {
		if g.place == shown {
			visible = append(visible, g)
			g.account.tell(r)
		} else if g.run == db.run {
			r.folded++
		}
	}
	slices.SortFunc(visible, func(a, b *group) int { return cmp.Compare(a.name, b.name) })
	rests := slices.SortedFunc(maps.Values(db.rests), func(a, b *remainder) int { return slices.CompareFunc(a.labels, b.labels, bytes.Compare) })
	rests = slices.DeleteFunc(rests, func(rest *remainder) bool { return !rest.used })
	labels, err := newLabels(f.c)
	if err != nil {
		return err
	}
	for _, g := range visible {
		if err := labels.Append(f.cells(database, g.labels())...); err != nil {
			return err
		}
	}
	for _, rest := range rests {
		if err := labels.Append(f.cells(database, rest.labels)...); err != nil {
			return err
		}
	}
	r.labels = labels
	r.columns = make([][]float64, len(f.c.Metrics))
	for i, at := range db.columns.metrics {
		if at >= 0 {
			r.columns[i] = f.column(i, visible, rests)
		}
	}
	return nil
}

// otherLabel stands for all that is folded.
const otherLabel = "other"

func (f *fold) cells(database string, labels [][]byte) [][]byte {
	if f.c.Scope != spec.PerDatabase {
		return labels
	}
	return append([][]byte{[]byte(database)}, labels...)
}

// column returns the values of one metric: of the shown groups and then of the
// remainders, which have no timestamps.
func (f *fold) column(i int, visible []*group, rests []*remainder) []float64 {
	m := f.c.Metrics[i]
	values := make([]float64, 0, len(visible)+len(rests))
	for _, g := range visible {
		if m.Type == spec.Counter {
			values = append(values, g.account.counters[i])
		} else {
			values = append(values, g.gauges[i])
		}
	}
	for _, rest := range rests {
		if m.Type == spec.Counter {
			values = append(values, rest.counters[i])
		} else {
			values = append(values, rest.gauges[i])
		}
	}
	return values
}
