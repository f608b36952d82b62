package scrape

import (
	"github.com/pgvigil/pgvigil/internal/spec"
)

// showAll makes the result of one database where all label sets are shown. Then
// nothing need be kept of a row that is alone under its labels: its counters are
// the server's own. Only rows that share their labels are accumulated, so that a
// partition which is dropped does not make its root step back.
func (f *fold) showAll(database string, db *foldDatabase, rows *spec.Rows, cols foldColumns, r *result) error {
	alone := f.alone(db, rows, cols)
	labels, err := newLabels(f.c)
	if err != nil {
		return err
	}
	var several []*group // in the order of their first rows
	at := map[*group]int{}
	cells := make([][]byte, len(cols.labels))
	source := make([]int, 0, rows.Len()) // of each label set: its row, or -1-i of several
	for row := range rows.Len() {
		for i, col := range cols.labels {
			cells[i], _ = rows.TextAt(row, col)
		}
		if alone[row] {
			source = append(source, row)
		} else {
			f.take(db, rows, row, cols)
			g := db.rows[string(cols.identify(nil, rows, row))].group
			if _, ok := at[g]; ok {
				continue
			}
			g.place = shown
			at[g] = len(several)
			several = append(several, g)
			source = append(source, -len(several))
		}
		if err := labels.Append(f.cells(database, cells)...); err != nil {
			return err
		}
	}
	f.end(db, db.last)
	r.labels = labels
	r.columns = make([][]float64, len(f.c.Metrics))
	for i, col := range cols.metrics {
		if col < 0 {
			continue
		}
		values := make([]float64, len(source))
		for j, from := range source {
			switch {
			case from >= 0:
				values[j] = rows.ValueAt(from, col)
			case f.c.Metrics[i].Type == spec.Counter:
				values[j] = several[-from-1].account.counters[i]
			default:
				values[j] = several[-from-1].gauges[i]
			}
		}
		r.columns[i] = values
	}
	return nil
}

// alone tells of each row whether no other has its labels, nor ever had.
func (f *fold) alone(db *foldDatabase, rows *spec.Rows, cols foldColumns) []bool {
	first := make(map[string]int, rows.Len())
	alone := make([]bool, rows.Len())
	cells := make([][]byte, len(cols.labels))
	for row := range rows.Len() {
		for i, col := range cols.labels {
			cells[i], _ = rows.TextAt(row, col)
		}
		name := joined(cells)
		other, twice := first[name]
		switch {
		case db.groups[name] != nil:
		case twice:
			alone[other] = false
		default:
			first[name], alone[row] = row, true
		}
	}
	return alone
}
