package scrape

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/pgvigil/pgvigil/internal/page"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// result is what one run of a collector on one database publishes: complete and
// checked, and from then on only read.
type result struct {
	labels  *page.Labels
	columns [][]float64   // one for each metric of the collector; nil where there is none
	named   []page.Family // metrics whose names Emit made
	samples int
	folded  int    // label sets added up in the remainder
	gone    uint64 // rows that a run had and the next had not, so far
	at      time.Time
	made    uint64 // which of the unit's results it is
	state   atomic.Int32
}

// The states of a result. A page shows it, or the fold that made it counts on no
// page showing it: never both.
const (
	unserved int32 = iota
	served
	withdrawn
)

// serve reports whether a page may show the result, and notes that one does.
func (r *result) serve() bool {
	return r.state.CompareAndSwap(unserved, served) || r.state.Load() == served
}

// withdraw reports whether a page has shown the result; if not, none will.
func (r *result) withdraw() bool {
	return !r.state.CompareAndSwap(unserved, withdrawn) && r.state.Load() == served
}

// isWithdrawn reports whether no page may show the result: the next is on its way.
func (r *result) isWithdrawn() bool { return r.state.Load() == withdrawn }

// bind turns the rows of a run into a result: all of it or an error.
func (u *unit) bind(run spec.Run, rows *spec.Rows, p *plan, dropped []string) (*result, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := p.match(u.c, rows.Columns(), dropped); err != nil {
		return nil, err
	}
	r := &result{at: run.Now, made: u.next()}
	var err error
	switch {
	case u.fold != nil:
		err = u.fold.add(u.database(run.Database), run, rows, r)
		r.gone = u.fold.gone
	case u.follow != nil:
		if err = u.follow.take(u.database(run.Database), run.Now, rows); err == nil {
			err = u.follow.show(u.database(run.Database), r)
		}
	case u.emitter != nil:
		err = u.emit(run, rows, r)
	default:
		err = u.plain(run, rows, r)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u.c.Name, err)
	}
	if err := r.check(u.maxSeries()); err != nil {
		return nil, fmt.Errorf("%s: %w", u.c.Name, err)
	}
	return r, nil
}

// refolded returns the results of other databases that changed with the run of
// one: label sets of theirs gave way, or came in.
func (u *unit) refolded(just string) (map[string]*result, error) {
	if u.fold == nil {
		return nil, nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	results, err := u.fold.others(u.database(just), u.next)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u.c.Name, err)
	}
	for _, r := range results {
		if err := r.check(u.maxSeries()); err != nil {
			return nil, fmt.Errorf("%s: %w", u.c.Name, err)
		}
	}
	return results, nil
}

// plain takes each row as samples: labels rendered, values by column.
func (u *unit) plain(run spec.Run, rows *spec.Rows, r *result) error {
	labels, err := newLabels(u.c)
	if err != nil {
		return err
	}
	cells := make([][]byte, 0, len(u.c.Labels)+1)
	at := make([]int, len(u.c.Labels))
	for i, l := range u.c.Labels {
		at[i], _ = rows.Find(l, spec.Text)
	}
	database := []byte(run.Database)
	for row := range rows.Len() {
		cells = cells[:0]
		if u.c.Scope == spec.PerDatabase {
			cells = append(cells, database)
		}
		for i, l := range u.c.Labels {
			text, ok := rows.TextAt(row, at[i])
			if !ok {
				return &MismatchError{Column: l, Problem: "is NULL in a row, and a label cannot be; the SQL must decide what it means"}
			}
			cells = append(cells, text)
		}
		if err := labels.Append(cells...); err != nil {
			return err
		}
	}
	r.labels = labels
	r.columns = make([][]float64, len(u.c.Metrics))
	for i, m := range u.c.Metrics {
		at, ok := rows.Find(m.Name, spec.Value)
		if !ok {
			continue
		}
		column := make([]float64, rows.Len())
		for row := range column {
			column[row] = rows.ValueAt(row, at)
		}
		r.columns[i] = column
	}
	return nil
}

