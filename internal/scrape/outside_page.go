package scrape

import (
	"cmp"
	"maps"
	"slices"

	"github.com/pgvigil/pgvigil/internal/page"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// The own metrics of poolers. They have names of their own, since a server may be on
// the same page.
var (
	ownPoolerUp       = spec.Series{Name: "pgbouncer_up", Type: spec.Gauge, Help: "Whether this scrape's own session on PgBouncer's admin console answered."}
	ownPoolerFailures = spec.Series{Name: "pgvigil_pgbouncer_connect_failures_total", Type: spec.Counter, Labels: []string{"reason"}, Help: "Connects to the admin console that failed, and sessions that were there and did not answer, by reason."}
	ownPoolerOpened   = spec.Series{Name: "pgvigil_pgbouncer_sessions_opened_total", Type: spec.Counter, Help: "Sessions opened on the admin console; one lasts."}
	ownUnknown        = spec.Series{Name: "pgvigil_collector_columns_unknown", Type: spec.Gauge, Labels: perCollector, Help: "Columns that the source has and this release of pgvigil does not know, and leaves out."}
)

// bindNamed turns the rows of a reading into a result: all of it or an error.
func (u *unit) bindNamed(rd spec.Reading) (*result, error) {
	for _, l := range u.c.Labels {
		if _, ok := rd.Rows.Find(l, spec.Text); !ok {
			return nil, &MissingError{Column: l}
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	r := &result{at: rd.At, made: u.next()}
	if err := u.plain(spec.Run{Now: rd.At}, rd.Rows, r); err != nil {
		return nil, err
	}
	return r, r.check(u.maxSeries())
}

// page returns what can be shown of a reading now.
func (o *Outside) page(r *reading, sel Selection) []page.Family {
	o.mu.Lock()
	defer o.mu.Unlock()
	own := newOwn()
	var fams []page.Family
	if o.pooler != nil {
		own.add(ownPoolerUp, flag(r.up))
		fams = own.take(ownPoolerUp)
	}
	for _, u := range o.units {
		if !sel.wants(u) {
			continue
		}
		res := r.results[u]
		o.tell(own, u, res)
		if res != nil {
			fams = append(fams, u.families([]*result{res})...)
		}
	}
	for _, t := range slices.SortedFunc(maps.Keys(o.failures), func(a, b tally) int {
		return cmp.Or(cmp.Compare(a.collector, b.collector), cmp.Compare(a.reason, b.reason))
	}) {
		own.add(ownFailures, float64(o.failures[t]), t.collector, string(t.reason))
	}
	if o.pooler != nil {
		for _, reason := range postgres.ConnectReasons() {
			own.add(ownPoolerFailures, float64(o.unmet[reason]), string(reason))
		}
		own.add(ownPoolerOpened, float64(o.pooler.Opened()))
	}
	return append(fams, own.families()...)
}

// tell adds the own metrics of a collector. The label datname is there because the
// servers' collectors have it.
func (o *Outside) tell(own *own, u *unit, res *result) {
	t := o.records[u]
	series := 0
	if res != nil {
		series = res.samples
	}
	own.add(ownSuccess, flag(res != nil), u.c.Name, "")
	own.add(ownSeries, float64(series), u.c.Name, "")
	if t.ran {
		own.add(ownDuration, t.duration.Seconds(), u.c.Name, "")
	}
	if !t.last.IsZero() {
		own.add(ownLastSuccess, float64(t.last.UnixMilli())/1000, u.c.Name, "")
	}
	if u.c.Source != spec.PgBouncer || res == nil {
		return
	}
	own.add(ownUnknown, float64(t.unknown), u.c.Name, "")
}

// Join makes one page of the families of several sources. Those of one name become
// one family.
func Join(parts ...[]page.Family) []page.Family {
	if len(parts) == 0 {
		return nil
	}
	fams := parts[0]
	at := make(map[string]int, len(fams))
	for _, more := range parts[1:] {
		if len(at) == 0 {
			for i, f := range fams {
				at[f.Name] = i
			}
		}
		for _, f := range more {
			i, ok := at[f.Name]
			if !ok {
				at[f.Name] = len(fams)
				fams = append(fams, f)
				continue
			}
			fams[i].Columns = slices.Concat(fams[i].Columns, f.Columns)
		}
	}
	return fams
}
