package scrape

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// follow keeps, for a collector that follows another's Fold, what was answered
// for each value that is shown.
type follow struct {
	c       spec.Collector
	of      *unit                         // nil: all is shown, as on a recorded page
	answers map[string]map[string]*answer // by database and value
}

// answer is the rows of one value.
type answer struct {
	at   time.Time
	rows []answered
}

// answered is one row: its labels, and its values by metric.
type answered struct {
	labels [][]byte
	values []float64
}

func newFollow(c spec.Collector, of *unit) *follow {
	return &follow{c: c, of: of, answers: map[string]map[string]*answer{}}
}

// ask returns the values to ask for: what is shown now, and has no answer that
// holds. What is no longer shown is forgotten.
func (f *follow) ask(database string, now time.Time) []string {
	values := f.of.shownValues(database, f.c.Follow.Column)
	known := f.answers[database]
	keep := make(map[string]*answer, len(values))
	var todo []string
	for _, v := range values {
		a := known[v]
		if a != nil && (f.c.Follow.For == 0 || now.Sub(a.at) < f.c.Follow.For) {
			keep[v] = a
			continue
		}
		todo = append(todo, v)
	}
	f.answers[database] = keep
	return todo
}

// forget drops what is kept of databases that are gone.
func (f *follow) forget(watched func(string) bool) {
	for name := range f.answers {
		if name != "" && !watched(name) {
			delete(f.answers, name)
		}
	}
}

// take keeps the rows of a run.
func (f *follow) take(database string, now time.Time, rows *spec.Rows) error {
	known := f.answers[database]
	if known == nil {
		known = map[string]*answer{}
		f.answers[database] = known
	}
	key, _ := rows.Find(f.c.Follow.Column, spec.Text)
	fresh := map[string]*answer{}
	for row := range rows.Len() {
		value, ok := rows.TextAt(row, key)
		if !ok {
			return &MismatchError{Column: f.c.Follow.Column, Problem: "is NULL in a row, and what is asked for cannot be"}
		}
		a := fresh[string(value)]
		if a == nil {
			a = &answer{at: now}
			fresh[string(value)], known[string(value)] = a, a
		}
		var r answered
		for _, l := range f.c.Labels {
			at, _ := rows.Find(l, spec.Text)
			text, ok := rows.TextAt(row, at)
			if !ok {
				return &MismatchError{Column: l, Problem: "is NULL in a row, and a label cannot be; the SQL must decide what it means"}
			}
			r.labels = append(r.labels, bytes.Clone(text))
		}
		for _, m := range f.c.Metrics {
			v := spec.Absent()
			if at, ok := rows.Find(m.Name, spec.Value); ok {
				v = rows.ValueAt(row, at)
			}
			r.values = append(r.values, v)
		}
		a.rows = append(a.rows, r)
	}
	return nil
}

// show makes the result of one database from what is kept of it.
func (f *follow) show(database string, r *result) error {
	labels, err := newLabels(f.c)
	if err != nil {
		return err
	}
	var all []answered
	for _, a := range f.answers[database] {
		all = append(all, a.rows...)
	}
	slices.SortFunc(all, func(a, b answered) int { return slices.CompareFunc(a.labels, b.labels, bytes.Compare) })
	r.columns = make([][]float64, len(f.c.Metrics))
	for _, row := range all {
		cells := row.labels
		if f.c.Scope == spec.PerDatabase {
			cells = append([][]byte{[]byte(database)}, cells...)
		}
		if err := labels.Append(cells...); err != nil {
			return err
		}
		for i, v := range row.values {
			r.columns[i] = append(r.columns[i], v)
		}
	}
	r.labels = labels
	return nil
}

// shownValues returns what a column has in the rows that the collector's Fold
// shows of a database, heaviest first, each once.
func (u *unit) shownValues(database, column string) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.fold == nil || u.fold.databases[database] == nil {
		return nil
	}
	weights := map[string]float64{}
	note := func(value []byte, g *group) {
		if g.place == shown {
			weights[string(value)] = max(weights[string(value)], g.weight)
		}
	}
	db := u.fold.databases[database]
	if label := slices.Index(u.c.Labels, column); label >= 0 {
		for _, g := range db.groups {
			note(g.labels()[label], g)
		}
	} else {
		for key, row := range db.rows {
			note([]byte(key), row.group)
		}
	}
	values := make([]string, 0, len(weights))
	for v := range weights {
		values = append(values, v)
	}
	slices.SortFunc(values, func(a, b string) int { return cmp.Or(cmp.Compare(weights[b], weights[a]), cmp.Compare(a, b)) })
	return values
}
