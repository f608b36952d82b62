package scrape

import (
	"bytes"
	"slices"

	"github.com/pgvigil/pgvigil/internal/page"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// others makes new results for the databases, other than the one just read, whose
// label sets gave way or came in: so the limit holds for all of them at any time.
func (f *fold) others(just string) (map[string]*result, error) {
	var results map[string]*result
	for name, db := range f.databases {
		if name == just || !db.moved {
			continue
		}
		r := &result{at: db.last}
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
	if db.result != nil && db.result.served.Load() {
		db.served = db.result.at
	}
	db.moved, db.result = false, r
	var visible []*group
	var rest []*group
	for _, g := range db.groups {
		if g.place == shown {
			visible = append(visible, g)
		} else {
			rest = append(rest, g)
		}
	}
	slices.SortFunc(visible, func(a, b *group) int { return slices.CompareFunc(a.labels, b.labels, bytes.Compare) })
	names := f.c.Labels
	if f.c.Scope == spec.PerDatabase {
		names = append([]string{"datname"}, names...)
	}
	labels, err := page.NewLabels(names...)
	if err != nil {
		return err
	}
	for _, g := range visible {
		if err := labels.Append(f.cells(database, g.labels)...); err != nil {
			return err
		}
	}
	if db.hasRest {
		other := make([][]byte, len(f.c.Labels))
		for i := range other {
			other[i] = []byte(otherLabel)
		}
		if err := labels.Append(f.cells(database, other)...); err != nil {
			return err
		}
	}
	r.labels, r.folded = labels, len(rest)
	r.columns = make([][]float64, len(f.c.Metrics))
	for i, at := range db.columns.metrics {
		if at >= 0 {
			r.columns[i] = f.column(i, visible, rest, db)
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

// column returns the values of one metric: of the shown groups and, last, of the
// remainder, which has no timestamps.
func (f *fold) column(i int, visible, rest []*group, db *foldDatabase) []float64 {
	counter := f.c.Metrics[i].Type == spec.Counter
	values := make([]float64, 0, len(visible)+1)
	for _, g := range visible {
		if counter {
			values = append(values, g.counters[i])
		} else {
			values = append(values, g.gauges[i])
		}
	}
	if !db.hasRest {
		return values
	}
	sum := spec.Absent()
	switch {
	case counter:
		sum = db.rest[i]
	case !isTimestamp(f.c.Metrics[i].Name):
		for _, g := range rest {
			sum = plus(sum, g.gauges[i])
		}
	}
	return append(values, sum)
}
