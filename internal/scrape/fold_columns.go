package scrape

import "github.com/pgvigil/pgvigil/internal/spec"

// foldColumns says where a result has the columns of a fold; -1 is a column that
// this version lacks.
type foldColumns struct {
	key     int
	within  []int
	labels  []int
	metrics []int
	ranks   []int
	began   []int
}

// columns finds the declared columns in the rows.
func (f *fold) columns(rows *spec.Rows) foldColumns {
	find := func(name string, kind spec.Kind) int {
		if at, ok := rows.Find(name, kind); ok {
			return at
		}
		return -1
	}
	var cols foldColumns
	cols.key = find(f.c.Fold.Key, spec.Text)
	for _, l := range f.c.Fold.Within {
		cols.within = append(cols.within, find(l, spec.Text))
	}
	for _, l := range f.c.Labels {
		cols.labels = append(cols.labels, find(l, spec.Text))
	}
	for _, m := range f.c.Metrics {
		cols.metrics = append(cols.metrics, find(m.Name, spec.Value))
	}
	for _, rank := range f.c.Fold.Rank {
		cols.ranks = append(cols.ranks, find(rank, spec.Value))
	}
	for _, b := range f.c.Fold.Began {
		cols.began = append(cols.began, find(b, spec.Value))
	}
	return cols
}

// check refuses a result with a key twice or a label NULL before any of it
// counts.
func (f *fold) check(rows *spec.Rows, cols foldColumns) error {
	seen := make(map[string]struct{}, rows.Len())
	var key []byte
	for row := range rows.Len() {
		for i, at := range cols.labels {
			if _, ok := rows.TextAt(row, at); !ok {
				return &MismatchError{Column: f.c.Labels[i], Problem: "is NULL in a row, and a label cannot be; the SQL must decide what it means"}
			}
		}
		own, ok := rows.TextAt(row, cols.key)
		if !ok {
			return &MismatchError{Column: f.c.Fold.Key, Problem: "is NULL in a row, and a key cannot be"}
		}
		key = cols.identify(key[:0], rows, row)
		if _, twice := seen[string(key)]; twice {
			return &DuplicateError{What: f.c.Fold.Key + " " + string(own)}
		}
		seen[string(key)] = struct{}{}
	}
	return nil
}

// identify appends what tells a row from all others.
func (cols foldColumns) identify(key []byte, rows *spec.Rows, row int) []byte {
	for _, at := range cols.within {
		text, _ := rows.TextAt(row, at)
		key = append(append(key, text...), 0)
	}
	text, _ := rows.TextAt(row, cols.key)
	return append(key, text...)
}

// join appends the labels of a row, joined.
func (cols foldColumns) join(name []byte, rows *spec.Rows, row int) []byte {
	for i, at := range cols.labels {
		if i > 0 {
			name = append(name, 0)
		}
		text, _ := rows.TextAt(row, at)
		name = append(name, text...)
	}
	return name
}