// emit lets the collector's own code turn the rows into samples.
func (u *unit) emit(run spec.Run, rows *spec.Rows, r *result) error {
	sink := spec.NewSink(u.c)
	if err := u.emitter.Emit(run, rows, sink); err != nil {
		return err
	}
	out, named, err := sink.Close()
	if err != nil {
		return err
	}
	alone, err := page.NewLabels()
	if err != nil {
		return err
	}
	if err := alone.Append(); err != nil {
		return err
	}
	for _, n := range named {
		r.named = append(r.named, page.Family{
			// Always with the prefix: the setting pg_stat_statements.max must not
			// pass for a metric of pg_stat_statements.
			Name: spec.Prefix + u.c.Flag() + "_" + n.Metric.Name, Help: n.Metric.Help, Type: n.Metric.Type,
			Columns: []page.Column{{Labels: alone, Values: []float64{n.Value}}},
		})
	}
	return u.plain(run, out, r)
}

// newLabels returns empty label blocks with the collector's names.
func newLabels(c spec.Collector) (*page.Labels, error) {
	names := c.Labels
	if c.Scope == spec.PerDatabase {
		names = append([]string{"datname"}, names...)
	}
	return page.NewLabels(names...)
}

// check counts the samples and refuses duplicates and overflows.
func (r *result) check(most int) error {
	seen := make(map[string]struct{}, r.labels.Len())
	for row := range r.labels.Len() {
		block := r.labels.Block(row)
		if _, twice := seen[string(block)]; twice {
			return &DuplicateError{What: "label set " + string(block)}
		}
		seen[string(block)] = struct{}{}
	}
	for _, column := range r.columns {
		for _, v := range column {
			if !spec.IsAbsent(v) {
				r.samples++
			}
		}
	}
	names := make(map[string]struct{}, len(r.named))
	for _, f := range r.named {
		if _, twice := names[f.Name]; twice {
			return &DuplicateError{What: "metric " + f.Name}
		}
		names[f.Name] = struct{}{}
		if err := f.Check(); err != nil {
			return err
		}
		r.samples += f.Samples()
	}
	if r.samples > most {
		return &LimitError{Series: r.samples, Max: most}
	}
	return nil
}

// families returns the results' columns as the page wants them, one family for
// each metric, with a column for each result.
func (u *unit) families(results []*result) []page.Family {
	fams := make([]page.Family, 0, len(u.heads))
	columns := make([]page.Column, 0, len(u.heads)*len(results))
	for i, f := range u.heads {
		first := len(columns)
		for _, r := range results {
			if r.columns[i] != nil {
				columns = append(columns, page.Column{Labels: r.labels, Values: r.columns[i]})
			}
		}
		if f.Columns = columns[first:]; len(f.Columns) > 0 {
			fams = append(fams, f)
		}
	}
	for _, r := range results {
		fams = append(fams, r.named...)
	}
	return fams
}

// MismatchError says that a result's columns are not the declared ones.
type MismatchError struct{ Column, Problem string }

// Error names the column and what to do.
func (e *MismatchError) Error() string { return fmt.Sprintf("column %q %s", e.Column, e.Problem) }

// Reason is mismatch.
func (e *MismatchError) Reason() postgres.Reason { return postgres.ReasonMismatch }

// MissingError says that the server lacks what a label or a key is read from.
type MissingError struct{ Column string }

// Error names the column.
func (e *MissingError) Error() string {
	return fmt.Sprintf("column %q is made of what this server does not have", e.Column)
}

// Reason is undefined.
func (e *MissingError) Reason() postgres.Reason { return postgres.ReasonUndefined }

// DuplicateError says that two rows gave one series.
type DuplicateError struct{ What string }

// Error names the label set or metric that came twice.
func (e *DuplicateError) Error() string { return e.What + " occurs twice" }

// Reason is duplicate.
func (e *DuplicateError) Reason() postgres.Reason { return postgres.ReasonDuplicate }

// LimitError says that a run gave more series than the collector may.
type LimitError struct{ Series, Max int }

// Error tells both numbers.
func (e *LimitError) Error() string {
	return fmt.Sprintf("the result has %d series and may have %d", e.Series, e.Max)
}

// Reason is limit.
func (e *LimitError) Reason() postgres.Reason { return postgres.ReasonLimit }
