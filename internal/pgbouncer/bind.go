package pgbouncer

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// answer is what came of one command.
type answer struct {
	table   postgres.Table
	at      time.Time
	elapsed time.Duration
	err     error
}

// reading makes of an answer what a collector has declared.
func (a answer) reading(c spec.Collector) spec.Reading {
	r := spec.Reading{Collector: c.Name, At: a.at, Elapsed: a.elapsed, Err: a.err}
	if r.Err == nil {
		r.Rows, r.Unknown, r.Err = Bind(c, a.table)
	}
	if r.Err != nil {
		r.Err = fmt.Errorf("%s: %w", c.Name, r.Err)
	}
	return r
}

// Bind makes rows of a table, with columns named as the collector's labels and
// metrics. Those are not there that the table lacks, or that it holds no numbers
// for. It counts the columns of the table that nobody here knows.
func Bind(c spec.Collector, t postgres.Table) (rows *spec.Rows, unknown int, err error) {
	known := map[string]bool{}
	if c.Answer.Key != "" {
		unknown = strangers(c, t.Columns, known)
		if t, err = turn(t, c.Answer.Key, c.Answer.Value); err != nil {
			return nil, 0, err
		}
	}
	var columns []spec.Column
	labels := make([]int, 0, len(c.Labels))
	for _, l := range c.Labels {
		known[l] = true
		if at := slices.Index(t.Columns, l); at >= 0 {
			columns = append(columns, spec.Column{Name: l, Kind: spec.Text})
			labels = append(labels, at)
		}
	}
	var values [][]float64
	for _, m := range c.Metrics {
		terms, err := m.Terms()
		if err != nil {
			return nil, 0, err
		}
		if column, ok := add(terms, t, known); ok {
			columns = append(columns, spec.Column{Name: m.Name, Kind: spec.Value})
			values = append(values, column)
		}
	}
	rows = spec.NewRows(columns)
	for i, row := range t.Rows {
		for _, at := range labels {
			// An empty name and none are the same to who reads the page.
			rows.AppendText(append([]byte{}, row[at]...))
		}
		for _, column := range values {
			rows.AppendValue(column[i])
		}
		if err := rows.EndRow(); err != nil {
			return nil, 0, err
		}
	}
	if c.Answer.Key != "" && c.Answer.Knows(spec.Any) {
		return rows, unknown, nil
	}
	return rows, unknown + strangers(c, t.Columns, known), nil
}

// strangers counts the columns that are neither known nor declared so.
func strangers(c spec.Collector, columns []string, known map[string]bool) int {
	n := 0
	for _, name := range columns {
		if !known[name] && !c.Answer.Knows(name) {
			n++
		}
	}
	return n
}

// turn makes one row with a column for each key of a table that has a row for each.
func turn(t postgres.Table, key, value string) (postgres.Table, error) {
	keys, values := slices.Index(t.Columns, key), slices.Index(t.Columns, value)
	if keys < 0 || values < 0 {
		return postgres.Table{}, errNoKeys
	}
	turned := postgres.Table{Rows: [][][]byte{nil}}
	for _, row := range t.Rows {
		turned.Columns = append(turned.Columns, string(row[keys]))
		turned.Rows[0] = append(turned.Rows[0], row[values])
	}
	return turned, nil
}

// add returns the sum of the terms in each row, and whether the table has them all.
// The names of columns are noted as known.
func add(terms []spec.Term, t postgres.Table, known map[string]bool) ([]float64, bool) {
	sums, ok := make([]float64, len(t.Rows)), true
	for _, term := range terms {
		at := -1
		for _, name := range slices.Backward(term.Columns) {
			known[name] = true
			if i := slices.Index(t.Columns, name); i >= 0 {
				at = i
			}
		}
		if at < 0 && len(term.Columns) > 0 {
			ok = false
			continue
		}
		for i, row := range t.Rows {
			v, err := number(row, at)
			if err != nil {
				ok = false
				break
			}
			switch {
			case spec.IsAbsent(sums[i]):
			case spec.IsAbsent(v):
				sums[i] = v
			default:
				sums[i] += v * term.Factor
			}
		}
	}
	return sums, ok
}

// number reads a cell; without one it is 1.
func number(row [][]byte, at int) (float64, error) {
	switch {
	case at < 0:
		return 1, nil
	case row[at] == nil:
		return spec.Absent(), nil
	}
	return strconv.ParseFloat(string(row[at]), 64)
}
