package scrape

import (
	"bytes"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// activityHalf is the half-life of the activity that a rank in _total goes by.
const activityHalf = 30 * time.Minute

// fold keeps the rows of a collector over all databases of a server, decides
// which label sets are shown, and adds up the others in one remainder for each
// database, or for each value of the labels it keeps.
//
// Counters are accumulated from the positive deltas of the underlying rows, so
// that neither a dropped relation nor a partition that moves makes a sum step
// back. A delta counts once: for its label set while that is shown, for the
// remainder while it is folded. So all series there have been add up to what the
// server has counted, increases add up over any window, and no counter falls.
type fold struct {
	c         spec.Collector
	limit     int // label sets shown; 0 is all
	databases map[string]*foldDatabase
	born      time.Time   // of the first run
	chosen    time.Time   // when the shown set was last chosen
	changes   []time.Time // of label sets that replaced another
	gone      uint64      // rows that one run had and the next had not
	counters  []int       // of each metric: its place among the counters, -1 for a gauge
	width     int         // of what is kept of a row
}

// foldDatabase is what is kept of one database.
type foldDatabase struct {
	rows    map[string]*foldRow
	groups  map[string]*group
	order   []*group // as they came, so that sums are added in one order
	rests   map[string]*remainder
	moved   bool    // the shown set has changed since the last result was made
	result  *result // the last that was made
	columns foldColumns
	scratch []byte
	run     uint64
	last    time.Time
}

// foldRow is one underlying row, by its key. There may be hundreds of thousands:
// what is kept of each is one block of numbers.
type foldRow struct {
	group *group
	last  []float64 // as last read: counters, ranks that are counters, what tells that they began anew
	run   uint64
}

// group is one label set: one row, or several that share their labels.
type group struct {
	name     string // its labels, joined
	rest     *remainder
	account  *account  // nil while it is folded and was never shown
	metrics  uint64    // a bit for each counter it has, once it was folded
	gauges   []float64 // of this run, by metric; nil while it is folded
	weights  []float64 // of each rank: its size now, or its recent growth
	weight   float64   // its largest share of any rank, when the shown set was chosen
	place    place
	reserved bool      // its labels are those of the rest, so it is always folded
	since    time.Time // in its place since
	run      uint64
}

// labels are the label values.
func (g *group) labels() [][]byte { return bytes.Split([]byte(g.name), []byte{0}) }

// remainder is what is folded under one label set.
type remainder struct {
	labels   [][]byte
	counters []float64 // accumulated, by metric
	gauges   []float64 // of this run, by metric
	used     bool      // something was folded once, so it stays
	needed   time.Time // when a label set was last under it
}

// place is where a label set is on the page.
type place uint8

const (
	undecided place = iota // new in this run
	shown
	folded
)

func newFold(c spec.Collector, limit int) *fold {
	f := &fold{c: c, limit: limit, databases: map[string]*foldDatabase{}}
	n := 0
	for _, m := range c.Metrics {
		at := -1
		if m.Type == spec.Counter {
			at = n
			n++
		}
		f.counters = append(f.counters, at)
	}
	f.width = n + len(c.Fold.Rank) + len(c.Fold.Began)
	return f
}

// rank is where what is kept of a row has its i-th rank, and began the i-th column
// that tells of a new beginning.
func (f *fold) rank(i int) int  { return f.width - len(f.c.Fold.Began) - len(f.c.Fold.Rank) + i }
func (f *fold) began(i int) int { return f.width - len(f.c.Fold.Began) + i }

// forget drops what is kept of databases that are gone. What belongs to the server
// is under no database.
func (f *fold) forget(watched func(string) bool) {
	for name := range f.databases {
		if name != "" && !watched(name) {
			delete(f.databases, name)
		}
	}
}

// add takes the rows of one database, or "" for the server, and makes its result.
func (f *fold) add(name string, run spec.Run, rows *spec.Rows, r *result) error {
	db := f.databases[name]
	if db == nil {
		db = &foldDatabase{rows: map[string]*foldRow{}, groups: map[string]*group{}, rests: map[string]*remainder{}}
		f.databases[name] = db
	}
	cols := f.columns(rows)
	if err := f.check(rows, cols); err != nil {
		return err
	}
	if f.born.IsZero() {
		f.born = run.Now
	}
	f.begin(db, run.Now)
	if f.limit <= 0 {
		return f.showAll(name, db, rows, cols, r)
	}
	for row := range rows.Len() {
		f.take(db, rows, row, cols)
	}
	f.end(db, run.Now)
	db.columns = cols
	f.choose(run.Now)
	if db.moved {
		// What came to be shown has its gauges in the remainder so far.
		db.clearGauges()
		for row := range rows.Len() {
			f.takeGauges(db.rows[string(cols.identify(nil, rows, row))].group, rows, row, cols)
		}
	}
	return f.show(name, db, r)
}

// clearGauges makes room for those of a run.
func (db *foldDatabase) clearGauges() {
	for _, rest := range db.rests {
		clearValues(rest.gauges)
	}
	for _, g := range db.order {
		clearValues(g.gauges)
	}
}

// takeGauges adds the gauges of one row to its group, or to the remainder.
func (f *fold) takeGauges(g *group, rows *spec.Rows, row int, cols foldColumns) {
	for i, at := range cols.metrics {
		if at < 0 || f.c.Metrics[i].Type != spec.Gauge {
			continue
		}
		v := rows.ValueAt(row, at)
		switch m := f.c.Metrics[i]; {
		case spec.IsAbsent(v):
		case g.place == folded:
			f.addGauge(g.rest, i, v)
		default:
			g.gauges[i] = joinGauge(m, g.gauges[i], v)
		}
	}
}

// begin opens a run: gauges and sizes are read anew, activity fades.
func (f *fold) begin(db *foldDatabase, now time.Time) {
	fade := 1.0
	if !db.last.IsZero() {
		fade = math.Exp2(-now.Sub(db.last).Seconds() / activityHalf.Seconds())
	}
	db.last = now
	db.run++
	db.clearGauges()
	for _, g := range db.order {
		for i, rank := range f.c.Fold.Rank {
			if isCounter(rank) {
				g.weights[i] *= fade
			} else {
				g.weights[i] = 0
			}
		}
	}
}

// take adds one row to its group.
func (f *fold) take(db *foldDatabase, rows *spec.Rows, row int, cols foldColumns) {
	known := f.rowOf(db, rows, row, cols)
	g := known.group
	known.run, g.run = db.run, db.run
	anew := f.beganAnew(known, rows, row, cols)
	for i, at := range cols.metrics {
		if at < 0 || f.c.Metrics[i].Type != spec.Counter {
			continue
		}
		v := rows.ValueAt(row, at)
		d := v
		if !anew {
			d = delta(known.last[f.counters[i]], v)
		}
		// Absent is not counted yet, or not since a reset: what comes then is all new.
		known.last[f.counters[i]] = v
		if !spec.IsAbsent(d) {
			g.count(i, d)
		}
	}
	f.takeGauges(g, rows, row, cols)
	for i, at := range cols.ranks {
		if at < 0 {
			continue
		}
		v := rows.ValueAt(row, at)
		if isCounter(f.c.Fold.Rank[i]) {
			now := v
			if !anew {
				v = delta(known.last[f.rank(i)], now)
			}
			known.last[f.rank(i)] = now
		}
		if !spec.IsAbsent(v) {
			g.weights[i] += v
		}
	}
}

// beganAnew reports whether the row's counters have begun anew since they were
// last read, by the columns that tell.
func (f *fold) beganAnew(known *foldRow, rows *spec.Rows, row int, cols foldColumns) bool {
	anew := false
	for i, at := range cols.began {
		if at < 0 {
			continue
		}
		before, now := known.last[f.began(i)], rows.ValueAt(row, at)
		known.last[f.began(i)] = now
		if spec.IsAbsent(before) || spec.IsAbsent(now) {
			continue
		}
		if isCounter(f.c.Fold.Began[i]) {
			anew = anew || now < before
		} else {
			anew = anew || now != before
		}
	}
	return anew
}

// count adds what a counter grew by to where it belongs now.
func (g *group) count(i int, d float64) {
	if g.place == folded {
		g.rest.counters[i] = plus(g.rest.counters[i], d)
		g.metrics |= 1 << i
		return
	}
	g.account.counters[i] = plus(g.account.counters[i], d)
}

// addGauge adds a gauge of a folded row to the remainder, which has no timestamps.
func (f *fold) addGauge(rest *remainder, i int, v float64) {
	if m := f.c.Metrics[i]; m.Type == spec.Gauge && !isTimestamp(m.Name) {
		rest.gauges[i] = joinGauge(m, rest.gauges[i], v)
	}
}

// rowOf returns what is kept of a row, new where the row is, or where its labels
// have changed: a renamed table is another series.
func (f *fold) rowOf(db *foldDatabase, rows *spec.Rows, row int, cols foldColumns) *foldRow {
	key := cols.identify(db.scratch[:0], rows, row)
	n := len(key)
	key = cols.join(key, rows, row)
	db.scratch = key
	name := key[n:]
	known := db.rows[string(key[:n])]
	if known != nil && known.group.name == string(name) {
		return known
	}
	fresh := &foldRow{group: f.groupOf(db, string(name))}
	if known != nil {
		// It was renamed, or joins others as a partition that is attached: what it
		// counted before was counted under its old labels.
		fresh.last = known.last
	} else {
		fresh.last = absent(f.width)
	}
	db.rows[string(key[:n])] = fresh
	return fresh
}

func (f *fold) groupOf(db *foldDatabase, name string) *group {
	g := db.groups[name]
	if g == nil {
		n := len(f.c.Metrics)
		g = &group{name: name, account: newAccount(n), gauges: absent(n), weights: make([]float64, len(f.c.Fold.Rank))}
		db.groups[name] = g
		db.order = append(db.order, g)
		if f.limit > 0 {
			g.rest = f.restOf(db, g.labels())
			if g.reserved = name == joined(g.rest.labels); g.reserved {
				g.place, g.rest.used, g.account, g.gauges = folded, true, nil, nil
			}
		}
	}
	return g
}

// restOf returns the remainder that a label set is added up in. There may be as
// many of them as label sets are shown; beyond that, all labels are other.
func (f *fold) restOf(db *foldDatabase, labels [][]byte) *remainder {
	kept := make([][]byte, len(labels))
	all := make([][]byte, len(labels))
	for i, name := range f.c.Labels {
		all[i] = []byte(otherLabel)
		kept[i] = all[i]
		if slices.Contains(f.c.Fold.Keep, name) {
			kept[i] = labels[i]
		}
	}
	if db.rests[joined(kept)] == nil && len(db.rests) >= f.limit {
		kept = all
	}
	rest := db.rests[joined(kept)]
	if rest == nil {
		rest = &remainder{labels: kept, counters: absent(len(f.c.Metrics)), gauges: absent(len(f.c.Metrics))}
		db.rests[joined(kept)] = rest
	}
	return rest
}

// joined is one text for several; PostgreSQL's has no zero byte.
func joined(texts [][]byte) string { return string(bytes.Join(texts, []byte{0})) }

// memory is how long it is remembered what a label set that is no longer there
// had counted: as long as Prometheus is likely to be asked for it in one query.
const memory = 7 * 24 * time.Hour

// end closes a run: what did not come is gone, and in time the remainder of what is
// gone for good, as of a database that was dropped. Where the server evicts rows, what
// was shown of them stays, and what was shown once is remembered.
func (f *fold) end(db *foldDatabase, now time.Time) {
	before := len(db.rows)
	maps.DeleteFunc(db.rows, func(_ string, r *foldRow) bool { return r.run != db.run })
	f.gone += uint64(before - len(db.rows))
	over := func(g *group) bool {
		switch {
		case g.run == db.run:
			return false
		case !f.c.Fold.Evicts:
			return true
		case g.place == shown:
			return false
		default:
			return g.account == nil || now.Sub(g.since) > memory
		}
	}
	maps.DeleteFunc(db.groups, func(_ string, g *group) bool { return over(g) })
	db.order = slices.DeleteFunc(db.order, over)
	for _, g := range db.order {
		if g.rest != nil {
			g.rest.needed = now
		}
	}
	maps.DeleteFunc(db.rests, func(_ string, r *remainder) bool { return now.Sub(r.needed) > memory })
}
